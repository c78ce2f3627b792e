"""Motion between two images from the phases of their bands: one smooth displacement field, from coarse to fine.

At each scale, the phase difference t of the two images and the phase gradient g of one of them give, at every pixel,
the constraint ``t = -g d`` on the remaining displacement d (Fleet and Jepson 1990, "Computation of component image
velocity from local phase information"). It is solved by least squares over a Gaussian window. Each pixel is weighted by
the squared amplitude of its band, because the uncertainty of the phase is inversely proportional to the amplitude. Then
the other image is sampled at the new positions, and the remaining displacement is estimated again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from mer_features.stages.magnify.pyramid import gaussian
from mer_features.stages.magnify.riesz import amplitude, phase_difference, phase_gradient, transform

#: Largest number of scales, each half the size of the next finer one; the coarsest can measure displacements of up to
#: about 24 px.
LEVELS = 4
#: Motion is estimated on images whose short side is at most this many pixels; larger images are reduced, because the
#: motion is smooth.
LARGEST = 512
#: The band at each scale is the difference of two Gaussians with these standard deviations, in pixels.
_BAND_PX = (1.0, 2.0)
#: Largest number of rounds at each scale; the iteration ends when no displacement changes by this many pixels.
_ROUNDS, _SETTLED_PX = 4, 0.01
#: Noise level of the squared phase gradient times squared amplitude, in grey levels² per squared pixel of the finest
#: scale. Below it the displacement remains close to that of the next coarser scale. This prevents aliasing of fine
#: patterns at coarse scales from being measured as motion.
_NOISE = 0.2


@dataclass(frozen=True)
class Scales:
    """An image at the scales that are compared, the finest first, and the shapes of finer scales that are skipped."""

    levels: Sequence[np.ndarray]
    finer: Sequence[tuple[int, int]]


def analyse(luma: np.ndarray) -> Scales:
    """The scales of an image for :func:`displacement`.

    Parameters
    ----------
    luma : ndarray, shape (H, W), float32
        Grey levels.
    """
    skipped = max(0, math.ceil(math.log2(min(luma.shape) / LARGEST)))
    levels = gaussian(luma, skipped + LEVELS)
    return Scales(levels[skipped:], [level.shape for level in levels[:skipped]])


def displacement(reference: Scales, moved: Scales, smoothing_px: float) -> np.ndarray:
    """Displacement since the reference, at each pixel of the moved image.

    Parameters
    ----------
    reference, moved
        Two images of equal size.
    smoothing_px
        Standard deviation of the window, in pixels of the finest scale compared. After each round, the field is
        smoothed with one third of it. Larger values tolerate more noise and resolve less detail.

    Returns
    -------
    ndarray, shape (2, H, W), float32
        w, to the right and down, in pixels: ``moved(z) = reference(z - w(z))``. Exactly 0 for equal images.
    """
    back = np.zeros((2, *moved.levels[-1].shape), np.float32)  # reference(z + back(z)) = moved(z)
    for level in reversed(range(len(moved.levels))):
        other, base = reference.levels[level], moved.levels[level]
        back = _refine(other, base, _enlarge(back, base.shape), smoothing_px, _NOISE * 4**level)
    for shape in reversed(moved.finer):
        back = _enlarge(back, shape)
    return -back


def _enlarge(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A displacement field at the next finer scale of a pyramid, with pixels of half the size."""
    if field.shape[1:] == shape:
        return field
    return np.stack([2 * cv2.pyrUp(plane, dstsize=(shape[1], shape[0])) for plane in field])


def _refine(other: np.ndarray, base: np.ndarray, back: np.ndarray, smoothing_px: float, noise: float) -> np.ndarray:
    """Refine the field at one scale."""
    fixed = transform(_band(base))
    gradient, energy = phase_gradient(fixed), amplitude(fixed)
    spline = ndimage.spline_filter(other, 3, np.float32, mode="mirror")
    y, x = np.mgrid[: base.shape[0], : base.shape[1]].astype(np.float32)
    for _ in range(_ROUNDS):
        shifted = other
        if back.any():
            positions = (y + back[1], x + back[0])
            shifted = ndimage.map_coordinates(spline, positions, np.float32, 3, mode="mirror", prefilter=False)
        band = transform(_band(shifted))
        terms = _window_sums(gradient, phase_difference(fixed, band), energy * amplitude(band), smoothing_px)
        remaining = _solve(*terms, np.float32(noise))
        back = np.stack([_blur(plane, smoothing_px / 3) for plane in back + remaining])
        if np.abs(remaining).max() < _SETTLED_PX:
            break
    return back


def _window_sums(
    gradient: np.ndarray, difference: np.ndarray, weight: np.ndarray, smoothing_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations at every pixel: (xx, xy, yy) of the gradient, and (x, y) of gradient times difference."""

    def mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return _blur(weight * (first * second).sum(axis=0), smoothing_px)

    x, y = gradient
    return np.stack([mean(x, x), mean(x, y), mean(y, y)]), np.stack([mean(x, difference), mean(y, difference)])


def _solve(matrix: np.ndarray, right: np.ndarray, noise: np.float32) -> np.ndarray:
    """Solution d of ``matrix d = -right``, (2, H, W), shrunk towards 0 where the matrix is not larger than noise."""
    xx, xy, yy = matrix[0] + noise, matrix[1], matrix[2] + noise
    result: np.ndarray = np.stack([xy * right[1] - yy * right[0], xy * right[0] - xx * right[1]]) / (xx * yy - xy**2)
    return result


def _band(image: np.ndarray) -> np.ndarray:
    result: np.ndarray = _blur(image, _BAND_PX[0]) - _blur(image, _BAND_PX[1])
    return result


def _blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    result: np.ndarray = cv2.GaussianBlur(image, (0, 0), sigma_px)
    return result
