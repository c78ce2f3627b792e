"""A feature file of published flow maps: its values, its readers, and what does not need it or cannot use it."""

from __future__ import annotations

import csv
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mer_features import features as feature_file
from mer_features.core import clips as clip_tables
from mer_features.core.clips import Clip
from mer_features.features import export
from mer_features.features.options import Cache
from mer_features.features.parts import FlowMapsPart

USED = ["s1/a", "s2/b", "s3/c"]
CHANNELS = ("u", "v", "strain")


# ---------------------------------------------------------------- values


def test_values_are_the_bytes_of_the_pictures_in_the_order_u_v_strain(sample: ModuleType, maps: Path):
    with feature_file.open_features(maps) as features:
        assert [clip.clip_id for clip in features.clips] == USED
        assert features.labels("flow_maps/channel") == CHANNELS
        for row, clip_id in enumerate(USED):
            np.testing.assert_array_equal(features["flow_maps/maps"][row], sample.maps(clip_id))
            for channel, plane in zip(CHANNELS, sample.maps(clip_id), strict=True):
                np.testing.assert_array_equal(features[f"flow_maps/maps[{channel}]"][row], plane)


def test_channels_are_red_green_and_blue(sample: ModuleType, tmp_path: Path):
    red = np.zeros((4, 5, 3), np.uint8)
    red[..., 0], red[..., 1] = 200, 100
    (tmp_path / "x.png").write_bytes(sample.png(red))
    feature_file.build(tmp_path / "x.h5", [Clip("s/x", "d", "s", str(tmp_path / "x.png"))], {}, Cache(), _PROVENANCE)
    with feature_file.open_features(tmp_path / "x.h5") as features:
        found = {channel: set(features[f"flow_maps/maps[{channel}]"][0].flat) for channel in CHANNELS}
    assert found == {"u": {200}, "v": {100}, "strain": {0}}


def test_summary_and_root(sample: ModuleType, maps: Path, tmp_path: Path):
    summary = sample.build_maps(tmp_path / "x.h5", tmp_path)
    assert summary == feature_file.Summary(("s1/a", "s3/c"), ("s2/b",), ("s1/grey", "s2/two"))
    with h5py.File(maps) as file:
        assert file.attrs["groups"] == "flow_maps rejected"
        unknown = {name: file[name][()].tolist() for name in ("onset", "apex", "offset", "first_frame", "n_frames")}
        assert np.isnan(file["fps"][()]).all()
        assert file["apex_source"].asstr()[()].tolist() == ["", "", ""]
        assert file["rejected/code"].asstr()[()].tolist() == ["bad_map", "label_conflict"]
    assert unknown == dict.fromkeys(("onset", "apex", "offset", "first_frame"), [-1] * 3) | {"n_frames": [0] * 3}


_PROVENANCE: feature_file.Provenance = {"config": "{}", "fingerprints": {}, "versions": {}, "seed": 0}
_MAPS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.just(3)))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pictures=_MAPS)
def test_any_maps_come_back_and_a_file_written_twice_has_the_same_bytes(tmp_path: Path, pictures: np.ndarray):
    clips = []
    for number, picture in enumerate(pictures):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), picture[..., ::-1])
        clips.append(Clip(f"s/{number}", "d", "s", str(path)))
    for name in ("one.h5", "two.h5"):
        feature_file.build(tmp_path / name, clips, {}, Cache(), _PROVENANCE)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    with feature_file.open_features(tmp_path / "one.h5") as features:
        np.testing.assert_array_equal(features["flow_maps/maps"][:], pictures.transpose(0, 3, 1, 2))
    assert feature_file.validate(tmp_path / "one.h5") == []


def test_the_folder_of_the_pictures_does_not_matter(sample: ModuleType, maps: Path, tmp_path: Path):
    sample.build_maps(tmp_path / "again.h5", tmp_path)
    assert (tmp_path / "again.h5").read_bytes() == maps.read_bytes()


# ---------------------------------------------------------------- pictures that cannot be used


