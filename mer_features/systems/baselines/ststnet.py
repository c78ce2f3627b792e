"""STSTNet: three parallel shallow streams over flow and strain (Liong et al. 2019)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

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


class StstNet(flow_cnn.FlowCnn):
    """The network; 1,683 parameters for three classes, 1,651 without batch normalisation.

    The three streams see the same planes, and after their convolution all their layers treat every channel on its own.
    So they run as one stream with the filters of all three, which computes the same.
    """

    def __init__(self, recipe: StstNetRecipe, classes: int) -> None:
        features = nn.Sequential(
            engine.Merged(3, WIDTHS, 3, padding=2),  # (N, 16, 30, 30)
            nn.ReLU(),
            *([nn.BatchNorm2d(sum(WIDTHS))] if recipe.batch_norm else []),
            nn.MaxPool2d(3, stride=3, padding=1),  # (N, 16, 10, 10)
            nn.Dropout(0.5),
            nn.AvgPool2d(2),
            nn.Flatten(),  # (N, 400)
        )
        super().__init__(recipe, features, nn.Linear(400, classes), fewest=2 if recipe.batch_norm else 1)
        self.to(memory_format=torch.channels_last)  # layers that treat channels alike take less time


def build(recipe: StstNetRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return flow_cnn.system(StstNet, recipe, classes, setup)
