"""The committed file of format version 1 reads back the values it was made from.

The numbers stand here in full, so that neither the package nor the script that made the file can change them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mer_features import features as feature_file

SAMPLE = Path(__file__).parents[1] / "data" / "cache-v1.h5"


@pytest.fixture
def features():
    with feature_file.open_features(SAMPLE) as opened:
        yield opened


def test_it_is_small_and_valid():
    assert SAMPLE.stat().st_size < 200_000
    assert feature_file.validate(SAMPLE) == []


def test_clips(features: feature_file.Features):
    rows = [(c.clip_id, c.subject, c.emotion, c.onset, c.apex, c.offset, c.n_frames) for c in features.clips]
    assert rows == [
        ("s1/happy", "s1", "happiness", 10, 12, 14, 6),
        ("s1/startled", "s1", "surprise", 1, 8, 8, 7),
        ("s2/short", "s2", "others", 0, 1, 2, 3),
    ]
    assert [c.status for c in features.clips] == ["ok", "warned", "warned"]
    assert [(r.clip_id, r.code) for r in features.rejected] == [("s2/dark", "no_face"), ("s3/gone", "source_missing")]
    assert features["action_units"][1].tolist() == [1, 1, 0, 2]
    assert features["quality"][1] == 1 << 5


def test_flow_and_strain(features: feature_file.Features):
    u, v = features.flow("s2/short", "offset_apex")
    assert u[7, 10] == pytest.approx(2 * (2 + 0.10), abs=0.0005)
    assert v[7, 10] == pytest.approx(2 * -0.07, abs=0.0005)
    assert features["flow/strain[onset_apex]"][1][20, 30] == pytest.approx(0.06 + 0.1, abs=0.00013)


def test_faces(features: feature_file.Features):
    assert features["faces/apex"].shape == (3, 32, 32, 3)
    assert features["faces/apex"][1][4, 5].tolist() == [1, 51, 101]  # 40 x 6 + 3 x 4 + 5 modulo 256
    assert features["faces/apex"][0][4, 5].tolist() == [97, 97, 97]
    assert features["faces/keyframe_number"][1].tolist() == [4, 5, 6, 7, 8]
    assert features["faces/landmarks"][0][3].tolist() == [0.75, 0.875]
    assert features["faces/transform"][2].tolist() == [[0.5, 0, -10], [0, 0.5, -20]]


def test_spotting(features: feature_file.Features):
    curve = features["spotting/curve[midpoint]"][0]
    np.testing.assert_allclose(curve, [1.6, 1.8, 2.0, 1.8, 1.6, np.nan, np.nan], rtol=1e-6)
    assert features["spotting/spotted"][0].tolist() == [12, 11]


def test_provenance(features: feature_file.Features):
    assert features.attrs["source"] == "mer-features 0.1.0"
    assert features.attrs["config"] == '{"seed": 7}'


def test_clips_can_be_removed(tmp_path: Path):
    path = Path(shutil.copy(SAMPLE, tmp_path / "x.h5"))
    assert feature_file.drop(path, ["s1/happy", "s2/dark"]) == 2
    assert feature_file.validate(path) == []
    with feature_file.open_features(path) as left:
        assert np.ravel(left.attrs["schema_version"]).tolist() == [1]
        assert left.groups == ("faces", "spotting", "flow", "rejected")
        assert [clip.clip_id for clip in left.clips] == ["s1/startled", "s2/short"]
