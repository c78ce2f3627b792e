"""Input images, networks and losses of EIDNet.

In training, each pair of faces gets a random view; in testing, the centre of the image is used. The network has a
backbone that is split into an expression and an identity branch, a decoder, a classifier and a discriminator.

Shapes: N clips, K classes, L x L stored pixels, S x S pixels for the network (L : S = 256 : 224), C channels and
M x M places of an embedding. Equation numbers are those of the paper.
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

#: Augmentation: largest rotation, and smallest area of the crop as a share of the image.
ROTATION_DEG = 10.0
LEAST_AREA = 0.7

NEUTRAL, EXPRESSIONS = "faces/onset", "faces/keyframes"

# ---------------------------------------------------------------- images


def stored_side(side: int) -> int:
    """Side L of the faces in memory, for network images of side S."""
    return round(side * 256 / 224)


def prepare_faces(clip: Arrays, frames: np.ndarray, side: int) -> dict[str, np.ndarray]:
    """``neutral`` (3, L, L) and ``expression`` (F, 3, L, L) uint8: the onset face and ``frames`` of a clip."""
    stored = stored_side(side)
    return {
        "neutral": inputs.rgb(clip[NEUTRAL], stored),
        "expression": np.stack([inputs.rgb(face, stored) for face in frames]),
    }


def centre(faces: Tensor, side: int) -> Tensor:
    """The central S x S pixels of faces (N, 3, L, L) uint8, normalised."""
    start = (faces.shape[-1] - side) // 2
    middle = faces[..., start : start + side, start : start + side]
    return backbones.normalised(middle.float() / 255)


def random_views(side: int, *parts: Tensor) -> list[Tensor]:
    """Rotate, crop, mirror and normalise faces at random; each clip gets its own draw, the same for all its parts.

    Everything is one bilinear sampling, so that small movements are blurred only once. Crops keep the aspect ratio.
    Pixels that a rotation takes from outside the image are black.

    Parameters
    ----------
    side
        Side S of the result, pixels.
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
    shift = (1 - scale)[:, None] * (2 * torch.rand(count, 2) - 1)  # of the crop's centre, in half sides
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)  # (N, 2, 2)
    linear = turn @ torch.diag_embed(torch.stack([scale * mirror, scale], dim=1))
    maps = torch.cat([linear, turn @ shift[:, :, None]], dim=2)  # (N, 2, 3), from result to face
    grid = F.affine_grid(maps.to(parts[0].device), [count, 3, side, side], align_corners=False)
    views = [F.grid_sample(part.float() / 255, grid, mode="bilinear", align_corners=False) for part in parts]
    return [backbones.normalised(view) for view in views]


def views(side: int, augment: bool, *parts: Tensor) -> list[Tensor]:
    """Training images: :func:`random_views`, or :func:`centre` without augmentation."""
    return random_views(side, *parts) if augment else [centre(part, side) for part in parts]


def shown(faces: Tensor) -> np.ndarray:
    """Convert normalised images (N, 3, S, S) to RGB images (N, S, S, 3) uint8."""
    mean = torch.tensor(backbones.IMAGENET_MEAN, device=faces.device)[:, None, None]
    std = torch.tensor(backbones.IMAGENET_STD, device=faces.device)[:, None, None]
    levels = ((faces.float() * std + mean) * 255).round().clamp(0, 255)
    return levels.permute(0, 2, 3, 1).to(torch.uint8).contiguous().cpu().numpy()


# ---------------------------------------------------------------- encoder


class Trunk(NamedTuple):
    """A backbone split into its early layers and the layers of a branch."""

    shared: nn.Sequential
    branch: nn.Sequential
    channels: int  # C
    halvings: int  # log2 of the pixels per place


def trunk(backbone: str, weights: Path | None) -> Trunk:
    """A backbone by name; the branch is its last stage (ours: Figure 3 of the paper is less specific)."""
    if backbone == "small":
        parts = [backbones.stem("strided"), backbones.stage(0, 2), backbones.stage(1, 2)]
        return Trunk(nn.Sequential(*parts), nn.Sequential(backbones.stage(2, 2)), backbones.WIDTHS[2], 4)
    net = backbones.classifier(backbone, weights)
    if isinstance(net, models.AlexNet):
        return Trunk(net.features[:6], net.features[6:], 256, 5)
    early = (net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3)
    return Trunk(nn.Sequential(*early), nn.Sequential(net.layer4), net.fc.in_features, 5)


class Encoder(nn.Module):
    """Shared early layers, then an expression and an identity branch; both start from equal, separate weights."""

    def __init__(self, backbone: str, weights: Path | None) -> None:
        super().__init__()
        self.shared, self.expression, self.channels, self.halvings = trunk(backbone, weights)
        self.identity = deepcopy(self.expression)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, S, S)
        """Expression embedding f^e (N, C, M, M), without running the identity branch."""
        return self.expression(self.shared(images))


# ---------------------------------------------------------------- heads


