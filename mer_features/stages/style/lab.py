"""Conversion of face crops to CIELAB planes and back; grey crops have one plane."""

from __future__ import annotations

import warnings

import numpy as np
from skimage import color


def is_grey(image: np.ndarray) -> bool:
    """Whether an image (H, W, C) has no colour: one channel, or three that are equal everywhere."""
    return image.shape[2] == 1 or bool((image == image[:, :, :1]).all())


def planes(image: np.ndarray) -> np.ndarray:
    """Convert an image to Lab planes.

    Parameters
    ----------
    image : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        Grey or sRGB.

    Returns
    -------
    ndarray, shape (C, H, W), float64
        Only L (C = 1), 0..100, for an image without colour, otherwise L, a, b (C = 3); white point D65.

    Raises
    ------
    ValueError
        For another shape or dtype.

    Notes
    -----
    Uses scikit-image's conversion in double precision. OpenCV's float conversion uses tables, and the round trip has
    errors of more than one grey level.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or image.size == 0:
        raise ValueError(f"found {image.dtype} {image.shape}, expected uint8 (H, W, 1) or (H, W, 3)")
    if is_grey(image):
        levels = np.arange(256, dtype=np.uint8)
        lightness = color.rgb2lab(np.repeat(levels[:, None, None], 3, axis=2))[:, 0, 0]
        result: np.ndarray = lightness[image[:, :, 0]][None]
        return result
    return np.ascontiguousarray(np.moveaxis(color.rgb2lab(image), -1, 0))


def image(lab: np.ndarray, channels: int) -> np.ndarray:
    """Convert Lab planes (C, H, W) to an image (H, W, channels), uint8, rounded; colours outside sRGB are clipped.

    For one plane, ``channels`` may be 3; the plane is then repeated.
    """
    levels = np.rint(255 * _rgb(lab)).astype(np.uint8)
    return np.repeat(levels, channels, axis=-1) if len(lab) == 1 else levels


def shown(lab: np.ndarray) -> np.ndarray:
    """Lab planes of the same shape with colours outside sRGB clipped."""
    rgb = _rgb(lab)
    if len(lab) == 1:
        result: np.ndarray = color.rgb2lab(np.repeat(rgb, 3, axis=-1))[..., 0][None]
        return result
    return np.ascontiguousarray(np.moveaxis(color.rgb2lab(rgb), -1, 0))


def _rgb(lab: np.ndarray) -> np.ndarray:
    """Levels of sRGB in 0..1, (H, W, C), of Lab planes (C, H, W)."""
    full = np.zeros((*lab.shape[1:], 3))
    full[..., : len(lab)] = np.moveaxis(lab, 0, -1)
    full[..., 0] = np.maximum(full[..., 0], 0)
    with warnings.catch_warnings():
        # Colours outside sRGB are clipped on purpose.
        warnings.filterwarnings("ignore", message=".*negative Z values")
        rgb = np.clip(color.lab2rgb(full), 0, 1)
    result: np.ndarray = rgb if len(lab) == 3 else rgb[..., 1:2]
    return result
