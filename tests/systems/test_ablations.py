"""No two rows of an ablation table are the same computation, as they would be if nothing read the keys of a row.

Every row of every system takes a few steps on eight clips; what it has learned must differ from all other rows.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from mer_features import training
from mer_features.systems.common.contract import Setup
from mer_features.systems.registry import RECIPES
from tests.systems.test_every_key import CLASSES, SMALL, examples, pretrained

#: The rows of MA2MI start from different pre-trainings; tests/systems/test_ma2mi.py is about them.
ELSEWHERE = {"ma2mi"}
TABLES = {kind: recipe.ablations for kind, recipe in RECIPES.items() if recipe.ablations and kind not in ELSEWHERE}
#: Few steps with large rates, whatever a row says about them.
SHORT: dict[str, dict[str, Any]] = {kind: {"epochs": 2, "learning_rate": 0.01} for kind in TABLES} | {
    "capsulenet": {"epochs": 1, "size": 136, "batch_size": 8},
    "eidnet": {"epochs": 1, "tuning_epochs": 1, "encoder_rate": 0.01, "tuning_rate": 0.01, "batch_size": 20},
}


def learned(kind: str, row: dict[str, Any], folder: Path) -> list[np.ndarray]:
    """Class probabilities of the training clips and the weights of the network, after training by a row."""
    recipe = RECIPES[kind](**SMALL[kind] | row | SHORT[kind])
    given = examples(kind, recipe)
    setup = Setup(3, pretrained=pretrained(kind, recipe, folder), class_names=CLASSES)
    system = training.module_of(kind).build(recipe, 3, setup)
    system.fit(given)
    return [system.predict(given.features), *(value.numpy() for value in system.network.state_dict().values())]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_the_tables_are_those_of_all_systems():
    assert set(TABLES) == {"fr", "sa_at", "eidnet", "map_mer", "dual_inception", "ststnet", "capsulenet"}


@pytest.mark.parametrize("kind", TABLES)
def test_no_two_rows_are_the_same(kind: str, tmp_path: Path):
    rows = {"the default": {}} | {name: dict(row) for name, row in TABLES[kind].items() if row}
    assert list(TABLES[kind].values()).count({}) <= 1  # the default under the paper's name
    results = {name: learned(kind, row, tmp_path) for name, row in rows.items()}
    assert equal(results["the default"], learned(kind, {}, tmp_path))
    assert [pair for pair in combinations(rows, 2) if equal(results[pair[0]], results[pair[1]])] == []