def _gone(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "code", "detail"),
    [
        (_gone, "source_missing", "s1_a.png: cannot be read (No such file or directory)"),
        (_folder, "bad_map", "s1_a.png: cannot be read (Is a directory)"),
    ],
)
def test_a_picture_that_cannot_be_opened_rejects_its_clip(
    sample: ModuleType, tmp_path: Path, spoil: Callable[[Path], None], code: str, detail: str
):
    clips = list(sample.map_clips(tmp_path))
    spoil(tmp_path / "s1_a.png")
    summary = feature_file.build(tmp_path / "x.h5", clips, {}, Cache(), _PROVENANCE)
    assert "s1/a" in summary.rejected
    with feature_file.open_features(tmp_path / "x.h5") as features:
        assert (features.rejected[0].code, features.rejected[0].detail) == (code, detail)


def test_maps_of_two_sizes_stop_with_the_clip(sample: ModuleType, tmp_path: Path):
    clips = list(sample.map_clips(tmp_path))
    (tmp_path / "s3_c.png").write_bytes(sample.png(np.zeros((30, 28, 3), np.uint8)))
    with pytest.raises(feature_file.CacheError, match=r"s3/c: flow maps are \(30, 28\), but \(28, 28\)"):
        feature_file.build(tmp_path / "x.h5", clips, {}, Cache(), _PROVENANCE)
    assert not (tmp_path / "x.h5").exists()


def test_no_map_that_can_be_used_is_an_error(sample: ModuleType, tmp_path: Path):
    clips = [clip for clip in sample.map_clips(tmp_path) if clip.clip_id in ("s1/grey", "s2/two")]
    with pytest.raises(feature_file.CacheError, match="none of 2 clips can be used: bad_map, label_conflict"):
        feature_file.build(tmp_path / "x.h5", clips, {}, Cache(), _PROVENANCE)


def test_memory_does_not_grow_with_the_clips(sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    (tmp_path / "x.png").write_bytes(sample.png(picture))
    clips = [Clip(f"s/{number}", "d", "s", str(tmp_path / "x.png")) for number in range(12)]
    held: list[int] = []
    write = FlowMapsPart.write

    def measured(*args: Any) -> Any:
        held.append(tracemalloc.get_traced_memory()[0])
        return write(*args)

    monkeypatch.setattr(FlowMapsPart, "write", measured)
    tracemalloc.start()
    try:
        feature_file.build(tmp_path / "x.h5", clips, {}, Cache(), _PROVENANCE)
    finally:
        tracemalloc.stop()
    assert len(held) == len(clips)
    assert held[-1] < 5 * picture.nbytes  # half of what all maps take


# ---------------------------------------------------------------- other readers


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray(sample: ModuleType, maps: Path, engine: str):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    with (
        xarray.open_dataset(maps, engine=engine) as root,
        xarray.open_dataset(maps, engine=engine, group="flow_maps") as group,
    ):
        assert "clip_id" in group.coords
        assert group["clip_id"].values.tolist() == USED == root.coords["clip_id"].values.tolist()
        assert group["maps"].dtype == np.uint8
        assert group.attrs["scale"] == "unknown"
        found = group.set_xindex("clip_id")["maps"].sel(clip_id="s2/b", channel="v")
        np.testing.assert_array_equal(found, sample.maps("s2/b")[1])
        surprised = group["maps"].isel(clip=root["emotion"] == "surprise")
        assert surprised["clip_id"].values.tolist() == ["s2/b"]
    with xarray.open_datatree(maps, engine=engine) as tree:
        assert sorted(tree.children) == ["flow_maps", "rejected"]
        assert tree["flow_maps"].coords["clip_id"].values.tolist() == USED


def test_netcdf4(sample: ModuleType, maps: Path):
    netcdf4 = pytest.importorskip("netCDF4")
    with netcdf4.Dataset(maps) as file:
        variable = file["flow_maps/maps"]
        assert variable.dimensions == ("clip", "channel", "y", "x")
        assert file["flow_maps/channel"][:].tolist() == list(CHANNELS)
        assert file["flow_maps/clip_id"][:].tolist() == USED
        found = variable[2]
        assert not np.ma.is_masked(found)  # 255, the default fill value of bytes in netCDF, is a value
        np.testing.assert_array_equal(found, sample.maps("s3/c"))


def test_255_is_no_missing_value(sample: ModuleType, tmp_path: Path):
    netcdf4 = pytest.importorskip("netCDF4")
    white = np.full((3, 3, 3), 255, np.uint8)
    (tmp_path / "x.png").write_bytes(sample.png(white))
    feature_file.build(tmp_path / "x.h5", [Clip("s/x", "d", "s", str(tmp_path / "x.png"))], {}, Cache(), _PROVENANCE)
    with netcdf4.Dataset(tmp_path / "x.h5") as file:
        assert not np.ma.is_masked(file["flow_maps/maps"][:])


def test_h5py(sample: ModuleType, maps: Path):
    with h5py.File(maps) as file:
        stored = file["flow_maps/maps"]
        assert (stored.dtype, stored.chunks, stored.compression) == (np.uint8, (1, 3, 28, 28), "gzip")
        np.testing.assert_array_equal(stored[1], sample.maps("s2/b"))
        assert "method" not in file["flow_maps"].attrs


# ---------------------------------------------------------------- validation


def _attribute(name: str, value: str) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file.attrs[name] = value

    return spoil


def _write(name: str, index: object, value: object) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file[name][index] = value

    return spoil


def _without_scale(file: h5py.File) -> None:
    del file["flow_maps"].attrs["scale"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.__delitem__("flow_maps"), "/flow_maps: the group is missing"),
        (lambda file: file.__delitem__("flow_maps/maps"), "/flow_maps/maps: the variable is missing"),
        (_attribute("groups", "rejected"), "/flow_maps: the group is not in the attribute groups"),
        (_attribute("groups", "flow_maps flow rejected"), "/flow: the group is missing"),
        (_write("flow_maps/clip_id", 0, "s9/x"), "/flow_maps/clip_id: differs from /clip_id"),
        (
            _write("flow_maps/channel", slice(None), ["strain", "v", "u"]),
            "/flow_maps/channel: found strain, v, u, expected u, v, strain",
        ),
        (_write("flow_maps/channel", 2, "b"), "/flow_maps/channel: found u, v, b, expected u, v, strain"),
        (_without_scale, "/flow_maps: attribute scale is missing"),
    ],
)
def test_validation_finds_what_is_wrong(scratch_maps: Path, spoil: Callable[[h5py.File], None], message: str):
    assert feature_file.validate(scratch_maps) == []
    with h5py.File(scratch_maps, "r+") as file:
        spoil(file)
    assert feature_file.validate(scratch_maps) == [message]


