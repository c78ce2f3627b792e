import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from mer_features.core.quality import Issue, Status
from mer_features.stages.store import ClipRecord, ShardReader, ShardWriter


def _write(path: Path) -> list[ClipRecord]:
    rng = np.random.default_rng(0)
    records = [
        ClipRecord("b/2", {"crops": rng.integers(0, 255, (5, 8, 8, 3), np.uint8), "t": np.arange(5.0)}, {"onset": 1}),
        ClipRecord("a/1", {"empty": np.zeros((0, 4, 4))}, {}, (Issue("several_faces", "2"),)),
        ClipRecord("a/3", issues=(Issue("no_face"),)),
    ]
    with ShardWriter(path, "faces", {"size": 8}, "code") as writer:
        for record in records:
            writer.add(record)
    return records


def test_round_trip_keeps_order_arrays_and_issues(tmp_path: Path):
    records = _write(tmp_path / "s.h5")
    with ShardReader(tmp_path / "s.h5") as reader:
        assert reader.clip_ids == ["b/2", "a/1", "a/3"]
        assert reader.options == {"size": 8}
        for record in records:
            back = reader.read(record.clip_id)
            assert back.attrs == record.attrs
            assert back.issues == record.issues
            assert back.arrays.keys() == record.arrays.keys()
            for name, array in record.arrays.items():
                np.testing.assert_array_equal(back.arrays[name], array)
                assert back.arrays[name].dtype == array.dtype
        assert [reader.status(clip) for clip in reader.clip_ids] == [Status.OK, Status.WARNED, Status.REJECTED]


def test_files_from_before_are_read_though_they_are_packed(tmp_path: Path):
    records = _write(tmp_path / "s.h5")
    crops = records[0].arrays["crops"]
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        del file["clips/b/2/crops"]
        packing = hdf5plugin.Bitshuffle(cname="lz4")
        file.create_dataset("clips/b/2/crops", data=crops, chunks=(1, *crops.shape[1:]), **packing)
    code = (
        "import sys\n"
        "from mer_features.stages.store import ShardReader\n"  # and nothing else that could know the filter
        "with ShardReader(sys.argv[1]) as reader: sys.stdout.buffer.write(reader.view('b/2')['crops'][()].tobytes())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "s.h5"], capture_output=True, check=True)
    assert done.stdout == crops.tobytes()


def test_a_view_reads_single_frames(tmp_path: Path):
    records = _write(tmp_path / "s.h5")
    with ShardReader(tmp_path / "s.h5") as reader:
        view = reader.view("b/2")
        np.testing.assert_array_equal(view["crops"][3], records[0].arrays["crops"][3])
        assert view.attrs["onset"] == 1


def test_the_same_records_give_the_same_bytes(tmp_path: Path):
    _write(tmp_path / "1.h5")
    _write(tmp_path / "2.h5")
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path):
    def fail() -> None:
        with ShardWriter(tmp_path / "s.h5", "faces", {}) as writer:
            writer.add(ClipRecord("a/1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str):
    path = tmp_path / "s.h5"
    _write(path)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"s\.h5.*run again"), ShardReader(path):
        pass
