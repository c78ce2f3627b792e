import os
import subprocess
import time
from pathlib import Path

import pytest

from mer_features.core import files
from mer_features.core.files import atomic_path, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_only_durable_files_are_waited_for_and_before_they_have_their_name(tmp_path: Path, monkeypatch):
    there_when_synced = []
    monkeypatch.setattr(os, "fsync", lambda _: there_when_synced.append((tmp_path / "a").exists()))
    with atomic_path(tmp_path / "a", durable=False) as temporary:
        temporary.write_text("x")
    assert there_when_synced == []
    (tmp_path / "a").unlink()
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("y")
    assert there_when_synced == [False]
    assert (tmp_path / "a").read_text() == "y"


def test_leftovers_of_a_kill_are_removed_by_the_next_writer(tmp_path: Path):
    (tmp_path / ".a.txt.k1lled.tmp").write_text("half")
    (tmp_path / ".b.txt.other.tmp").write_text("another file's")
    write_text(tmp_path / "a.txt", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.txt.other.tmp", "a.txt"]


def test_a_sweep_takes_only_what_no_living_writer_owns(tmp_path: Path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    mine, dead = (f".a.h5.{files._host()}.{process}.x.tmp" for process in (os.getpid(), gone.pid))
    names = [mine, dead, ".a.h5.elsewhere.1.x.tmp", ".old.h5.elsewhere.1.x.tmp", "data/.b.h5.tmp", "a.h5"]
    (tmp_path / "data").mkdir()
    for name in names:
        (tmp_path / name).write_text("half")
    yesterday = time.time() - 2 * 24 * 3600
    for name in (".old.h5.elsewhere.1.x.tmp", "data/.b.h5.tmp"):
        os.utime(tmp_path / name, (yesterday, yesterday))
    removed = files.sweep(tmp_path, skip=("data",))
    assert {path.name for path in removed} == {dead, ".old.h5.elsewhere.1.x.tmp"}
    assert [name for name in names if (tmp_path / name).exists()] == [mine, names[2], names[4], "a.h5"]
    assert files.sweep(tmp_path / "nowhere") == []


def test_what_is_written_tells_its_writer(tmp_path: Path):
    with atomic_path(tmp_path / "a.txt") as temporary:
        assert f".{os.getpid()}." in temporary.name
        assert files.sweep(tmp_path) == []
        temporary.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
