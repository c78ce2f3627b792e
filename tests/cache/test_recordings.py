"""The feature file of recordings: what is read is what was measured; every reader and command ends in a clear way."""

from __future__ import annotations

import csv
import math
import pickle
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features import cli
from mer_features import features as feature_file
from mer_features.commands import forget
from mer_features.core import clips as clip_tables
from mer_features.core import recordings as tables
from mer_features.core.clips import Clip
from mer_features.core.files import write_text
from mer_features.core.quality import Status
from mer_features.features import recording_schema
from mer_features.features import recordings as writing
from mer_features.features.reader import usable_clips
from mer_features.report import contact
from mer_features.stages.signals.regions import REGIONS
from mer_features.stages.signals.series import COLUMNS, Signals
from mer_features.stages.signals.store import SignalWriter
from tests.cache import recorded


def assert_same(one: Signals, other: Signals) -> None:
    for name, column in COLUMNS.items():
        assert getattr(one, name).dtype == column.dtype
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert (one.fps, one.eye_px) == (other.fps, other.eye_px)


def test_signals_come_back_bit_by_bit(recordings: Path):
    with feature_file.open_recordings(recordings) as file:
        for name, expected in recorded.MEASURED.items():
            assert_same(file.signals(name), expected)
        rejected = file.signals("s1/dark")
        assert rejected.motion.shape == (0, len(REGIONS), 2)
        assert math.isnan(rejected.fps)
        with pytest.raises(KeyError, match="no recording 's9/x'; the first are s1/a, s1/dark"):
            file.signals("s9/x")


def test_table(recordings: Path):
    with feature_file.open_recordings(recordings) as file:
        first, dark, last = file.recordings
        assert file.groups == ("signals", "events")
        assert file.attrs["groups"] == "signals events"
        assert "licence" in file.attrs["license"]
        assert file.group_attrs("signals")["fingerprint"] == "abc"
        assert file.group_attrs("signals")["options"] == '{"signals": {"size": 256}}'
        assert file.spotters == ("roi", "quiet")
    assert (first.recording_id, first.subject, first.first, first.last, first.fps) == ("s1/a", "s1", 10, 2509, 50)
    assert first.minutes == pytest.approx(2500 / 50 / 60)
    assert [(row.status, row.codes) for row in (first, dark, last)] == [
        ("warned", ("missing_frame",)), ("rejected", ("no_face",)), ("ok", ()),
    ]  # fmt: skip


def test_events_and_spots(recordings: Path):
    with feature_file.open_recordings(recordings) as file:
        smile, dark, surprise, found, unscored = file.events
    assert (smile.onset, smile.apex, smile.offset) == (60, 70, 85)
    assert (smile.start_s, smile.apex_s, smile.end_s) == pytest.approx((1.0, 1.2, 1.5))
    assert (smile.emotion, smile.action_units, smile.source) == ("happiness", "12", "annotated")
    assert math.isnan(smile.score)
    assert (dark.kind, dark.apex, dark.start_s, dark.end_s) == ("macro", -1, 0.1, 0.4)
    assert math.isnan(dark.apex_s)
    # Frames 3 and 41 lie between two analysed ones, and 79 after the last one, 78.
    assert (surprise.start_s, surprise.apex_s, surprise.end_s) == pytest.approx((0.03, 0.41, 0.79))
    assert surprise.emotion == "überraschung"
    assert (found.recording_id, found.source, found.score, found.action_units) == ("s2/c", "roi", 0.25, "")
    assert (unscored.recording_id, unscored.source) == ("s1/a", "roi")
    assert math.isnan(unscored.score)


