"""CapsuleNet: capsules on ResNet-18 features of the apex face (Quang, Chun and Tokuyama 2019).

Capsules, dynamic routing and the margin loss are those of Sabour, Frosst and Hinton 2017, "Dynamic routing between
capsules". Sizes of layers are those of the published code (github.com/davidnvq/me_recognition). Shapes: N clips, I
primary capsules, K classes, D = 16 values per capsule of a class.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from mer_features.systems.baselines.recipe import CapsuleNetRecipe
from mer_features.systems.common import backbones, engine, inputs
from mer_features.systems.common.contract import Arrays, Examples, Setup

#: Channels of ResNet-18's third stage and of the convolution after it.
_CHANNELS = 256
#: Values of a primary capsule and of the capsule of a class.
PRIMARY, EXPRESSION = 8, 16
#: Side of the square kernels between ResNet-18 and the capsules.
_KERNEL = 9
#: Keeps the gradient of a length finite at 0.
_EPSILON = 1e-12


def variables(recipe: CapsuleNetRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return ("faces/apex",)


def prepare(recipe: CapsuleNetRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``image``: the apex face, (3, L, L) uint8; L is 15/14 of the recipe's size, because the images are cropped."""
    return {"image": inputs.rgb(clip["faces/apex"], recipe.size * 15 // 14)}


# ---------------------------------------------------------------- capsules


def squash(vectors: Tensor) -> Tensor:
    """Shorten vectors (..., D) of length s to length s² / (1 + s²) (Sabour et al., Eq. 1)."""
    square = vectors.square().sum(dim=-1, keepdim=True)
    return vectors * torch.sqrt(square + _EPSILON) / (1 + square)


def route(votes: Tensor, iterations: int) -> Tensor:
    """Dynamic routing by agreement (Sabour et al., Procedure 1).

    Parameters
    ----------
    votes : Tensor, shape (N, I, K, D)
        Prediction of every primary capsule for the capsule of every class.
    iterations
        At least 1. Gradients flow through the last iteration alone, as in the published code.

    Returns
    -------
    Tensor, shape (N, K, D)
        Capsules of the classes; their lengths are below 1.
    """
    fixed = votes.detach()
    agreement = torch.zeros_like(fixed[..., 0])  # (N, I, K)
    for _ in range(iterations - 1):
        capsules = squash(_weighted_sum(agreement, fixed))
        agreement = agreement + torch.einsum("nikd,nkd->nik", fixed, capsules)
    return squash(_weighted_sum(agreement, votes))


def _weighted_sum(agreement: Tensor, votes: Tensor) -> Tensor:
    """Sum of the votes; each primary capsule shares a weight of 1 among the classes, (N, K, D)."""
    return torch.einsum("nik,nikd->nkd", agreement.softmax(dim=-1), votes)


def margin_loss(lengths: Tensor, labels: Tensor, present: float, absent: float, weight: float) -> Tensor:
    """Margin loss of capsule lengths (N, K) (Sabour et al., Eq. 4): sum over the classes, mean over the clips.

    ``max(0, present - length)²`` for the right class, ``weight max(0, length - absent)²`` for each other class.
    """
    right = F.one_hot(labels, lengths.shape[1]).bool()
    short, long = (present - lengths).clamp(min=0).square(), (lengths - absent).clamp(min=0).square()
    return torch.where(right, short, weight * long).sum(dim=1).mean()


class Capsules(nn.Module):
    """Primary capsules of a feature map (N, 256, M, M), and from them the capsules of K classes (N, K, 16)."""

    def __init__(self, side: int, classes: int, routings: int) -> None:
        super().__init__()
        self.routings = routings
        self.primary = nn.Conv2d(_CHANNELS, _CHANNELS, _KERNEL, stride=2)
        count = _CHANNELS // PRIMARY * ((side - _KERNEL) // 2 + 1) ** 2
        self.weight = nn.Parameter(0.01 * torch.randn(count, classes, EXPRESSION, PRIMARY))

    def forward(self, maps: Tensor) -> Tensor:
        """Group the channels of each place into capsules, transform each for every class, and route."""
        places = self.primary(maps).permute(0, 2, 3, 1)
        capsules = squash(places.reshape(len(maps), -1, PRIMARY))
        return route(torch.einsum("ikdp,nip->nikd", self.weight, capsules), self.routings)


# ---------------------------------------------------------------- network


class Network(engine.Network):
    """The network and its training; 13,842,496 parameters for three classes and images of 224 pixels."""

    def __init__(self, recipe: CapsuleNetRecipe, classes: int) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        resnet = backbones.resnet("resnet18", recipe.imagenet_weights)
        # Without ResNet's max pooling, as in the published code: a place of the maps covers 8 pixels.
        self.features = nn.Sequential(
            resnet.conv1, resnet.bn1, resnet.relu, resnet.layer1, resnet.layer2, resnet.layer3,
            nn.Conv2d(_CHANNELS, _CHANNELS, _KERNEL), nn.ReLU(),
        )  # fmt: skip
        self.capsules = Capsules(recipe.size // 8 - _KERNEL + 1, classes, recipe.routings)
        self.augmentation = v2.Compose([
            v2.RandomRotation(8), v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2, 0.2),
            v2.RandomCrop(recipe.size),
        ])  # fmt: skip
        self.crop = v2.CenterCrop(recipe.size)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, S, S) uint8 -> (N, K, 16)
        """Capsules of the classes."""
        return self.capsules(self.features(images.float() / 255))

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last batch of one image is left out, because of the batch norms."""
        return engine.Batches(examples, self.recipe.batch_size, fewest=2)

    def training_step(self, batch: engine.Batch) -> Tensor:
        """Margin loss; every image is augmented on its own."""
        recipe, images = self.recipe, batch["image"]
        views = torch.stack([self.augmentation(image) for image in images]) if recipe.augment else self.crop(images)
        lengths = torch.linalg.vector_norm(self(views), dim=-1)
        return margin_loss(lengths, batch["label"], recipe.present_margin, recipe.absent_margin, recipe.absent_weight)

    def configure_optimizers(self) -> dict[str, object]:
        """Adam, with a learning rate that decays after each epoch."""
        optimiser = torch.optim.Adam(self.parameters(), self.recipe.learning_rate, fused=True)
        decay = torch.optim.lr_scheduler.ExponentialLR(optimiser, self.recipe.decay)
        return {"optimizer": optimiser, "lr_scheduler": decay}

    def scores(self, batch: engine.Batch) -> Tensor:
        """Lengths of the capsules, divided by their sum (N, K)."""
        lengths = torch.linalg.vector_norm(self(self.crop(batch["image"])), dim=-1)
        return lengths / lengths.sum(dim=1, keepdim=True)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """``capsules``: those of all classes."""
        return {"capsules": self(self.crop(batch["image"])).flatten(1)}


def build(recipe: CapsuleNetRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return engine.TorchSystem(lambda: Network(recipe, classes), setup)
