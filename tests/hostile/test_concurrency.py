"""Several readers and writers of the same files, and file systems that know no locks."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features import features as feature_file
from mer_features.core.files import atomic_path
from mer_features.stages.store import ClipRecord, ShardReader, ShardWriter
from mer_features.workflow import plan as workflow

SAMPLE = Path(__file__).parents[1] / "data" / "cache-v1.h5"


def _other(path: Path) -> None:
    """A cache like the sample with other flow, built beside the name and renamed, as `feature_file.build` does."""
    with atomic_path(path) as temporary:
        shutil.copy(SAMPLE, temporary)
        with h5py.File(temporary, "r+") as file:
            file["flow/u"][...] = 1024


def test_a_reader_keeps_the_old_file_while_a_new_one_takes_its_name(tmp_path: Path):
    path = Path(shutil.copy(SAMPLE, tmp_path / "c.h5"))
    with feature_file.open_features(path) as features, feature_file.open_features(SAMPLE) as sample:
        first = features["flow/u"][0]
        _other(path)
        np.testing.assert_array_equal(features["flow/u"][0], first)
        np.testing.assert_array_equal(features["flow/u"][1], sample["flow/u"][1])  # not read before the renaming
        with feature_file.open_features(path) as again:
            assert float(again["flow/u"][0].max()) == 1.0
    features.close()
    with features:
        assert float(features["flow/u"][0].max()) == 1.0


def test_a_clip_can_be_dropped_while_somebody_reads(tmp_path: Path):
    path = Path(shutil.copy(SAMPLE, tmp_path / "c.h5"))
    with feature_file.open_features(path) as features:
        rows = len(features.clips)
        feature_file.drop(path, {features.clips[0].clip_id})
        assert len(features["flow/u"]) == rows
    with feature_file.open_features(path) as features:
        assert len(features.clips) == rows - 1


@pytest.fixture
def stage_file(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "s000.h5", "faces", {}) as writer:
        writer.add(ClipRecord("s/c", {"crops": np.ones((2, 4, 4, 1), np.uint8)}))
    return tmp_path / "s000.h5"


def test_files_are_read_where_a_lock_is_refused(tmp_path: Path, stage_file: Path):
    """Somebody else holds the lock, as some network file systems and their daemons do."""
    path = Path(shutil.copy(SAMPLE, tmp_path / "c.h5"))
    with path.open("rb") as one, stage_file.open("rb") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="lock"):
            h5py.File(path, "r")  # the lock is real
        with feature_file.open_features(path) as features:
            assert len(features.clips) == 3
        with ShardReader(stage_file) as reader:
            assert reader.clip_ids == ["s/c"]


@pytest.mark.parametrize("setting", ["TRUE", "FALSE", "BEST_EFFORT"])
def test_files_are_read_in_a_folder_that_cannot_be_written(stage_file: Path, setting: str):
    """As another user, for root may write anywhere; whatever HDF5 is told about locks."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others, and closed again by every session
    paths = [Path(shutil.copy(item, folder)) for item in (SAMPLE, stage_file)]
    for item in (*paths, folder):
        item.chmod(0o555 if item.is_dir() else 0o444)
    code = (
        "import os, sys\n"
        "from mer_features import features as feature_file\nfrom mer_features.stages import store\n"
        "from mer_features.stages.store import ShardReader\n"
        "def look():\n"
        "    with feature_file.open_features(sys.argv[1]) as features: assert len(features.clips) == 3\n"
        "    assert feature_file.validate(sys.argv[1]) == []\n"
        "    with ShardReader(sys.argv[2]) as reader: return reader.clip_ids\n"
        "look()\n"  # what is imported late: the other user may not read this checkout
        "if os.getuid() == 0: os.setuid(65534)\n"
        "assert not os.access(os.path.dirname(sys.argv[1]), os.W_OK)\n"
        "print(look())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False,
        env=os.environ | {"HDF5_USE_FILE_LOCKING": setting},
    )  # fmt: skip
    folder.chmod(0o755)
    shutil.rmtree(folder)
    assert done.stdout.strip() == "['s/c']", done.stderr[-2000:]


def test_a_locked_folder_is_noticed_before_anything_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    tree = {"databases": {"d": {"adapter": "table", "root": "gone", "table": "clips.tsv"}}}
    Path(".snakemake/locks").mkdir(parents=True)
    with pytest.raises(ValueError, match="gone"):
        workflow.Plan(tree, refresh=True)
    Path(".snakemake/locks/0.input.lock").touch()
    workflow.Plan(tree, refresh=True)  # looks at nothing: Snakemake refuses in a moment
    assert not Path("results").exists()
    assert workflow.another_runs()


def test_an_environment_that_insists_on_locks_is_named(tmp_path: Path):
    """HDF5 heeds the variable more than the call: such a file is no damaged one."""
    path = Path(shutil.copy(SAMPLE, tmp_path))
    code = (
        "import fcntl, sys\n"
        "from mer_features import features as feature_file\n"
        "holder = open(sys.argv[1], 'rb')\n"
        "fcntl.flock(holder, fcntl.LOCK_EX)\n"
        "from pathlib import Path\n"
        "print(feature_file.open_features(Path(sys.argv[1])).clips)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False,
        env=os.environ | {"HDF5_USE_FILE_LOCKING": "TRUE"},
    )  # fmt: skip
    assert "cannot be locked; set HDF5_USE_FILE_LOCKING=FALSE" in done.stderr.splitlines()[-1]
