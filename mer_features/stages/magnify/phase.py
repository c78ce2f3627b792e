"""Phase-based motion magnification with Riesz phases, and two ways to compute the magnified image.

Both measure motion as differences of local phase (:mod:`mer_features.stages.magnify.riesz`), which do not depend on the
lighting, and both give the moved frame for factor 1.

:class:`Rotation` is the method of the literature (Wadhwa et al. 2013, 2014): the phase of each band is rotated by m - 1
times its phase difference. A band can represent shifts of up to about a quarter of its wavelength, so that fine detail
moves too little compared with shading. For the movements and factors of this field, less than half of the target
displacement is reached (docs/magnification.md).

:class:`Transport`, the default, moves the image itself, which is the limit in which the rotations of all bands agree
with one displacement. The displacement is estimated from the phases of all bands, from coarse to fine
(:mod:`mer_features.stages.magnify.motion`), and the frame is warped by m - 1 times this displacement. There are no
phase wraps and no ringing, and the range is that of the estimate and not that of a single band.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

from mer_features.stages.magnify.image import luma, to_uint8
from mer_features.stages.magnify.motion import Scales, analyse, displacement
from mer_features.stages.magnify.pyramid import collapse, laplacian
from mer_features.stages.magnify.riesz import amplitude, phase_difference, transform

#: Largest number of steps to invert a displacement field, and the change in pixels at which the iteration ends.
_STEPS, _SETTLED_PX = 60, 0.002
#: A field that changes by more than `_STEEP` from one pixel to the next is inverted with the step size `_DAMPED`.
_STEEP, _DAMPED = 0.5, 0.5


class Transport:
    """Warps the moved frame further along the displacement measured from its phases.

    Parameters
    ----------
    smoothing_px
        Standard deviation, in pixels, of the window over which phases are compared. Larger values tolerate more noise,
        smaller values resolve finer movements.
    """

    def __init__(self, smoothing_px: float = 6.0) -> None:
        self._smoothing_px = smoothing_px

    def analyse(self, image: np.ndarray) -> Scales:
        """The scales of a frame (H, W), (H, W, 1) or (H, W, 3), uint8."""
        return analyse(luma(image))

    def changes(self, reference: Scales, moved: Scales) -> tuple[np.ndarray, ...]:
        """Displacement from the reference to the moved frame at each pixel of the moved frame, (2, H, W), float32."""
        return (displacement(reference, moved, self._smoothing_px),)

    def render(self, moved: np.ndarray, changes: Sequence[np.ndarray], factor: float) -> np.ndarray:
        """The moved frame with ``factor`` times its displacement; shape and dtype of ``moved``."""
        field = np.float32(factor - 1) * changes[0].astype(np.float32, copy=False)
        if not field.any():
            return moved.copy()
        y, x = np.mgrid[: field.shape[1], : field.shape[2]]
        right, down = carried(field)
        return to_uint8(_sample(moved, x - right, y - down))


def carried(field: np.ndarray) -> np.ndarray:
    """Invert a displacement field: the displacement s at the target positions, ``s(p) = field(p - s(p))``.

    Fixed-point iteration, damped if the field is steep. It then converges wherever the warped image does not fold
    (compression below 1, stretch below 3). Where it folds, one of the overlapping parts is shown.

    Parameters
    ----------
    field : ndarray, shape (2, H, W), float32
        Displacement of each source pixel to the right and down, in pixels.

    Returns
    -------
    ndarray, shape (2, H, W), float32
        Displacement of the content that arrives at each pixel, in pixels.
    """
    pixel = np.stack(np.meshgrid(*map(np.arange, field.shape[:0:-1]))).astype(np.float32)
    step = np.float32(1.0 if _steepest(field) < _STEEP else _DAMPED)
    shift = np.zeros_like(pixel)
    for _ in range(_STEPS):
        x, y = pixel - shift
        # One plane at a time: OpenCV 5.0 rounds positions to 1/32 px for images with two channels, and only for these.
        planes = [cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in field]
        change = np.stack(planes) - shift
        shift += step * change
        if np.abs(change).max() < _SETTLED_PX:
            break
    return shift


def _steepest(field: np.ndarray) -> float:
    """Largest change of the displacement from one pixel to the next."""
    return max(float(np.abs(np.diff(field, axis=axis)).max()) for axis in (1, 2))


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sample with an interpolating cubic B-spline, which causes no shift and is exact at pixel centres."""
    planes = np.moveaxis(image.reshape(*image.shape[:2], -1), 2, 0)
    sampled = [ndimage.map_coordinates(plane, (y, x), np.float32, 3, mode="mirror") for plane in planes]
    return np.stack(sampled, axis=-1).reshape(image.shape)


class Rotation:
    """Rotates the phase of every band of a Riesz pyramid of the luma; low-pass residue and chroma are unchanged.

    Parameters
    ----------
    smoothing_px
        Standard deviation of the amplitude-weighted blur of the phase differences, in pixels of each band.
    limit_rad
        Largest rotation of a band in radians; a band cannot represent larger shifts.
    """

    def __init__(self, smoothing_px: float = 2.0, limit_rad: float = np.pi / 2) -> None:
        self._smoothing_px = smoothing_px
        self._limit_rad = limit_rad

    def analyse(self, image: np.ndarray) -> list[np.ndarray]:
        """Riesz transforms of the bands of a frame (H, W), (H, W, 1) or (H, W, 3), uint8."""
        bands, _ = laplacian(luma(image))
        return [transform(band) for band in bands]

    def changes(self, reference: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Smoothed phase difference vector of each band, (2, h, w), float32, radians."""
        return tuple(self._smooth_turn(first, second) for first, second in zip(reference, moved, strict=True))

    def _smooth_turn(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        weight = amplitude(second) + np.float32(1e-6)
        turn = phase_difference(first, second)
        blurred = [cv2.GaussianBlur(plane, (0, 0), self._smoothing_px) for plane in (weight, *(weight * turn))]
        result: np.ndarray = np.stack(blurred[1:]) / blurred[0]
        return result

    def render(self, moved: np.ndarray, changes: Sequence[np.ndarray], factor: float) -> np.ndarray:
        """The moved frame with the phases of its bands rotated; shape and dtype of ``moved``."""
        grey = luma(moved)
        bands, residue = laplacian(grey)
        rotated = [self._turn(band, factor - 1, turn) for band, turn in zip(bands, changes, strict=True)]
        difference = collapse(rotated, residue) - grey
        return to_uint8(moved + difference.reshape(*grey.shape, *[1] * (moved.ndim - 2)))

    def _turn(self, band: np.ndarray, gain: float, turn: np.ndarray) -> np.ndarray:
        angle = np.float32(gain) * turn
        length = np.hypot(angle[0], angle[1])
        limited = np.minimum(length, np.float32(self._limit_rad))
        unit = np.divide(angle, length, out=np.zeros_like(angle), where=length > 0)
        _, along_x, along_y = transform(band)
        result: np.ndarray = band * np.cos(limited) - (along_x * unit[0] + along_y * unit[1]) * np.sin(limited)
        return result
