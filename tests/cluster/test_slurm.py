"""The workflow through a real Slurm on this machine, as docs/cluster.md tells it; three to six minutes.

    pytest tests/cluster -m slurm

Needs root and the tool that starts a one-node Slurm; skipped without them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.shared import shared
from tests.workflow.arrays import differing
from tests.workflow.conftest import Project, make_project

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]
pytest.importorskip("snakemake_executor_plugin_slurm", reason="the slurm extra is not installed")
pytest.importorskip("torch", reason="the train extra is not installed")

#: Three subjects in two shards, and a system that trains in a second.
CONFIG = {
    "systems": {
        "linear": {
            "system": "linear", "protocols": ["three"], "seeds": [0], "embedding": False, "recipe": {"components": 3},
        },
    },
}  # fmt: skip
CACHE, METRICS = "results/features/tiny.h5", "results/runs/three/linear/metrics.json"
#: The profile as it is shipped, but for waiting times that suit one machine.
PROFILE = (
    "--profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5",
    "--slurm-keep-successful-logs",
)  # fmt: skip
GROUP = "rule_shard"


@dataclass(frozen=True)
class Job:
    """A Slurm job as the queue shows it."""

    number: str
    state: str
    memory: str
    limit: str
    what: str


@dataclass(frozen=True)
class Slurm:
    """A running one-node Slurm."""

    state: Path

    def jobs(self, project: Project) -> list[Job]:
        """All jobs of a project, finished ones too."""
        form = "%i\t%T\t%m\t%l\t%k\t%Z"
        lines = _output("squeue", "-h", "-t", "all", "-o", form).splitlines()
        rows = [line.split("\t") for line in lines]
        return [Job(*row[:5]) for row in sorted(rows, key=lambda row: int(row[0])) if row[5] == str(project.root)]

    def completed(self) -> list[str]:
        """Slurm's own record of finished jobs, a line each."""
        return (self.state / "log/jobcomp.log").read_text().splitlines()

    def wait_for(self, project: Project, what: str, state: str) -> Job:
        """The first job of a kind in a state, once there is one."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            for job in self.jobs(project):
                if job.what.startswith(what) and job.state == state:
                    return job
            time.sleep(0.2)
        raise AssertionError(f"no {what} was {state}: {self.jobs(project)}")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A Slurm of our own without accounting, ended with its jobs afterwards."""
    tool = shared("tools", "local-slurm")
    if os.geteuid():
        pytest.skip("a local Slurm needs root")
    state = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    state.chmod(0o755)  # munge refuses a socket below a closed folder, as pytest's are
    started = subprocess.run([tool, "start", state], capture_output=True, text=True, check=False)
    if started.returncode:
        shutil.rmtree(state)
        pytest.skip(f"local-slurm does not start here: {started.stderr.strip()[-300:]}")
    yield Slurm(state)
    subprocess.run([tool, "stop", state], capture_output=True, check=False)
    shutil.rmtree(state)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same workflow without a cluster."""
    project = make_project(tmp_path_factory.mktemp("local"))
    project.configure(**CONFIG)
    project.run("--cores", "2", METRICS)
    return project


def _start(project: Project, log: Path) -> subprocess.Popen:
    return subprocess.Popen(
        project.command("--jobs", "4", *PROFILE, METRICS),
        cwd=project.root,
        env=project.environment,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _finished(log: Path) -> set[str]:
    """Rules whose jobs a driver saw the end of."""
    return set(re.findall(r"Finished jobid: \S+ \(Rule: (\w+)\)", log.read_text()))


def test_killed_cancelled_and_resumed_it_gives_the_bytes_of_a_local_run(slurm: Slurm, local: Project, tmp_path: Path):
    project = make_project(tmp_path / "project")
    project.configure(**CONFIG)

    # A killed driver leaves its job running; the page says: cancel it, unlock, run again.
    first = tmp_path / "first.log"
    driver = _start(project, first)
    slurm.wait_for(project, GROUP, "RUNNING")
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert [job for job in slurm.jobs(project) if job.state == "RUNNING"]
    run = re.search(r"SLURM run ID: (\S+)", first.read_text())[1]
    _output("scancel", "--name", run)
    slurm.wait_for(project, GROUP, "CANCELLED")
    project.run("--unlock")
    seen = {job.number for job in slurm.jobs(project)}

    # Run again; one of the jobs is cancelled in the middle, and tried again with more memory and time.
    second = tmp_path / "second.log"
    driver = _start(project, second)
    victim = slurm.wait_for(project, GROUP, "RUNNING")
    _output("scancel", victim.number)
    try:
        assert driver.wait(timeout=900) == 0, second.read_text()[-4000:]
    finally:
        driver.kill()

    jobs = [job for job in slurm.jobs(project) if job.number not in seen]
    states = {job.number: job.state for job in jobs}
    assert states.pop(victim.number) == "CANCELLED"
    assert set(states.values()) == {"COMPLETED"}
    again = [job for job in jobs if job.what.startswith(GROUP) and int(job.number) > int(victim.number)]
    assert any(_megabytes(job.memory) > _megabytes(victim.memory) for job in again)
    recorded = [line for line in slurm.completed() if f"WorkDir={project.root} " in line]
    assert sum("JobState=COMPLETED" in line for line in recorded) >= 5  # two shards, cache, train, evaluate
    assert "synth" not in _finished(second)  # the first driver's finished work was not done again
    print(*recorded, sep="\n")

    assert differing(project.root / CACHE, local.root / CACHE) == []
    assert (project.root / METRICS).read_text() == (local.root / METRICS).read_text()
    assert not list((project.root / "results").rglob("*.tmp"))
    shutil.rmtree(project.root)


def _megabytes(memory: str) -> float:
    return float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]
