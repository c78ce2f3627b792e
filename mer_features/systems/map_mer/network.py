"""Network, losses and class activation maps of MAP-MER.

The network is a ResNet-18 with shuffle attention: a shared base, then one branch per half of the face.

Shapes: N clips, C classes, R regions of the face (eyes and mouth, or the whole face), D = 512 features per region,
A action units. Sizes in comments are for the paper's input of 224 x 224 pixels before the face is split.
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

GROUPS = 4  # channel groups of shuffle attention


# ---------------------------------------------------------------- backbone


class ShuffleAttention(nn.Module):
    """Channel and spatial gates, separate for each group of channels (section 3.3; the original shares them).

    Parameters
    ----------
    channels
        Number of channels, a multiple of 8.
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
        """Gate one half of each group by its global mean and the other half per position; shuffle the channels."""
        by_mean, by_place = x.unflatten(1, (GROUPS, -1)).chunk(2, dim=2)  # (N, 4, c/8, H, W) each
        mean = by_mean.mean(dim=(3, 4), keepdim=True)  # (N, 4, c/8, 1, 1)
        place = self.norm(by_place.flatten(0, 1)).view_as(by_place)  # (N, 4, c/8, H, W)
        halves = [
            by_mean * self._gate(self.channel_weight * mean + self.channel_bias),
            by_place * self._gate(self.spatial_weight * place + self.spatial_bias),
        ]
        joined = torch.cat(halves, dim=2).flatten(1, 2)  # (N, c, H, W)
        return (
            joined.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        )  # new order of channels: 0, c/2, 1, c/2 + 1, ...

    def _gate(self, x: Tensor) -> Tensor:
        return F.softmax(x, dim=1) if self.gate == "softmax" else torch.sigmoid(x)


class AttentiveBlock(BasicBlock):
    """Basic block of torchvision with shuffle attention before the residual sum."""

    def __init__(self, channels: int, planes: int, stride: int, gate: str) -> None:
        resized = stride != 1 or channels != planes
        shortcut = nn.Sequential(conv1x1(channels, planes, stride), nn.BatchNorm2d(planes)) if resized else None
        super().__init__(channels, planes, stride, shortcut)
        self.attention = ShuffleAttention(planes, gate)

    def forward(self, x: Tensor) -> Tensor:  # (N, channels, H, W)
        """Output (N, planes, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.attention(self.bn2(self.conv2(out)))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def stage(channels: int, planes: int, stride: int, recipe: MapMerRecipe) -> nn.Sequential:
    """One of the four stages of a ResNet."""
    widths = [channels, *[planes] * (recipe.blocks - 1)]
    strides = [stride, *[1] * (recipe.blocks - 1)]
    return nn.Sequential(
        *(AttentiveBlock(width, planes, step, recipe.gate) for width, step in zip(widths, strides, strict=True))
    )


# The modules have torchvision's names, so that its weights can be loaded.
class Base(nn.Module):
    """Shared layers of both halves: stem, stage 1 and stage 2."""

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
        """Features (N, 128, 14, 28)."""
        x = self.pool(F.relu(self.bn1(self.conv1(x))))  # (N, 64, 28, 56)
        x = self.dropout(self.layer1(x))  # (N, 64, 28, 56)
        return self.dropout(self.layer2(x))  # (N, 128, 14, 28)


class Branch(nn.Module):
    """Layers of one region: stages 3 and 4, spatial mean, unit length."""

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
        """The last shuffle attention; class activation maps use its output."""
        return self.layer4[-1].attention


# ---------------------------------------------------------------- fusion


class AreaWeights(nn.Module):
    """Area weighted module: a weight in (0, 1) for every feature of both regions, X_weight (Eq. 1).

    `code`: with layer norms, dropout and detached features, so that only the loss on the weighted features trains the
    branches. `paper`: two linear layers, as printed.
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
    """Output of the network for N clips."""

    logits: Tensor  # (N, R, C), logits of the head of each region
    regions: Tensor  # (N, R, D), X_eyes_w and X_mouth_w of Eq. 3
    aligned: Tensor  # (N, R D), X_F at unit length, with dropout during training; input of WSCL


