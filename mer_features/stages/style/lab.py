"""CIELAB planes of a face crop and back; grey crops have one plane."""

from __future__ import annotations

import warnings

import numpy as np
from skimage import color


def is_grey(image: np.ndarray) -> bool:
    """Whether an image (H, W, C) has no colour: one channel, or three that are equal everywhere."""
    return image.shape[2] == 1 or bool((image == image[:, :, :1]).all())


def planes(image: np.ndarray) -> np.ndarray:
    """Lab planes of an image.

    Parameters
    ----------
    image : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        Grey or sRGB.

    Returns
    -------
    ndarray, shape (C, H, W), float64
        L in 0..100 alone (C = 1) for an image without colour, else L, a, b (C = 3), D65 white.

    Raises
    ------
    ValueError
        For another shape or dtype.

    Notes
    -----
    scikit-image's conversion in double precision: OpenCV's float conversion is tabulated, and there and back costs
    more than a grey level.
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
    """The uint8 image (H, W, channels) of Lab planes (C, H, W), rounded; colours outside sRGB are clipped.

    ``channels`` may be 3 for one plane, which is then repeated.
    """
    levels = np.rint(255 * _rgb(lab)).astype(np.uint8)
    return np.repeat(levels, channels, axis=-1) if len(lab) == 1 else levels


def shown(lab: np.ndarray) -> np.ndarray:
    """Lab planes as sRGB can show them: of the same shape, colours outside it clipped."""
    rgb = _rgb(lab)
    if len(lab) == 1:
        result: np.ndarray = color.rgb2lab(np.repeat(rgb, 3, axis=-1))[..., 0][None]
        return result
    return np.ascontiguousarray(np.moveaxis(color.rgb2lab(rgb), -1, 0))


def _rgb(lab: np.ndarray) -> np.ndarray:
    """Levels (H, W, C) of sRGB in 0..1 of Lab planes (C, H, W)."""
    full = np.zeros((*lab.shape[1:], 3))
    full[..., : len(lab)] = np.moveaxis(lab, 0, -1)
    full[..., 0] = np.maximum(full[..., 0], 0)
    with warnings.catch_warnings():
        # Clipping is what we want of colours that no screen shows.
        warnings.filterwarnings("ignore", message=".*negative Z values")
        rgb = np.clip(color.lab2rgb(full), 0, 1)
    result: np.ndarray = rgb if len(lab) == 3 else rgb[..., 1:2]
    return result
