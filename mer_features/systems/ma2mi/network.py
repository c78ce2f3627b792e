"""Input images, network, losses and Grad-CAM of MA2MI.

MIACNet has an action and a position encoder; together they give the condition. Images are in [-1, 1]. Rotation, shift,
crop and mirroring are one bilinear sampling.

Shapes: N images, S x S pixels, C channels, M x M places of a map. Positions are in half sides, with (-1, -1) in the
upper left corner, so that one transform is valid for an image and for a coarser map of it. Equation numbers are those
of the paper.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import backbones, inputs
from mer_features.systems.common.contract import Arrays
from mer_features.systems.ma2mi.recipe import Branches

FIRST, SECOND = "faces/onset", "faces/apex"
VARIABLES = (FIRST, SECOND)

#: Augmentation in fine-tuning: largest rotation in either direction, and largest shift of the crop along each axis as a
#: share of the side. The paper gives no amounts; these are those of the code that its authors published for their
#: earlier MMNet (CASME II, five classes): 3 degrees, and crops of 224 pixels after padding by 15.
ROTATION_DEG, CROP_SHIFT = 3.0, 15 / 224
#: τ of L_3: largest rotation, and largest shift along each axis as a share of the side.
TAU_ROTATION_DEG, TAU_SHIFT = 15.0, 0.1


# ---------------------------------------------------------------- images


def prepare_faces(clip: Arrays, side: int) -> dict[str, np.ndarray]:
    """``first`` and ``second`` (3, S, S) uint8: onset and apex of one clip, RGB."""
    return {"first": inputs.rgb(clip[FIRST], side), "second": inputs.rgb(clip[SECOND], side)}


def scaled(faces: Tensor) -> Tensor:
    """Scale uint8 images to [-1, 1], the input range of the autoencoder and of the encoders."""
    return faces.float() / 127.5 - 1


def shown(faces: Tensor) -> np.ndarray:
    """Convert images (N, 3, S, S) in [-1, 1] to RGB images (N, S, S, 3) uint8."""
    levels = ((faces.float() + 1) * 127.5).round().clamp(0, 255)
    return levels.permute(0, 2, 3, 1).to(torch.uint8).contiguous().cpu().numpy()


def transforms(angle: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Affine maps (N, 2, 3) from positions in the result to positions in the source.

    Parameters
    ----------
    angle
        Rotation (N,), radians.
    shift
        Shift (N, 2), half sides.
    scale
        Scale (N, 2) of x and y; a negative value mirrors.
    """
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    return torch.cat([turn @ torch.diag_embed(scale), shift[:, :, None]], dim=2)


def warp(maps: Tensor, planes: Tensor) -> Tensor:
    """Sample planes (N, C, H, W) bilinearly through ``maps`` (N, 2, 3); pixels from outside are 0."""
    grid = F.affine_grid(maps.to(planes), list(planes.shape), align_corners=False)
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def random_tau(rng: np.random.Generator) -> np.ndarray:
    """Draw τ (Eq. 5), (2, 3) float32: rotation by up to 15 degrees, shift by up to 10 % of the side (ours)."""
    angle = torch.tensor([math.radians(TAU_ROTATION_DEG) * rng.uniform(-1, 1)])
    shift = torch.from_numpy(2 * TAU_SHIFT * rng.uniform(-1, 1, (1, 2)))
    return transforms(angle, shift.float(), torch.ones(1, 2)).float()[0].numpy()


def random_views(*parts: Tensor) -> list[Tensor]:
    """Rotate, shift and mirror images at random; each clip gets its own draw, the same for all its parts.

    The scale is that of the whole image, as in testing. Pixels from outside are 0, which is mid-grey.
    """
    count = len(parts[0])
    angle = math.radians(ROTATION_DEG) * (2 * torch.rand(count) - 1)
    shift = 2 * CROP_SHIFT * (2 * torch.rand(count, 2) - 1)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    maps = transforms(angle, shift, torch.stack([mirror, torch.ones_like(mirror)], dim=1))
    return [warp(maps, part) for part in parts]


def views(augment: bool, *parts: Tensor) -> list[Tensor]:
    """Training images in [-1, 1] from uint8 images: :func:`random_views`, or the whole images without augmentation."""
    images = [scaled(part) for part in parts]
    return random_views(*images) if augment else images


# ---------------------------------------------------------------- network

#: Channels C of the feature maps, by backbone.
CHANNELS = {"resnet18": 512, "small": backbones.WIDTHS[2]}


def encoder(backbone: str, weights: Path | None = None) -> nn.Sequential:
    """A backbone without pooling and classifier: (N, 3, S, S) -> (N, C, M, M)."""
    if backbone == "small":
        return nn.Sequential(backbones.stem("strided"), *(backbones.stage(number, 2) for number in range(3)))
    net = backbones.resnet("resnet18", weights)
    early = (net.conv1, net.bn1, net.relu, net.maxpool)
    return nn.Sequential(*early, net.layer1, net.layer2, net.layer3, net.layer4)


class Features(NamedTuple):
    """Output of the encoders for N pairs."""

    action: Tensor  # F^a (N, C, M, M)
    position: Tensor | None  # F^p (N, C, M, M); None without a position encoder


