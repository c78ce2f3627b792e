"""Image backbones that several systems start from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models

from mer_features.systems import engine

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
        If the file is no such state_dict; names the file and the first tensor that does not fit.
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
