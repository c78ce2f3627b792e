from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features import features as feature_file

DATA = Path(__file__).parents[1] / "data"
Spoil = Callable[[h5py.File], None]


def test_a_built_cache_is_valid(built: Path):
    assert feature_file.validate(built) == []


def _delete(name: str) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]

    return spoil


def _attribute(place: str, name: str, value: object = None) -> Spoil:
    def spoil(file: h5py.File) -> None:
        if value is None:
            del file[place].attrs[name]
        else:
            file[place].attrs[name] = value

    return spoil


def _write(name: str, index: object, value: object) -> Spoil:
    def spoil(file: h5py.File) -> None:
        file[name][index] = value

    return spoil


def _retype(file: h5py.File) -> None:
    old = file["flow/u"]
    new = file["flow"].create_dataset("new", data=old[()].astype(np.float32))
    for name in ("long_name", "units", "source", "scale_factor"):
        new.attrs[name] = old.attrs[name]
    for axis, name in enumerate(("/clip", "pair", "y", "x")):
        new.dims[axis].attach_scale(file["flow"][name] if name != "/clip" else file["clip"])
    del file["flow/u"]
    file.move("flow/new", "flow/u")


def _swap_dims(file: h5py.File) -> None:
    dims = file["flow/v"].dims
    for axis, (old, new) in ((2, ("y", "x")), (3, ("x", "y"))):
        dims[axis].detach_scale(file["flow"][old])
        dims[axis].attach_scale(file["flow"][new])


def _shorten(file: h5py.File) -> None:
    old = file["fps"]
    new = file.create_dataset("new", data=old[:2])
    new.attrs.update(old.attrs)
    del file["fps"], new.attrs["DIMENSION_LIST"]
    new.dims[0].attach_scale(file["clip"])
    file.move("new", "fps")


def _detach(file: h5py.File) -> None:
    file["flow/strain"].dims[0].detach_scale(file["clip"])


def _soft_link(file: h5py.File) -> None:
    file["flow/extra"] = h5py.SoftLink("/flow/u")


def _external_link(file: h5py.File) -> None:
    del file["flow/u"]
    file["flow/u"] = h5py.ExternalLink("elsewhere.h5", "/flow/u")


def _external_storage(file: h5py.File) -> None:
    file["flow"].create_dataset("raw", (4,), "i1", external=[("elsewhere.raw", 0, 4)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "i1")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "data", (4,))
    file["flow"].create_virtual_dataset("raw", layout)


def _cycle(file: h5py.File) -> None:
    file["flow/again"] = file["flow"]


def _undescribed(file: h5py.File) -> None:
    file.create_dataset("extra/numbers", data=[1, 2])


def _named_type(file: h5py.File) -> None:
    file["extra"] = np.dtype("i4")


def _group_for_variable(file: h5py.File) -> None:
    del file["flow/u"]
    file.create_group("flow/u")


def _variable_for_group(file: h5py.File) -> None:
    del file["rejected"]
    file.create_dataset("rejected", data=[1]).attrs.update(long_name="x", units="1", source="x")


