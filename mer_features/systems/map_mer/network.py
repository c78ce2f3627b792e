"""Network of MAP-MER: ResNet-18 with shuffle attention, a shared base, a branch for each half of the face.

Shapes: N clips, C classes, R regions of the face (eyes and mouth, or the whole), D = 512 features a region. Sizes in
comments are those of the paper's recipe, 224 x 224, before the face is split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, conv1x1

from mer_features.systems.common import backbones
from mer_features.systems.map_mer.recipe import MapMerRecipe

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


# Losses of MAP-MER. N clips, C classes, R regions, A action units; batch means where the equations print sums.


def overlap(units: Tensor) -> Tensor:
    """Shared among all action units of every two clips, w (N, N) float32 in [0, 1] (Eq. 4); two empty sets: 0 (ours).

    Parameters
    ----------
    units
        Action units seen, (N, A), zero or not.
    """
    seen = (units != 0).float()
    common = seen @ seen.T
    count = seen.sum(dim=1)
    return common / (count[:, None] + count - common).clamp(min=1)


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Clips of the largest class per clip of each class, (C,) float32 (Eq. 6); a class without clips counts as one."""
    counts = torch.bincount(labels, minlength=classes)
    return counts.max() / counts.clamp(min=1)


def classification(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Weighted cross-entropy of every region's head, summed over the regions (Eq. 7).

    Each is torch's weighted mean: divided by the sum of the weights of the clips' classes.

    Parameters
    ----------
    logits
        (N, R, C).
    labels
        (N,) int64.
    weights
        Of the classes, (C,).
    smoothing
        Of the labels, 0 .. 1.
    """
    parts = [F.cross_entropy(part, labels, weights, label_smoothing=smoothing) for part in logits.unbind(1)]
    return torch.stack(parts).sum()


def alignment(features: Tensor, overlaps: Tensor, temperature: float, variant: str) -> Tensor:
    """Weighted supervised contrastive loss (Eq. 5), mean over the clips that share an action unit with another.

    Parameters
    ----------
    features
        Of the clips, (N, F).
    overlaps
        w, (N, N).
    temperature
        τ.
    variant
        `excluded_self`: a clip itself is in no sum. `literal`: it is in both denominators, as printed. `code`: it is
        its own positive and in no softmax denominator.

    Returns
    -------
    Tensor
        A number; 0 without such clips.
    """
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    positives = overlaps if variant == "code" else overlaps.masked_fill(itself, 0)
    scale = (overlaps if variant == "literal" else positives).sum(dim=1)
    kept = positives.sum(dim=1) > 0
    if len(features) < 2 or not kept.any():
        return features.sum() * 0
    similarity = features @ features.T / temperature
    compared = similarity if variant == "literal" else similarity.masked_fill(itself, -torch.inf)
    log_share = similarity - compared.logsumexp(dim=1, keepdim=True)
    return (-(positives * log_share).sum(dim=1)[kept] / scale[kept]).mean()


class Losses(NamedTuple):
    """The terms of Eq. 8."""

    total: Tensor
    classification: Tensor
    alignment: Tensor


def losses(output: Output, labels: Tensor, units: Tensor, weights: Tensor, recipe: MapMerRecipe) -> Losses:
    """L = (1 - λ) L_cls + λ L_wscl (Eq. 8); L_cls alone without AU alignment."""
    classified = classification(output.logits, labels, weights, recipe.label_smoothing)
    if not recipe.au_alignment:
        return Losses(classified, classified, torch.zeros_like(classified))
    aligned = alignment(output.aligned, overlap(units), recipe.temperature, recipe.wscl)
    total = (1 - recipe.alignment_weight) * classified + recipe.alignment_weight * aligned
    return Losses(total, classified, aligned)


# Where MAP-MER looks: AU-CAM (paper 004, Eq. 12 and 13) and Grad-CAM beside it.


def au_cam(net: MapMer, planes: Tensor) -> Tensor:
    """Where each region's strongest feature comes from; see :func:`_maps`."""
    return _maps(net, planes, lambda output: list(output.regions.amax(dim=2).unbind(1)))


def grad_cam(net: MapMer, planes: Tensor, predict: Callable[[Tensor], Tensor]) -> Tensor:
    """Where the predicted class comes from; see :func:`_maps`. ``predict``: logits (N, R, C) -> scores (N, C)."""

    def target(output: Output) -> list[Tensor]:
        predicted = predict(output.logits).argmax(dim=1, keepdim=True)  # (N, 1)
        summed = output.logits.sum(dim=1).gather(1, predicted)[:, 0]  # (N,)
        return [summed] * output.logits.shape[1]

    return _maps(net, planes, target)


def _maps(net: MapMer, planes: Tensor, targets: Callable[[Output], Sequence[Tensor]]) -> Tensor:
    """Class activation maps in evaluation mode.

    Parameters
    ----------
    net
        In evaluation mode: clips do not depend on each other.
    planes
        As the network takes them, (N, 3, S, S).
    targets
        Numbers (N,) for each of the R regions.

    Returns
    -------
    Tensor, (N, S, S) float32
        Regions stacked, each in [0, 1] by its own minimum and maximum; zero where nothing speaks for the target.
    """
    attended: list[Tensor] = []
    hooks = [
        branch.attended.register_forward_hook(lambda _module, _input, found: attended.append(found))
        for branch in net.branches
    ]
    try:
        with torch.enable_grad():
            wanted = targets(net(planes))
            # One target may ask for the gradient of the graph that the next one needs again.
            slopes = [
                torch.autograd.grad(target.sum(), found, retain_graph=True)[0]
                for target, found in zip(wanted, attended, strict=True)
            ]
    finally:
        for hook in hooks:
            hook.remove()
    size = (planes.shape[2] // len(attended), planes.shape[3])
    heats = [_heat(found.detach(), slope, size) for found, slope in zip(attended, slopes, strict=True)]
    return torch.cat(heats, dim=1)


def _heat(maps: Tensor, slopes: Tensor, size: tuple[int, int]) -> Tensor:
    """ReLU(Σ_k α_k A_k) with α_k the mean slope (Eq. 13), scaled to [0, 1], at the size of the region."""
    found = F.relu((slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True))  # (N, 1, h, w)
    low, high = found.amin(dim=(2, 3), keepdim=True), found.amax(dim=(2, 3), keepdim=True)
    scaled = (found - low) / torch.where(high > low, high - low, 1)
    return F.interpolate(scaled, size, mode="bilinear", align_corners=False)[:, 0]
