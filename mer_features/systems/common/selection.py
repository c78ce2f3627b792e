"""Held-out subjects among the training clips, and the choice of the best epoch on them.

The held-out subject of the fold is never used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mer_features.protocols.folds import balanced_folds
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Examples


def hold_out(examples: Examples, share: float, seed: int, group: str = "") -> tuple[Examples, Examples]:
    """Split clips by subject into clips to learn from and held-out clips.

    Parameters
    ----------
    examples
        All clips.
    share
        About this share of the subjects, 0 to 0.5, is held out, balanced by clips and classes.
    seed
        Decides between subjects that are equally suitable.
    group
        Name that the subjects have in common; another name decides ties in another way.

    Raises
    ------
    ValueError
        If there is only one subject.
    """
    owners = [(group, str(number)) for number in examples.subjects]
    parts = min(max(round(1 / share), 2), len(set(owners)))
    if parts < 2:
        raise ValueError("cannot hold out subjects: there is only one subject; give more subjects, or a share of 0")
    fold = balanced_folds(owners, [str(label) for label in examples.labels], parts, seed)
    held_out = [index for index, owner in enumerate(owners) if fold[owner] == 0]
    rest = [index for index, owner in enumerate(owners) if fold[owner] != 0]
    return examples.take(rest), examples.take(held_out)


#: Rank of an epoch from class probabilities (N, K) and labels (N,) of held-out clips; the largest is the best.
Rank = Callable[[np.ndarray, np.ndarray], tuple[float, ...]]


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float]:
    """Rank by accuracy."""
    return (float((probabilities.argmax(axis=1) == labels).mean()),)


class BestEpoch(Callback):
    """Ends a training with the weights of the epoch that is best on held-out clips.

    The choice and the weights are part of the checkpoints, so a resumed training ends with the same weights.

    Parameters
    ----------
    held_out
        Clips that the training does not use.
    rank
        Ranks an epoch.
    latest
        Whether the later of two epochs with equal ranks is kept, because it was trained longer.

    Attributes
    ----------
    epoch
        Number of the best epoch so far, from 1; 0 before the first.
    """

    def __init__(self, held_out: Examples, rank: Rank, *, latest: bool = False) -> None:
        self._held_out, self._rank_of, self._latest = held_out, rank, latest
        self.epoch = 0
        self._rank: tuple[float, ...] = ()
        self._weights: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"epoch": self.epoch, "rank": self._rank, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.epoch, self._rank = state_dict["epoch"], tuple(state_dict["rank"])
        self._weights = state_dict["weights"]

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Evaluate the network and keep its weights if they are the best so far."""
        outputs = engine.answers(module, self._held_out.features, lambda batch: {"": module.scores(batch)})[""]
        rank = self._rank_of(outputs, self._held_out.labels)
        if not self.epoch or rank > self._rank or (self._latest and rank == self._rank):
            self.epoch, self._rank = trainer.current_epoch + 1, rank
            self._weights = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}

    def on_fit_end(self, trainer: lightning.Trainer, module: Any) -> None:  # noqa: ARG002  # Lightning's signature
        """Load the weights of the best epoch."""
        if self.epoch:
            module.load_state_dict(self._weights)