def test_times_are_those_of_the_signals_and_unknown_without_a_rate(tmp_path: Path):
    """Time stamps of a video may differ from its frame rate."""
    sources = recorded.write_sources(tmp_path)
    films = [replace(film, fps=None, first=None, last=None) for film in recorded.FILMS]
    write_text(tmp_path / "recordings.tsv", tables.dumps(films))
    uneven = recorded.MEASURED["s2/c"]
    with SignalWriter(tmp_path / "1.h5", {"signals": {"size": 256}}) as writer, writer.recording("s2/c") as sink:
        sink.append(replace(uneven, time_s=uneven.time_s**2))
    writing.write_file(tmp_path / "set.h5", **sources)
    assert feature_file.validate(tmp_path / "set.h5") == []
    with feature_file.open_recordings(tmp_path / "set.h5") as file:
        _, dark, surprise, *_ = file.events
        assert [row.first for row in file.recordings] == [-1, -1, -1]
    assert surprise.start_s == pytest.approx((0.02**2 + 0.04**2) / 2)
    assert math.isnan(surprise.end_s)  # after the last analysed frame
    assert math.isnan(dark.start_s)


def test_the_same_input_gives_the_same_bytes(recordings: Path, tmp_path: Path):
    recorded.build(tmp_path / "again.h5", tmp_path / "sources")
    assert (tmp_path / "again.h5").read_bytes() == recordings.read_bytes()


def test_counts_of_states_are_returned_and_an_error_leaves_no_file(tmp_path: Path):
    sources = recorded.write_sources(tmp_path)
    states = writing.write_file(tmp_path / "set.h5", **sources)
    assert states == {Status.WARNED: 1, Status.REJECTED: 1, Status.OK: 1}
    with h5py.File(tmp_path / "1.h5", "r+") as file:
        del file["recordings/s2/c/lids"]
    with pytest.raises(ValueError, match=r"1\.h5: s2/c cannot be read"):
        writing.write_file(tmp_path / "new.h5", **sources)
    assert not list(tmp_path.glob("*new.h5*"))


def test_recordings_that_do_not_match_their_signals(tmp_path: Path):
    sources = recorded.write_sources(tmp_path)
    out, both = tmp_path / "set.h5", sources["signals"]
    with pytest.raises(feature_file.CacheError, match=r"recordings\.tsv: s2/c is in none of 1 signal file"):
        writing.write_file(out, **sources | {"signals": both[:1]})
    with pytest.raises(feature_file.CacheError, match=r"0\.h5: recording s1/a is also in .*0\.h5"):
        writing.write_file(out, **sources | {"signals": [both[0], both[0]]})
    with pytest.raises(feature_file.CacheError, match="'annotated' cannot be the name of a spotter"):
        writing.write_file(out, **sources | {"spots": {"annotated": tmp_path / "roi" / "spots.tsv"}})
    with SignalWriter(tmp_path / "2.h5", {"signals": {"size": 128}}):
        pass
    with pytest.raises(feature_file.CacheError, match=r"2\.h5: made with other options than .*0\.h5"):
        writing.write_file(out, **sources | {"signals": [*both, tmp_path / "2.h5"]})
    assert not out.exists()


def test_all_rejected_and_nothing_annotated(tmp_path: Path):
    sources = recorded.write_sources(tmp_path)
    write_text(tmp_path / "recordings.tsv", tables.dumps(recorded.FILMS[1:2]))
    write_text(tmp_path / "events.tsv", tables.dumps_events(()))
    writing.write_file(tmp_path / "set.h5", **sources | {"spots": {}})
    assert feature_file.validate(tmp_path / "set.h5") == []
    with feature_file.open_recordings(tmp_path / "set.h5") as file:
        assert file.events == ()
        assert file.spotters == ()
        assert len(file.signals("s1/dark").number) == 0
    assert "events and spots: none" in feature_file.describe(tmp_path / "set.h5")


def _peak_bytes(folder: Path, count: int) -> int:
    """Largest memory, in bytes, that Python objects take while a file of ``count`` recordings is written and read."""
    films = [replace(recorded.FILMS[0], recording_id=f"s1/{number}", first=0, last=None) for number in range(count)]
    write_text(folder / "recordings.tsv", tables.dumps(films))
    write_text(folder / "events.tsv", tables.dumps_events(()))
    with SignalWriter(folder / "s.h5", {}, durable=False) as writer:
        for film in films:
            with writer.recording(film.recording_id) as sink:
                sink.append(recorded.signals(2000))
    arguments = {"recordings": folder / "recordings.tsv", "events": folder / "events.tsv", "spots": {}}
    tracemalloc.start()
    writing.write_file(folder / "set.h5", **arguments, signals=[folder / "s.h5"], provenance=recorded.PROVENANCE)
    assert feature_file.validate(folder / "set.h5") == []
    with feature_file.open_recordings(folder / "set.h5") as file:
        for film in films:
            file.signals(film.recording_id)
    assert feature_file.drop(folder / "set.h5", ["s1/1"]) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_recordings(tmp_path: Path):
    few, many = _peak_bytes(tmp_path, 2), _peak_bytes(tmp_path, 6)
    one = sum(getattr(recorded.signals(2000), name).nbytes for name in COLUMNS)
    assert many < few + one / 2


