"""Dual-Inception: two Inception streams over flow to the middle frame (Zhou et al. 2019); FR refines its trunk.

The paper uses the middle frame of the clip as the apex. This is an option of the feature file:
``apex: {policy: midpoint}``. The public code chooses the epoch that is best on the other subjects of the test subject's
database. Here the training does not know the test subject, so all epochs are trained and the last one is used.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from mer_features.systems.baselines import flow_cnn
from mer_features.systems.baselines.recipe import DualInceptionRecipe
from mer_features.systems.common import engine, inputs
from mer_features.systems.common.contract import Arrays, Setup
from mer_features.systems.fr import train as fr


def variables(recipe: DualInceptionRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return inputs.flow_variables(recipe, fr.CHANNELS)


def prepare(recipe: DualInceptionRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``flow``: u and v, (2, 28, 28) float32."""
    return {"flow": inputs.flow_planes(recipe, clip, fr.CHANNELS)}


class DualInception(flow_cnn.FlowCnn):
    """The network; 6,449,867 parameters for three classes."""

    def __init__(self, recipe: DualInceptionRecipe, classes: int) -> None:
        super().__init__(recipe, fr.Trunk(), nn.Linear(fr.D, classes))


def build(recipe: DualInceptionRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return flow_cnn.system(DualInception, recipe, classes, setup)
