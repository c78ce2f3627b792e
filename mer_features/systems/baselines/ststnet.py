"""STSTNet: three parallel shallow streams over flow and strain (Liong et al. 2019)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mer_features.systems.baselines import flow_cnn
from mer_features.systems.baselines.recipe import StstNetRecipe
from mer_features.systems.common import engine, inputs
from mer_features.systems.common.contract import Arrays, Setup

WIDTHS = (3, 5, 8)  # filters of the streams


def variables(recipe: StstNetRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return inputs.flow_variables(recipe, _channels(recipe))


def _channels(recipe: StstNetRecipe) -> tuple[str, ...]:
    return tuple(recipe.order.split("_"))


def prepare(recipe: StstNetRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``flow``: u, v and strain in the order of the recipe, (3, 28, 28) float32."""
    return {"flow": inputs.flow_planes(recipe, clip, _channels(recipe))}


def stream(width: int, norm: bool) -> nn.Sequential:
    """One stream over all planes: (N, 3, 28, 28) -> (N, width, 10, 10)."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=2),  # 30 x 30
        nn.ReLU(),
        *([nn.BatchNorm2d(width)] if norm else []),
        nn.MaxPool2d(3, stride=3, padding=1),  # 10 x 10
        nn.Dropout(0.5),
    )


class Parallel(nn.Module):
    """Streams over the same planes, concatenated along the channels."""

    def __init__(self, *streams: nn.Module) -> None:
        super().__init__()
        self.streams = nn.ModuleList(streams)

    def forward(self, flow: Tensor) -> Tensor:  # (N, 3, 28, 28) -> (N, 16, 10, 10)
        """Run all streams."""
        return torch.cat([stream(flow) for stream in self.streams], dim=1)


class StstNet(flow_cnn.FlowCnn):
    """The network; 1,683 parameters for three classes, 1,651 without batch normalisation."""

    def __init__(self, recipe: StstNetRecipe, classes: int) -> None:
        streams = Parallel(*(stream(width, recipe.batch_norm) for width in WIDTHS))
        features = nn.Sequential(streams, nn.AvgPool2d(2), nn.Flatten())  # (N, 400)
        super().__init__(recipe, features, nn.Linear(400, classes), fewest=2 if recipe.batch_norm else 1)


def build(recipe: StstNetRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return flow_cnn.system(StstNet, recipe, classes, setup)
