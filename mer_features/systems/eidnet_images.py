"""Faces as EIDNet sees them: a random view of every pair in training, the centre in testing.

Shapes: N clips, L x L stored pixels, S x S pixels for the network; L : S = 256 : 224.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems import backbones, images
from mer_features.systems.contract import Arrays

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
        "neutral": images.rgb(clip[NEUTRAL], stored),
        "expression": np.stack([images.rgb(face, stored) for face in frames]),
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