# ---------------------------------------------------------------- exports, removal and samples


def test_description(maps: Path):
    text = feature_file.describe(maps)
    assert "clips: 3 of 3 subjects (2 ok, 1 warned), 2 rejected" in text
    assert "rejected s1/grey: bad_map s1_grey.png: found 8-bit grey" in text
    assert "/flow_maps: as published, scale unknown" in text
    assert "apex from" not in text
    assert "clip=3, channel=3, y=28, x=28" in text


def test_exports(sample: ModuleType, maps: Path, tmp_path: Path):
    export.to_csv(maps, tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["clip_id"], row["status"], row["apex"]) for row in rows] == [
        ("s1/a", "ok", "-1"),
        ("s2/b", "warned", "-1"),
        ("s3/c", "ok", "-1"),
        ("s1/grey", "rejected", ""),
        ("s2/two", "rejected", ""),
    ]
    written = export.to_npz(maps, tmp_path / "npz")
    with np.load(written[1], allow_pickle=False) as arrays_of_clip:
        np.testing.assert_array_equal(arrays_of_clip["flow_maps_maps"], sample.maps("s2/b"))
        assert arrays_of_clip["flow_maps_channel"].tolist() == list(CHANNELS)
        assert str(arrays_of_clip["clip_id"]) == "s2/b"
    pictures = export.to_png(maps, tmp_path / "png")
    assert [path.relative_to(tmp_path / "png").as_posix() for path in pictures] == [f"{c}/flow_map.png" for c in USED]
    found = cv2.imread(str(pictures[2]), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(found.transpose(2, 0, 1), sample.maps("s3/c"))
    assert json.loads((tmp_path / "png/views.json").read_text()) == {"view": "fixed", "range": {}}


def test_an_exported_picture_can_be_read_again(maps: Path, tmp_path: Path):
    pictures = export.to_png(maps, tmp_path / "png")
    clips = [Clip(name, "d", name[:2], str(path)) for name, path in zip(USED, pictures, strict=True)]
    feature_file.build(tmp_path / "again.h5", clips, {}, Cache(), _PROVENANCE)
    with feature_file.open_features(tmp_path / "again.h5") as again, feature_file.open_features(maps) as first:
        np.testing.assert_array_equal(again["flow_maps/maps"][:], first["flow_maps/maps"][:])


def test_clips_can_be_removed(sample: ModuleType, scratch_maps: Path):
    assert feature_file.drop(scratch_maps, ["s2/b", "s1/grey"]) == 2
    assert feature_file.validate(scratch_maps) == []
    with feature_file.open_features(scratch_maps) as features:
        assert features["flow_maps/clip_id"][:].tolist() == ["s1/a", "s3/c"]
        assert [item.clip_id for item in features.rejected] == ["s2/two"]
        np.testing.assert_array_equal(features["flow_maps/maps"][1], sample.maps("s3/c"))
        assert features.labels("flow_maps/channel") == CHANNELS
        assert features.attrs["groups"] == "flow_maps rejected"
    assert not any(word in scratch_maps.read_bytes() for word in (b"s2/b", b"s1/grey"))
    with pytest.raises(feature_file.CacheError, match="no clip would be left"):
        feature_file.drop(scratch_maps, ["s1/a", "s3/c"])


@pytest.mark.parametrize("in_memory", [False, True])
def test_samples_of_pytorch(sample: ModuleType, maps: Path, in_memory: bool):
    torch = pytest.importorskip("torch")
    from mer_features.features.dataset import FeatureDataset

    names = ("flow_maps/maps", "flow_maps/maps[strain]")
    found = FeatureDataset([maps], ["s3/c", "s1/a"], names, in_memory=in_memory)[0]
    assert found["flow_maps/maps"].dtype == torch.uint8
    np.testing.assert_array_equal(found["flow_maps/maps"], sample.maps("s3/c"))
    np.testing.assert_array_equal(found["flow_maps/maps[strain]"], sample.maps("s3/c")[2])
    with pytest.raises(KeyError, match=r"maps.h5: no group /flow, so no 'flow/u'"):
        FeatureDataset([maps], in_memory=in_memory)


def test_flow_in_pixels_is_not_there(maps: Path):
    with (
        feature_file.open_features(maps) as features,
        pytest.raises(feature_file.CacheError, match=r"maps.h5: flow in pixels needs /flow; the file has /flow_maps"),
    ):
        features.flow("s1/a")


# ---------------------------------------------------------------- commands


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    from mer_features import cli

    code = cli.main([str(item) for item in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "{maps}"), "/flow_maps: as published, scale unknown"),
        (("validate", "{maps}"), "valid"),
        (("export", "{maps}", "csv", "-o", "{tmp}/x.csv"), "wrote"),
        (("export", "{maps}", "npz", "-o", "{tmp}/npz"), "wrote"),
        (("export", "{maps}", "png", "-o", "{tmp}/png"), "wrote"),
    ],
)
def test_commands_that_need_no_group(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
):
    code, out, err = _run(capsys, *(item.format(maps=maps, tmp=tmp_path) for item in arguments))
    assert (code, err) == (0, "")
    assert said in out


