"""OFF-ApexNet: two small convolutional streams over the flow from onset to apex (Gan et al. 2019)."""

from __future__ import annotations

import numpy as np
from torch import nn

from mer_features.systems.baselines import flow_cnn
from mer_features.systems.baselines.recipe import OffApexNetRecipe
from mer_features.systems.common import engine, inputs
from mer_features.systems.common.contract import Arrays, Setup

_CHANNELS = ("u", "v")


def variables(recipe: OffApexNetRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return inputs.flow_variables(recipe, _CHANNELS)


def prepare(recipe: OffApexNetRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``flow``: u and v, (2, 28, 28) float32."""
    return {"flow": inputs.flow_planes(recipe, clip, _CHANNELS)}


def stream() -> nn.Sequential:
    """Stream of one plane: (N, 1, 28, 28) -> (N, 16, 7, 7)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
    )  # fmt: skip


class OffApexNet(flow_cnn.FlowCnn):
    """The network; 2,664,475 parameters for three classes."""

    def __init__(self, recipe: OffApexNetRecipe, classes: int) -> None:
        features = nn.Sequential(
            flow_cnn.Streams(stream(), stream()),  # (N, 1568)
            nn.Linear(1568, 1024), nn.ReLU(),
            nn.Linear(1024, 1024), nn.ReLU(),
        )  # fmt: skip
        super().__init__(recipe, features, nn.Sequential(nn.Dropout(0.5), nn.Linear(1024, classes)))


def build(recipe: OffApexNetRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return flow_cnn.system(OffApexNet, recipe, classes, setup)
