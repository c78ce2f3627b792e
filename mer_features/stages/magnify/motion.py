"""Motion between two pictures from the phases of their bands: coarse to fine, one smooth displacement for all bands.

At each scale the phase difference t of the two pictures and the phase gradient g of one of them give, at every
pixel, the constraint ``t = -g d`` on what is left of the displacement d (Fleet and Jepson 1990, "Computation of
component image velocity from local phase information"). It is solved by least squares over a Gaussian window, each
pixel weighted by the squared amplitude of its band: phase is as uncertain as noise is large against amplitude. The
other picture is then sampled at the new positions and the rest estimated again.
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

#: Reductions by two at most: the coarsest sees displacements up to about 24 px.
LEVELS = 4
#: Motion is estimated on pictures whose short side is at most this many pixels, larger ones reduced: it is smooth.
LARGEST = 512
#: The band at each scale is the difference of Gaussians of these standard deviations, pixels.
_BAND_PX = (1.0, 2.0)
#: Rounds at each scale; no more once no displacement changes by this many pixels.
_ROUNDS, _SETTLED_PX = 4, 0.01
#: Squared phase gradient times squared amplitude, grey levels² per squared pixel of the finest scale, that counts as
#: no more than noise: with less the displacement stays near that of the next coarser scale. It keeps what aliasing
#: leaves of a fine pattern at a coarse scale from being taken for motion.
_NOISE = 0.2


@dataclass(frozen=True)
class Scales:
    """A picture at the scales that are compared, the finest first, and the shapes of finer ones that are not."""

    levels: Sequence[np.ndarray]
    finer: Sequence[tuple[int, int]]


def analyse(luma: np.ndarray) -> Scales:
    """The scales of a picture that :func:`displacement` compares.

    Parameters
    ----------
    luma : ndarray, shape (H, W), float32
        Grey levels.
    """
    skipped = max(0, math.ceil(math.log2(min(luma.shape) / LARGEST)))
    levels = gaussian(luma, skipped + LEVELS)
    return Scales(levels[skipped:], [level.shape for level in levels[:skipped]])


def displacement(reference: Scales, moved: Scales, smoothing_px: float) -> np.ndarray:
    """How far what is seen at each pixel of the moved picture has come since the reference.

    Parameters
    ----------
    reference, moved
        Two pictures of equal size.
    smoothing_px
        Standard deviation of the window, pixels of the finest scale compared; a third of it smooths the field
        after each round. Larger bears more noise and sees less detail.

    Returns
    -------
    ndarray, shape (2, H, W), float32
        w, to the right and down, pixels: ``moved(z) = reference(z - w(z))``. Exactly 0 for equal pictures.
    """
    back = np.zeros((2, *moved.levels[-1].shape), np.float32)  # reference(z + back(z)) = moved(z)
    for level in reversed(range(len(moved.levels))):
        other, base = reference.levels[level], moved.levels[level]
        back = _refine(other, base, _enlarged(back, base.shape), smoothing_px, _NOISE * 4**level)
    for shape in reversed(moved.finer):
        back = _enlarged(back, shape)
    return -back


def _enlarged(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A displacement field at the next finer scale of a pyramid, where a pixel is half as large."""
    if field.shape[1:] == shape:
        return field
    return np.stack([2 * cv2.pyrUp(plane, dstsize=(shape[1], shape[0])) for plane in field])


def _refine(other: np.ndarray, base: np.ndarray, back: np.ndarray, smoothing_px: float, noise: float) -> np.ndarray:
    """The field brought up to date at one scale."""
    fixed = transform(_band(base))
    gradient, energy = phase_gradient(fixed), amplitude(fixed)
    spline = ndimage.spline_filter(other, 3, np.float32, mode="mirror")
    y, x = np.mgrid[: base.shape[0], : base.shape[1]].astype(np.float32)
    for _ in range(_ROUNDS):
        shifted = other
        if back.any():
            where = (y + back[1], x + back[0])
            shifted = ndimage.map_coordinates(spline, where, np.float32, 3, mode="mirror", prefilter=False)
        band = transform(_band(shifted))
        terms = _window_sums(gradient, phase_difference(fixed, band), energy * amplitude(band), smoothing_px)
        rest = _solve(*terms, np.float32(noise))
        back = np.stack([_blur(plane, smoothing_px / 3) for plane in back + rest])
        if np.abs(rest).max() < _SETTLED_PX:
            break
    return back


def _window_sums(
    gradient: np.ndarray, difference: np.ndarray, weight: np.ndarray, smoothing_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations at every pixel: (xx, xy, yy) of the gradient, (x, y) of gradient and difference."""

    def mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return _blur(weight * (first * second).sum(axis=0), smoothing_px)

    x, y = gradient
    return np.stack([mean(x, x), mean(x, y), mean(y, y)]), np.stack([mean(x, difference), mean(y, difference)])


def _solve(matrix: np.ndarray, right: np.ndarray, noise: np.float32) -> np.ndarray:
    """Solution d of ``matrix d = -right``, drawn to 0 where the matrix is no larger than noise; (2, H, W)."""
    xx, xy, yy = matrix[0] + noise, matrix[1], matrix[2] + noise
    result: np.ndarray = np.stack([xy * right[1] - yy * right[0], xy * right[0] - xx * right[1]]) / (xx * yy - xy**2)
    return result


def _band(image: np.ndarray) -> np.ndarray:
    result: np.ndarray = _blur(image, _BAND_PX[0]) - _blur(image, _BAND_PX[1])
    return result


def _blur(image: np.ndarray, sigma_px: float) -> np.ndarray:
    result: np.ndarray = cv2.GaussianBlur(image, (0, 0), sigma_px)
    return result
