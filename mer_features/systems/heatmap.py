"""Heat maps laid over faces: where a system looked."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F


def overlays(images: np.ndarray, heats: np.ndarray) -> np.ndarray:
    """:func:`overlay` of each of N images (N, H, W, C) and its heat map (N, h, w); (N, H, W, 3) uint8."""
    return np.stack([overlay(image, heat) for image, heat in zip(images, heats, strict=True)])


def overlay(image: np.ndarray, heat: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """A heat map laid over an image.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        C = 1 (grey) or 3 (RGB).
    heat : ndarray, shape (h, w), float
        In [0, 1]; brought to the image's size bilinearly.
    strength
        Share of the colour where the heat is 1.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
    """
    from matplotlib import colormaps  # noqa: PLC0415  # only where a picture is made

    size = image.shape[:2]
    spread = F.interpolate(torch.from_numpy(heat.astype(np.float32))[None, None], size, mode="bilinear")[0, 0]
    grown = spread.clamp(0, 1).numpy()
    colours = colormaps["inferno"](grown)[..., :3] * 255
    share = (strength * grown)[..., None]
    base = np.broadcast_to(image, (*size, 3)).astype(np.float32)
    return np.rint(base * (1 - share) + colours * share).astype(np.uint8)