class Decoder(nn.Module):
    """Reconstructs a face from an expression and an identity embedding by upsampling and convolution (Eq. 2)."""

    def __init__(self, channels: int, doublings: int) -> None:
        super().__init__()
        widths = [max(min(channels, 512) >> step, 8) for step in range(doublings)]  # 512, 256, 128, 64, 32
        layers: list[nn.Module] = []
        for before, width in zip([2 * channels, *widths], widths, strict=False):
            layers += [nn.Upsample(scale_factor=2), backbones.conv(before, width), nn.BatchNorm2d(width), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, expression: Tensor, identity: Tensor, side: int) -> Tensor:  # (N, C, M, M) each
        """A normalised image (N, 3, side, side); it is resized only for AlexNet, whose 6 x 6 places do not give 224."""
        image = self.net(torch.cat([expression, identity], dim=1))
        return image if image.shape[-1] == side else F.interpolate(image, (side, side), mode="bilinear")


def pooled(embedding: Tensor) -> Tensor:
    """Mean over the places, (N, C, M, M) -> (N, C)."""
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
    """Distinguishes macro from micro embeddings; its logit (N,) is positive for macro.

    Parameters
    ----------
    channels
        C.
    norm
        `none`: convolutions and a linear layer, as the paper says. `batch`: a batch norm after each convolution. Macro
        and micro embeddings are separate batches, so it removes the scale of both, and with it a difference that the
        triplet loss depends on.
    """

    def __init__(self, channels: int, norm: str = "none") -> None:
        super().__init__()

        def block(before: int) -> list[nn.Module]:
            if norm == "batch":
                return [backbones.conv(before, 256), nn.BatchNorm2d(256), nn.ReLU()]
            return [nn.Conv2d(before, 256, 3, padding=1), nn.ReLU()]

        pool = nn.MaxPool2d(2)
        self.net = nn.Sequential(*block(channels), pool, *block(256), pool, *block(256))
        self.last = nn.Linear(256, 1)

    def forward(self, embedding: Tensor) -> Tensor:  # (N, C, M, M)
        """Logits (N,) of the class macro."""
        return self.last(pooled(self.net(embedding)))[:, 0]


# ---------------------------------------------------------------- complete network


class Output(NamedTuple):
    """Output of a network for N faces."""

    embedding: Tensor  # f^e (N, C, M, M)
    logits: Tensor  # (N, K)


class Pair(NamedTuple):
    """Output of a network for N pairs of a neutral and an expression face of the same person."""

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

    def forward(self, images: Tensor) -> Output:  # (N, 3, S, S)
        """Run only the expression path, which is enough for recognition."""
        embedding = self.encoder(images)  # (N, C, M, M)
        return Output(embedding, self.classifier(embedding))

    def pair(self, neutral: Tensor, expression: Tensor) -> Pair:  # (N, 3, S, S) each
        """Everything that phase I needs; f^e of the neutral face is not needed."""
        early = self.encoder.shared(torch.cat([neutral, expression]))  # (2N, ...)
        neutral_identity, expression_identity = self.encoder.identity(early).chunk(2)  # (N, C, M, M) each
        embedding = self.encoder.expression(early[len(neutral) :])  # f^e_E (N, C, M, M)
        face = self.decoder(embedding, neutral_identity, expression.shape[-1])
        return Pair(self.classifier(embedding), neutral_identity, expression_identity, face)


# ---------------------------------------------------------------- losses, means over the batch


def distance(one: Tensor, other: Tensor, form: str) -> Tensor:
    """Distance of maps or images (N, ...) for L_sim (Eq. 1) and L_rec (Eq. 2).

    Parameters
    ----------
    one, other
        Tensors of equal shape.
    form
        `norm`: mean over the batch of the Euclidean norm, as printed; `mean_square`: mean of the squared differences.
    """
    difference = (one - other).flatten(1)
    if form == "mean_square":
        return difference.square().mean()
    return torch.linalg.vector_norm(difference, dim=1).mean()


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, on: str) -> Tensor:
    """L_tri (Eq. 5): max(‖f_anc − f_pos‖ − ‖f_anc − f_neg‖ + m, 0); ``on``: whole maps or pooled embeddings."""
    anchor, positive, negative = (
        pooled(part) if on == "pooled" else part.flatten(1) for part in (anchor, positive, negative)
    )
    near = torch.linalg.vector_norm(anchor - positive, dim=1)
    far = torch.linalg.vector_norm(anchor - negative, dim=1)
    return (near - far + margin).clamp_min(0).mean()


def discriminator(macro: Tensor, micro: Tensor) -> Tensor:
    """−log D(f_pos) − log(1 − D(f_anc)) from the discriminator's logits (the text after Eq. 6).

    The paper prints log D(1 − f_anc), which makes no sense for a feature map. This is the objective of the work that
    the paper cites.
    """
    return F.softplus(-macro).mean() + F.softplus(micro).mean()


def adversarial(micro: Tensor) -> Tensor:
    """L_adv (Eq. 7): −log D(f_anc) from the discriminator's logits."""
    return F.softplus(-micro).mean()


def inequality(macro: Tensor, micro: Tensor) -> Tensor:
    """L_LIR (Eq. 9): mean of max(L_cls(pos) − L_cls2, 0) over the cross-entropies (N,) of the samples.

    This is the loss as printed: where the macro loss is larger, the gradient increases the micro loss.
    """
    return (macro.detach() - micro).clamp_min(0).mean()
