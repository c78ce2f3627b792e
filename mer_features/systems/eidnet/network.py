"""Faces as EIDNet sees them: a random view of every pair in training, the centre in testing.

Shapes: N clips, L x L stored pixels, S x S pixels for the network; L : S = 256 : 224.
"""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from mer_features.systems.common import backbones, inputs
from mer_features.systems.common.contract import Arrays

ROTATION_DEG = 10.0
LEAST_AREA = 0.7

NEUTRAL, EXPRESSIONS = "faces/onset", "faces/keyframes"


def stored_side(side: int) -> int:
    """L of the faces kept in memory for images of S."""
    return round(side * 256 / 224)


def prepare(clip: Arrays, frames: np.ndarray, side: int) -> dict[str, np.ndarray]:
    """``neutral`` (3, L, L) and ``expression`` (F, 3, L, L) uint8: the onset's face and some faces of one clip."""
    stored = stored_side(side)
    return {
        "neutral": inputs.rgb(clip[NEUTRAL], stored),
        "expression": np.stack([inputs.rgb(face, stored) for face in frames]),
    }


def centre(faces: Tensor, side: int) -> Tensor:
    """The middle S x S of faces (N, 3, L, L) uint8, normalised."""
    start = (faces.shape[-1] - side) // 2
    middle = faces[..., start : start + side, start : start + side]
    return backbones.normalised(middle.float() / 255)


def random_views(side: int, *parts: Tensor) -> list[Tensor]:
    """Faces rotated, cut out, mirrored and normalised, each clip by a draw of its own, all parts of a clip alike.

    One bilinear sampling does it all, so that small movements are blurred once. Cuts keep their proportions; what a
    rotation brings in from outside is black.

    Parameters
    ----------
    side
        S.
    parts
        Faces (N, 3, L, L) uint8.

    Returns
    -------
    list of Tensor
        (N, 3, S, S) float32 each.
    """
    count = len(parts[0])
    angle = math.radians(ROTATION_DEG) * (2 * torch.rand(count) - 1)
    scale = (LEAST_AREA + (1 - LEAST_AREA) * torch.rand(count)).sqrt()
    shift = (1 - scale)[:, None] * (2 * torch.rand(count, 2) - 1)  # of the cut's centre, in half sides
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)  # (N, 2, 2)
    linear = turn @ torch.diag_embed(torch.stack([scale * mirror, scale], dim=1))
    maps = torch.cat([linear, turn @ shift[:, :, None]], dim=2)  # (N, 2, 3): places of the result to those of the face
    grid = F.affine_grid(maps.to(parts[0].device), [count, 3, side, side], align_corners=False)
    views = [F.grid_sample(part.float() / 255, grid, mode="bilinear", align_corners=False) for part in parts]
    return [backbones.normalised(view) for view in views]


def views(side: int, augment: bool, *parts: Tensor) -> list[Tensor]:
    """What a network trains on: :func:`random_views`, or the :func:`centre` without augmentation."""
    return random_views(side, *parts) if augment else [centre(part, side) for part in parts]


def shown(faces: Tensor) -> np.ndarray:
    """Normalised images (N, 3, S, S) as pictures (N, S, S, 3) uint8."""
    mean = torch.tensor(backbones.IMAGENET_MEAN, device=faces.device)[:, None, None]
    std = torch.tensor(backbones.IMAGENET_STD, device=faces.device)[:, None, None]
    levels = ((faces.float() * std + mean) * 255).round().clamp(0, 255)
    return levels.permute(0, 2, 3, 1).to(torch.uint8).contiguous().cpu().numpy()


# Networks of EIDNet: encoder with two branches, decoder, classifier, discriminator.

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
        parts = [backbones.stem("strided"), backbones.stage(0, 2), backbones.stage(1, 2)]
        return Trunk(nn.Sequential(*parts), nn.Sequential(backbones.stage(2, 2)), backbones.WIDTHS[2], 4)
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
            layers += [nn.Upsample(scale_factor=2), backbones.conv(before, width), nn.BatchNorm2d(width), nn.ReLU()]
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
            return [backbones.conv(before, 256), nn.BatchNorm2d(256), nn.ReLU()]

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


# Losses of EIDNet, means over the batch. Numbers are the paper's equations.


def distance(one: Tensor, other: Tensor, form: str) -> Tensor:
    """Distance of maps or images (N, ...), as L_sim (1) and L_rec (2) take it.

    Parameters
    ----------
    one, other
        What is compared.
    form
        `mean_square`: mean of the squared differences; `norm`: mean over the batch of the Euclidean norm.
    """
    difference = (one - other).flatten(1)
    if form == "mean_square":
        return difference.square().mean()
    return torch.linalg.vector_norm(difference, dim=1).mean()


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, on: str) -> Tensor:
    """L_tri (5): max(‖f_anc − f_pos‖ − ‖f_anc − f_neg‖ + m, 0), of pooled embeddings or of whole maps (`on`)."""
    anchor, positive, negative = (
        pooled(part) if on == "pooled" else part.flatten(1) for part in (anchor, positive, negative)
    )
    near = torch.linalg.vector_norm(anchor - positive, dim=1)
    far = torch.linalg.vector_norm(anchor - negative, dim=1)
    return (near - far + margin).clamp_min(0).mean()


def discriminator(macro: Tensor, micro: Tensor) -> Tensor:
    """−log D(f_pos) − log(1 − D(f_anc)) from the discriminator's logits (the text after Eq. 6).

    The paper prints log D(1 − f_anc), which has no meaning for a map of features; this is the objective of the
    work it cites.
    """
    return F.softplus(-macro).mean() + F.softplus(micro).mean()


def adversarial(micro: Tensor) -> Tensor:
    """L_adv (7): −log D(f_anc) from the discriminator's logits."""
    return F.softplus(-micro).mean()


def inequality(macro: Tensor, micro: Tensor) -> Tensor:
    """L_LIR (9): max(L_cls(pos) − L_cls2, 0) of every sample's cross-entropies (N,), then the mean.

    As printed: where the macro loss is the larger, its gradient raises the micro loss.
    """
    return (macro.detach() - micro).clamp_min(0).mean()
