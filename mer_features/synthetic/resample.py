"""Sub-pixel sampling with known errors: images are enlarged once by a spline and then sampled linearly.

A cubic kernel distorts small movements; OpenCV's kernel renders 0.1 px as 0.136 px. Linear sampling of a signal that is
sampled at least four times finer than its band limit is accurate to 0.001 px, and OpenCV 5 does it exactly.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

Affine = np.ndarray  # shape (2, 3): [x', y'] = A[:, :2] @ [x, y] + A[:, 2]


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge by a whole factor with the interpolating cubic B-spline.

    Sample i of the input becomes sample ``factor * i`` of the output. Each phase is a convolution with four taps, so
    the result does not depend on a linear algebra library.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (C, H, W), float32
    factor
        Whole number, at least 1.

    Returns
    -------
    ndarray, shape (factor * H, factor * W) or (C, factor * H, factor * W), float32
    """
    for axis in (-2, -1):
        image = _enlarge_axis(image, factor, axis)
    return image


def _enlarge_axis(image: np.ndarray, factor: int, axis: int) -> np.ndarray:
    spline = ndimage.spline_filter1d(image, order=3, axis=axis, output=np.float32, mode="mirror")
    shape = list(image.shape)
    shape[axis] *= factor
    out = np.empty(shape, np.float32)
    index: list[slice] = [slice(None)] * image.ndim
    for phase in range(factor):
        index[axis] = slice(phase, None, factor)
        out[tuple(index)] = ndimage.correlate1d(spline, taps(phase / factor), axis=axis, mode="mirror")
    return out


def taps(t: float) -> np.ndarray:
    """Cubic B-spline weights of the samples -2..2 for a position t in [0, 1) to the right of sample 0."""
    return np.array([0, (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6


def sample(planes: np.ndarray, x: np.ndarray, y: np.ndarray, border: int = cv2.BORDER_REFLECT_101) -> np.ndarray:
    """Sample an image linearly at positions (x, y), with pixel centres at whole numbers.

    Parameters
    ----------
    planes : ndarray, shape (H, W) or (C, H, W), float32
        Channels first, because OpenCV samples single planes several times faster than interleaved channels.
    x, y : ndarray, shape (h, w), float32

    Returns
    -------
    ndarray, shape (h, w) or (C, h, w), float32
    """
    if planes.ndim == 2:
        return cv2.remap(planes, x, y, cv2.INTER_LINEAR, borderMode=border)
    out = np.empty((len(planes), *x.shape), np.float32)
    for plane, target in zip(planes, out, strict=True):
        cv2.remap(plane, x, y, cv2.INTER_LINEAR, dst=target, borderMode=border)
    return out


def grid(height: int, width: int, step: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions (x, y) of every pixel of an image sampled ``step`` apart, each of shape (height, width), float32."""
    x = np.arange(width, dtype=np.float32) * np.float32(step)
    y = np.arange(height, dtype=np.float32) * np.float32(step)
    return np.broadcast_to(x, (height, width)).copy(), np.broadcast_to(y[:, None], (height, width)).copy()


def similarity(scale: float, degrees: float, shift: tuple[float, float], centre: np.ndarray) -> Affine:
    """Transform (2, 3) float64 that scales and rotates about ``centre``, then shifts."""
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, centre + np.asarray(shift) - linear @ centre])


def compose(second: Affine, first: Affine) -> Affine:
    """The transform that applies ``first``, then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def invert(transform: Affine) -> Affine:
    """The inverse transform."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def apply(transform: Affine, points: np.ndarray) -> np.ndarray:
    """Transform points of shape (..., 2)."""
    return points @ transform[:, :2].T + transform[:, 2]


def polygon_mask(points: np.ndarray, shape: tuple[int, int], feather: float) -> np.ndarray:
    """Coverage 0..1 of a polygon, float32 of shape ``shape``; a Gaussian of ``feather`` pixels blurs its edge."""
    mask = np.zeros(shape, np.uint8)
    fixed = np.round(np.asarray(points) * 256).astype(np.int32)  # with shift=8 OpenCV uses units of 1/256 px
    cv2.fillPoly(mask, [fixed[:, None]], 255, lineType=cv2.LINE_AA, shift=8)
    coverage = mask.astype(np.float32) / 255
    return cv2.GaussianBlur(coverage, (0, 0), feather) if feather > 0 else coverage
