"""MIACNet of MA2MI: an action and a position encoder, and the condition they make.

Shapes: N pairs of images of S x S pixels; maps have C channels of M x M places (512, 8 x 8 for ResNet-18 and 256
pixels).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mer_features.systems import backbones, cifar_resnet
from mer_features.systems.recipes.ma2mi import Branches

#: C by backbone.
CHANNELS = {"resnet18": 512, "small": cifar_resnet.WIDTHS[2]}


def encoder(backbone: str, weights: Path | None = None) -> nn.Sequential:
    """A backbone without pooling and classifier: (N, 3, S, S) -> (N, C, M, M)."""
    if backbone == "small":
        return nn.Sequential(cifar_resnet.stem("strided"), *(cifar_resnet.stage(number, 2) for number in range(3)))
    net = backbones.resnet("resnet18", weights)
    early = (net.conv1, net.bn1, net.relu, net.maxpool)
    return nn.Sequential(*early, net.layer1, net.layer2, net.layer3, net.layer4)


class Features(NamedTuple):
    """What the encoders say about N pairs."""

    action: Tensor  # F^a (N, C, M, M)
    position: Tensor | None  # F^p (N, C, M, M); None without a position encoder


class MIACNet(nn.Module):
    """Two independent encoders (Eq. 1, Figure 2); they start equal and are not tied."""

    def __init__(self, recipe: Branches) -> None:
        super().__init__()
        self.fusion = recipe.fusion
        self.action = encoder(recipe.backbone, recipe.imagenet_weights)
        self.position = encoder(recipe.backbone, recipe.imagenet_weights) if recipe.position != "none" else None
        if self.position is not None:
            self.position.load_state_dict(self.action.state_dict())
        channels = CHANNELS[recipe.backbone]
        #: Width of the condition.
        self.width = 2 * channels if recipe.position != "none" and recipe.fusion == "concat" else channels

    def forward(self, first: Tensor, second: Tensor) -> Features:  # (N, 3, S, S) each, in [-1, 1]
        """F^a of the difference, in [-2, 2], and F^p of the first image."""
        return Features(self.action(second - first), None if self.position is None else self.position(first))

    def condition(self, features: Features) -> Tensor:
        """C_Δ (N, width): both maps joined and averaged over their places."""
        action, position = features
        if position is None:
            joined = action
        elif self.fusion == "concat":
            joined = torch.cat([action, position], dim=1)
        else:
            joined = action + position if self.fusion == "sum" else action * position
        return joined.mean(dim=(2, 3))


class Classifier(nn.Linear):
    """The one layer of fine-tuning; it starts at zero, so that all classes are equally likely."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, classes)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
