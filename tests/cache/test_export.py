from __future__ import annotations

import csv
import json
from pathlib import Path
from types import ModuleType

import h5netcdf
import h5py
import numpy as np
import pytest
from skimage import io

from mer_features import features as feature_file
from mer_features.features import export


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_csv_has_every_clip_and_its_state(built: Path, tmp_path: Path):
    export.to_csv(built, tmp_path / "clips.csv")
    rows = {row["clip_id"]: row for row in _rows(tmp_path / "clips.csv")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "s1/happy": "ok",
        "s1/startled": "warned",
        "s2/short": "warned",
        "s2/dark": "rejected",
        "s3/gone": "rejected",
    }
    happy = rows["s1/happy"]
    assert (happy["onset"], happy["apex"], happy["offset"], happy["fps"]) == ("10", "12", "14", "200.0")
    assert (happy["au_4"], happy["au_12"], happy["au_1"]) == ("present", "right", "")
    assert (rows["s2/dark"]["apex"], json.loads(rows["s2/dark"]["quality_text"])[0]["code"]) == ("", "no_face")


def test_csv_holds_descriptors(scratch: Path, tmp_path: Path):
    values = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    with h5netcdf.File(scratch, "a") as file:
        group = file.create_group("descriptors")
        group.dimensions["feature"] = 4
        group.create_variable("lbp_top", ("clip", "feature"), "f4", data=values)
    export.to_csv(scratch, tmp_path / "clips.csv")
    rows = _rows(tmp_path / "clips.csv")
    found = np.array([[row[f"lbp_top_{index}"] for index in range(4)] for row in rows[:3]], np.float32)
    np.testing.assert_array_equal(found, values)


def test_npz_reads_back_without_pickle(built: Path, tmp_path: Path):
    written = export.to_npz(built, tmp_path / "npz")
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "npz/s1/happy.npz",
        "npz/s1/startled.npz",
        "npz/s2/short.npz",
    ]
    with feature_file.open_features(built) as features, np.load(written[1], allow_pickle=False) as arrays:
        assert set(arrays) == {name.replace("/", "_") for name in (*features.variables(), *features.coordinates())}
        assert arrays["flow_pair"].tolist() == ["onset_apex", "offset_apex"]
        for name in features.variables():
            np.testing.assert_array_equal(arrays[name.replace("/", "_")], features[name][1])


def test_npz_is_the_same_each_time(built: Path, tmp_path: Path):
    first = export.to_npz(built, tmp_path / "a")
    second = export.to_npz(built, tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_faces_are_exact_pictures(sample: ModuleType, built: Path, tmp_path: Path):
    export.to_png(built, tmp_path)
    np.testing.assert_array_equal(io.imread(tmp_path / "s1/startled/apex.png"), sample.crops("s1/startled")[6])


@pytest.mark.parametrize(("view", "step"), [("fixed", 8 / 255), ("minmax", 1 / 255)])
def test_views_can_be_undone(sample: ModuleType, built: Path, tmp_path: Path, view: export.View, step: float):
    written = export.to_png(built, tmp_path, view)
    manifest = json.loads((tmp_path / "views.json").read_text())
    fields = {path.relative_to(tmp_path).as_posix() for path in written if f".{view}." in path.name}
    assert manifest["view"] == view
    assert set(manifest["range"]) == fields
    assert len(fields) == 3 * 2 * 3
    scale = manifest["range"][f"s1/startled/u_onset_apex.{view}.png"]
    grey = io.imread(tmp_path / f"s1/startled/u_onset_apex.{view}.png")
    found = scale["low"] + grey / 255 * (scale["high"] - scale["low"])
    assert np.abs(found - sample.flow("s1/startled")[0, 0]).max() <= step / 2 + 0.0005


def test_zero_flow_is_mid_grey_and_the_range_is_clipped(scratch: Path, tmp_path: Path):
    with h5py.File(scratch, "r+") as file:
        file["flow/u"][0, 0] = 0
        file["flow/u"][0, 0, 0, :2] = -20 * 1024, 20 * 1024
    export.to_png(scratch, tmp_path)
    grey = io.imread(tmp_path / "s1/happy/u_onset_apex.fixed.png")
    assert (grey[0, 0], grey[0, 1], grey[1, 1]) == (0, 255, 128)


def test_a_constant_field_is_black_in_its_own_range(scratch: Path, tmp_path: Path):
    with h5py.File(scratch, "r+") as file:
        file["flow/v"][0, 1] = 77
    export.to_png(scratch, tmp_path, "minmax")
    assert not io.imread(tmp_path / "s1/happy/v_offset_apex.minmax.png").any()


def test_unknown_view(built: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="unknown view 'rainbow'; known: fixed, minmax"):
        export.to_png(built, tmp_path, "rainbow")  # type: ignore[arg-type]


@pytest.mark.parametrize("write", [export.to_npz, export.to_png])
@pytest.mark.parametrize("name", ["../../outside", "/outside"])
def test_identifiers_do_not_lead_out(scratch: Path, tmp_path: Path, write, name: str):
    with h5py.File(scratch, "r+") as file:
        for group in ("/", "/faces", "/flow", "/spotting"):
            file[group]["clip_id"][0] = name
    with pytest.raises(feature_file.CacheError, match="leads out"):
        write(scratch, tmp_path / "deep" / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"demo.h5", "deep"}
