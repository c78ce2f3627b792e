"""The style stage in the workflow: switched on, fitted again, learned."""

from __future__ import annotations

import json

import pytest

from mer_features import features as feature_file

from .conftest import Project

pytestmark = pytest.mark.workflow
pytest.importorskip("snakemake", reason="the workflow extra is not installed")
pytest.importorskip("torch", reason="the train extra is not installed")

TRAINING = {
    "size": 24, "width": 4, "blocks": 1, "batch_size": 4, "epochs": 1, "decay_epochs": 0, "pool": 2,
    "feature_size": 32, "feature_width": 4, "feature_epochs": 1, "checkpoint_steps": 2,
}  # fmt: skip


def test_switching_it_on_runs_it_alone_and_another_fit_runs_it_again(project: Project):
    before = project.times()
    assert not [name for name in before if name.startswith("style/")]
    project.configure(style={"method": "statistical", "fit_on": "all"})
    project.run("--cores", "2", "features")
    changed = {name for name in project.changed(before) if not name.startswith("features/")}
    assert {name.split("/")[0] for name in changed} == {"style"}
    assert "style/fitted.json" in changed
    with feature_file.open_features(project.root / "results/features/tiny.h5") as features:
        assert features["style/apex"].shape == features["faces/apex"].shape
        assert features.group_attrs("style")["fit_databases"] == "tiny"
    assert feature_file.validate(project.root / "results/features/tiny.h5") == []
    between = project.times()
    project.configure(style={"method": "statistical", "fit_on": "all", "clusters": 1})
    project.run("--cores", "2", "features")
    again = {name for name in project.changed(between) if not name.startswith("features/")}
    assert again == changed
    assert "Nothing to be done" in project.run("--cores", "2", "features")


def test_generators_are_trained_tried_and_shown(project: Project):
    project.configure(style={"method": "cyclegan", "fit_on": "all", "clusters": 2}, train_style=TRAINING, systems={})
    project.run("--cores", "2")
    results = project.root / "results"
    fit = json.loads((results / "style/fitted.json").read_text())
    # Hardly trained generators bend faces: they are refused and the statistical method stands in.
    assert fit["weights"] == "results/style/model.pt"
    assert fit["method"] == "statistical"
    assert "bend faces" in fit["refused"]
    assert (results / "style/model.training/generators-0-1.csv").exists()
    measured = json.loads((results / "style/measured.json").read_text())
    assert measured["databases"]["tiny"]["displacement_px"] < 0.3
    page = (results / "report.html").read_text()
    assert "The generators were refused" in page
    assert "Transductive" in page