SPOILED: dict[str, tuple[Spoil, str]] = {
    "schema": (_attribute("/", "schema", "another"), "not a mer-features cache: attribute schema is 'another'"),
    "no schema": (_attribute("/", "schema"), "not a mer-features cache"),
    "future": (_attribute("/", "schema_version", 3), "version 3 is newer than this package reads (2)"),
    "odd version": (_attribute("/", "schema_version", "one"), "schema_version is 'one'"),
    "incomplete": (_attribute("/", "complete"), "incomplete: its writer did not finish"),
    "not complete": (_attribute("/", "complete", 0), "incomplete: its writer did not finish"),
    "no config": (_attribute("/", "config"), "/: attribute config is missing"),
    "no group": (_delete("spotting"), "/spotting: the group is missing"),
    "no list": (_attribute("/", "groups"), "/: attribute groups is missing"),
    "not listed": (_attribute("/", "groups", "faces flow rejected"), "/spotting: the group is not in the attribute"),
    "listed, unknown": (
        _attribute("/", "groups", "faces spotting flow rejected gaze"),
        "/gaze: the group is missing, and the attribute groups lists it",
    ),
    "listed, known": (_attribute("/", "groups", "faces spotting flow rejected style"), "/style: the group is missing"),
    "no coordinates": (_attribute("flow", "coordinates"), "/flow: attribute coordinates is missing"),
    "no coordinates of the root": (_attribute("/", "coordinates"), "/: attribute coordinates is missing"),
    "no clip_id": (_delete("flow/clip_id"), "/flow/clip_id: the variable is missing"),
    "other clip_id": (_write("flow/clip_id", 1, "s2/short"), "/flow/clip_id: differs from /clip_id"),
    "other order": (
        _write("faces/clip_id", slice(None), ["s2/short", "s1/startled", "s1/happy"]),
        "/faces/clip_id: differs from /clip_id",
    ),
    "group schema": (_attribute("flow", "schema", "x"), "/flow: attribute schema is 'x'"),
    "group version": (_attribute("flow", "schema_version", 3), "/flow: attribute schema_version is 3, expected 2"),
    "no fingerprint": (_attribute("faces", "fingerprint"), "/faces: attribute fingerprint is missing"),
    "no variable": (_delete("flow/u"), "/flow/u: the variable is missing"),
    "no root variable": (_delete("emotion"), "/emotion: the variable is missing"),
    "type": (_retype, "/flow/u: type float32, expected int16"),
    "dimensions": (_swap_dims, "/flow/v: dimensions (clip, pair, x, y), expected (clip, pair, y, x)"),
    "no dimension": (_detach, "/flow/strain: dimensions (, pair, y, x), expected (clip, pair, y, x)"),
    "length": (_shorten, "/fps: 2 entries along clip, whose length is 3"),
    "no long_name": (_attribute("flow/u", "long_name"), "/flow/u: attribute long_name is missing"),
    "no scale": (_attribute("flow/u", "scale_factor"), "/flow/u: attribute scale_factor is missing"),
    "other scale": (_attribute("flow/u", "scale_factor", np.float32(0.5)), "/flow/u: attribute scale_factor is 0.5"),
    "other units": (_attribute("flow/u", "units", "mm"), "/flow/u: attribute units is mm, expected pixel"),
    "no fill": (_attribute("spotting/curve", "_FillValue"), "/spotting/curve: attribute _FillValue is missing"),
    "flags": (
        _attribute("quality", "flag_meanings", "a b"),
        "/quality: attribute flag_meanings is a, expected source_missing",
    ),
    "undescribed": (_undescribed, "/extra/numbers: attribute long_name is missing"),
    "soft link": (_soft_link, "/flow/extra: a SoftLink"),
    "external link": (_external_link, "/flow/u: a ExternalLink"),
    "external storage": (_external_storage, "/flow/raw: its data are in another file"),
    "virtual": (_virtual, "/flow/raw: its data are in another file"),
    "cycle": (_cycle, "/flow/again: the group is in the file twice"),
    "named type": (_named_type, "/extra: neither a group nor a variable"),
    "group for variable": (_group_for_variable, "/flow/u: not a variable"),
    "variable for group": (_variable_for_group, "/rejected: not a group"),
    "twice": (_write("clip_id", 1, "s1/happy"), "/clip_id: "),
    "status": (_write("status", 0, "fine"), "/status: ['fine'], expected ok or warned"),
    "status against quality": (_write("status", 1, "ok"), "/status: contradicts quality in s1/startled"),
    "apex": (_write("apex", 0, 99), "/apex: outside onset..offset in s1/happy"),
    "flag unknown": (_write("quality", 1, 1 << 50), "/quality: flags without a meaning in s1/startled"),
    "keyframes": (_write("faces/keyframe_number", 2, [5] * 5), "/faces/keyframe_number: lacks the apex in s2/short"),
    "code": (_write("rejected/code", 0, "bad luck"), "/rejected/code: ['bad luck'] are not among the flag_meanings"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_each_violation_is_found_and_placed(scratch: Path, name: str):
    spoil, message = SPOILED[name]
    with h5py.File(scratch, "r+") as file:
        spoil(file)
    found = feature_file.validate(scratch)
    assert any(message in line for line in found), found
    assert not any("cannot be read as" in line for line in found), found


def test_every_group_may_be_missing(scratch: Path):
    with h5py.File(scratch, "r+") as file:
        for name in file.attrs["groups"].split():
            del file[name]
        file.attrs["groups"] = ""
    assert feature_file.validate(scratch) == []


@pytest.mark.parametrize("name", ["faces", "spotting", "flow", "rejected"])
def test_version_1_always_has_its_groups(tmp_path: Path, name: str):
    path = Path(shutil.copy(DATA / "cache-v1.h5", tmp_path / "x.h5"))
    with h5py.File(path, "r+") as file:
        assert "groups" not in file.attrs
        del file[name]
    assert feature_file.validate(path) == [f"/{name}: the group is missing"]


def test_older_files_hold_the_first_of_the_flags(scratch: Path):
    with h5py.File(scratch, "r+") as file:
        quality = file["quality"].attrs
        quality["flag_masks"] = quality["flag_masks"][:20]
        quality["flag_meanings"] = " ".join(quality["flag_meanings"].split()[:20])
    assert feature_file.validate(scratch) == []


def test_newer_files_may_hold_more_flags(scratch: Path):
    with h5py.File(scratch, "r+") as file:
        quality = file["quality"].attrs
        quality["flag_masks"] = [*quality["flag_masks"], 1 << 60]
        quality["flag_meanings"] += " too_dark"
        file["quality"][1] = 1 << 60
        file["quality_text"][1] = '[{"code": "too_dark", "detail": ""}]'
        file["rejected/code"][0] = "too_dark"
    assert feature_file.validate(scratch) == []
    assert "warnings: 1 onset_missing, 1 too_dark" in feature_file.describe(scratch)


def test_a_code_put_among_the_others_is_found(scratch: Path):
    with h5py.File(scratch, "r+") as file:
        words = file["quality"].attrs["flag_meanings"].split()
        file["quality"].attrs["flag_meanings"] = " ".join([*words[:3], "intruder", *words[3:-1]])
    assert feature_file.validate(scratch) == [
        "/quality: attribute flag_meanings entry 3 is intruder, expected few_frames"
    ]


def test_no_other_file_is_opened(scratch: Path, tmp_path: Path):
    """The target of a link is a pipe: opening it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(scratch, "r+") as file:
        file["flow/extra"] = h5py.ExternalLink("pipe", "/flow/u")
        file["faces"].create_dataset("raw", (4,), "i1", external=[(str(tmp_path / "pipe"), 0, 4)])
    assert len(feature_file.validate(scratch)) == 2
    with (
        feature_file.open_features(scratch) as features,
        pytest.raises(feature_file.CacheError, match="in another file"),
    ):
        features["faces/raw"]


@pytest.mark.parametrize("name", ["absent.h5", "folder", "text.h5", "empty.h5", "pipe"])
def test_what_is_no_hdf5_file_is_one_sentence(tmp_path: Path, name: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.h5").write_text("clip_id\n")
    (tmp_path / "empty.h5").touch()
    os.mkfifo(tmp_path / "pipe")
    found = feature_file.validate(tmp_path / name)
    assert len(found) == 1
    assert str(tmp_path / name) in found[0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_found(scratch: Path, share: float):
    content = scratch.read_bytes()
    scratch.write_bytes(content[: int(len(content) * share)])
    found = feature_file.validate(scratch)
    assert len(found) == 1
    assert "damaged" in found[0]


def test_another_hdf5_file_is_no_cache(tmp_path: Path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1]
    assert feature_file.validate(tmp_path / "other.h5") == [
        f"{tmp_path / 'other.h5'}: not a mer-features cache: attribute schema is None"
    ]


def test_overwritten_bytes_never_raise(scratch: Path):
    content = bytearray(scratch.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(20):
        spoiled = content.copy()
        start = int(rng.integers(0, len(content) - 64))
        spoiled[start : start + 64] = rng.bytes(64)
        scratch.write_bytes(spoiled)
        assert all(isinstance(line, str) for line in feature_file.validate(scratch))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda file: file.attrs.__setitem__("groups", [1, 2]), "/: attribute groups is not a text"),
        (lambda file: file.attrs.__setitem__("groups", file.attrs["groups"] + " flow"), "/flow: .* lists it twice"),
        (lambda file: file["flow"].attrs.__setitem__("coordinates", "pair"), "/flow: attribute coordinates is 'pair'"),
    ],
)
def test_the_list_of_groups_and_the_coordinates_are_checked(
    scratch: Path, change: Callable[[h5py.File], None], text: str
):
    with h5py.File(scratch, "r+") as file:
        change(file)
    assert any(re.match(text, found) for found in feature_file.validate(scratch))
