"""A full disk, an output folder one may not write to, an input disk that goes away: told by path, and gone on from."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features.core import clips
from mer_features.core.clips import Clip
from mer_features.core.files import write_text
from mer_features.databases import DatabaseError, refresh_sources
from mer_features.stages import run as stages
from mer_features.stages.store import ClipRecord, ShardReader, ShardWriter
from mer_features.workflow.config import Config
from tests.databases.trees import frames

TREE = {"databases": {"own": {"adapter": "table", "root": "own", "table": "../clips.tsv"}}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system (root)")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def write_clips(path: Path, count: int) -> None:
    noise = np.random.default_rng(0)
    with ShardWriter(path, "faces", {}) as writer:
        for index in range(count):
            writer.add(ClipRecord(f"s/{index}", {"crops": noise.integers(0, 255, (4, 64, 64), dtype=np.uint8)}))


@pytest.mark.parametrize("count", [62, 70, 1000])
def test_a_full_disk_is_told_and_leaves_nothing(disk: Path, count: int):
    """HDF5 itself crashes here, or says nothing."""
    target = disk / "faces" / "s000.h5"
    with pytest.raises(OSError, match=r"No space left on device.*make room.*/faces/s000\.h5"):
        write_clips(target, count)
    assert list(target.parent.iterdir()) == []
    write_clips(target, 10)
    with ShardReader(target) as reader:
        assert len(reader.clip_ids) == 10


def test_a_full_disk_keeps_the_old_file(disk: Path):
    write_text(disk / "a.txt", "old")
    with pytest.raises(OSError, match=r"No space left on device.*/a\.txt"):
        write_text(disk / "a.txt", "x" * 2_000_000)
    assert [path.read_text() for path in disk.iterdir()] == ["old"]


def test_a_read_only_folder_is_named(disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(OSError, match=r"Read-only file system.*/faces/s000\.h5"):
        write_clips(disk / "faces" / "s000.h5", 1)


def test_the_written_file_is_what_hdf5_itself_writes(tmp_path: Path):
    write_clips(tmp_path / "a.h5", 5)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["clips/s/3/crops"].shape == (4, 64, 64)
        assert file["clips/s/3/crops"][...].any()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Clip, ...]:
    """Two clips of an own database, as the workflow lists them."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        frames(tmp_path / "own" / name, range(1, 6))
    Path("clips.tsv").write_text("subject\tpath\ns1\ta\ns2\tb\n")
    refresh_sources(Config.model_validate(TREE).databases)
    return clips.read("results/sources/own.tsv")


def run_faces(listed: tuple[Clip, ...]) -> None:
    options = Config.model_validate(TREE).features_of("own").options("faces")
    stages.run("faces", listed, {}, Path("results/faces/own/s000.h5"), options)


def test_a_source_that_vanished_rejects_no_clip(own: tuple[Clip, ...]):
    shutil.move("own", "unmounted")
    with pytest.raises(FileNotFoundError, match=r"is its disk mounted.*own/a"):
        run_faces(own)
    assert not Path("results/faces/own/s000.h5").exists()
    shutil.move("unmounted", "own")
    run_faces(own)
    assert Path("results/faces/own/s000.h5").exists()


def test_an_empty_mount_point_changes_no_table(own: tuple[Clip, ...]):
    before = Path("results/sources/own.tsv").read_text()
    shutil.move("own", "unmounted")
    with pytest.raises(DatabaseError, match="own is not a folder"):
        refresh_sources(Config.model_validate(TREE).databases)
    Path("own").mkdir()
    with pytest.raises(DatabaseError, match=r"none of 2 clips is in own.*mounted"):
        refresh_sources(Config.model_validate(TREE).databases)
    assert Path("results/sources/own.tsv").read_text() == before
