"""Input checks and conversions of images for the magnification methods."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mer_features.core.grey import LUMA

#: Smallest side in pixels for which a pyramid can be built.
SMALLEST = 16


def check(image: np.ndarray, name: str) -> None:
    """Check that an image has 8 bits and sides of at least :data:`SMALLEST` pixels.

    Raises
    ------
    ValueError
        If it does not; the message gives the found and the accepted values.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"{name}: found shape {image.shape}, expected (H, W), (H, W, 1) or (H, W, 3)")
    if image.dtype != np.uint8:
        raise ValueError(f"{name}: found dtype {image.dtype}, expected uint8")
    if min(image.shape[:2]) < SMALLEST:
        raise ValueError(f"{name}: found {image.shape[0]} x {image.shape[1]} px, expected sides >= {SMALLEST}")


def check_pair(reference: np.ndarray, moved: np.ndarray) -> None:
    """Check two images, which must have equal shapes; raises ``ValueError``."""
    check(reference, "reference")
    check(moved, "moved")
    if reference.shape != moved.shape:
        raise ValueError(f"found {reference.shape} and {moved.shape}, expected equal shapes")


def luma(image: np.ndarray) -> np.ndarray:
    """Luma according to ITU-R BT.601, 0..255, not rounded.

    Parameters
    ----------
    image : ndarray, shape (H, W), (H, W, 1) or (H, W, 3)
        Three channels are R, G, B.

    Returns
    -------
    ndarray, shape (H, W), float32
    """
    values = image.astype(np.float32)
    if values.ndim == 2:
        return values
    return values[..., 0] if values.shape[2] == 1 else values @ LUMA


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert to integer grey levels in 0..255 by dithering, so that the mean is preserved.

    A value between two levels becomes one of them, more often the nearer one. Ordinary rounding would remove changes of
    less than half a level, and with them movements of a tenth of a pixel. Integer values are unchanged. The choice
    depends only on the position in the image, so that equal images remain equal.

    Parameters
    ----------
    values : ndarray, shape (H, W) or (H, W, C), floating point
        Grey levels; all channels of a pixel have the same threshold.

    Returns
    -------
    ndarray, uint8
    """
    threshold = _thresholds(values.shape[0], values.shape[1]).reshape(*values.shape[:2], *[1] * (values.ndim - 2))
    result: np.ndarray = np.clip(np.floor(values + threshold), 0, 255).astype(np.uint8)
    return result


@lru_cache(maxsize=4)
def _thresholds(height: int, width: int) -> np.ndarray:
    """White noise in 1/512..511/512, far enough from 0 and 1 that float32 errors do not change integer levels."""
    levels = np.random.default_rng(0).integers(0, 256, (height, width))
    return ((levels + 0.5) / 256).astype(np.float32)
