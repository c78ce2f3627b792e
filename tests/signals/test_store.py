"""Signal files: what is read is what was appended; nothing that is not whole can be read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from mer_features.core.quality import Issue, Status
from mer_features.core.recordings import Recording
from mer_features.stages.options import Faces, SignalOptions
from mer_features.stages.signals.series import COLUMNS, MemorySink, Signals
from mer_features.stages.signals.shard import measure_shard
from mer_features.stages.signals.store import SignalReader, SignalWriter
from tests.signals.films import CALM, render


def some_signals(count: int, seed: int = 0) -> Signals:
    rng = np.random.default_rng(seed)
    arrays = {
        name: (rng.normal(size=(count, *column.shape)) * 9).astype(column.dtype) for name, column in COLUMNS.items()
    }
    arrays["motion"][::7] = np.nan
    return Signals(**arrays, fps=50.0, eye_px=61.5)


def parts(signals: Signals, size: int) -> list[Signals]:
    """The signals in chunks, the first before the face was found."""
    chunks = [
        replace(signals, **{name: getattr(signals, name)[start : start + size] for name in COLUMNS})
        for start in range(0, len(signals.number), size)
    ]
    return [replace(chunks[0], eye_px=float("nan")), *chunks[1:]]


def assert_same(one: Signals, other: Signals) -> None:
    for name, column in COLUMNS.items():
        assert getattr(one, name).dtype == column.dtype
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.fps, one.eye_px) == (other.fps, other.eye_px)


def test_appended_rows_come_back(tmp_path: Path):
    long, short = some_signals(2500), some_signals(40, seed=1)
    with SignalWriter(tmp_path / "s.h5", {"size": 256}, "abc") as writer:
        with writer.recording("s1/film") as sink:
            for chunk in parts(long, 1000):
                sink.append(chunk)
            sink.issues = (Issue("missing_frame", "frame 3"),)
        writer.reject("s1/dark", [Issue("no_face", "in no frame")])
        with writer.recording("s2/film") as sink:
            sink.append(short)
    with SignalReader(tmp_path / "s.h5") as reader:
        assert reader.recording_ids == ["s1/film", "s1/dark", "s2/film"]
        assert reader.options == {"size": 256}
        assert_same(reader.read("s1/film"), long)
        assert_same(reader.read("s2/film"), short)
        assert reader.issues("s1/film") == (Issue("missing_frame", "frame 3"),)
        assert [reader.status(name) for name in reader.recording_ids] == [Status.WARNED, Status.REJECTED, Status.OK]
        assert len(reader.read("s1/dark").number) == 0


def test_memory_and_file_agree(tmp_path: Path):
    signals, memory = some_signals(300), MemorySink()
    for chunk in parts(signals, 100):
        memory.append(chunk)
    assert_same(memory.signals(), signals)
    with pytest.raises(ValueError, match="no rows"):
        MemorySink().signals()


def fail_in(writer: SignalWriter) -> None:
    """Append rows of a recording that then cannot be read on."""
    with writer.recording("s1/broken") as sink:
        sink.append(some_signals(50))
        raise RuntimeError("decoder")


def test_a_recording_that_fails_is_not_in_the_file(tmp_path: Path):
    with SignalWriter(tmp_path / "s.h5", {}) as writer:
        with pytest.raises(RuntimeError, match="decoder"):
            fail_in(writer)
        with writer.recording("s1/film") as sink:
            sink.append(some_signals(50))
    with SignalReader(tmp_path / "s.h5") as reader:
        assert reader.recording_ids == ["s1/film"]
        with pytest.raises(ValueError, match=r"s\.h5: s1/broken cannot be read"):
            reader.read("s1/broken")


def test_a_failed_shard_leaves_no_file(tmp_path: Path):
    with pytest.raises(RuntimeError, match="decoder"), SignalWriter(tmp_path / "s.h5", {}) as writer:
        fail_in(writer)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_file_of_that_name(tmp_path: Path):
    code = (
        "import sys; from tests.signals.test_store import *\n"
        f"writer = SignalWriter({str(tmp_path / 's.h5')!r}, {{}}).__enter__()\n"
        "sink = writer.recording('s1/film').__enter__()\n"
        "sink.append(some_signals(3000)); writer._file.flush(); print('written', flush=True); sys.stdin.read()\n"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".s.h5.")
    with pytest.raises(ValueError, match="not a"), SignalReader(left):
        pass


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with SignalWriter(tmp_path / "s.h5", {}) as writer, writer.recording("s1/film") as sink:
        sink.append(some_signals(50))
    return tmp_path / "s.h5"


def reading(path: Path) -> Signals:
    with SignalReader(path) as reader:
        return reader.read("s1/film")


def test_a_group_that_is_not_whole_is_not_read(file: Path):
    with h5py.File(file, "r+") as target:
        del target["recordings/s1/film"].attrs["rows"]
    with pytest.raises(ValueError, match="s1/film cannot be read"):
        reading(file)


@pytest.mark.parametrize("change", ["dtype", "rows", "missing"])
def test_changed_arrays_are_named(file: Path, change: str):
    with h5py.File(file, "r+") as target:
        group = target["recordings/s1/film"]
        del group["lids"]
        if change != "missing":
            group["lids"] = np.zeros((50 if change == "dtype" else 49, 2), "f8" if change == "dtype" else "f4")
    with pytest.raises(ValueError, match=r"s\.h5: s1/film cannot be read .*lids"):
        reading(file)


def test_other_files_are_refused(tmp_path: Path):
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(ValueError, match=r"text\.h5: not a readable signal file"):
        reading(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(ValueError, match=r"other\.h5: not a complete signal file"):
        reading(tmp_path / "other.h5")


def test_a_shard_measures_what_can_be_measured(tmp_path: Path):
    images = render(np.zeros(12), nuisance=CALM).images
    for name, pictures in {"film": images, "dark": np.zeros_like(images[:3])}.items():
        (tmp_path / name).mkdir()
        for number, image in enumerate(pictures):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    sources = [
        Recording("s1/film", first=2, fps=50.0, source=str(tmp_path / "film")),
        Recording("s1/dark", fps=50.0, source=str(tmp_path / "dark")),
        Recording("s1/none", fps=50.0, source=str(tmp_path / "none")),
        Recording("s2/rate", source=str(tmp_path / "film")),
    ]
    counts = measure_shard(sources, tmp_path / "s.h5", SignalOptions(), Faces())
    assert counts == {Status.OK: 1, Status.REJECTED: 3}
    with SignalReader(tmp_path / "s.h5") as reader:
        assert reader.recording_ids == [source.recording_id for source in sources]
        signals = reader.read("s1/film")
        codes = {name: [issue.code for issue in reader.issues(name)] for name in reader.recording_ids}
        assert reader.options["signals"]["size"] == 256
    assert signals.number.tolist() == list(range(2, 12))
    assert signals.reliable.all()
    assert codes == {
        "s1/film": [], "s1/dark": ["no_face"], "s1/none": ["source_missing"], "s2/rate": ["internal_error"],
    }  # fmt: skip


def test_a_shard_of_failures_is_an_error(tmp_path: Path):
    (tmp_path / "film").mkdir()
    cv2.imwrite(str(tmp_path / "film" / "1.png"), np.zeros((64, 64), np.uint8))
    with pytest.raises(RuntimeError, match=r"every recording; the first: s1/film: .*frame rate"):
        measure_shard(
            [Recording("s1/film", source=str(tmp_path / "film"))], tmp_path / "s.h5", SignalOptions(), Faces()
        )
    assert not (tmp_path / "s.h5").exists()
