"""Network of MAP-MER: ResNet-18 with shuffle attention, a shared base, a branch for each half of the face.

Shapes: N clips, C classes, R regions of the face (eyes and mouth, or the whole), D = 512 features a region. Sizes in
comments are those of the paper's recipe, 224 x 224, before the face is split.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, conv1x1

from mer_features.systems import backbones
from mer_features.systems.recipes.map_mer import MapMerRecipe

GROUPS = 4  # of shuffle attention


# ---------------------------------------------------------------- backbone


class ShuffleAttention(nn.Module):
    """Channel and spatial gates, for each group of channels its own (section 3.3; the original shares them).

    Parameters
    ----------
    channels
        A multiple of 8.
    gate
        `sigmoid`, or `softmax` across the groups.
    """

    def __init__(self, channels: int, gate: str) -> None:
        super().__init__()
        half = channels // (2 * GROUPS)
        shape = (GROUPS, half, 1, 1)
        self.channel_weight, self.channel_bias = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.ones(shape))
        self.spatial_weight, self.spatial_bias = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.ones(shape))
        self.norm = nn.GroupNorm(half, half)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:  # (N, c, H, W)
        """Gate one half of every group by its global mean, the other position by position; shuffle the channels."""
        by_mean, by_place = x.unflatten(1, (GROUPS, -1)).chunk(2, dim=2)  # (N, 4, c/8, H, W) each
        mean = by_mean.mean(dim=(3, 4), keepdim=True)  # (N, 4, c/8, 1, 1)
        place = self.norm(by_place.flatten(0, 1)).view_as(by_place)  # (N, 4, c/8, H, W)
        gated = [
            by_mean * self._gate(self.channel_weight * mean + self.channel_bias),
            by_place * self._gate(self.spatial_weight * place + self.spatial_bias),
        ]
        joined = torch.cat(gated, dim=2).flatten(1, 2)  # (N, c, H, W)
        return joined.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)  # of 0 .. c-1: 0, c/2, 1, c/2 + 1, ...

    def _gate(self, x: Tensor) -> Tensor:
        return F.softmax(x, dim=1) if self.gate == "softmax" else torch.sigmoid(x)


class AttentiveBlock(BasicBlock):
    """torchvision's basic block with shuffle attention before the residual sum."""

    def __init__(self, channels: int, planes: int, stride: int, gate: str) -> None:
        resized = stride != 1 or channels != planes
        shortcut = nn.Sequential(conv1x1(channels, planes, stride), nn.BatchNorm2d(planes)) if resized else None
        super().__init__(channels, planes, stride, shortcut)
        self.attention = ShuffleAttention(planes, gate)

    def forward(self, x: Tensor) -> Tensor:  # (N, channels, H, W)
        """(N, planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.attention(self.bn2(self.conv2(out)))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def stage(channels: int, planes: int, stride: int, recipe: MapMerRecipe) -> nn.Sequential:
    """One of ResNet's four stages."""
    widths = [channels, *[planes] * (recipe.blocks - 1)]
    strides = [stride, *[1] * (recipe.blocks - 1)]
    return nn.Sequential(
        *(AttentiveBlock(width, planes, step, recipe.gate) for width, step in zip(widths, strides, strict=True))
    )


# Modules are named as torchvision names them, so that its weights fit.
class Base(nn.Module):
    """What both halves go through: stem and stages 1 and 2."""

    def __init__(self, recipe: MapMerRecipe) -> None:
        super().__init__()
        width = recipe.width
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(width, width, 1, recipe)
        self.layer2 = stage(width, 2 * width, 2, recipe)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 112, 224)
        """(N, 128, 14, 28)."""
        x = self.pool(F.relu(self.bn1(self.conv1(x))))  # (N, 64, 28, 56)
        x = self.dropout(self.layer1(x))  # (N, 64, 28, 56)
        return self.dropout(self.layer2(x))  # (N, 128, 14, 28)


