"""An edit of one line runs exactly the steps again whose numbers depend on it."""

from __future__ import annotations

import re
import shutil

import pytest

from .conftest import Project

TRAIN = {"train:fr", "train:linear"}
RESULTS = {"embed", "evaluate", "compare", "html"}
AFTER_FEATURES = {"protocol", *TRAIN, *RESULTS}
#: A dry run does not list yet what depends on a table that a checkpoint will write again.
AFTER_PROTOCOL = {"protocol", *RESULTS}
AFTER_INGEST = {"ingest", "cache", "assess", *AFTER_PROTOCOL}
AFTER_FACES = {"apex", "magnify", "flow", "descriptors", "cache", "assess", *AFTER_FEATURES}
EVERYTHING = {"faces", *AFTER_FACES}

#: Edited file -> jobs of the next run. ``assess`` measures stages, so it follows their code, too.
EDITS: dict[str, set[str]] = {
    "mer_features/report/results.py": {"html"},
    "mer_features/synthetic/portrait_parts.py": {"assess", "html"},
    "mer_features/workflow/assess/stages.py": {"assess", "html"},
    "mer_features/stages/magnify/learned.py": {"assess", "html"},
    "mer_features/workflow/plan.py": set(),
    "mer_features/stages/options.py": set(),
    "mer_features/systems/eidnet/train.py": set(),
    "mer_features/systems/fr/train.py": {"train:fr", *RESULTS},
    "mer_features/systems/baselines/linear.py": {"train:linear", *RESULTS},
    "mer_features/training/loop.py": {*TRAIN, *RESULTS},
    "mer_features/protocols/rules.py": AFTER_PROTOCOL,
    "mer_features/features/writer.py": {"cache", *AFTER_FEATURES},
    "mer_features/stages/flow/strain.py": {"flow", "descriptors", "cache", "assess", *AFTER_FEATURES},
    "mer_features/stages/magnify/phase.py": {"magnify", "cache", "assess", *AFTER_FEATURES},
    "mer_features/stages/apex/spotters.py": {
        "apex", "magnify", "flow", "descriptors", "cache", "assess", *AFTER_FEATURES,
    },
    "mer_features/stages/faces/align.py": EVERYTHING,
    "mer_features/core/quality.py": AFTER_INGEST,
    "mer_features/stages/store.py": EVERYTHING - TRAIN,
    "mer_features/databases/ingest.py": AFTER_INGEST,
    "mer_features/training/evaluation.py": {"evaluate", "compare", "html"},
    "mer_features/training/comparison.py": {"compare", "html"},
    "mer_features/protocols/comparison.py": {"compare", "html"},
    "workflow/scripts/evaluate.py": {"evaluate", "html"},
    "workflow/scripts/compare.py": {"compare", "html"},
    "workflow/scripts/stage.py": EVERYTHING,
}  # fmt: skip


@pytest.fixture(scope="module")
def editable(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project with a package of its own; a dry run changes nothing, so that one is enough for all."""
    root = tmp_path_factory.mktemp("reruns") / "project"
    shutil.copytree(finished.root, root, symlinks=True)
    project = Project(root)
    project.own_package()
    return project


def _planned(project: Project, *arguments: str) -> set[str]:
    """Rules of the jobs that a run would start; trainings with their system, told by the number of their jobs."""
    table = project.run("-n", *arguments).rpartition("Job stats:")[2].partition("\n\n")[0]
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    trained = {0: set(), 1: {"train:linear"}, 2: {"train:fr"}, 3: TRAIN}[counts.pop("train", 0)]
    return trained | (counts.keys() - {"all", "total"})


def test_nothing_runs_after_no_edit(editable: Project):
    assert _planned(editable) == set()


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_runs_what_depends_on_it(editable: Project, name: str):
    path = editable.root / name
    source = path.read_text()
    mark = "{# edited #}" if path.suffix == ".jinja" else "# edited"
    try:
        path.write_text(f"{source}\n{mark}\n")
        assert _planned(editable) == EDITS[name]
    finally:
        path.write_text(source)


def test_precision_trains_again(editable: Project):
    editable.configure(resources={"precision": "bf16-mixed"})
    try:
        assert _planned(editable) == {*TRAIN, *RESULTS}
    finally:
        editable.configure()


@pytest.mark.parametrize("section", [{"device": "auto"}, {"stage_mem_mb": 2000}, {"train_threads": 2}])
def test_what_changes_no_result_only_changes_the_report(editable: Project, section: dict):
    editable.configure(resources=section)
    try:
        assert _planned(editable) == {"html"}  # which shows the configuration
    finally:
        editable.configure()