def test_validate_ends_with_1_for_a_file_that_breaks_a_rule(scratch_maps: Path, capsys: pytest.CaptureFixture[str]):
    with h5py.File(scratch_maps, "r+") as file:
        del file["flow_maps"]
    code, out, err = _run(capsys, "validate", scratch_maps)
    assert (code, err) == (1, "")
    assert out == f"{scratch_maps}: 1 violation of the format\n  /flow_maps: the group is missing\n"


def test_names_of_files_are_printed_as_they_are(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Brackets are no markup, and a long path is one line."""
    folder = tmp_path / f"{'long' * 30} [1] [/red]"
    folder.mkdir(parents=True)
    file = Path(shutil.copy(maps, folder / "x.h5"))
    assert _run(capsys, "validate", file) == (0, f"{file}: valid\n", "")
    assert _run(capsys, "export", file, "csv", "-o", folder / "x.csv") == (0, f"wrote {folder / 'x.csv'}\n", "")
    code, _, err = _run(capsys, "show", folder / "y.h5")
    assert (code, err) == (2, f"mer-features show: {folder / 'y.h5'}: no such file\n")


def test_generators_of_a_style_need_faces(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("torch")
    code, out, err = _run(capsys, "train-style", maps, "-o", tmp_path / "x.pt")
    assert (code, out) == (2, "")
    expected = (
        f"mer-features train-style: {maps}: the training of style generators needs /faces; the file has /flow_maps"
    )
    assert err == f"{expected}, /rejected\n"
    assert not (tmp_path / "x.pt").exists()


def test_a_contact_sheet_needs_faces(maps: Path, tmp_path: Path):
    from mer_features.report import contact

    with pytest.raises(
        feature_file.CacheError, match=r"maps.h5: a contact sheet needs /faces; the file has /flow_maps"
    ):
        contact.write_sheet(maps, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_feature_file_is_no_video(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`extract` rejects the clip, `magnify` stops; both name the file."""
    code, out, err = _run(capsys, "extract", maps, "-o", tmp_path / "x.h5")
    assert (code, err) == (1, "")
    assert f"rejected {maps}" in out
    code, _, err = _run(capsys, "magnify", maps, "-o", tmp_path / "x.mp4")
    assert code == 2
    assert err.startswith("mer-features magnify: ")
    assert "Traceback" not in err
    assert "maps.h5" in err


def test_a_subject_is_forgotten(
    sample: ModuleType, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    table = clip_tables.dumps(sample.MAP_CLIPS)
    for place in ("sources/maps.tsv", "clips/maps.tsv", "clips/maps/s000.tsv"):
        (results / place).parent.mkdir(parents=True, exist_ok=True)
        (results / place).write_text(table, encoding="utf-8")
    (results / "features").mkdir()
    file = Path(shutil.copy(maps, results / "features/maps.h5"))
    code, out, err = _run(capsys, "forget", "s1", "--results", results)
    assert (code, err) == (0, "")
    assert "Removed 2 clips of s1" in out
    assert feature_file.validate(file) == []
    with feature_file.open_features(file) as features:
        assert [clip.clip_id for clip in features.clips] == ["s2/b", "s3/c"]
        assert [item.clip_id for item in features.rejected] == ["s2/two"]
        np.testing.assert_array_equal(features["flow_maps/maps"][0], sample.maps("s2/b"))


def test_a_system_trained_on_maps_explains_a_clip(
    sample: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Also if the feature file has been built again without the maps: then it says so."""
    pytest.importorskip("torch")
    pytest.importorskip("lightning")
    from mer_features import protocols
    from mer_features.training import half
    from mer_features.training.data import Sources
    from mer_features.training.options import System

    clips, rows, rng = [], [], np.random.default_rng(0)
    for number in range(12):
        name, subject, label = f"s{number // 3}/{number}", f"s{number // 3}", ("negative", "positive")[number % 2]
        (tmp_path / f"{number}.png").write_bytes(sample.png(rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)))
        clips.append(Clip(name, "d", subject, str(tmp_path / f"{number}.png"), emotion=label))
        rows.append(protocols.FoldRow(name, "d", subject, label, label, subject))
    feature_file.build(tmp_path / "d.h5", clips, {}, Cache(), _PROVENANCE)
    protocols.write(tmp_path / "p.tsv", protocols.FoldTable(tuple(rows)))
    sources = Sources({"d": tmp_path / "d.h5"}, tmp_path / "p.tsv")
    files = half.HalfFiles(tmp_path / "e.npz", tmp_path / "half.pt", tmp_path / "p.npz", tmp_path / "half.json")
    half.embed_half(sources, System(system="linear", protocols=("p",)), seed=0, files=files)
    assert json.loads(files.model.read_text())["system"]["recipe"]["source"] == "flow_maps"
    code, out, err = _run(capsys, "explain", tmp_path, "s0/1", "-o", tmp_path / "explained")
    assert (code, err) == (0, "")
    assert "d/s0/1" in out
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        del file["flow_maps"]
        file.attrs["groups"] = "rejected"
    code, _, err = _run(capsys, "explain", tmp_path, "s0/1", "-o", tmp_path / "explained")
    assert code == 2
    expected = f"mer-features explain: {tmp_path / 'd.h5'}: the recipe needs /flow_maps; the file has /rejected"
    assert err == f"{expected}\n"
