"""The group /magnified: there where the stage ran, away where it did not, and never in the way of a reader."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from mer_features import features as feature_file
from mer_features.core.quality import Issue
from mer_features.features import export
from mer_features.features.options import Cache
from mer_features.stages.options import Magnify
from mer_features.stages.store import ClipRecord, ShardWriter

SHARDS = {"s000": ["s1/happy", "s1/startled"], "s001": ["s2/dark", "s2/short"]}
#: What the flow stage found, where both pairs were there.
RATIOS = {"s1/happy": 5.25, "s1/startled": 4.5}


def _amplified(sample: ModuleType, clip_id: str) -> np.ndarray:
    """The apex crop, every pixel 7 levels brighter (modulo 256)."""
    return sample.crops(clip_id)[[sample.SHAPES[clip_id][2][1]]] + np.uint8(7)


def _files(sample: ModuleType, folder: Path, factors: tuple[float, float] = (6, 6), side: int = 32) -> dict:
    files = sample.stage_files(folder)
    options = Magnify().model_dump(mode="json")
    files |= {"magnify": [], "flow": []}
    for (shard, clip_ids), factor in zip(SHARDS.items(), factors, strict=True):
        for stage in ("magnify", "flow"):
            path = folder / "again" / stage / f"{shard}.h5"
            with ShardWriter(path, stage, options if stage == "magnify" else sample.OPTIONS[stage]) as writer:
                for clip_id in clip_ids:
                    writer.add(_record(sample, stage, clip_id, factor, side))
            files[stage].append(path)
    return files


def _record(sample: ModuleType, stage: str, clip_id: str, factor: float, side: int) -> ClipRecord:
    if clip_id == "s2/dark":
        return ClipRecord(clip_id, issues=(Issue("no_face", "score 0.1"),))
    if stage == "flow":
        record = sample.flow_record(clip_id)
        record.attrs |= {"magnified_by": RATIOS[clip_id]} if clip_id in RATIOS else {}
        return record
    attrs = {"factor": float(factor), "method": "phase", "model_digest": "ab12"}
    return ClipRecord(clip_id, {"apex": _amplified(sample, clip_id)[:, :side, :side]}, attrs)


@pytest.fixture(scope="module")
def magnified(sample: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("magnified") / "demo.h5"
    files = _files(sample, tmp_path_factory.mktemp("stages"))
    feature_file.build(path, sample.CLIPS, files, Cache(), sample.PROVENANCE)
    return path


def test_the_group_holds_the_amplified_apex_with_the_channels_of_the_faces(sample: ModuleType, magnified: Path):
    assert feature_file.validate(magnified) == []
    with feature_file.open_features(magnified) as features:
        assert features["magnified/apex"].dims == ("clip", "y", "x", "channel")
        for row, clip in enumerate(features.clips):
            expected = np.broadcast_to(_amplified(sample, clip.clip_id)[0], (32, 32, 3))
            np.testing.assert_array_equal(features["magnified/apex"][row], expected)
        np.testing.assert_array_equal(features["magnified/flow_ratio"][:], np.float32([5.25, 4.5, np.nan]))


def test_the_group_says_how_it_was_made(magnified: Path):
    with h5py.File(magnified) as file:
        attrs = dict(file["magnified"].attrs)
    assert attrs["schema"] == "mer-features cache /magnified"
    assert attrs["method"] == "method phase, factor 6"
    assert (np.ravel(attrs["factor"]).tolist(), attrs["model_digest"]) == ([6.0], "ab12")
    assert '"phase_smoothing_px"' in attrs["options"]


def test_a_file_without_the_group_is_as_valid(built: Path, magnified: Path):
    assert feature_file.validate(built) == []
    with feature_file.open_features(built) as plain, feature_file.open_features(magnified) as more:
        assert set(more.variables()) - set(plain.variables()) == {"magnified/apex", "magnified/flow_ratio"}
        assert set(plain.variables()) < set(more.variables())
        assert set(more.groups) - set(plain.groups) == {"magnified"}
        with pytest.raises(KeyError, match="no group /magnified, so no 'magnified/apex'"):
            plain["magnified/apex"]
    with h5py.File(built) as plain, h5py.File(magnified) as more:
        assert more.attrs["groups"] == "faces spotting magnified flow rejected"
        assert plain.attrs["groups"] == "faces spotting flow rejected"
        np.testing.assert_array_equal(more["magnified/clip_id"][()], plain["clip_id"][()])
        for name in ("apex", "faces/apex", "flow/u", "quality"):
            np.testing.assert_array_equal(plain[name][()], more[name][()])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda group: group.attrs.__delitem__("factor"), "/magnified: attribute factor is missing"),
        (lambda group: group.__delitem__("apex"), "/magnified/apex: the variable is missing"),
        (lambda group: group["flow_ratio"].attrs.__delitem__("units"), "/magnified/flow_ratio: attribute units"),
    ],
)
def test_a_broken_group_is_found(magnified: Path, tmp_path: Path, spoil, said):
    path = Path(shutil.copy(magnified, tmp_path / "x.h5"))
    with h5py.File(path, "r+") as file:
        spoil(file["magnified"])
    assert any(said in violation for violation in feature_file.validate(path))


@pytest.mark.parametrize(
    ("wrong", "said"), [({"factors": (6, 5)}, r"factor and model are \(5.0, 'ab12'\)"), ({"side": 30}, None)]
)
def test_clips_made_differently_are_refused(sample: ModuleType, tmp_path: Path, wrong, said):
    files = _files(sample, tmp_path, **wrong)
    if said is None:  # one shard with another crop size
        files["magnify"][1] = _files(sample, tmp_path / "other")["magnify"][1]
        said = r"amplified crops are \(32, 32\)"
    with pytest.raises(feature_file.CacheError, match=said):
        feature_file.build(tmp_path / "x.h5", sample.CLIPS, files, Cache(), sample.PROVENANCE)
    assert not (tmp_path / "x.h5").exists()


def test_a_clip_that_the_stage_lacks_is_missed(sample: ModuleType, tmp_path: Path):
    files = _files(sample, tmp_path)
    files["magnify"] = files["magnify"][:1]
    with pytest.raises(feature_file.CacheError, match=r"s2/short is not in the stage files of magnify"):
        feature_file.build(tmp_path / "x.h5", sample.CLIPS, files, Cache(), sample.PROVENANCE)


def test_exports_hold_the_amplified_apex(magnified: Path, tmp_path: Path):
    import cv2

    written = export.to_png(magnified, tmp_path / "png")
    assert tmp_path / "png/s1/happy/amplified.png" in written
    with feature_file.open_features(magnified) as features:
        expected = features["magnified/apex"][1]
    found = cv2.imread(str(tmp_path / "png/s1/startled/amplified.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(found, expected)
    export.to_csv(magnified, tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [row["flow_ratio"] for row in rows[:3]] == ["5.25", "4.5", ""]
    keys = np.load(export.to_npz(magnified, tmp_path / "npz")[0])
    assert keys["magnified_apex"].shape == (32, 32, 3)


def test_show_names_the_method(magnified: Path):
    said = feature_file.describe(magnified)
    assert "/magnified: method phase, factor 6" in said
    assert "magnified/apex" in said


def test_a_grey_database_stays_grey(sample: ModuleType, tmp_path: Path):
    clips = [clip for clip in sample.CLIPS if clip.clip_id != "s1/startled"]
    feature_file.build(tmp_path / "x.h5", clips, _files(sample, tmp_path), Cache(), sample.PROVENANCE)
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["magnified/apex"].shape == (2, 32, 32, 1)
