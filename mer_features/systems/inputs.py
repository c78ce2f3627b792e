"""From one clip's cache variables to the small arrays that systems take; no clip is seen with another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from mer_features.systems.contract import Arrays

#: Side of the flow planes that the small networks take, pixels.
FLOW_SIDE = 28


def resized(plane: np.ndarray, side: int, *, average: bool = False) -> np.ndarray:
    """A plane (H, W) at ``side`` x ``side``, float32: bilinear samples, or with ``average`` means over areas."""
    interpolation = cv2.INTER_AREA if average else cv2.INTER_LINEAR
    return cv2.resize(plane.astype(np.float32), (side, side), interpolation=interpolation)


def flow_planes(
    clip: Arrays, names: Sequence[str], *, resize: Literal["bilinear", "area"], scale: Literal["minmax", "symmetric"]
) -> np.ndarray:
    """Planes of one clip as the small networks take them, (P, 28, 28) float32: resized, each scaled by itself.

    ``scale`` is :func:`unit_range` or :func:`unit_magnitude`.
    """
    scaled = {"minmax": unit_range, "symmetric": unit_magnitude}[scale]
    return np.stack([scaled(resized(clip[name], FLOW_SIDE, average=resize == "area")) for name in names])


def unit_range(plane: np.ndarray) -> np.ndarray:
    """A plane scaled to [0, 1] by its own minimum and maximum; a constant plane becomes zeros."""
    low, high = plane.min(), plane.max()
    return (plane - low) / (high - low) if high > low else np.zeros_like(plane)


def grey(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) uint8, C = 1 or 3 (RGB), as luma (H, W) float32 in 0..255 (ITU-R BT.601)."""
    if image.shape[-1] == 1:
        return image[..., 0].astype(np.float32)
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def unit_magnitude(plane: np.ndarray) -> np.ndarray:
    """A plane divided by its largest magnitude, in [-1, 1]: zero stays zero; a plane of zeros stays so."""
    largest = np.abs(plane).max()
    return plane / largest if largest > 0 else np.zeros_like(plane)