class MapMer(nn.Module):
    """The complete network, from planes to logits."""

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
        # One pass per half: batch normalisation treats each half separately, as in the authors' code.
        features = [branch(self.base(half)) for branch, half in zip(self.branches, halves, strict=True)]
        fused = torch.cat(features, dim=1)  # (N, R D)
        if self.awm is not None:
            fused = fused * self.awm(fused)  # Eq. 2
        regions = fused.unflatten(1, (len(self.branches), -1))  # (N, R, D), Eq. 3
        logits = [classify(region) for classify, region in zip(self.heads, regions.unbind(1), strict=True)]
        aligned = F.dropout(F.normalize(fused, dim=1), 0.1, self.training)
        return Output(torch.stack(logits, dim=1), regions, aligned)


def network(recipe: MapMerRecipe, classes: int) -> MapMer:
    """The network of a recipe; convolutions start from ResNet's initialisation or from its ImageNet weights."""
    net = MapMer(recipe, classes)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if recipe.imagenet is not None:
        _start_from(net, recipe.imagenet)
    return net


def _start_from(net: MapMer, path: Path) -> None:
    """Load ResNet-18's weights into base and branches; shuffle attention, which ResNet-18 lacks, does not change."""
    pretrained = backbones.resnet("resnet18", path).state_dict()
    for part in (net.base, *net.branches):
        own = part.state_dict()
        part.load_state_dict(own | {name: pretrained[name] for name in own.keys() & pretrained.keys()})


# ---------------------------------------------------------------- losses: batch means, where the paper has sums


def overlap(units: Tensor) -> Tensor:
    """Overlap w (N, N) of the action units of each pair of clips, float32 in [0, 1] (Eq. 4).

    It is the number of shared action units divided by the number of all action units of both clips; 0 if neither clip
    has any (ours).

    Parameters
    ----------
    units
        Action units of the clips, (N, A); nonzero where a unit is present.
    """
    present = (units != 0).float()
    common = present @ present.T
    count = present.sum(dim=1)
    return common / (count[:, None] + count - common).clamp(min=1)


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Size of the largest class over the size of each class, (C,) float32 (Eq. 6); an empty class has size 1."""
    counts = torch.bincount(labels, minlength=classes)
    return counts.max() / counts.clamp(min=1)


def classification(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Weighted cross-entropy of the head of each region, summed over the regions (Eq. 7).

    Each term is torch's weighted mean: it is divided by the sum of the weights of the clips' classes.

    Parameters
    ----------
    logits
        Logits, (N, R, C).
    labels
        True classes, (N,) int64.
    weights
        Class weights, (C,).
    smoothing
        Label smoothing, 0 to 1.
    """
    parts = [F.cross_entropy(part, labels, weights, label_smoothing=smoothing) for part in logits.unbind(1)]
    return torch.stack(parts).sum()


def alignment(features: Tensor, overlaps: Tensor, temperature: float, variant: str) -> Tensor:
    """Weighted supervised contrastive loss (Eq. 5), mean over the clips that share an action unit with another clip.

    Parameters
    ----------
    features
        Features of the clips, (N, F).
    overlaps
        w of :func:`overlap`, (N, N).
    temperature
        τ.
    variant
        `excluded_self`: the clip itself is in none of its sums. `literal`: it is in both denominators, as printed.
        `code`: it is its own positive, but it is not in the softmax denominator.

    Returns
    -------
    Tensor
        Scalar; 0 if there are no such clips.
    """
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    positives = overlaps if variant == "code" else overlaps.masked_fill(itself, 0)
    scale = (overlaps if variant == "literal" else positives).sum(dim=1)
    has_positive = positives.sum(dim=1) > 0
    if len(features) < 2 or not has_positive.any():
        return features.sum() * 0
    similarity = features @ features.T / temperature
    compared = similarity if variant == "literal" else similarity.masked_fill(itself, -torch.inf)
    log_share = similarity - compared.logsumexp(dim=1, keepdim=True)
    return (-(positives * log_share).sum(dim=1)[has_positive] / scale[has_positive]).mean()


