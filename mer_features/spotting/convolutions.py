"""The temporal convolutional network of :mod:`~mer_features.spotting.network`, its loss and its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from mer_features.core import tensors
from mer_features.spotting.options import Network

#: Exponent of the focal loss (Lin et al. 2017, "Focal loss for dense object detection").
_GAMMA = 2.0
#: Additional weight of values that should be 1, which are rare.
_RARE = 3.0
#: Probability that every output has before training.
_PRIOR = 0.05


class Block(torch.nn.Module):
    """Two dilated convolutions whose result is added to their input; at first it is 0."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = (
            torch.nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for _ in range(2)
        )
        self.dropout = torch.nn.Dropout1d(dropout)
        torch.nn.init.zeros_(self.second.weight)
        torch.nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, n) to the same shape."""
        return x + self.second(self.dropout(F.relu(self.first(F.relu(x)))))


class Model(torch.nn.Module):
    """Logits (B, outputs, n) of inputs (B, channels, n) in units of their scale.

    Nothing is normalised over time: in a recording without an event, noise must not grow to the size of events. Large
    values are compressed by the inverse hyperbolic sine instead.
    """

    def __init__(self, channels: int, outputs: int, options: Network) -> None:
        super().__init__()
        self.first = torch.nn.Conv1d(channels, options.width, 1)
        self.blocks = torch.nn.Sequential(
            *(Block(options.width, dilation, options.dropout) for dilation in options.dilations)
        )
        self.last = torch.nn.Conv1d(options.width, outputs, 1)
        torch.nn.init.constant_(self.last.bias, float(np.log(_PRIOR / (1 - _PRIOR))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.last(F.relu(self.blocks(self.first(torch.asinh(x)))))

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """Outputs (outputs, n) from 0 to 1, float32, for the channels (channels, n) of a recording."""
        with tensors.deterministic(), torch.inference_mode():
            logits = self(torch.from_numpy(np.asarray(values, dtype=np.float32))[None])
            return np.asarray(logits[0].sigmoid().numpy())


def loss(logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Focal cross-entropy for targets from 0 to 1, mean over what counts: |y - p|^2 (1 + 3 y) times cross-entropy."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    focus = (wanted - logits.sigmoid()).abs() ** _GAMMA * (1 + _RARE * wanted)
    return (entropy * focus * weights).sum() / weights.sum().clamp(min=1)


def fit(
    batch: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]], channels: int, options: Network, seed: Sequence[int]
) -> Model:
    """Train for the fixed number of epochs; the weights are the mean over the last epochs.

    Parameters
    ----------
    batch
        Gives inputs (B, channels, n), targets and weights (B, outputs, n).
    channels
        Number of inputs.
    options
        Size of the network, epochs, learning rate.
    seed
        Equal ones and equal batches give equal weights.
    """
    place = tensors.device(options.device)
    steps = options.epochs * options.batches
    with tensors.deterministic(), torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence(list(seed)).generate_state(1)[0]))
        first = batch()
        model = Model(channels, first[1].shape[1], options).to(place).train()
        average = torch.optim.swa_utils.AveragedModel(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / 20) * (0.1 + 0.9 * (1 + np.cos(np.pi * step / steps)) / 2)
        )
        for epoch in range(options.epochs):
            for _ in range(options.batches):
                inputs, wanted, weights = (torch.from_numpy(array).to(place) for array in batch())
                optimizer.zero_grad()
                loss(model(inputs), wanted, weights).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            if epoch >= options.epochs - options.averaged_epochs:
                average.update_parameters(model)
    trained: Model = average.module.cpu().eval()
    return trained