class Branch(nn.Module):
    """What one region goes through alone: stages 3 and 4, mean, unit length."""

    def __init__(self, recipe: MapMerRecipe) -> None:
        super().__init__()
        width = recipe.width
        self.layer3 = stage(2 * width, 4 * width, 2, recipe)
        self.layer4 = stage(4 * width, 8 * width, 2, recipe)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:  # (N, 128, 14, 28)
        """X_eyes or X_mouth, (N, D)."""
        x = self.dropout(self.layer3(x))  # (N, 256, 7, 14)
        x = self.layer4(x)  # (N, 512, 4, 7)
        return F.normalize(x.mean(dim=(2, 3)), dim=1)  # (N, D)

    @property
    def attended(self) -> nn.Module:
        """The last shuffle attention, on whose output class activation maps are made."""
        return self.layer4[-1].attention


# ---------------------------------------------------------------- fusion


class AreaWeights(nn.Module):
    """Area weighted module: a weight in (0, 1) for every feature of both regions, X_weight (Eq. 1).

    `code`: with layer norms and dropout, and features detached, so that only the loss on the weighted features trains
    the branches; `paper`: two linear layers, as printed.
    """

    def __init__(self, features: int, hidden: int, variant: str) -> None:
        super().__init__()
        self.detached = variant == "code"
        first, last = nn.Linear(features, hidden), nn.Linear(hidden, features)
        inner = [nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(0.3)] if variant == "code" else [nn.ReLU()]
        outer = [nn.LayerNorm(features)] if variant == "code" else []
        self.layers = nn.Sequential(first, *inner, last, *outer, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:  # (N, 2 D)
        """X_weight, (N, 2 D)."""
        return self.layers(x.detach() if self.detached else x)


def head(features: int, classes: int) -> nn.Sequential:
    """Classifier of one region: (N, D) -> (N, C)."""
    layers = [nn.Linear(features, features), nn.LayerNorm(features), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(features, classes))


class Output(NamedTuple):
    """What the network says about N clips."""

    logits: Tensor  # (N, R, C), of every region's head
    regions: Tensor  # (N, R, D), X_eyes_w and X_mouth_w of Eq. 3
    aligned: Tensor  # (N, R D), X_F at unit length, with dropout while training: what WSCL compares


class MapMer(nn.Module):
    """The whole network, from planes to logits."""

    def __init__(self, recipe: MapMerRecipe, classes: int) -> None:
        super().__init__()
        regions, features = recipe.branches, 8 * recipe.width
        self.base = Base(recipe)
        self.branches = nn.ModuleList(Branch(recipe) for _ in range(regions))
        weighted = recipe.awm != "none"
        self.awm = AreaWeights(regions * features, recipe.awm_width, recipe.awm) if weighted else None
        self.heads = nn.ModuleList(head(features, classes) for _ in range(regions))

    def forward(self, planes: Tensor) -> Output:  # (N, 3, 224, 224)
        """Split the face, extract each region's features, weigh them, classify each region."""
        halves = planes.chunk(len(self.branches), dim=2)  # rows: eyes, mouth; R x (N, 3, 112, 224)
        # One pass a half: batch normalisation sees each by itself, as in the authors' code.
        found = [branch(self.base(half)) for branch, half in zip(self.branches, halves, strict=True)]
        fused = torch.cat(found, dim=1)  # (N, R D)
        if self.awm is not None:
            fused = fused * self.awm(fused)  # Eq. 2
        regions = fused.unflatten(1, (len(self.branches), -1))  # (N, R, D), Eq. 3
        logits = [classify(region) for classify, region in zip(self.heads, regions.unbind(1), strict=True)]
        aligned = F.dropout(F.normalize(fused, dim=1), 0.1, self.training)
        return Output(torch.stack(logits, dim=1), regions, aligned)


def network(recipe: MapMerRecipe, classes: int) -> MapMer:
    """The network of a recipe, convolutions started as ResNet's or from its ImageNet weights."""
    net = MapMer(recipe, classes)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if recipe.imagenet is not None:
        _start_from(net, recipe.imagenet)
    return net


def _start_from(net: MapMer, path: Path) -> None:
    """ResNet-18's weights in base and branches; shuffle attention, which it lacks, stays as it is."""
    known = backbones.resnet("resnet18", path).state_dict()
    for part in (net.base, *net.branches):
        own = part.state_dict()
        part.load_state_dict(own | {name: known[name] for name in own.keys() & known.keys()})
