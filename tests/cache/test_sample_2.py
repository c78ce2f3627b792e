"""The committed files of format version 2, one of stages and one of flow maps, read back what they were made from.

The numbers stand here in full, so that neither the package nor the script that made the files can change them.
"""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features import features as feature_file

DATA = Path(__file__).parents[1] / "data"
STAGES, MAPS = DATA / "cache-v2.h5", DATA / "maps-v2.h5"


@pytest.mark.parametrize("path", [STAGES, MAPS])
def test_it_is_small_and_valid(path: Path):
    assert path.stat().st_size < 200_000
    assert feature_file.validate(path) == []


def test_stages_are_those_of_version_1():
    """Both files were made from the same stage files."""
    with feature_file.open_features(STAGES) as new, feature_file.open_features(DATA / "cache-v1.h5") as old:
        assert (new.groups, new.rejected) == (old.groups, old.rejected)
        assert repr(new.clips) == repr(old.clips)  # NaN, a frame rate that is not known, differs from itself
        assert new.variables() == old.variables()
        for name in old.variables():
            np.testing.assert_array_equal(new[name][:], old[name][:])


def test_stages_name_their_groups_and_clips():
    with h5py.File(STAGES) as file:
        assert file.attrs["groups"] == "faces spotting flow rejected"
        for name in ("faces", "spotting", "flow"):
            assert file[name]["clip_id"].asstr()[()].tolist() == ["s1/happy", "s1/startled", "s2/short"]
            assert file[name].attrs["coordinates"] == "clip_id"
    with feature_file.open_features(STAGES) as features:
        u, v = features.flow("s2/short", "offset_apex")
    assert u[7, 10] == pytest.approx(2 * (2 + 0.10), abs=0.0005)
    assert v[7, 10] == pytest.approx(2 * -0.07, abs=0.0005)


def test_clips_of_maps():
    with feature_file.open_features(MAPS) as features:
        rows = [(c.clip_id, c.database, c.subject, c.emotion, c.status) for c in features.clips]
        assert rows == [
            ("s1/a", "maps", "s1", "negative", "ok"),
            ("s2/b", "maps", "s2", "surprise", "warned"),
            ("s3/c", "maps", "s3", "positive", "ok"),
        ]
        assert [(r.clip_id, r.code, r.detail) for r in features.rejected] == [
            ("s1/grey", "bad_map", "s1_grey.png: found 8-bit grey, expected an 8-bit RGB PNG picture"),
            ("s2/two", "label_conflict", "negative, surprise"),
        ]
        first = features.clips[0]
        assert (first.onset, first.apex, first.offset, first.first_frame, first.n_frames) == (-1, -1, -1, -1, 0)
        assert math.isnan(first.fps)
        assert first.apex_source == ""
        assert first.source_sha256 == "cc2c2d59449de83bb787068c036300a9aa49a29bb047cacd6f18b7b2c15758f9"


def test_maps():
    with feature_file.open_features(MAPS) as features:
        assert features.groups == ("flow_maps", "rejected")
        assert features.labels("flow_maps/channel") == ("u", "v", "strain")
        maps = features["flow_maps/maps"]
        assert (maps.shape, maps.dtype) == ((3, 3, 28, 28), np.uint8)
        assert maps[0][:, 3, 5].tolist() == [45, 228, 15]  # 9 x 5, 255 - 9 x 3, 3 x 5
        assert maps[1][:, 3, 5].tolist() == [47, 226, 15]  # the third clip of the table: k = 2
        assert maps[2][:, 27, 26].tolist() == [238, 8, 190]  # k = 4; 27 x 26 = 702 = 190 modulo 256
        assert features["flow_maps/maps[strain]"][2][27, 26] == 190
        assert features.group_attrs("flow_maps")["scale"] == "unknown"


def test_maps_name_their_group_and_clips():
    with h5py.File(MAPS) as file:
        assert file.attrs["groups"] == "flow_maps rejected"
        assert file["flow_maps/clip_id"].asstr()[()].tolist() == ["s1/a", "s2/b", "s3/c"]
        assert file["flow_maps"].attrs["coordinates"] == "clip_id"
        assert file["flow_maps/maps"].chunks == (1, 3, 28, 28)
        assert sorted(name for name in file if isinstance(file[name], h5py.Group)) == ["flow_maps", "rejected"]
