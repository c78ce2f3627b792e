"""Statistics of the style of a face crop: colour, contrast and spectrum, without the positions of edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import fft

from mer_features.stages.style import lab

#: Half the side of the square of lowest frequencies, as a fraction of the side of the image (β of Yang and Soatto
#: 2020).
BETA = 0.01
#: Edges of the radial frequency bands in cycles per pixel; the last band includes the corners of the spectrum.
BAND_EDGES = (1 / 64, 1 / 16, 1 / 8, 1 / 4, 0.75)
BANDS = len(BAND_EDGES) - 1
_FLOOR = 1e-3  # added to amplitudes before taking the logarithm, in units of L


@dataclass(frozen=True)
class Statistics:
    """Style statistics of one crop in CIELAB, or averages over several crops; C = 1 (grey) or 3 channels.

    Attributes
    ----------
    mean, std, third : ndarray, shape (C,)
        Channel means, standard deviations and signed cube roots of the third central moments.
    detail : ndarray, shape (C,)
        Standard deviation without the mean and the lowest frequencies.
    low : ndarray, shape (C, 2b + 1, 2b + 1)
        Amplitudes |FFT| / (H W) of the lowest frequencies, -b..b cycles per image; 0 at the centre (the mean).
    bands : ndarray, shape (4,)
        Mean log amplitude of the cosine spectrum of L in four radial bands.
    """

    mean: np.ndarray
    std: np.ndarray
    third: np.ndarray
    detail: np.ndarray
    low: np.ndarray
    bands: np.ndarray

    @property
    def channels(self) -> int:
        """Number of channels, 1 or 3."""
        return len(self.mean)

    @property
    def form(self) -> np.ndarray:
        """Shape of the spectrum, independent of its overall amplitude: ``bands`` minus their mean."""
        result: np.ndarray = self.bands - self.bands.mean()
        return result

    def vector(self) -> np.ndarray:
        """The 13 numbers used to cluster crops; the chroma of a grey crop is zero."""
        moments = np.zeros((3, 3))
        moments[:, : self.channels] = [self.mean, self.std, self.third]
        return np.concatenate([moments.ravel(), self.bands])


def combine(
    items: Sequence[Statistics],
    average: Callable[..., np.ndarray],
    *,
    lightness_of: Sequence[Statistics] | None = None,
) -> Statistics:
    """Element-wise mean or median of several statistics.

    Parameters
    ----------
    items
        Statistics, at least one, either all grey or all in colour.
    average
        ``np.mean`` or ``np.median``.
    lightness_of
        Statistics from which L and ``bands`` are taken instead; grey and colour may be mixed.
    """
    lights = items if lightness_of is None else lightness_of
    values = {}
    for name in (field.name for field in fields(Statistics)):
        if name == "bands":
            values[name] = average([item.bands for item in lights], axis=0)
            continue
        rest = average([getattr(item, name)[1:] for item in items], axis=0)
        first = average([getattr(item, name)[:1] for item in lights], axis=0)
        values[name] = np.concatenate([first, rest])
    return Statistics(**values)


def measure(image: np.ndarray) -> Statistics:
    """Style statistics of a crop (H, W, 1 or 3), uint8; three equal channels count as grey."""
    return of_planes(lab.planes(image))


def of_planes(planes: np.ndarray) -> Statistics:
    """Style statistics of Lab planes (C, H, W)."""
    mean = planes.mean(axis=(1, 2))
    centred = planes - mean[:, None, None]
    amplitudes = low_coefficients(centred)
    return Statistics(
        mean=mean,
        std=centred.std(axis=(1, 2)),
        third=np.cbrt((centred**3).mean(axis=(1, 2))),
        detail=(centred - low_field(amplitudes, planes.shape[1:])).std(axis=(1, 2)),
        low=np.abs(amplitudes),
        bands=band_levels(cosine_spectrum(centred[0])),
    )


# Lowest frequencies


def detail_of(plane: np.ndarray) -> np.ndarray:
    """A plane (H, W) without its mean and lowest frequencies."""
    centred = plane - plane.mean()
    result: np.ndarray = centred - low_field(low_coefficients(centred[None]), plane.shape)[0]
    return result


def half_side(shape: tuple[int, ...]) -> int:
    """The largest number b of cycles per image among the lowest frequencies, at least 1."""
    return max(1, int(BETA * min(shape[-2:])))


def low_coefficients(planes: np.ndarray) -> np.ndarray:
    """Complex Fourier coefficients (C, 2b + 1, 2b + 1), per pixel, of the lowest frequencies; 0 for the mean."""
    b = half_side(planes.shape)
    size = planes.shape[1] * planes.shape[2]
    low = fft.fft2(planes, workers=1)[:, _around(b)[:, None], _around(b)] / size
    low[:, b, b] = 0
    # Smaller values are rounding errors, and their phase would be noise.
    return np.where(np.abs(low) > 1e-9, low, 0)


def low_field(coefficients: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The smooth planes (C, H, W) whose :func:`low_coefficients` these are."""
    height, width = shape
    b = coefficients.shape[-1] // 2
    cycles = np.arange(-b, b + 1)
    down = np.exp(2j * np.pi * np.outer(np.arange(height), cycles) / height)
    right = np.exp(2j * np.pi * np.outer(cycles, np.arange(width)) / width)
    result: np.ndarray = (down @ coefficients @ right).real
    return result


def _around(b: int) -> np.ndarray:
    """Indices of the frequencies -b..b in an FFT."""
    return np.arange(-b, b + 1)


# Bands


def cosine_spectrum(plane: np.ndarray) -> np.ndarray:
    """Orthonormal DCT-II (H, W) of a plane; unlike an FFT, it has no discontinuity between opposite edges."""
    result: np.ndarray = fft.dctn(plane, norm="ortho", workers=1)
    return result


def from_cosine_spectrum(spectrum: np.ndarray) -> np.ndarray:
    """Inverse of :func:`cosine_spectrum`."""
    result: np.ndarray = fft.idctn(spectrum, norm="ortho", workers=1)
    return result


def band_levels(spectrum: np.ndarray) -> np.ndarray:
    """Mean log amplitude (4,) of a cosine spectrum in each band."""
    logs = np.log(np.abs(spectrum) + _FLOOR)
    return np.array([logs[inside].mean() if inside.any() else np.log(_FLOOR) for inside in _bands(spectrum.shape)])


@lru_cache(maxsize=4)
def _bands(shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    radius = _radius(shape)
    return tuple((radius >= low) & (radius < high) for low, high in pairwise(BAND_EDGES))


def _radius(shape: tuple[int, int]) -> np.ndarray:
    """Frequency of every DCT coefficient in cycles per pixel."""
    down, right = (np.arange(length) / (2 * length) for length in shape)
    return np.hypot(down[:, None], right)


@lru_cache(maxsize=4)
def hats(shape: tuple[int, int]) -> np.ndarray:
    """Weights (4, H, W) of the bands over the DCT grid, linear between centres in log frequency; their sum is 1."""
    centres = np.log(np.sqrt(np.multiply(BAND_EDGES[:-1], (*BAND_EDGES[1:-1], 0.5))))
    frequency = np.log(np.maximum(_radius(shape), 1e-9))
    return np.stack([np.interp(frequency, centres, row) for row in np.eye(BANDS)])


@lru_cache(maxsize=4)
def band_response(shape: tuple[int, int]) -> np.ndarray:
    """Matrix M (4, 4): mean of every weight function in every band; weights c raise the band levels by M c."""
    return np.array([hats(shape)[:, inside].mean(axis=1) for inside in _bands(shape)])
