"""Images as the magnification methods take and give them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mer_features.core.grey import LUMA

#: Smallest side in pixels of which a pyramid can be made.
SMALLEST = 16


def check(image: np.ndarray, name: str) -> None:
    """Refuse what is not an 8-bit image of at least :data:`SMALLEST` pixels a side.

    Raises
    ------
    ValueError
        With what was found and what is accepted.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"{name}: found shape {image.shape}, expected (H, W), (H, W, 1) or (H, W, 3)")
    if image.dtype != np.uint8:
        raise ValueError(f"{name}: found dtype {image.dtype}, expected uint8")
    if min(image.shape[:2]) < SMALLEST:
        raise ValueError(f"{name}: found {image.shape[0]} x {image.shape[1]} px, expected sides >= {SMALLEST}")


def check_pair(reference: np.ndarray, moved: np.ndarray) -> None:
    """Refuse two images that are no pair; raises ``ValueError``."""
    check(reference, "reference")
    check(moved, "moved")
    if reference.shape != moved.shape:
        raise ValueError(f"found {reference.shape} and {moved.shape}, expected equal shapes")


def luma(image: np.ndarray) -> np.ndarray:
    """Luma of ITU-R BT.601, 0..255, not rounded.

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
    """Grey levels as whole ones in 0..255, right on average.

    A value between two levels becomes one or the other, the nearer one more often: rounding would return a frame that
    was changed by less than half a level unchanged, and with it movements of a tenth of a pixel. Whole levels stay as
    they are. The choice hangs on the place in the image alone, so equal images become equal ones.

    Parameters
    ----------
    values : ndarray, shape (H, W) or (H, W, C), floating point
        All channels of a pixel go the same way.

    Returns
    -------
    ndarray, uint8
    """
    threshold = _thresholds(values.shape[0], values.shape[1]).reshape(*values.shape[:2], *[1] * (values.ndim - 2))
    result: np.ndarray = np.clip(np.floor(values + threshold), 0, 255).astype(np.uint8)
    return result


@lru_cache(maxsize=4)
def _thresholds(height: int, width: int) -> np.ndarray:
    """White noise between 1/512 and 511/512: never so near to 0 or 1 that an error of float32 moves a whole level."""
    levels = np.random.default_rng(0).integers(0, 256, (height, width))
    return ((levels + 0.5) / 256).astype(np.float32)
