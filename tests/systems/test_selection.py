"""Choosing an epoch on training subjects set aside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import (
    engine,
    selection,
)
from mer_features.systems.common.contract import (
    Examples,
    Execution,
    Setup,
)


def clips(subjects: int = 10, each: int = 6) -> Examples:
    n = subjects * each
    labels = np.arange(n) % 3
    return Examples({"x": np.eye(3, dtype=np.float32)[labels]}, labels, np.arange(n) // each)


class Scripted(engine.Network):
    """Its accuracy after every epoch is given: it answers the truth for a share of the clips."""

    def __init__(self, accuracies: list[float], stop_after: int | None = None) -> None:
        super().__init__(len(accuracies))
        self.accuracies, self.stop_after = accuracies, stop_after
        self.held_out: Examples | None = None
        self.register_buffer("epoch", torch.zeros(()))
        self.weight = nn.Parameter(torch.zeros(1))

    def batches(self, examples: Examples) -> engine.Batches:
        return engine.Batches(examples, len(examples))

    def callbacks(self) -> list:
        if self.held_out is None:
            return []
        return [selection.BestEpoch(self.held_out, selection.accuracy, latest=True)]

    def training_step(self, batch: engine.Batch) -> Tensor:
        if self.current_epoch == self.stop_after:
            raise KeyboardInterrupt
        self.epoch.add_(1)
        return (self.weight * batch["x"].sum()) ** 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

    def scores(self, batch: engine.Batch) -> Tensor:
        assert not self.training
        right = self.accuracies[int(self.epoch) - 1]
        truth = batch["x"].argmax(dim=1)
        wrong = torch.arange(len(truth)) >= round(right * len(truth))
        return F.one_hot((truth + wrong) % 3, 3).float()


def run(
    accuracies: list[float], setup: Setup | None = None, stop_after: int | None = None, aside: bool = True
) -> float:
    system = engine.TorchSystem(lambda: Scripted(accuracies, stop_after), setup or Setup(0))
    if aside:
        system.network.held_out = clips(2, 5)
    system.fit(clips())
    return float(system.network.epoch)


@pytest.mark.parametrize(
    ("accuracies", "kept"),
    [([0.1, 0.9, 0.5], 2), ([0.9, 0.1, 0.2], 1), ([0.1, 0.2, 0.9], 3), ([0.5, 0.5, 0.2], 2), ([0.7], 1)],
)
def test_the_best_epoch_is_kept_and_of_equals_the_later(accuracies: list[float], kept: int):
    assert run(accuracies) == kept


def test_without_clips_the_last_epoch_stays():
    assert run([0.9, 0.1, 0.2], aside=False) == 3


@pytest.mark.parametrize("killed_in", [1, 2, 3])
def test_a_killed_training_remembers_its_best_epoch(tmp_path: Path, killed_in: int):
    setup = Setup(0, Execution(checkpoint_s=0), state=tmp_path)
    accuracies = [0.9, 0.3, 0.1, 0.2]
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(accuracies, setup, stop_after=killed_in)
    assert run(accuracies, setup) == 1


def test_a_training_killed_after_its_last_epoch_ends_with_the_best(tmp_path: Path):
    setup = Setup(0, Execution(checkpoint_s=0), state=tmp_path)
    assert run([0.2, 0.9, 0.1], setup) == 2
    assert run([0.2, 0.9, 0.1], setup) == 2  # the checkpoint of the last epoch is there; nothing is left to train


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_whole_subjects_are_set_aside(share: float):
    given = clips()
    kept, aside = selection.hold_out(given, share, seed=3)
    assert len(kept) + len(aside) == len(given)
    assert set(kept.subjects).isdisjoint(aside.subjects)
    assert len(aside) / len(given) == pytest.approx(share, abs=0.05)
    assert set(aside.labels) == {0, 1, 2}
    for part in (kept, aside):
        np.testing.assert_array_equal(part.features["x"].argmax(axis=1), part.labels)


def test_the_seed_decides_who_is_set_aside():
    asides = {tuple(np.unique(selection.hold_out(clips(), 0.2, seed)[1].subjects)) for seed in range(8)}
    assert len(asides) > 1
    again = [tuple(selection.hold_out(clips(), 0.2, 4)[1].subjects) for _ in range(2)]
    assert again[0] == again[1]


def test_few_subjects():
    kept, aside = selection.hold_out(clips(2), 0.1, 0)
    assert len(np.unique(kept.subjects)) == len(np.unique(aside.subjects)) == 1
    with pytest.raises(ValueError, match="only one subject"):
        selection.hold_out(clips(1), 0.2, 0)
