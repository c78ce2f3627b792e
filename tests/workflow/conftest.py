"""A small project that the workflow really runs in: a copy of the repository with a tiny embedded database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

REPOSITORY = Path(__file__).parents[2]
SHARDS = 5  # the three subjects of the preset then fall into two shards
STAGES = ("faces", "apex", "flow")

TINY = {
    "databases": {"tiny": {"adapter": "synthetic", "preset": "tiny", "shards": SHARDS}},
    "faces": {"size": 96},
    "protocols": {"three": {"databases": ["tiny"]}},
    "systems": {
        "fr": {"system": "fr", "protocols": ["three"], "seeds": [0], "folds_per_job": 2, "recipe": {"epochs": 2}},
        "linear": {"system": "linear", "protocols": ["three"], "seeds": [0], "recipe": {"components": 3}},
    },
}


@dataclass
class Project:
    """A folder with the workflow and a configuration."""

    root: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The project's own copy of the package if it has one, else the repository's, whose kernels are compiled."""
        package = self.root if (self.root / "mer_features").exists() else REPOSITORY
        kernels = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        own = {"PYTHONPATH": str(package), "XDG_CACHE_HOME": str(self.root / "cache"), "NUMBA_CACHE_DIR": kernels}
        return os.environ | own

    def own_package(self) -> Path:
        """A copy of the package to edit."""
        copied = shutil.copytree(
            REPOSITORY / "mer_features", self.root / "mer_features", ignore=shutil.ignore_patterns("__pycache__")
        )
        return Path(copied)

    def run(self, *arguments: str) -> str:
        """Run Snakemake; its output. Fails the test with that output if it fails."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output[-6000:]
        return output

    def configure(self, **sections: object) -> None:
        (self.root / "tiny.yaml").write_text(yaml.safe_dump(TINY | sections))

    def times(self) -> dict[str, int]:
        """Modification time of everything made, by path below `results`."""
        results = self.root / "results"
        files = (path for path in results.rglob("*") if path.is_file())
        skipped = ("data/", "logs/", "benchmarks/")
        names = {path.relative_to(results).as_posix(): path.stat().st_mtime_ns for path in files}
        return {name: time for name, time in names.items() if not name.startswith(skipped)}

    def changed(self, before: dict[str, int]) -> set[str]:
        """Files below `results` written since `before` was taken."""
        return {name for name, time in self.times().items() if before.get(name) != time}


def make_project(folder: Path) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("workflow", "envs", "profiles"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    project = Project(folder)
    project.configure()
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose workflow ran to the end on two cores, made once for all of pytest-xdist's workers.

    Tests must leave it as they found it, and Snakemake locks its folder: what runs anything takes `project`.
    """
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    done = shared / "finished.done"
    with FileLock(shared / "finished.lock"):
        if not done.exists():
            make_project(shared / "finished").run("--cores", "2")
            done.touch()
    return Project(shared / "finished")


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project to do things to; copied with its time stamps."""
    shutil.copytree(finished.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
