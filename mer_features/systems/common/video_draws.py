"""Random draws from unlabelled video: one a clip and epoch, the same on one device or many, killed or not.

Every draw is a function of seed, epoch and clip alone; no generator's state has to be kept for a resumed training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mer_features.features.sequences import Sequences
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Execution

#: Epoch and position among the clips.
Draw = tuple[int, int]


class Order(Sampler[Draw]):
    """A random order of all clips, another one in each epoch."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return ((epoch, int(place)) for place in order)


def generator(seed: int, draw: Draw) -> np.random.Generator:
    """What one clip draws from in one epoch."""
    epoch, place = draw
    return np.random.default_rng([seed, epoch, place, 1])


def usable(sequences: Sequences, frames: int) -> list[int]:
    """Indices of the clips of at least that many frames.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    found = [index for index, clip in enumerate(sequences.clips) if clip.length >= frames]
    if len(found) < 2:
        raise ValueError(f"{len(found)} of {len(sequences)} clips have {frames} frames or more; 2 are needed")
    return found


def loader(dataset: Dataset[Any], order: Order, batch_size: int, execution: Execution) -> DataLoader[Any]:
    """Batches of an epoch; clips that fill none are left out of it, others in the next.

    Parameters
    ----------
    dataset
        Takes draws.
    order
        Of its clips.
    batch_size
        Of all devices together.
    execution
        On a GPU all threads but one read ahead.
    """
    each = max(min(batch_size, len(order)) // execution.devices, 1)
    return DataLoader(
        dataset, each, sampler=order, drop_last=True, generator=torch.Generator(),
        num_workers=0 if execution.device == "cpu" else max(execution.threads - 1, 0),
    )  # fmt: skip


class Following(engine.Network):
    """A network that tells an :class:`Order` which epoch it is."""

    order: Order

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """The next epoch is due; workers may ask for its order before it starts."""
        super().on_load_checkpoint(checkpoint)
        self.order.epoch = checkpoint["epoch"] + 1

    def on_train_epoch_start(self) -> None:
        """A new epoch."""
        super().on_train_epoch_start()
        self.order.epoch = self.current_epoch
