"""The rule that trains the magnifier: no target needs it; asked for by name, it trains once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import make_project

pytestmark = pytest.mark.workflow
pytest.importorskip("snakemake", reason="the workflow extra is not installed")
pytest.importorskip("safetensors", reason="the train extra is not installed")

SHORT = {"steps": 2, "size_px": 32, "face_share": 0.0, "batch": 1}


def test_the_magnifier_is_trained_on_request_and_once(tmp_path: Path):
    project = make_project(tmp_path)
    project.configure(train_magnifier=SHORT)
    assert "train_magnifier" not in project.run("-n")
    project.run("--cores", "1", "train_magnifier")
    made = tmp_path / "results" / "magnifier"
    assert sorted(path.name for path in made.iterdir()) == ["weights.safetensors", "weights.safetensors.csv"]
    before = project.times()
    assert "Nothing to be done" in project.run("--cores", "1", "train_magnifier")
    assert project.changed(before) == set()
    project.configure(train_magnifier=SHORT | {"seed": 3})
    project.run("--cores", "1", "train_magnifier")
    assert "magnifier/weights.safetensors" in project.changed(before)