# Readers without this package


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray(recordings: Path, engine: str):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    with (
        xarray.open_dataset(recordings, engine=engine) as root,
        xarray.open_dataset(recordings, engine=engine, group="signals") as signals,
        xarray.open_dataset(recordings, engine=engine, group="events") as events,
    ):
        assert root["recording_id"].values.tolist() == ["s1/a", "s1/dark", "s2/c"]
        assert set(root.coords) == {"recording_id"}
        assert set(signals.coords) == {
            "recording_id", "recording_index", "number", "time_s", "region", "axis", "lid", "component",
        }  # fmt: skip
        assert signals["row_size"].values.tolist() == [2500, 0, 40]
        rows = signals.isel(frame=signals["recording_index"].values == 2)
        expected = recorded.MEASURED["s2/c"]
        chin = rows["motion"].sel(region="chin", axis="y").values
        np.testing.assert_array_equal(chin, expected.motion[:, REGIONS.index("chin"), 1])
        assert rows["reliable"].dtype == bool
        assert rows["reliable"].values.tolist() == expected.reliable.tolist()
        np.testing.assert_array_equal(rows["time_s"].values, expected.time_s)
        assert rows["number"].dtype == np.int64
        assert events["source"].values.tolist() == ["annotated"] * 3 + ["roi"] * 2
        assert events["start_s"].values[0] == 1.0


def test_xarray_opens_the_whole_tree(recordings: Path):
    xarray = pytest.importorskip("xarray")
    with xarray.open_datatree(recordings, engine="h5netcdf") as tree:
        assert sorted(tree.children) == ["events", "signals"]
        assert tree["signals/head"].shape == (2540, 4)


def test_netcdf4(recordings: Path):
    netcdf4 = pytest.importorskip("netCDF4")
    with netcdf4.Dataset(recordings) as file:
        assert file.dimensions["recording"].size == 3
        assert file["signals"].dimensions["frame"].size == 2540
        assert file["signals/row_size"].sample_dimension == "frame"
        assert file["signals/reliable"].dtype == np.int8
        assert file["events/onset"][:].tolist() == [60, 5, 3, 4, 100]
        expected = recorded.MEASURED["s1/a"].motion
        np.testing.assert_array_equal(np.ma.filled(file["signals/motion"][:2500], np.nan), expected)


def test_h5py(recordings: Path):
    with h5py.File(recordings) as file:
        end = np.cumsum(file["signals/row_size"][()])[2]
        residual = file["signals/residual"][end - file["signals/row_size"][2] : end]
        np.testing.assert_array_equal(residual, recorded.MEASURED["s2/c"].residual)
        assert file["signals/motion"].chunks == (1024, len(REGIONS), 2)


# Validation


def _write(name: str, index: object, value: object) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file[name][index] = value

    return spoil


def _attribute(place: str, name: str, value: object) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file[place].attrs[name] = value

    return spoil


def _reliable(name: str) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        row = int(np.flatnonzero(file["signals/reliable"][()])[5])
        file[name][row] = np.nan

    return spoil


def _retype(file: h5py.File) -> None:
    old = file["signals/segment"]
    new = file["signals"].create_dataset("new", data=old[()].astype(np.int64))
    for name in ("long_name", "units", "source"):
        new.attrs[name] = old.attrs[name]
    new.dims[0].attach_scale(file["signals/frame"])
    del file["signals/segment"]
    file.move("signals/new", "signals/segment")


