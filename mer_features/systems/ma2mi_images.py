"""Faces as MA2MI sees them: in [-1, 1], and turned, moved, cut or mirrored by one bilinear sampling.

Shapes: N images, S x S pixels. Places are in half sides, (-1, -1) the upper left corner, so that one transform holds
for an image and for a coarser map of it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems import images
from mer_features.systems.contract import Arrays

FIRST, SECOND = "faces/onset", "faces/apex"
VARIABLES = (FIRST, SECOND)

#: Fine-tuning: 256 of 288 pixels, and a rotation in either direction.
CROP, ROTATION_DEG = 256 / 288, 10.0
#: τ of L_3: rotation in either direction, and shift in either direction of both axes as a share of the side.
TAU_ROTATION_DEG, TAU_SHIFT = 15.0, 0.1


def prepare(clip: Arrays, side: int) -> dict[str, np.ndarray]:
    """``first`` and ``second`` (3, S, S) uint8: onset and apex of one clip, RGB."""
    return {"first": images.rgb(clip[FIRST], side), "second": images.rgb(clip[SECOND], side)}


def scaled(faces: Tensor) -> Tensor:
    """Images uint8 in [-1, 1], as the autoencoder takes them; the encoders take the same."""
    return faces.float() / 127.5 - 1


def shown(faces: Tensor) -> np.ndarray:
    """Images (N, 3, S, S) in [-1, 1] as pictures (N, S, S, 3) uint8."""
    levels = ((faces.float() + 1) * 127.5).round().clamp(0, 255)
    return levels.permute(0, 2, 3, 1).to(torch.uint8).contiguous().cpu().numpy()


def transforms(angle: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Maps (N, 2, 3) from places of the result to places of the source.

    Parameters
    ----------
    angle
        (N,), radians.
    shift
        (N, 2), half sides.
    scale
        (N, 2), of x and y; negative mirrors.
    """
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    return torch.cat([turn @ torch.diag_embed(scale), shift[:, :, None]], dim=2)


def warp(maps: Tensor, planes: Tensor) -> Tensor:
    """Planes (N, C, H, W) sampled bilinearly through ``maps`` (N, 2, 3); 0 from outside."""
    grid = F.affine_grid(maps.to(planes), list(planes.shape), align_corners=False)
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def random_tau(rng: np.random.Generator) -> np.ndarray:
    """One draw of τ (Eq. 5), (2, 3) float32: rotation by up to 15 degrees, shift by up to 10 % of the side (ours)."""
    angle = torch.tensor([math.radians(TAU_ROTATION_DEG) * rng.uniform(-1, 1)])
    shift = torch.from_numpy(2 * TAU_SHIFT * rng.uniform(-1, 1, (1, 2)))
    return transforms(angle, shift.float(), torch.ones(1, 2)).float()[0].numpy()


def random_views(*parts: Tensor) -> list[Tensor]:
    """Images in [-1, 1], each clip by a draw of its own, all parts of a clip alike: rotated, cut, mirrored."""
    count = len(parts[0])
    angle = math.radians(ROTATION_DEG) * (2 * torch.rand(count) - 1)
    shift = (1 - CROP) * (2 * torch.rand(count, 2) - 1)
    mirror = torch.where(torch.rand(count) < 0.5, -CROP, CROP)
    maps = transforms(angle, shift, torch.stack([mirror, torch.full_like(mirror, CROP)], dim=1))
    return [warp(maps, part) for part in parts]


def views(augment: bool, *parts: Tensor) -> list[Tensor]:
    """What a network trains on, of images uint8: :func:`random_views`, or the images as they are, in [-1, 1]."""
    found = [scaled(part) for part in parts]
    return random_views(*found) if augment else found
