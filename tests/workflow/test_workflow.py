"""The workflow as a product: what runs, what runs again, what survives a kill."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mer_features import features as feature_file
from mer_features.core import clips

from .arrays import arrays
from .conftest import SHARDS, STAGES, TINY, Project, make_project

pytestmark = pytest.mark.workflow
pytest.importorskip("snakemake", reason="the workflow extra is not installed")
pytest.importorskip("torch", reason="the train extra is not installed")


def _shard(subject: str) -> str:
    return clips.shard_of(subject, SHARDS)


def test_everything_asked_for_is_made(finished: Project):
    results = finished.root / "results"
    assert feature_file.validate(results / "features/tiny.h5") == []
    assert (results / "report.html").stat().st_size > 10_000
    for system in ("fr", "linear"):
        assert (results / f"runs/three/{system}/metrics.json").exists()
    (pair,) = json.loads((results / "comparisons/three.json").read_text())["pairs"]
    assert (pair["first"], pair["second"]) == ("fr", "linear")
    leftovers = [path.name for path in results.rglob("*.tmp")]
    assert leftovers == []


def test_a_second_run_does_nothing(project: Project):
    before = project.times()
    output = project.run("--cores", "2")
    assert "Nothing to be done" in output
    assert project.changed(before) == set()


def test_a_touched_frame_runs_its_shard_only(project: Project):
    clip = clips.read(project.root / "results/clips/tiny.tsv")[0]
    frame = min((project.root / clip.source).iterdir())
    frame.write_bytes(frame.read_bytes())
    before = project.times()
    project.run("--cores", "2", "results/features/tiny.h5")
    changed = project.changed(before)
    stage_files = {name for name in changed if name.startswith(STAGES)}
    assert stage_files == {f"{stage}/tiny/{_shard(clip.subject)}.h5" for stage in STAGES}
    assert "features/tiny.h5" in changed


def test_a_flow_option_runs_flow_and_what_follows(project: Project):
    before = project.times()
    project.configure(flow={"method": "dis"})
    project.run("--cores", "2", "features")
    changed = project.changed(before)
    assert {name for name in changed if name.startswith(STAGES)} == {
        name for name in before if name.startswith("flow/")
    }
    assert "features/tiny.h5" in changed


def test_an_edited_module_runs_its_stage(project: Project):
    before = project.times()
    with (project.own_package() / "stages/flow/strain.py").open("a") as handle:
        handle.write("\n# edited\n")
    project.run("--cores", "2", "features")
    changed = project.changed(before)
    assert {name.split("/")[0] for name in changed if name.startswith(STAGES)} == {"flow"}


def test_a_new_subject_runs_its_shard_and_the_aggregates(project: Project):
    root = project.root / "results/data/tiny"
    sheet = root / "annotations.tsv"
    rows = list(csv.DictReader(sheet.read_text().splitlines(), delimiter="\t"))
    donor = rows[0]["subject"]
    shutil.copytree(root / "frames" / donor, root / "frames/newcomer")
    with sheet.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys(), delimiter="\t", lineterminator="\n")
        for row in rows:
            if row["subject"] == donor:
                writer.writerow(row | {"subject": "newcomer", "path": row["path"].replace(donor, "newcomer")})
    before = project.times()
    project.run("--cores", "2", "features")
    changed = project.changed(before)
    assert {name for name in changed if name.startswith(STAGES)} == {
        f"{stage}/tiny/{_shard('newcomer')}.h5" for stage in STAGES
    }
    with feature_file.open_features(project.root / "results/features/tiny.h5") as features:
        assert "newcomer" in {row.subject for row in features.clips}


def test_a_mended_label_computes_no_pixel(project: Project):
    sheet = project.root / "results/data/tiny/annotations.tsv"
    sheet.write_text(sheet.read_text().replace("surprise", "happiness", 1))
    before = project.times()
    project.run("--cores", "2", "results/protocols/three.tsv")
    changed = project.changed(before)
    assert {"features/tiny.h5", "protocols/three.tsv"} <= changed
    assert not {name for name in changed if name.startswith(STAGES)}


def test_one_core_gives_the_same_bytes(finished: Project, tmp_path: Path):
    project = make_project(tmp_path / "single")
    project.run("--cores", "1", "features")
    one, two = (arrays(item.root / "results/features/tiny.h5") for item in (project, finished))
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def test_a_killed_run_goes_on_to_the_same_bytes(finished: Project, tmp_path: Path):
    project = make_project(tmp_path / "killed")
    shutil.copytree(finished.root / "results/data", project.root / "results/data")
    # Killed as soon as the first job of a late stage has begun to write.
    process = subprocess.Popen(
        project.command("--cores", "2", "features"),
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    folder = project.root / "results/flow/tiny"
    deadline = time.monotonic() + 120
    while process.poll() is None and not (folder.exists() and any(folder.iterdir())):
        assert time.monotonic() < deadline, "the stage never started"
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    project.run("--unlock")
    project.run("--cores", "2", "features")
    again, whole = (arrays(item.root / "results/features/tiny.h5") for item in (project, finished))
    assert [name for name in whole if again.get(name) != whole[name]] == []
    assert not list((project.root / "results").rglob("*.tmp"))


def test_lint_finds_nothing(project: Project):
    assert re.search(r"Congratulations", project.run("--lint"))


def test_a_wrong_key_stops_before_any_work(tmp_path: Path):
    project = make_project(tmp_path / "wrong")
    project.configure(flow={"metod": "dis"})
    done = subprocess.run(
        project.command("--cores", "1"),
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "did you mean 'method'" in done.stdout + done.stderr
    assert not (project.root / "results").exists()


def test_a_pretraining_behind_one_run_finds_its_shards(finished: Project, tmp_path: Path):
    """A run is added to a finished project and asked for alone; its pre-training reads shards of a new database."""
    project = Project(tmp_path / "project")
    shutil.copytree(finished.root, project.root, symlinks=True)
    macro = {"adapter": "synthetic", "preset": "tiny", "seed": 7, "shards": SHARDS}
    run = {"system": "ma2mi", "protocols": ["three"], "pretrained": "future", "seeds": [0]}
    project.configure(
        databases={**TINY["databases"], "macro": macro},
        pretraining={
            "codec": {"task": "autoencoder", "databases": ["macro"]},
            "future": {"task": "ma2mi", "databases": ["macro"], "pretrained": "codec"},
        },
        systems={**TINY["systems"], "ma2mi": run},
    )
    project.run("--cores", "2", "results/clips/macro.tsv")
    for target in ("results/runs/three/ma2mi/metrics.json", "results/comparisons/three.json"):
        rules = project.run("--cores", "1", "-n", "--quiet", "host", "--", target).split("rule pretrain:")[1:]
        assert len(rules) == 2
        for rule in rules:
            inputs = rule.partition("output:")[0]
            assert "results/faces/macro/s0" in inputs
            assert "<TBD>" not in inputs
