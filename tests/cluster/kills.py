"""Kills a running workflow at random moments and goes on, again and again; the result must not know.

    python tests/cluster/kills.py --kills 50 --seed 0 --folder /tmp/kills

Each kill is SIGKILL to every process of the run at once: driver, jobs, workers. Then the workflow is run again in the
same folder, to be killed again; a run that ends well is compared with an uninterrupted one and one begun from nothing.
Before that the workflow is killed once inside the write of every stage, as soon as its temporary file appears.
Exit code 0 only if no array differs, no temporary file is left, and no job ran again after Snakemake had recorded
its end. Not part of the default tests: 50 kills take some twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))

from tests.workflow.arrays import differing
from tests.workflow.conftest import Project, make_project

CONFIG = {
    "databases": {"tiny": {"adapter": "synthetic", "preset": "tiny", "shards": 5}},
    "faces": {"size": 96},
    "style": {"method": "statistical", "fit_on": "all"},
}
#: Where a write of each stage shows up first.
WRITES = {
    "synth": "data/tiny/frames/*/.*.tmp",
    **{stage: f"{stage}/tiny/.*.tmp" for stage in ("faces", "apex", "magnify", "flow", "style", "descriptors")},
    "cache": "features/.*.tmp",
}
CACHE = "features/tiny.h5"


@dataclass
class Tally:
    """What happened over all runs."""

    kills: int = 0
    ends: int = 0
    jobs: int = 0
    rerun_after_end: list[str] = field(default_factory=list)  # Snakemake had recorded the end
    rerun_after_write: list[str] = field(default_factory=list)  # written, but killed before the end was recorded
    differing: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing happened that may not."""
        return not (self.rerun_after_end or self.differing or self.leftovers or self.failures)


class Life:
    """One folder that goes from nothing to the finished cache, over as many kills as it takes, again and again."""

    def __init__(self, folder: Path) -> None:
        self.project: Project = make_project(folder)
        (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
        self.results = folder / "results"
        self._runs = 0
        self.begin()

    def begin(self) -> None:
        """Forget all results, but not what numba compiled."""
        for name in ("results", ".snakemake"):
            shutil.rmtree(self.project.root / name, ignore_errors=True)
        self._ended: set[str] = set()
        self._written: set[str] = set()

    def run(self, until: Callable[[float], bool], tally: Tally) -> bool:
        """Run until ``until(seconds since the start)`` says kill; whether the run came to its end before."""
        log = self.project.root / f"run{self._runs:03d}.log"
        self._runs += 1
        with log.open("w") as handle:
            process = subprocess.Popen(
                self.project.command("--cores", "2", "--nolock", "--quiet", "host", "--", "features"),
                cwd=self.project.root,
                env=self.project.environment,
                stdout=handle,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            started = time.monotonic()
            while process.poll() is None and not until(time.monotonic() - started):
                time.sleep(0.002)
            ended = process.poll() is not None
            kill_session(process.pid)
            process.wait()
        self._count(log.read_text(), tally)
        tally.kills += not ended
        tally.ends += ended
        if ended and process.returncode:
            tally.failures.append(f"{log}: exit code {process.returncode}")
        return ended

    def _count(self, log: str, tally: Tally) -> None:
        """Jobs that this run began, and whether they had ended in an earlier one."""
        begun, ended = jobs(log)
        tally.jobs += len(begun)
        tally.rerun_after_end += sorted(begun & self._ended)
        tally.rerun_after_write += sorted(begun & (self._written - self._ended))
        self._ended |= ended
        self._written = {name for name in self._written | begun if (self.project.root / name).is_file()}

    def leftovers(self) -> list[str]:
        """Temporary files and folders below the results."""
        return [str(path) for path in self.results.rglob(".*.tmp")]


def jobs(log: str) -> tuple[set[str], set[str]]:
    """First outputs of the jobs that began and of those that ended, from what Snakemake printed."""
    outputs: dict[str, str] = {}
    for block in re.split(r"\n(?=(?:local)?(?:rule|checkpoint) )", log):
        output, number = re.search(r"^ {4}output: ([^,\n]+)", block, re.M), re.search(r"^ {4}jobid: (\d+)", block, re.M)
        if output and number:
            outputs[number[1]] = output[1]
    done = re.findall(r"Finished jobid: (\d+)", log)
    return set(outputs.values()), {outputs[number] for number in done if number in outputs}


def kill_session(leader: int) -> None:
    """SIGKILL every process of a session, until none is left."""
    while members := list(session(leader)):
        for process in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def session(leader: int) -> Iterator[int]:
    """Living processes of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, identity = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(identity) == leader and state != "Z":
                yield int(entry.name)


def finish(life: Life, reference: Path, tally: Tally) -> None:
    """Compare a finished life with the uninterrupted one, and begin another."""
    tally.differing += differing(life.results / CACHE, reference)
    tally.leftovers += life.leftovers()
    life.begin()


def main() -> int:
    """Run it all; prints one line a kill and a summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--no-writes", action="store_true", help="leave out the kills inside each stage's write")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    shutil.rmtree(folder, ignore_errors=True)
    began = time.time()
    tally = harass(folder, chosen.kills, random.Random(chosen.seed), writes=not chosen.no_writes)
    print(f"{time.time() - began:.0f} s", end="; ")
    print(f"{tally.kills} kills, {tally.ends} runs to the end, {tally.jobs} jobs begun")
    print(f"run again after Snakemake recorded the end: {len(tally.rerun_after_end)} {tally.rerun_after_end}")
    print(f"run again after the file was written, killed before its end was recorded: {len(tally.rerun_after_write)}")
    print(f"arrays that differ: {len(tally.differing)} {tally.differing}")
    print(f"temporary files left: {len(tally.leftovers)} {tally.leftovers}; runs that failed: {tally.failures}")
    return 0 if tally.good else 1


def harass(folder: Path, kills: int, chance: random.Random, *, writes: bool) -> Tally:
    """All kills; the uninterrupted run comes first and says how long a run takes."""
    tally = Tally()
    life = Life(folder / "project")
    began = time.monotonic()
    life.run(lambda _: False, tally)
    length = time.monotonic() - began
    print(f"an uninterrupted run takes {length:.0f} s", flush=True)
    reference = folder / "whole.h5"
    shutil.copy(life.results / CACHE, reference)
    life.begin()
    if writes:
        kill_in_writes(life, reference, tally)
    kills += tally.kills
    while tally.kills < kills:
        moment = chance.uniform(0, length / 4)
        ended = life.run(lambda passed, moment=moment: passed >= moment, tally)
        print(f"{tally.kills:3d} {'ended by itself' if ended else f'killed after {moment:.1f} s'}", flush=True)
        if ended:
            finish(life, reference, tally)
    life.run(lambda _: False, tally)
    finish(life, reference, tally)
    return tally


def kill_in_writes(life: Life, reference: Path, tally: Tally) -> None:
    """One life that is killed in the first write of every stage."""
    for stage, pattern in WRITES.items():
        ended = life.run(lambda _, pattern=pattern: any(life.results.glob(pattern)), tally)
        left = list(life.results.glob(pattern))
        print(f"    {stage}: {'ended before a write was seen' if ended else f'killed, {len(left)} left'}", flush=True)
        if ended or not left:
            tally.failures.append(f"{stage}: not killed inside its write")
    life.run(lambda _: False, tally)
    finish(life, reference, tally)


if __name__ == "__main__":
    sys.exit(main())