class MIACNet(nn.Module):
    """Two independent encoders (Eq. 1, Figure 2); they start from equal weights, which are not shared."""

    def __init__(self, recipe: Branches) -> None:
        super().__init__()
        self.fusion = recipe.fusion
        self.action = encoder(recipe.backbone, recipe.imagenet_weights)
        self.position = copy.deepcopy(self.action) if recipe.position != "none" else None
        channels = CHANNELS[recipe.backbone]
        #: Width of the condition.
        self.width = 2 * channels if recipe.position != "none" and recipe.fusion == "concat" else channels

    def forward(self, first: Tensor, second: Tensor) -> Features:  # (N, 3, S, S) each, in [-1, 1]
        """F^a of the difference, in [-2, 2], and F^p of the first image."""
        return Features(self.action(second - first), None if self.position is None else self.position(first))

    def condition(self, features: Features) -> Tensor:
        """C_Δ (N, width): both maps, fused and averaged over their places."""
        action, position = features
        if position is None:
            joined = action
        elif self.fusion == "concat":
            joined = torch.cat([action, position], dim=1)
        else:
            joined = action + position if self.fusion == "sum" else action * position
        return joined.mean(dim=(2, 3))


class Classifier(nn.Linear):
    """The linear layer for recognition; it starts at zero, so that all classes are equally likely."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, classes)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


# ---------------------------------------------------------------- losses

#: A place counts in L_3 if a warped map of ones exceeds this value there. Elsewhere τ took it from outside the image.
INSIDE = 0.99


def reconstruction(predicted: Tensor, target: Tensor, form: str) -> Tensor:
    """L_rec (Eq. 9): distance of Ẑ and Z, (N, C, s, s) each.

    Parameters
    ----------
    predicted, target
        Ẑ_{t+δ} and Z_{t+δ}.
    form
        ``norm``: 1-norm of each difference, as printed, mean over N; ``mean``: mean absolute difference.
    """
    differences = (predicted - target).abs().flatten(1).float()
    return (differences.sum(dim=1) if form == "norm" else differences.mean(dim=1)).mean()


def _directions(maps: Tensor) -> Tensor:
    """Unit feature vectors of all places, (N, C, H, W) -> (N, n, C) float32; a zero vector stays 0."""
    return F.normalize(maps.float().flatten(2).transpose(1, 2), dim=2)


def separation(maps: Tensor) -> Tensor:
    """L_1 (Eq. 2): mean cosine of two different places of one face, (N, C, H, W) -> ()."""
    directions = _directions(maps)
    cosines = directions @ directions.transpose(1, 2)  # (N, n, n)
    n = cosines.shape[1]
    same = cosines.diagonal(dim1=1, dim2=2).sum(dim=1)
    return ((cosines.sum(dim=(1, 2)) - same) / (n * (n - 1))).mean()


def matching(maps: Tensor, others: Tensor) -> Tensor:
    """L_2 (Eq. 3 and 4): mean cosine of non-matching places of two faces minus that of matching places, as printed.

    The match of a place is the most similar place of the other face; several places may have the same match.
    """
    cosines = _directions(maps) @ _directions(others).transpose(1, 2)  # (N, n, n)
    n = cosines.shape[1]
    best = cosines.max(dim=2).values  # (N, n); the gradient is that of one match, as in Eq. 4
    rest = cosines.sum(dim=(1, 2)) - best.sum(dim=1)
    return (rest / (n * (n - 1)) - best.mean(dim=1)).mean()


def equivariance(encoded: Tensor, expected: Tensor, ones: Tensor, form: str) -> Tensor:
    """L_3 (Eq. 5): distance of E_p(τ(I)) and τ(E_p(I)), over the places that τ took from inside the image.

    Parameters
    ----------
    encoded, expected
        The maps E_p(τ(I)) and τ(E_p(I)), (N, C, H, W).
    ones
        τ of a map of ones, (N, 1, H, W).
    form
        ``mean_square``: mean squared difference of all elements inside; ``norm``: Euclidean norm of each image's
        difference, mean over images.
    """
    inside = ones > INSIDE
    squares = torch.where(inside, (encoded - expected).float().square(), 0)
    if form == "norm":
        # The root has no gradient at 0.
        return squares.sum(dim=(1, 2, 3)).clamp_min(torch.finfo(squares.dtype).tiny).sqrt().mean()
    return squares.sum() / (inside.sum() * encoded.shape[1]).clamp_min(1)


# ---------------------------------------------------------------- Grad-CAM


def grad_cam(action: Tensor, score: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) on F^a: importance of each place for a score (Figure 6).

    Parameters
    ----------
    action
        F^a (N, C, M, M), part of the score's graph.
    score
        Score (N,); each value depends only on its own row of ``action``.

    Returns
    -------
    Tensor, (N, M, M)
        ReLU(Σ_k α_k F^a_k) with the mean slope α_k, scaled to [0, 1] by its own minimum and maximum. Places that do
        not support the score are 0.
    """
    (slopes,) = torch.autograd.grad(score.sum(), action)
    heat = F.relu((slopes.mean(dim=(2, 3), keepdim=True) * action).sum(dim=1)).detach()
    low, high = heat.amin(dim=(1, 2), keepdim=True), heat.amax(dim=(1, 2), keepdim=True)
    return (heat - low) / torch.where(high > low, high - low, 1)