class Losses(NamedTuple):
    """The terms of Eq. 8."""

    total: Tensor
    classification: Tensor
    alignment: Tensor


def losses(output: Output, labels: Tensor, units: Tensor, weights: Tensor, recipe: MapMerRecipe) -> Losses:
    """L = (1 - λ) L_cls + λ L_wscl (Eq. 8); without AU alignment only L_cls."""
    class_loss = classification(output.logits, labels, weights, recipe.label_smoothing)
    if not recipe.au_alignment:
        return Losses(class_loss, class_loss, torch.zeros_like(class_loss))
    alignment_loss = alignment(output.aligned, overlap(units), recipe.temperature, recipe.wscl)
    total = (1 - recipe.alignment_weight) * class_loss + recipe.alignment_weight * alignment_loss
    return Losses(total, class_loss, alignment_loss)


# ---------------------------------------------------------------- class activation maps: AU-CAM and Grad-CAM


def au_cam(net: MapMer, planes: Tensor) -> Tensor:
    """AU-CAM (Eq. 12 and 13): heat map of the strongest feature of each region, as :func:`_maps` returns it."""
    return _maps(net, planes, lambda output: list(output.regions.amax(dim=2).unbind(1)))


def grad_cam(net: MapMer, planes: Tensor, predict: Callable[[Tensor], Tensor]) -> Tensor:
    """Grad-CAM of the predicted class, as :func:`_maps` returns it; ``predict``: logits (N, R, C) -> scores (N, C)."""

    def target(output: Output) -> list[Tensor]:
        predicted = predict(output.logits).argmax(dim=1, keepdim=True)  # (N, 1)
        summed = output.logits.sum(dim=1).gather(1, predicted)[:, 0]  # (N,)
        return [summed] * output.logits.shape[1]

    return _maps(net, planes, target)


def _maps(net: MapMer, planes: Tensor, targets: Callable[[Output], Sequence[Tensor]]) -> Tensor:
    """Class activation maps of all regions.

    Parameters
    ----------
    net
        The network in evaluation mode, so that clips do not depend on each other.
    planes
        Input of the network, (N, 3, S, S).
    targets
        Function from the output to R tensors (N,), the target of each region.

    Returns
    -------
    Tensor, (N, S, S) float32
        Maps of the regions, stacked; each is scaled to [0, 1] by its own minimum and maximum. Places that do not
        support the target are 0.
    """
    features: list[Tensor] = []
    hooks = [
        branch.attended.register_forward_hook(lambda _module, _input, output: features.append(output))
        for branch in net.branches
    ]
    try:
        with torch.enable_grad():
            region_targets = targets(net(planes))
            # The graph is retained, because the targets may share it.
            slopes = [
                torch.autograd.grad(target.sum(), maps, retain_graph=True)[0]
                for target, maps in zip(region_targets, features, strict=True)
            ]
    finally:
        for hook in hooks:
            hook.remove()
    size = (planes.shape[2] // len(features), planes.shape[3])
    heats = [_heat(maps.detach(), slope, size) for maps, slope in zip(features, slopes, strict=True)]
    return torch.cat(heats, dim=1)


def _heat(maps: Tensor, slopes: Tensor, size: tuple[int, int]) -> Tensor:
    """ReLU(Σ_k α_k A_k) with α_k the mean slope (Eq. 13), scaled to [0, 1] and resized to the region."""
    heat = F.relu((slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True))  # (N, 1, h, w)
    low, high = heat.amin(dim=(2, 3), keepdim=True), heat.amax(dim=(2, 3), keepdim=True)
    scaled = (heat - low) / torch.where(high > low, high - low, 1)
    return F.interpolate(scaled, size, mode="bilinear", align_corners=False)[:, 0]
