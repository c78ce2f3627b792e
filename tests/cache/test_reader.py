from __future__ import annotations

import fcntl
import multiprocessing
import os
import pickle
import re
import shutil
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from mer_features import features as feature_file

VARIABLES = {"clip_id", "quality", "action_units", "faces/onset", "faces/keyframes", "flow/u", "flow/strain"}


@pytest.fixture
def features(built: Path):
    with feature_file.open_features(built) as opened:
        yield opened


def test_clips_are_rows(features: feature_file.Features):
    clip = features.clips[1]
    assert (clip.clip_id, clip.subject, clip.emotion) == ("s1/startled", "s1", "surprise")
    assert (clip.onset, clip.apex, clip.offset, clip.n_frames, clip.fps) == (1, 8, 8, 7, 100.0)
    assert [issue.code for issue in clip.issues] == ["missing_frame"]
    assert features.index("s2/short") == 2
    assert [item.code for item in features.rejected] == ["no_face", "source_missing"]


def test_clips_make_a_pandas_table(features: feature_file.Features):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(features.clips)
    assert table.set_index("clip_id").loc["s1/happy", "apex"] == 12


def test_variables_are_those_with_a_row_a_clip(features: feature_file.Features):
    names = features.variables()
    assert set(names) >= VARIABLES
    assert not {"au", "flow/pair", "rejected/code", "clip"} & set(names)
    assert all(len(features[name]) == 3 for name in names)
    assert set(features.coordinates()) == {"au", "flow/pair", "spotting/spotter"}
    assert features.labels("flow/pair") == ("onset_apex", "offset_apex")


def test_values_are_decoded(sample: ModuleType, features: feature_file.Features):
    u = features["flow/u"]
    assert (u.shape, u.dims, u.dtype) == ((3, 2, 32, 32), ("clip", "pair", "y", "x"), np.float32)
    assert u.attrs["units"] == "pixel"
    assert u[1].dtype == np.float32
    np.testing.assert_allclose(u[1], sample.flow("s1/startled")[:, 0], atol=0.0005)
    np.testing.assert_allclose(u[1:3][0], u[1])
    assert features["emotion"][0] == "happiness"
    assert features["faces/apex"][0].dtype == np.uint8


def test_a_label_selects_along_the_second_dimension(sample: ModuleType, features: feature_file.Features):
    v = features["flow/v[offset_apex]"]
    assert (v.shape, v.dims) == ((3, 32, 32), ("clip", "y", "x"))
    np.testing.assert_allclose(v[2], sample.flow("s2/short")[1, 1], atol=0.0005)
    assert features["spotting/spotted[midpoint]"][1] == 2
    assert features["action_units[12]"][0] == 3


def test_a_missing_group_is_named_with_the_file(scratch: Path):
    with h5py.File(scratch, "r+") as file:
        del file["flow"], file["rejected"]
        file.attrs["groups"] = "faces spotting"
    assert feature_file.validate(scratch) == []
    with feature_file.open_features(scratch) as features:
        assert (features.groups, features.rejected) == (("faces", "spotting"), ())
        features.require("faces", "spotting")
        message = f"{scratch}: a test needs /flow, /style; the file has /faces, /spotting"
        with pytest.raises(feature_file.CacheError, match=f"^{re.escape(message)}$"):
            features.require("faces", "flow", "style", purpose="a test")
        with pytest.raises(feature_file.CacheError, match=r"flow in pixels needs /flow; the file has /faces"):
            features.flow("s1/happy")
        for name in ("flow/u", "flow/u[onset_apex]"):
            with pytest.raises(KeyError, match=r"no group /flow, so no 'flow/u'; there are .*faces/apex"):
                features[name]
        with pytest.raises(KeyError, match="no group /flow, so no labels 'pair'; there are au, spotting/spotter"):
            features.labels("flow/pair")


def test_flow_stacks_u_and_v(sample: ModuleType, features: feature_file.Features):
    found = features.flow("s1/startled", "offset_apex")
    assert (found.shape, found.dtype) == ((2, 32, 32), np.float32)
    np.testing.assert_allclose(found, sample.flow("s1/startled")[1], atol=0.0005)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flow/w", "no variable 'flow/w'; there are .*flow/u"),
        ("flow", "no row per clip"),
        ("rejected/code", "no row per clip"),
        ("flow/u[apex_onset]", "no 'apex_onset'; there are onset_apex, offset_apex"),
        ("faces/onset[3]", "no labels"),
    ],
)
def test_unknown_names_are_answered_with_the_known(features: feature_file.Features, name: str, message: str):
    with pytest.raises(KeyError, match=message):
        features[name]


def test_unknown_clip(features: feature_file.Features):
    with pytest.raises(KeyError, match="no clip 's9/x'"):
        features.flow("s9/x")


def test_a_closed_reader_opens_again(features: feature_file.Features):
    before = features["flow/u"][0]
    features.close()
    np.testing.assert_array_equal(features["flow/u"][0], before)


def test_a_locked_file_can_be_read(built: Path):
    """A read-only file system refuses locks; so does this file, which another handle holds."""
    with built.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="lock"):
            h5py.File(built, "r", locking=True)
        with feature_file.open_features(built) as features:
            assert len(features.clips) == 3


@pytest.mark.parametrize("locking", [None, False])
def test_other_readers_in_this_process_do_not_disturb(built: Path, locking: bool | None):
    with h5py.File(built, "r", locking=locking), feature_file.open_features(built) as features:
        assert len(features.clips) == 3


