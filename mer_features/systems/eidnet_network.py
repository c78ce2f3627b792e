"""Networks of EIDNet: encoder with two branches, decoder, classifier, discriminator.

Shapes: N images of S x S pixels; embeddings have C channels of M x M places (512, 7 x 7 for ResNet-18 and 224
pixels); K classes.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from mer_features.systems import backbones, cifar_resnet

# ---------------------------------------------------------------- encoder


class Trunk(NamedTuple):
    """A backbone cut in two: early features and what becomes a branch."""

    shared: nn.Sequential
    branch: nn.Sequential
    channels: int  # C
    halvings: int  # log2 of pixels by places


def trunk(backbone: str, weights: Path | None) -> Trunk:
    """A backbone by name; the branch is the last stage (ours: the paper's Figure 3 says less)."""
    if backbone == "small":
        parts = [cifar_resnet.stem("strided"), cifar_resnet.stage(0, 2), cifar_resnet.stage(1, 2)]
        return Trunk(nn.Sequential(*parts), nn.Sequential(cifar_resnet.stage(2, 2)), cifar_resnet.WIDTHS[2], 4)
    net = backbones.classifier(backbone, weights)
    if isinstance(net, models.AlexNet):
        return Trunk(net.features[:6], net.features[6:], 256, 5)
    early = (net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3)
    return Trunk(nn.Sequential(*early), nn.Sequential(net.layer4), net.fc.in_features, 5)


class Encoder(nn.Module):
    """Shared early features, then an expression and an identity branch that start equal and are not tied."""

    def __init__(self, backbone: str, weights: Path | None) -> None:
        super().__init__()
        self.shared, self.expression, self.channels, self.halvings = trunk(backbone, weights)
        self.identity = deepcopy(self.expression)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, S, S)
        """Expression embedding f^e (N, C, M, M); the identity branch is not run."""
        return self.expression(self.shared(images))


# ---------------------------------------------------------------- heads


class Decoder(nn.Module):
    """From an expression and an identity embedding to a face: doubled and convolved until it has its size (Eq. 2)."""

    def __init__(self, channels: int, doublings: int) -> None:
        super().__init__()
        widths = [max(min(channels, 512) >> step, 8) for step in range(doublings)]  # 512, 256, 128, 64, 32
        layers: list[nn.Module] = []
        for before, width in zip([2 * channels, *widths], widths, strict=False):
            layers += [nn.Upsample(scale_factor=2), cifar_resnet.conv(before, width), nn.BatchNorm2d(width), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, expression: Tensor, identity: Tensor, side: int) -> Tensor:  # (N, C, M, M) each
        """A normalised image (N, 3, side, side); only AlexNet's 6 x 6 places do not double to 224 pixels exactly."""
        image = self.net(torch.cat([expression, identity], dim=1))
        return image if image.shape[-1] == side else F.interpolate(image, (side, side), mode="bilinear")


def pooled(embedding: Tensor) -> Tensor:
    """Mean over places, (N, C, M, M) -> (N, C)."""
    return embedding.mean(dim=(2, 3))


class Classifier(nn.Module):
    """Two linear layers on the pooled expression embedding."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(channels, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, classes))

    def forward(self, embedding: Tensor) -> Tensor:  # (N, C, M, M)
        """Logits (N, K)."""
        return self.net(pooled(embedding))


class Discriminator(nn.Module):
    """Tells macro from micro embeddings: a logit (N,), positive for macro."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def block(before: int) -> list[nn.Module]:
            return [cifar_resnet.conv(before, 256), nn.BatchNorm2d(256), nn.ReLU()]

        pool = nn.MaxPool2d(2)
        self.net = nn.Sequential(*block(channels), pool, *block(256), pool, *block(256))
        self.last = nn.Linear(256, 1)

    def forward(self, embedding: Tensor) -> Tensor:  # (N, C, M, M)
        """Logit of being macro."""
        return self.last(pooled(self.net(embedding)))[:, 0]


# ---------------------------------------------------------------- whole


class Seen(NamedTuple):
    """What a network says about N faces."""

    embedding: Tensor  # f^e (N, C, M, M)
    logits: Tensor  # (N, K)


class Pair(NamedTuple):
    """What a network says about N pairs of a neutral and an expression face of the same person."""

    logits: Tensor  # (N, K), of the expression face
    neutral_identity: Tensor  # f^i_N (N, C, M, M)
    expression_identity: Tensor  # f^i_E (N, C, M, M)
    reconstruction: Tensor  # of the expression face (N, 3, S, S)


class EIDNet(nn.Module):
    """MicroNet or MacroNet."""

    def __init__(self, backbone: str, classes: int, weights: Path | None = None) -> None:
        super().__init__()
        self.encoder = Encoder(backbone, weights)
        self.decoder = Decoder(self.encoder.channels, self.encoder.halvings)
        self.classifier = Classifier(self.encoder.channels, classes)

    def forward(self, images: Tensor) -> Seen:  # (N, 3, S, S)
        """Expression path alone: all that recognition needs."""
        embedding = self.encoder(images)  # (N, C, M, M)
        return Seen(embedding, self.classifier(embedding))

    def pair(self, neutral: Tensor, expression: Tensor) -> Pair:  # (N, 3, S, S) each
        """All that phase I needs; f^e of the neutral face is not among it."""
        early = self.encoder.shared(torch.cat([neutral, expression]))  # (2N, ...)
        neutral_identity, expression_identity = self.encoder.identity(early).chunk(2)  # (N, C, M, M) each
        shown = self.encoder.expression(early[len(neutral) :])  # (N, C, M, M)
        made = self.decoder(shown, neutral_identity, expression.shape[-1])
        return Pair(self.classifier(shown), neutral_identity, expression_identity, made)
