"""Networks of SA-AT, their attention maps and the distances of the maps.

Shapes: N images, J channels of a stage, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from mer_features.systems.common import backbones
from mer_features.systems.common.backbones import Output

#: Smallest length by which an attention map is divided, so that a map of zeros stays zero.
EPSILON = 1e-8

# ---------------------------------------------------------------- networks


class Plain(nn.Module):
    """AlexNet or VGG-16 of torchvision with the interface of the residual networks, but without stages to compare."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        self.net = getattr(models, name)(weights=None, num_classes=classes)

    def forward(self, images: Tensor) -> Output:  # (N, 3, H, W)
        """Classify the images; the features are the input of the last layer."""
        features = self.net.avgpool(self.net.features(images)).flatten(1)
        features = self.net.classifier[:-1](features)  # (N, 4096)
        return Output(self.net.classifier[-1](features), features)


def classifier(name: str, classes: int, stem: str) -> nn.Module:
    """A network by its name in a recipe, with the default initialisation of its layers."""
    if name in ("alexnet", "vgg16"):
        return Plain(name, classes)
    return backbones.ResNet(int(name.removeprefix("resnet")), classes, stem)


class Recogniser(nn.Module):
    """A network together with the normalisation of its images, which is stored with its weights.

    Parameters
    ----------
    name, stem
        Name and stem of the network.
    classes
        Number of classes, K.
    scale
        Normalisation, `mean` or `imagenet`.
    std
        Standard deviation of the initial weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, classes: int, *, stem: str, scale: str, std: float) -> None:
        super().__init__()
        self.net = classifier(name, classes, stem)
        backbones.initialise(self.net, std)
        imagenet = scale == "imagenet"
        self.measured = not imagenet
        self.register_buffer("mean", torch.tensor(backbones.IMAGENET_MEAN if imagenet else (0.0, 0.0, 0.0)))
        self.register_buffer("std", torch.tensor(backbones.IMAGENET_STD if imagenet else (1.0, 1.0, 1.0)))

    def measure(self, images: Tensor) -> None:
        """Measure the channel means of the training images (N, 3, H, W) uint8, if the normalisation is `mean`."""
        if self.measured:
            self.mean.copy_(backbones.training_mean(images))

    def forward(self, images: Tensor) -> Output:  # (N, 3, H, W) uint8
        """Normalise and classify."""
        normalised = (images.float() / 255 - self.mean[:, None, None]) / self.std[:, None, None]
        return self.net(normalised)


# ---------------------------------------------------------------- attention


def attention(features: Tensor, p: int) -> Tensor:
    """Attention map F (N, H, W) of the output (N, J, H, W) of a stage: Σ_j |A_j|^p; Eq. 2 has p = 1."""
    features = features.float()
    return (features.abs() if p == 1 else features.square()).sum(dim=1)


def unit(maps: Tensor) -> Tensor:
    """Q / ‖Q‖₂ of maps (N, H, W), as (N, H W); a map of zeros stays zero."""
    return F.normalize(maps.flatten(1), dim=1, eps=EPSILON)


def distance(student: Tensor, teacher: Tensor, form: str) -> Tensor:
    """Distance of the attention maps (N, H, W) of one stage, mean over the images.

    Parameters
    ----------
    student, teacher
        Maps. If their sizes differ, the larger map is averaged to the size of the smaller one.
    form
        `norm`: Euclidean norm of the difference of the unit maps (Eq. 4), 0 .. √2; `mean_square`: mean
        square of its elements (Zagoruyko and Komodakis).
    """
    smaller = min(student.shape[1:], teacher.shape[1:])
    difference = unit(pooled(student, smaller)) - unit(pooled(teacher, smaller))  # (N, H W)
    if form == "mean_square":
        return difference.square().mean()
    return torch.linalg.vector_norm(difference, dim=1).mean()


def pooled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Average maps (N, H, W) to a size."""
    return maps if maps.shape[1:] == tuple(size) else F.adaptive_avg_pool2d(maps, tuple(size))


def transfer(student: Output, teacher: Output, form: str, p: int) -> Tensor:
    """Sum over the stages of the distances between the attention of student and teacher (the sum in Eq. 4)."""
    pairs = zip(student.maps, teacher.maps, strict=True)
    return torch.stack([distance(attention(s, p), attention(t, p), form) for s, t in pairs]).sum()
