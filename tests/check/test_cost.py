"""What a run will cost, estimated."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer_features.commands.check import Cost, check, text
from mer_features.workflow import config, needs

TABLES = Path(__file__).parents[2] / "config" / "papers"


def estimated(name: str) -> Cost:
    return check(config.load(TABLES / name)).cost


def test_databases_that_are_not_there_count_as_published():
    """442 clips of 57 frames; six systems, of which one has one seed and three have three."""
    found = estimated("fr/table-1.yaml")
    frames = 442 * 57
    per_frame = sum(needs.SECONDS_PER_FRAME[step] for step in ("faces", "apex", "flow", "cache"))
    assert found.hours["features"] == pytest.approx(frames * per_frame / 3600)
    assert found.gigabytes == pytest.approx(0.2 * frames / 1000)
    assert found.jobs["features"] == sum(16 * 3 + 2 for _ in range(3))
    steps = 20 * 14  # 436 of 442 clips, batches of 32, 20 epochs
    seeds = 10 + 3 + 3 + 3 + 3
    sgd = 100 * 14
    expected = 0.117 * (steps * (68 * seeds + 5 / 2) + sgd * (68 + 1 / 2)) / 3600
    assert found.hours["trainings"] == pytest.approx(expected)
    assert not found.unknown


def test_a_transfer_trains_once_on_the_source():
    found = estimated("fr/table-3.yaml")
    source = {1: 164, 2: 71, 3: 164, 4: 71, 5: 71, 6: 71}
    steps = sum(-(-clips // 32) for clips in source.values())
    expected = 0.117 * steps * (100 * 1.5 + 20 * 10.5) / 3600  # one seed of 100 epochs, ten of 20, and the pictures
    assert found.hours["trainings"] == pytest.approx(expected)


def test_what_cannot_be_estimated_is_named():
    found = estimated("sa_at/table-3.yaml")
    assert found.unknown == [
        "database bu3dfe",
        "pre-training teacher",
        "training of the generators of style aggregation",
    ]


@pytest.mark.parametrize(
    "path", sorted(TABLES.glob("*/table*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_table_of_the_papers_has_its_cost(path: Path):
    checked = check(config.load(path))
    lines = text(checked)
    assert "a run from nothing, estimated" in lines
    assert checked.cost.as_dict()["jobs"]["comparisons and report"] >= 1
    if checked.protocols and any(item.published for item in checked.protocols):
        assert checked.cost.total_hours > 0
        assert "CPU time" in lines


def test_a_protocol_without_clips_is_named():
    tree = {
        "databases": {"d": {"adapter": "synthetic"}},
        "protocols": {"p": {"databases": ["d"]}},
        "systems": {"s": {"system": "eidnet", "protocols": ["p"], "recipe": {"phases": "I", "size": 128}}},
    }
    found = check(config.validate(tree)).cost
    assert found.unknown == ["database d", "training of s under p"]
    assert found.jobs["comparisons and report"] == 1


def test_folds_of_a_transfer_and_other_networks_are_counted():
    tree = config.read_tree(TABLES / "fr/table-3.yaml")
    plain = check(config.validate(tree)).cost
    folds = {f"cdmer-{n}": {"transfer_folds": 4} for n in range(1, 7)}
    split = check(config.validate(config.merge(tree, {"protocols": folds}))).cost
    assert split.hours["trainings"] == pytest.approx(plain.hours["trainings"] * 4 * 3 / 4, rel=0.25)
    tree = config.merge(config.read_tree(TABLES / "eidnet/table-1-smic.yaml"), {
        "systems": {"phase-1": {"recipe": {"backbone": "resnet34"}}},
    })  # fmt: skip
    assert check(config.validate(tree)).cost.remarks == [
        "phase-1 counts as its default network, whatever backbone",
    ]


def test_weights_that_are_not_there_are_a_problem():
    checked = check(config.load(TABLES / "fr/table-2.yaml"))
    path = "/data/weights/resnet18-f37072fd.pth: no such file; needed by systems.capsulenet.imagenet_weights"
    assert path in checked.problems
    assert not check(config.load(TABLES / "fr/table-1.yaml")).missing_files
