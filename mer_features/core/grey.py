"""Grey levels of an image: the only place where colour, shape and value range are checked and normalised."""

from __future__ import annotations

import cv2
import numpy as np

#: Weights of R, G and B in the luma (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LUMA.flags.writeable = False


def levels(image: np.ndarray, name: str = "image") -> np.ndarray:
    """Grey levels of an image.

    Parameters
    ----------
    image : ndarray, shape (H, W), (H, W, 1) or (H, W, 3)
        uint8, or floating point in [0, 1]; three channels are R, G, B.
    name
        Name of the image in error messages.

    Returns
    -------
    ndarray, shape (H, W)
        0..255: uint8 for uint8 input, float32 for floating point. Colour becomes the luma
        0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded to whole levels for uint8.

    Raises
    ------
    ValueError
        For any other shape or dtype, an empty image, NaN, or floating point values outside [0, 1].
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or image.size == 0:
        raise ValueError(f"{name}: found shape {image.shape}, expected (H, W), (H, W, 1) or (H, W, 3)")
    if image.dtype != np.uint8:
        image = _scaled(image, name)
    if image.ndim == 2:
        return image
    return image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _scaled(image: np.ndarray, name: str) -> np.ndarray:
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"{name}: found dtype {image.dtype}, expected uint8 or floating point")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN fails every comparison
        found = "NaN" if np.isnan(low) else f"values {low:.4g}..{high:.4g}"
        raise ValueError(f"{name}: found {found}, expected floating point values in [0, 1]")
    return (image * 255).astype(np.float32)
