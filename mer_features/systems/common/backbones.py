"""Image backbones that several systems use: torchvision classifiers, and residual networks of 6n + 2 layers."""

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
        Name of the network.
    weights
        File of a torchvision ``state_dict`` (for example ``resnet18-f37072fd.pth``). Nothing is downloaded.

    Raises
    ------
    ValueError
        If the file is not such a state_dict. The message names the file and the first tensor that does not fit.
    """
    network = classifier(depth, weights)
    assert isinstance(network, models.ResNet)
    return network


def _load(network: nn.Module, path: Path, depth: str) -> None:
    weights = engine.read_weights(path)
    expected = network.state_dict()
    for name, value in expected.items():
        if name not in weights or weights[name].shape != value.shape:
            shape = tuple(weights[name].shape) if name in weights else "nothing"
            raise ValueError(f"{path}: found {shape} for {name}, expected the shape of {depth}, {tuple(value.shape)}")
    network.load_state_dict({name: weights[name] for name in expected})


def normalised(images: Tensor) -> Tensor:
    """Normalise images (N, 3, H, W) in [0, 1] as networks trained on ImageNet expect them."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device, dtype=images.dtype)
    std = torch.tensor(IMAGENET_STD, device=images.device, dtype=images.dtype)
    return (images - mean[:, None, None]) / std[:, None, None]


#: Arguments of torchvision's functions, by network. GoogLeNet is built without its auxiliary classifiers, and rescales
#: its images as the published weights expect. Its random weights are PyTorch's usual ones.
_ARGUMENTS = {"googlenet": {"aux_logits": False, "init_weights": False, "transform_input": True}}


def classifier(name: str, weights: Path | None = None) -> nn.Module:
    """A torchvision classifier by name, 1000-way layer included. Unlike :func:`resnet` it takes any family."""
    network: nn.Module = getattr(models, name)(weights=None, **_ARGUMENTS.get(name, {}))
    if weights is not None:
        _load(network, Path(weights), name)
    return network


# ---------------------------------------------------------------- residual networks of 6n + 2 layers

#: Channels of the three stages (He et al. 2016, section 4.2, the networks for CIFAR).
WIDTHS = (16, 32, 64)


class Output(NamedTuple):
    """Output of a network for N images."""

    logits: Tensor  # (N, K)
    features: Tensor  # (N, width), input of the last linear layer
    maps: tuple[Tensor, ...] = ()  # outputs of the stages, (N, C, H, W) each


def conv(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    """3 x 3 convolution without bias, because a batch norm follows."""
    return nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters (option A: subsample, fill new channels with zeros)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, width, stride), conv(width, width)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.stride, self.grown = stride, width - channels

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        """ReLU of the sum of residual and shortcut."""
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
    """Stage ``number``, 0 to 2; all stages but the first halve the resolution."""
    channels, width = WIDTHS[max(number - 1, 0)], WIDTHS[number]
    first = Block(channels, width, 1 if number == 0 else 2)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1)))


class ResNet(nn.Module):
    """A residual network of 6n + 2 layers (He et al. 2016, section 4.2).

    Parameters
    ----------
    depth
        Number of layers, 6n + 2.
    classes
        Number of classes, K.
    stem_kind
        `cifar` keeps the full resolution; `strided` reduces it to a quarter.

    Raises
    ------
    ValueError
        If ``depth`` is not 6n + 2.
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
        """Classify the images; the maps are the outputs of the stages."""
        x = self.stem(images)  # (N, 16, S, S)
        maps = []
        for part in self.stages:
            x = part(x)  # (N, 16, S, S), (N, 32, S/2, S/2), (N, 64, S/4, S/4)
            maps.append(x)
        features = x.mean(dim=(2, 3))  # (N, 64)
        return Output(self.classifier(features), features, tuple(maps))


def initialise(network: nn.Module, std: float) -> None:
    """Draw the weights of all convolutions and linear layers from N(0, std²); set biases to 0; keep batch norms."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def training_mean(images: Tensor) -> Tensor:
    """Mean of each channel of images (N, 3, H, W) uint8; (3,) float32 in [0, 1]."""
    means = torch.stack([image.double().mean(dim=(1, 2)) for image in images])
    return (means.mean(dim=0) / 255).float()
