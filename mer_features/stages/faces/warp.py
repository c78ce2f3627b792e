"""Resampling of frames into crops, equally accurate at every sub-pixel position.

The signal consists of movements of a few tenths of a pixel. The interpolation must therefore not shift the image, and
its blur must not depend on the position of a sample between two pixels. With OpenCV's cubic kernel (A = -0.75) a shift
of 0.1 px becomes 0.08 to 0.13 px, with linear interpolation of a sharp image 0.084 to 0.110 px; full quintic splines
take fifty times as long. Here the frame is first doubled in size with the binomial filter of an image pyramid
(1 4 6 4 1), which is symmetric and therefore causes no shift, and then sampled linearly. The blur is that of the
binomial filter (a standard deviation of half a source pixel) at every position, and a shift of 0.1 px is reproduced
within 0.005 px.
"""

from __future__ import annotations

import cv2
import numpy as np

# Crops reduced below this scale are blurred so much that linear interpolation alone causes no shift.
_DOUBLE_ABOVE = 0.4

# Standard deviation of the total blur in crop pixels, unless the blur of the binomial filter is larger.
_BLUR_PX = 0.4
_PAD_PX = 4


def warp(image: np.ndarray, crop_to_source: np.ndarray, size: int) -> np.ndarray:
    """Sample ``crop(p) = image(crop_to_source(p))``.

    If the image is reduced, a Gaussian blur is applied first to prevent aliasing. Outside the image, its border is
    repeated.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        C is 1 or 3.
    crop_to_source : ndarray, shape (2, 3), float64
        Maps pixel centres of the crop to those of the image.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    ndarray, shape (size, size, C), uint8
    """
    step = np.hypot(crop_to_source[:, 0], crop_to_source[:, 1])  # source pixels per crop pixel, along x and y
    double = step.min() < 1 / _DOUBLE_ABOVE
    sigma = _blur_px(step, double)
    region, origin = _region(image, crop_to_source, size, pad=_PAD_PX + int(np.ceil(3 * sigma.max())))
    if sigma.max() > 0.25:  # a smaller blur changes no grey level
        region = cv2.GaussianBlur(region, (0, 0), max(sigma[0], 0.05), sigmaY=max(sigma[1], 0.05))
    matrix = crop_to_source - np.column_stack([np.zeros((2, 2)), origin])
    if double:
        region, matrix = cv2.pyrUp(region), 2 * matrix
    crop = cv2.warpAffine(
        region,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
        hint=cv2.ALGO_HINT_ACCURATE,
    )
    result: np.ndarray = crop.reshape(size, size, image.shape[2])
    return result


def _blur_px(step: np.ndarray, double: bool) -> np.ndarray:
    """Standard deviation, per axis in source pixels, of the Gaussian that completes the total blur."""
    binomial = 0.25 if double else 0.0  # variance of the binomial filter
    return np.sqrt(np.maximum((_BLUR_PX * step) ** 2 - binomial, 0))


def _region(image: np.ndarray, crop_to_source: np.ndarray, size: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the image that a crop reads, and its top left pixel (x, y)."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5
    points = corners @ crop_to_source[:, :2].T + crop_to_source[:, 2]
    limit = np.array([image.shape[1], image.shape[0]])
    # At least one pixel, even if the crop lies completely outside the image.
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - pad, 0, limit - 1)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + pad + 1, low + 1, limit)
    return image[low[1] : high[1], low[0] : high[0]], low
