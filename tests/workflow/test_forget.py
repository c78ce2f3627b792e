"""A person is taken out of a finished workflow, and a second workflow in the same folder waits its turn."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from mer_features import features as feature_file
from mer_features.core import clips

from .conftest import STAGES, Project

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]
pytest.importorskip("snakemake", reason="the workflow extra is not installed")
pytest.importorskip("torch", reason="the train extra is not installed")


def _planned(output: str) -> set[str]:
    """Rules of a dry run's table of jobs."""
    table = output.rpartition("Job stats:")[2].partition("total")[0]
    return set(re.findall(r"^(\w+) +\d+", table, re.MULTILINE)) - {"job"}


def test_forgetting_a_subject_computes_no_pixel_and_brings_nobody_back(project: Project):
    table = clips.read(project.root / "results/clips/tiny.tsv")
    subject = table[0].subject
    command = [sys.executable, "-m", "mer_features.cli", "forget", subject]
    done = subprocess.run(
        command, cwd=project.root, env=project.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before = project.times()
    assert "Nothing to be done" in project.run("--cores", "1", "features")
    assert project.changed(before) == set()
    planned = _planned(project.run("--cores", "1", "-n"))
    assert "protocol" in planned
    assert not planned & {*STAGES, "magnify", "descriptors", "cache", "ingest", "synth"}
    folders = (project.root / "results", project.root / ".snakemake")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    told = [path for path in files if f"{subject}/".encode() in path.read_bytes() or subject in path.as_posix()]
    assert told == []
    with feature_file.open_features(project.root / "results/features/tiny.h5") as features:
        assert {row.clip_id for row in features.clips} == {clip.clip_id for clip in table if clip.subject != subject}


def test_a_second_workflow_is_refused_and_changes_nothing(project: Project):
    project.configure(flow={"method": "dis"})
    first = subprocess.Popen(
        project.command("--cores", "1", "features"), cwd=project.root, env=project.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        locks = project.root / ".snakemake/locks"
        deadline = time.monotonic() + 120
        while not any(locks.glob("*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert first.poll() is None
        os.killpg(first.pid, signal.SIGSTOP)  # so that it deletes nothing while the second reads the folder
        source = project.root / "results/sources/tiny.tsv"
        sheet = project.root / "results/data/tiny/annotations.tsv"
        before, old = source.read_bytes(), sheet.read_text()
        sheet.write_text("\n".join(old.splitlines()[:-1]) + "\n")  # a run would see a clip less
        second = subprocess.run(
            project.command("--cores", "1", "features"), cwd=project.root, env=project.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = second.stdout + second.stderr
        assert first.poll() is None, "the first ended before the second began: this shows nothing"
        assert second.returncode != 0
        assert "Directory cannot be locked" in said
        assert "--unlock" in said
        assert "Traceback" not in said
        assert source.read_bytes() == before
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
