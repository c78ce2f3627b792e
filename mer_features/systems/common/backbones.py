"""Image backbones that several systems start from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from mer_features.systems.common import engine

#: Per-channel mean and standard deviation that networks trained on ImageNet expect, images in [0, 1].
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Depth = Literal["resnet18", "resnet34", "resnet101"]


def resnet(depth: Depth, weights: Path | None = None) -> models.ResNet:
    """A torchvision ResNet, 1000-way layer included, with a user's ImageNet weights or torchvision's initialisation.

    Parameters
    ----------
    depth
        Which one.
    weights
        File of a torchvision ``state_dict`` (for example ``resnet18-f37072fd.pth``). Nothing is downloaded.

    Raises
    ------
    ValueError
        If the file is not such a state_dict; names the file and the first tensor that does not fit.
    """
    network = classifier(depth, weights)
    assert isinstance(network, models.ResNet)
    return network


def _load(network: nn.Module, path: Path, depth: str) -> None:
    found = engine.read_weights(path)
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in found or found[name].shape != value.shape:
            shape = tuple(found[name].shape) if name in found else "nothing"
            raise ValueError(f"{path}: found {shape} for {name}, expected {tuple(value.shape)} as {depth} has it")
    network.load_state_dict({name: found[name] for name in wanted})


def normalised(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) in [0, 1] as networks trained on ImageNet expect them."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device, dtype=images.dtype)
    std = torch.tensor(IMAGENET_STD, device=images.device, dtype=images.dtype)
    return (images - mean[:, None, None]) / std[:, None, None]


def classifier(name: str, weights: Path | None = None) -> nn.Module:
    """A torchvision classifier by name, 1000-way layer included: :func:`resnet` for other families too."""
    network = getattr(models, name)(weights=None)
    if weights is not None:
        _load(network, Path(weights), name)
    return network


# Residual networks of 6n + 2 layers (He et al. 2016, section 4.2), as they are used on CIFAR; free of any task.

WIDTHS = (16, 32, 64)


class Output(NamedTuple):
    """What a network says about N images."""

    logits: Tensor  # (N, K)
    features: Tensor  # (N, width), what the last linear layer sees
    maps: tuple[Tensor, ...] = ()  # outputs of the stages, (N, C, H, W) each


def conv(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    """3 x 3 convolution without bias: a batch norm follows."""
    return nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters (option A): subsampled, new channels zero."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, width, stride), conv(width, width)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.stride, self.grown = stride, width - channels

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        """ReLU of residual and shortcut."""
        residual = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        if self.grown:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.grown))
        return F.relu(residual + shortcut)


def stem(kind: str) -> nn.Sequential:
    """First convolution: (N, 3, H, W) -> (N, 16, S, S)."""
    layers = [conv(3, WIDTHS[0], 2 if kind == "strided" else 1), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if kind == "strided" else []))


def stage(number: int, blocks: int) -> nn.Sequential:
    """One of the three stages, 0 .. 2; all but the first halve the resolution."""
    channels, width = WIDTHS[max(number - 1, 0)], WIDTHS[number]
    first = Block(channels, width, 1 if number == 0 else 2)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1)))


class ResNet(nn.Module):
    """The whole network.

    Parameters
    ----------
    depth
        6n + 2.
    classes
        K.
    stem_kind
        `cifar`: full resolution; `strided`: a quarter of it.
    """

    def __init__(self, depth: int, classes: int, stem_kind: str = "cifar") -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth {depth} is not 6n + 2")
        self.stem = stem(stem_kind)
        self.stages = nn.ModuleList(stage(number, blocks) for number in range(3))
        self.classifier = nn.Linear(WIDTHS[2], classes)

    def forward(self, images: Tensor) -> Output:  # (N, 3, H, W)
        """Classify; the maps are the stages' outputs."""
        x = self.stem(images)  # (N, 16, S, S)
        maps = []
        for part in self.stages:
            x = part(x)  # (N, 16, S, S), (N, 32, S/2, S/2), (N, 64, S/4, S/4)
            maps.append(x)
        features = x.mean(dim=(2, 3))  # (N, 64)
        return Output(self.classifier(features), features, tuple(maps))


def initialise(network: nn.Module, std: float) -> None:
    """Weights of all convolutions and linear layers from N(0, std²), biases 0; batch norms start as identity."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def training_mean(images: Tensor) -> Tensor:
    """Mean of every channel of images (N, 3, H, W) uint8, in [0, 1], (3,) float32."""
    sums = torch.stack([image.double().mean(dim=(1, 2)) for image in images])
    return (sums.mean(dim=0) / 255).float()