def test_pickling_carries_the_path_only(features: feature_file.Features):
    assert len(features["flow/u"][0]) == 2
    copy = pickle.loads(pickle.dumps(features))
    assert len(pickle.dumps(features)) < 1000
    np.testing.assert_array_equal(copy.flow("s1/happy"), features.flow("s1/happy"))


def test_a_forked_process_opens_its_own_file(features: feature_file.Features):
    expected = features.flow("s1/happy")
    mine = features._file
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def child() -> None:
        results.put((os.getpid(), features.flow("s1/happy"), features._file is not mine))

    process = context.Process(target=child)
    process.start()
    pid, found, reopened = results.get(timeout=60)
    process.join()
    assert (pid != os.getpid(), reopened) == (True, True)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(features.flow("s1/happy"), expected)


def test_what_is_no_cache_is_refused(built: Path, tmp_path: Path):
    (tmp_path / "text.h5").write_text("not a cache")
    shutil.copy(built, tmp_path / "future.h5")
    with h5py.File(tmp_path / "future.h5", "r+") as file:
        file.attrs["schema_version"] = 3
    for name, message in [("absent.h5", "no such file"), (".", "not a file"), ("text.h5", "not an HDF5 file"),
                          ("future.h5", "version 3 is newer")]:  # fmt: skip
        with pytest.raises(feature_file.CacheError, match=message):
            feature_file.open_features(tmp_path / name)


def _add_gaze(path: Path) -> None:
    """A group of a later stage, as another writer adds it by the rules of the format."""
    import h5netcdf

    with h5netcdf.File(path, "a") as file:
        group = file.create_group("gaze")
        group.dimensions["feature"] = 4
        names = group.create_variable("clip_id", ("clip",), h5py.string_dtype(), data=file["clip_id"][:])
        angle = group.create_variable("angle", ("clip", "feature"), "f4", data=np.arange(12.0).reshape(3, 4))
        names.attrs.update(long_name="clip identifier", units="1", source="annotation sheet")
        angle.attrs.update(long_name="direction of gaze", units="degree", source="gaze stage")
        group.attrs["coordinates"] = "clip_id"
        file.attrs["groups"] += " gaze"


def _add_gaze_by_netcdf4(path: Path) -> None:
    """The same by the C library of netCDF, which stores texts of attributes in another way than h5py."""
    netcdf4 = pytest.importorskip("netCDF4")
    with netcdf4.Dataset(path, "a") as file:
        group = file.createGroup("gaze")
        group.createDimension("feature", 4)
        names = group.createVariable("clip_id", str, ("clip",))
        names[:] = file["clip_id"][:]
        angle = group.createVariable("angle", "f4", ("clip", "feature"))
        angle[:] = np.arange(12.0).reshape(3, 4)
        for variable in (names, angle):
            variable.setncatts({"long_name": "x", "units": "1", "source": "x"})
        group.setncattr("coordinates", "clip_id")
        file.setncattr("groups", file.getncattr("groups") + " gaze")


@pytest.mark.parametrize("add", [_add_gaze, _add_gaze_by_netcdf4])
def test_variables_beyond_the_schema_are_read(scratch: Path, add):
    add(scratch)
    assert feature_file.validate(scratch) == []
    with feature_file.open_features(scratch) as features:
        assert features["gaze/angle"][2].tolist() == [8, 9, 10, 11]
        assert features.groups == ("faces", "spotting", "flow", "rejected", "gaze")
        features.require("gaze")


def _unlisted(file: h5py.File) -> None:
    file.attrs["groups"] = "faces spotting flow rejected"


def _without_clip_id(file: h5py.File) -> None:
    del file["gaze/clip_id"]


def _of_other_clips(file: h5py.File) -> None:
    file["gaze/clip_id"][0] = "s9/x"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_unlisted, "/gaze: the group is not in the attribute groups"),
        (_without_clip_id, "/gaze/clip_id: the variable is missing"),
        (_of_other_clips, "/gaze/clip_id: differs from /clip_id"),
    ],
)
def test_added_groups_follow_the_rules_too(scratch: Path, spoil, message: str):
    _add_gaze(scratch)
    with h5py.File(scratch, "r+") as file:
        spoil(file)
    assert feature_file.validate(scratch) == [message]


def test_description_says_what_is_inside(built: Path):
    text = feature_file.describe(built)
    assert "clips: 3 of 2 subjects (1 ok, 2 warned), 2 rejected" in text
    assert "rejected s2/dark: no_face score 0.1" in text
    assert "warnings: 1 missing_frame, 1 onset_missing" in text
    line = next(line for line in text.splitlines() if line.startswith("flow/u "))
    assert "clip=3, pair=2, y=32, x=32" in line
    assert "int16 packed" in line
    assert "pixel" in line


def test_description_escapes_control_characters(scratch: Path):
    with h5py.File(scratch, "r+") as file:
        file["emotion"][0] = "a\x1b[31m"
    assert "1 a\\x1b[31m" in feature_file.describe(scratch)


def test_a_group_whose_rows_are_others_is_refused(scratch: Path):
    """The rows of flow are turned around together with their identifiers: read by position they would be wrong."""
    with h5py.File(scratch, "r+") as file:
        file["flow/clip_id"][...] = file["flow/clip_id"][()][::-1]
    with feature_file.open_features(scratch) as features:
        assert features["faces/apex"].shape[0] == 3
        with pytest.raises(feature_file.CacheError, match=r"/flow/clip_id differs from /clip_id.*mixed up"):
            features["flow/u"]
