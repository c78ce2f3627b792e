"""Local phase and local orientation of an image by the Riesz transform.

The Riesz transform (R1, R2) of a band-passed image I is the image shifted in phase by a quarter of a wavelength along
the local orientation n: ``I = A cos φ`` and ``(R1, R2) = A sin φ n`` with the amplitude A. A motion by d changes the
phase by ``-∇φ · d``, independent of the amplitude. A change of lighting changes A but not φ. The filters have three
taps, and phase differences are logarithms of unit quaternions, which need no estimate of the orientation, as in Wadhwa,
Rubinstein, Durand and Freeman 2014, "Riesz pyramids for fast phase-based video magnification".
"""

from __future__ import annotations

import cv2
import numpy as np

#: Phases are treated as equal if the sine of their difference is not greater than this, because its direction is then
#: undefined.
_EQUAL = 1e-20


def transform(band: np.ndarray) -> np.ndarray:
    """A band and its Riesz transform, computed with the filters [1/2, 0, -1/2] along x and y.

    Parameters
    ----------
    band : ndarray, shape (H, W), float32
        Band-passed image; the borders are mirrored.

    Returns
    -------
    ndarray, shape (3, H, W), float32
        I, R1, R2: the quaternion I + i R1 + j R2 at each pixel.
    """
    padded = cv2.copyMakeBorder(band, 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    along_x = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    along_y = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    return np.stack([band, along_x, along_y])


def phase_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Phase difference vector: the phase angle times the local orientation.

    This is the vector part (i, j) of ``log(q2 conj(q1))`` of the unit quaternions, with the angle in (-π, π].

    Parameters
    ----------
    first, second : ndarray, shape (3, H, W)
        Bands as returned by :func:`transform`, of any amplitude.

    Returns
    -------
    ndarray, shape (2, H, W), float32
        Components along x and y, in radians; 0 where the phases are equal or one of the amplitudes is 0.
    """
    real = first[0] * second[0] + first[1] * second[1] + first[2] * second[2]
    vector = first[0] * second[1:] - first[1:] * second[0]
    sine = np.hypot(vector[0], vector[1])
    angle = np.arctan2(sine, real)
    result: np.ndarray = vector * np.divide(angle, sine, out=np.zeros_like(sine), where=sine > _EQUAL)
    return result


def phase_gradient(band: np.ndarray) -> np.ndarray:
    """Derivatives of the phase along x and y: means of the phase differences to the neighbours on both sides.

    Differences between adjacent pixels are unambiguous up to the shortest wavelength that an image can represent.

    Parameters
    ----------
    band : ndarray, shape (3, H, W)
        A band as returned by :func:`transform`.

    Returns
    -------
    ndarray, shape (2, 2, H, W), float32
        ``[axis, component]``, in radians per pixel: axis x, then y, each a vector as in :func:`phase_difference`.
    """
    padded = np.pad(band, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    along_x = phase_difference(padded[:, 1:-1, :-1], padded[:, 1:-1, 1:])
    along_y = phase_difference(padded[:, :-1, 1:-1], padded[:, 1:, 1:-1])
    return np.stack([along_x[:, :, :-1] + along_x[:, :, 1:], along_y[:, :-1] + along_y[:, 1:]]) / 2


def amplitude(band: np.ndarray) -> np.ndarray:
    """Local amplitude ``sqrt(I² + R1² + R2²)``, (H, W), of a band as returned by :func:`transform`."""
    result: np.ndarray = np.sqrt(band[0] ** 2 + band[1] ** 2 + band[2] ** 2)
    return result