def _delete(name: str) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        del file[name]

    return spoil


def test_a_written_file_is_valid(recordings: Path):
    assert feature_file.validate(recordings) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_write("signals/row_size", 0, 2499), "/signals/row_size: adds up to 2539, expected 2540"),
        (_write("signals/row_size", slice(None), [2499, 1, 40]), "/signals/row_size: contradicts status in s1/dark"),
        (_write("signals/number", 3, 12), "/signals/number: does not ascend in s1/a"),
        (_write("signals/number", 2499, 9999), "/signals/number: 10 to 9999 in s1/a, expected 10 to 2509"),
        (_write("signals/time_s", 2510, 9.0), "/signals/time_s: not a time, or descends, in s2/c"),
        (_write("signals/reliable", 7, 2), "/signals/reliable: neither 0 nor 1 in s1/a"),
        (_write("signals/recording_index", 2500, 1), "/signals/recording_index: not 2 in all frames of s2/c"),
        (_write("signals/region", 0, "ear"), "/signals/region: found ear, "),
        (_write("signals/recording_id", 0, "s1/z"), "/signals/recording_id: differs from /recording_id"),
        (_write("signals/eye_px", 2, 0.0), "/signals/fps, /signals/eye_px: not above 0 in s2/c"),
        (_reliable("signals/head"), "/signals/head: not finite in a reliable frame of s1/a"),
        (_reliable("signals/residual"), "/signals/residual: not finite in a reliable frame of s1/a"),
        (_write("recording_id", 0, "s2/c"), "/recording_id: an identifier occurs twice"),
        (_write("status", 1, "ok"), "/status: contradicts quality in s1/dark"),
        (_write("status", 2, "good"), "/status: ['good'], expected ok, warned, rejected"),
        (_write("last", 2, 3), "/signals/number: 0 to 78 in s2/c, expected 0 to 3"),
        (_write("events/offset", 0, 3000), "/events/onset, /events/offset: outside the film in s1/a (60 to 3000)"),
        (_write("events/onset", 0, 90), "/events/offset: before the onset in s1/a (90 to 85)"),
        (_write("events/recording_id", 0, "s9/x"), "/events/recording_id: s9/x is not in the table of recordings"),
        (_write("events/kind", 0, "blink"), "/events/kind: blink, expected micro or macro"),
        (_write("events/source", 0, "me"), "/events/source: me, expected annotated, quiet, roi"),
        (_write("events/end_s", 0, 0.5), "/events/end_s: before start_s in s1/a (60 to 85)"),
        (_write("events/score", 0, 0.5), "/events/score: an annotated event has one in s1/a (60 to 85)"),
        (_attribute("signals", "coordinates", "number"), "/signals: attribute coordinates is 'number', expected "),
        (_attribute("signals/time_s", "units", "ms"), "/signals/time_s: attribute units is ms, expected s"),
        (_attribute("/", "groups", "signals"), "/events: the group is not in the attribute groups"),
        (_retype, "/signals/segment: type int64, expected int32"),
        (_delete("signals/lids"), "/signals/lids: the variable is missing"),
        (_delete("events"), "/events: the group is missing"),
    ],
)  # fmt: skip
def test_validation_finds_what_is_wrong(scratch_recordings: Path, spoil: Callable[[h5py.File], None], message: str):
    with h5py.File(scratch_recordings, "r+") as file:
        spoil(file)
    assert [text for text in feature_file.validate(scratch_recordings) if text.startswith(message)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_write("signals/row_size", 0, 2499), "/signals cannot be read (row_size adds up to 2539 frames, found 2540)"),
        (_write("signals/recording_id", 0, "s1/z"), "/signals cannot be read (recording_id differs"),
        (_delete("signals/lids"), "/signals of s1/a cannot be read (/signals/lids is not in the file"),
        (_retype, "/signals of s1/a cannot be read (segment is int64, expected int32"),
        (_delete("status"), "the table of recordings cannot be read (/status is not in the file"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_part(
    scratch_recordings: Path, spoil: Callable[[h5py.File], None], message: str
):
    with h5py.File(scratch_recordings, "r+") as file:
        spoil(file)
    with feature_file.open_recordings(scratch_recordings) as file, pytest.raises(feature_file.CacheError) as error:
        file.signals("s1/a")
    assert str(error.value).startswith(f"{scratch_recordings}: {message}")


def test_damaged_bytes_are_an_error_that_names_the_part(scratch_recordings: Path):
    with h5py.File(scratch_recordings) as file:
        chunk = file["signals/motion"].id.get_chunk_info(0)
    with scratch_recordings.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with (
        feature_file.open_recordings(scratch_recordings) as file,
        pytest.raises(feature_file.CacheError, match=r"set\.h5: /signals of s1/a cannot be read"),
    ):
        file.signals("s1/a")
    (violation,) = feature_file.validate(scratch_recordings) or ["valid: motion is not read"]
    assert violation.startswith(("valid", str(scratch_recordings)))


# Removal


def test_a_recording_is_removed_with_its_signals_and_events(scratch_recordings: Path):
    assert feature_file.drop(scratch_recordings, ["s1/a", "s1/dark", "s9/x"]) == 2
    assert feature_file.validate(scratch_recordings) == []
    with feature_file.open_recordings(scratch_recordings) as file:
        assert [row.recording_id for row in file.recordings] == ["s2/c"]
        assert_same(file.signals("s2/c"), recorded.MEASURED["s2/c"])
        assert {row.recording_id for row in file.events} == {"s2/c"}
        assert file.spotters == ("roi", "quiet")
    assert b"s1/a" not in scratch_recordings.read_bytes()


def test_others_keep_their_values(scratch_recordings: Path):
    before = feature_file.open_recordings(scratch_recordings)
    events = [row for row in before.events if row.recording_id == "s1/a"]
    before.close()
    assert feature_file.drop(scratch_recordings, ["s2/c"]) == 1
    with feature_file.open_recordings(scratch_recordings) as file:
        assert_same(file.signals("s1/a"), recorded.MEASURED["s1/a"])
        assert [repr(row) for row in file.events if row.recording_id == "s1/a"] == [repr(row) for row in events]
    assert feature_file.drop(scratch_recordings, ["s2/c"]) == 0
    with pytest.raises(feature_file.CacheError, match="no recording would be left"):
        feature_file.drop(scratch_recordings, ["s1/a", "s1/dark"])


def _results(folder: Path, recordings: Path) -> Path:
    """Results of a database that was cut from the recordings; returns the feature file of the recordings."""
    rows = [Clip(f"{film.subject}/x", "d", film.subject, film.source) for film in recorded.FILMS[::2]]
    for place in ("sources/d.tsv", "clips/d.tsv", "clips/d/s000.tsv"):
        write_text(folder / place, clip_tables.dumps(rows))
    write_text(folder / "recordings/set.tsv", tables.dumps(recorded.FILMS))
    write_text(folder / "recordings/other.tsv", tables.dumps([replace(recorded.FILMS[0], source="elsewhere.mp4")]))
    (folder / "features").mkdir()
    shutil.copy(recordings, folder / "features/other.h5")
    return Path(shutil.copy(recordings, folder / "features/set.h5"))


def test_a_subject_is_forgotten(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = _results(tmp_path / "results", recordings)
    stamp = path.stat().st_mtime_ns
    outcome = forget.forget("s1", tmp_path / "results")
    assert outcome.recordings == {"set": ("s1/a", "s1/dark")}
    assert path in outcome.rewritten
    assert path.stat().st_mtime_ns == stamp
    assert feature_file.validate(path) == []
    with feature_file.open_recordings(path) as file:
        assert [row.recording_id for row in file.recordings] == ["s2/c"]
        assert_same(file.signals("s2/c"), recorded.MEASURED["s2/c"])
    assert path not in outcome.left
    # Another set has a person of the same name.
    assert (tmp_path / "results/features/other.h5").read_bytes() == recordings.read_bytes()


# Commands and other readers


def test_a_reader_can_be_sent_to_a_worker(recordings: Path):
    with feature_file.open_recordings(recordings) as file:
        copy = pickle.loads(pickle.dumps(file))
    assert_same(copy.signals("s2/c"), recorded.MEASURED["s2/c"])
    copy.close()


def test_a_file_of_clips_has_no_signals(built: Path):
    with pytest.raises(feature_file.CacheError, match=r"demo\.h5: reading recordings needs /signals, /events; the"):
        feature_file.open_recordings(built)
    with feature_file.open_features(built) as features, pytest.raises(KeyError, match="no group /signals"):
        _ = features["signals/motion"]


def test_a_file_of_recordings_has_no_clips(recordings: Path):
    with feature_file.open_features(recordings) as features:
        assert features.of_recordings
        with pytest.raises(feature_file.CacheError, match=r"this needs a row per clip; .* has /signals, /events"):
            _ = features.clips
        with pytest.raises(feature_file.CacheError, match="training needs /flow; the file has /signals, /events"):
            features.require("flow", purpose="training")
        with pytest.raises(KeyError, match="no group /flow"):
            _ = features["flow/u"]


def test_samples_of_pytorch_need_clips(recordings: Path):
    dataset = pytest.importorskip("mer_features.features.dataset")
    with pytest.raises(KeyError, match="no group /flow"):
        dataset.FeatureDataset([recordings])
    with pytest.raises(KeyError, match="has no row per clip"):
        dataset.FeatureDataset([recordings], variables=["signals/motion"])


def test_clips_are_not_taken_from_recordings(recordings: Path):
    with pytest.raises(feature_file.CacheError, match="this needs a row per clip"):
        usable_clips([], [recordings])


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = cli.main([str(argument) for argument in arguments])
    streams = capsys.readouterr()
    return code, streams.out + streams.err


def test_commands(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert _run(capsys, "validate", recordings) == (0, f"{recordings}: valid\n")
    code, text = _run(capsys, "show", recordings)
    assert code == 0
    assert "recordings: 3 of 2 subjects (1 ok, 1 rejected, 1 warned), 0.9 min" in text
    assert "events and spots: 3 annotated, 0 quiet, 2 roi" in text
    assert "rejected s1/dark: no_face" in text
    assert "signals/motion" in text
    code, text = _run(capsys, "export", recordings, "png", "-o", tmp_path / "png")
    assert code != 0
    assert "images needs /faces; the file has /signals, /events" in text.replace("\n", " ")


def test_exports(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert _run(capsys, "export", recordings, "csv", "-o", tmp_path / "events.csv")[0] == 0
    with (tmp_path / "events.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["source"] for row in rows] == ["annotated"] * 3 + ["roi"] * 2
    assert (rows[0]["onset"], rows[0]["start_s"], rows[0]["score"]) == ("60", "1.0", "nan")
    assert _run(capsys, "export", recordings, "npz", "-o", tmp_path / "npz")[0] == 0
    with np.load(tmp_path / "npz" / "s2" / "c.npz") as arrays:
        assert arrays["region"].tolist() == list(REGIONS)
        assert arrays["motion"].tobytes() == recorded.MEASURED["s2/c"].motion.tobytes()
        assert arrays["fps"] == 50


def test_pictures_and_trainings_need_faces(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(feature_file.CacheError, match="a contact sheet needs /faces; the file has /signals, /events"):
        contact.write_sheet(recordings, tmp_path / "x.png")
    pytest.importorskip("torch")
    code, text = _run(capsys, "train-style", recordings, "-o", tmp_path / "x.pt")
    assert code == 2
    assert "needs /faces; the file has /signals, /events" in text.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_schema_has_all_signals():
    stored = {item.name: item for item in recording_schema.SIGNALS.variables}
    for name, column in COLUMNS.items():
        assert stored[name].dtype == column.dtype.replace("bool", "int8")
        sizes = tuple(len(recording_schema.LABELS[dimension]) for dimension in stored[name].dims[1:])
        assert sizes == column.shape


def test_ncdump(recordings: Path):
    program = shutil.which("ncdump")
    if program is None:
        pytest.skip("ncdump is not installed (Debian: netcdf-bin)")
    done = subprocess.run([program, "-h", recordings], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "float motion(frame, region, axis) ;" in done.stdout
