from pathlib import Path

import pytest

from mer_features.files import atomic_path, write_text


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


def test_leftovers_of_a_kill_are_removed_by_the_next_writer(tmp_path: Path):
    (tmp_path / ".a.txt.k1lled.tmp").write_text("half")
    (tmp_path / ".b.txt.other.tmp").write_text("another file's")
    write_text(tmp_path / "a.txt", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.txt.other.tmp", "a.txt"]
