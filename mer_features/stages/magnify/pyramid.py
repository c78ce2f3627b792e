"""Image pyramids whose bands add up to the image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

#: Levels are added to a pyramid as long as the short side has at least this many pixels.
SMALLEST_BAND = 16


def gaussian(image: np.ndarray, levels: int, smallest: int = SMALLEST_BAND) -> list[np.ndarray]:
    """The image and its reductions by 2, 4, 8 ..., each computed with the binomial filter (1 4 6 4 1).

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C), float32
    levels
        Largest number of levels, including the image itself.
    smallest
        A level is not reduced further if its short side is less than twice this many pixels.

    Returns
    -------
    list of ndarray
        The levels, the finest first.
    """
    out = [image]
    while len(out) < levels and min(out[-1].shape[:2]) >= 2 * smallest:
        out.append(_down(out[-1]))
    return out


def laplacian(image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Band-pass levels and the low-pass residue (Burt and Adelson 1983).

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C), float32

    Returns
    -------
    bands : list of ndarray
        Level i, reduced by 2^i, is strongest at wavelengths of about 2^(i+2) px. Levels are added as long as the short
        side has at least 16 px.
    residue : ndarray
        The remaining low-pass image. :func:`collapse` reconstructs the image up to rounding of float32.
    """
    bands = []
    while min(image.shape[:2]) >= SMALLEST_BAND:
        reduced = _down(image)
        bands.append(image - _up(reduced, image))
        image = reduced
    return bands, image


def collapse(bands: Sequence[np.ndarray], residue: np.ndarray) -> np.ndarray:
    """The image with these bands and this residue; the inverse of :func:`laplacian`."""
    image = residue
    for band in reversed(bands):
        image = band + _up(image, band)
    return image


def _down(image: np.ndarray) -> np.ndarray:
    result: np.ndarray = cv2.pyrDown(image).reshape(
        (image.shape[0] + 1) // 2, (image.shape[1] + 1) // 2, *image.shape[2:]
    )
    return result


def _up(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    # Reshaped because OpenCV drops a channel axis of length 1.
    result: np.ndarray = cv2.pyrUp(image, dstsize=(like.shape[1], like.shape[0])).reshape(like.shape)
    return result
