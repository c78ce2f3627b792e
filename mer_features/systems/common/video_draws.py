"""Random draws from unlabelled video, one per clip and epoch.

A draw depends only on seed, epoch and clip. So the draws are the same on one device and on several, and a resumed
training needs no state of a generator.
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

#: Epoch, and position in the list of clips.
Draw = tuple[int, int]


class Order(Sampler[Draw]):
    """A random order of all clips, different in each epoch."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return ((epoch, int(place)) for place in order)


def generator(seed: int, draw: Draw) -> np.random.Generator:
    """Random generator for one clip in one epoch."""
    epoch, place = draw
    return np.random.default_rng([seed, epoch, place, 1])


def usable(sequences: Sequences, frames: int) -> list[int]:
    """Indices of the clips with at least this many frames.

    Raises
    ------
    ValueError
        If fewer than two clips are long enough.
    """
    indices = [index for index, clip in enumerate(sequences.clips) if clip.length >= frames]
    if len(indices) < 2:
        raise ValueError(f"{len(indices)} of {len(sequences)} clips have {frames} frames or more; 2 are needed")
    return indices


def loader(dataset: Dataset[Any], order: Order, batch_size: int, execution: Execution) -> DataLoader[Any]:
    """Batches of an epoch. Clips that do not fill the last batch are left out; the next epoch leaves out other clips.

    Parameters
    ----------
    dataset
        Indexed by draws.
    order
        Order of its clips.
    batch_size
        Batch size of all devices together.
    execution
        On a GPU all threads but one load batches in advance.
    """
    each = max(min(batch_size, len(order)) // execution.devices, 1)
    return DataLoader(
        dataset, each, sampler=order, drop_last=True, generator=torch.Generator(),
        num_workers=0 if execution.device == "cpu" else max(execution.threads - 1, 0),
    )  # fmt: skip


class VideoNetwork(engine.Network):
    """A network trained on draws from video; it sets the epoch of its :class:`Order`."""

    order: Order

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Set the next epoch already here, because workers may ask for its order before it starts."""
        super().on_load_checkpoint(checkpoint)
        self.order.epoch = checkpoint["epoch"] + 1

    def on_train_epoch_start(self) -> None:
        """Set the current epoch."""
        super().on_train_epoch_start()
        self.order.epoch = self.current_epoch
