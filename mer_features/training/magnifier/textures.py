"""Textures and outlines that can be moved by any fraction of a pixel without error.

A patch holds the coefficients of a cubic B-spline. Moving it is an exact evaluation of one continuous image: no shift
is rounded, and all shifts blur equally. The coefficients of a photograph are those of its interpolating spline. Random
textures and outlines are drawn directly as coefficients.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from skimage import data

from mer_features.core.clips import IMAGE_SUFFIXES as FRAME_SUFFIXES
from mer_features.synthetic.resample import taps

#: Photographs of scikit-image for training; by their documentation they are public domain or CC0. The cat and the
#: rocket are left out, because the quality of the magnifier is measured on them.
PHOTOGRAPHS = (
    "brick",
    "camera",
    "cell",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "text",
)
#: Differs from the suffixes of frames on purpose: photographs may also be WebP files.
IMAGE_SUFFIXES = FRAME_SUFFIXES | {".webp"}

_PACKAGED = "skimage:"


def sources(folder: Path | None) -> tuple[str, ...]:
    """Names of the photographs: all images below a folder, or :data:`PHOTOGRAPHS`.

    Raises
    ------
    ValueError
        If the folder holds no image.
    """
    if folder is None:
        return tuple(_PACKAGED + name for name in PHOTOGRAPHS)
    paths = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ValueError(f"{folder}: no image found (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return tuple(paths)


def read(source: str) -> np.ndarray:
    """A photograph in grey levels 0..255, (3, H, W) float32; raises ``ValueError`` for an unreadable file."""
    if source.startswith(_PACKAGED):
        image = getattr(data, source.removeprefix(_PACKAGED))()
    else:
        image = cv2.imread(source, cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise ValueError(f"{source}: not a readable image")
    planes = np.broadcast_to(np.atleast_3d(image), (*image.shape[:2], 3))
    return np.ascontiguousarray(np.moveaxis(planes, -1, 0), dtype=np.float32)


def coefficients(planes: np.ndarray) -> np.ndarray:
    """Coefficients of the cubic spline through an image's samples; (C, H, W) float32, like the image."""
    for axis in (-2, -1):
        planes = ndimage.spline_filter1d(planes, order=3, axis=axis, output=np.float32, mode="mirror")
    return planes


@lru_cache(maxsize=128)
def _photograph(source: str, halvings: int) -> np.ndarray:
    planes = read(source)
    for _ in range(halvings):
        size = (max(1, planes.shape[2] // 2), max(1, planes.shape[1] // 2))
        planes = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes])
    return coefficients(planes)


def photograph(source: str, side: int, random: np.random.Generator) -> np.ndarray:
    """A square crop of a photograph at full or half size, randomly rotated, mirrored, recoloured; (3, side, side)."""
    planes = _photograph(source, int(random.integers(2)))
    if min(planes.shape[1:]) < side:
        missing = [(0, 0), *((0, max(0, side - length)) for length in planes.shape[1:])]
        planes = np.pad(planes, missing, mode="symmetric")
    top, left = (int(random.integers(length - side + 1)) for length in planes.shape[1:])
    cut = planes[random.permutation(3), top : top + side, left : left + side]
    cut = np.rot90(cut, int(random.integers(4)), axes=(1, 2))
    cut = cut[:, :, ::-1] if random.uniform() < 0.5 else cut
    gain = random.uniform(0.6, 1.1) * random.uniform(0.9, 1.1, 3)
    return np.ascontiguousarray(cut * gain[:, None, None], dtype=np.float32)


def noise(side: int, random: np.random.Generator) -> np.ndarray:
    """Smooth random texture: two octaves of blurred noise around a random colour; (3, side, side) float32."""
    sigma = float(np.exp(random.uniform(np.log(0.7), np.log(6.0))))
    weights = random.uniform(0.3, 1.0, 3) * random.choice([-1.0, 1.0], 3, p=[0.2, 0.8])
    coarse = random.uniform(0, 0.7)
    field = _blurred_noise(side, sigma, random) + coarse * _blurred_noise(side, 2.5 * sigma, random)
    return _coloured(field, weights * random.uniform(8, 45), random)


def grating(side: int, random: np.random.Generator) -> np.ndarray:
    """Sinusoid of random wavelength (4 to 40 px) and direction; (3, side, side) float32."""
    wavelength, angle = float(np.exp(random.uniform(np.log(4), np.log(40)))), random.uniform(0, np.pi)
    along = np.arange(side) * (2 * np.pi / wavelength)
    field = np.sin(along[None] * np.cos(angle) + along[:, None] * np.sin(angle) + random.uniform(0, 2 * np.pi))
    return _coloured(field, random.uniform(0.3, 1.0, 3) * random.uniform(8, 60), random)


def _blurred_noise(side: int, sigma: float, random: np.random.Generator) -> np.ndarray:
    field = cv2.GaussianBlur(random.standard_normal((side, side)).astype(np.float32), (0, 0), sigma)
    return field / (field.std() + 1e-6)


def _coloured(field: np.ndarray, weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mean = random.uniform(50, 205) + random.uniform(-30, 30, 3)
    return np.clip(mean[:, None, None] + weights[:, None, None] * field, 0, 255).astype(np.float32)


def draw(names: tuple[str, ...], side: int, random: np.random.Generator) -> np.ndarray:
    """A random texture, usually from the named photographs; spline coefficients (3, side, side) float32."""
    kind = random.uniform()
    if kind < 0.7:
        return photograph(names[random.integers(len(names))], side, random)
    return noise(side, random) if kind < 0.93 else grating(side, random)


def outline(side: int, radius: float, random: np.random.Generator) -> np.ndarray:
    """Coverage of a random blob with a radius of about ``radius`` pixels; spline coefficients (side, side) float32."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = random.normal(0, 1, (4, 2)) * 0.25 / np.arange(1, 5)[:, None]
    turns = np.arange(2, 6)[:, None] * angle
    reach = radius * np.clip(1 + (waves[:, :1] * np.cos(turns) + waves[:, 1:] * np.sin(turns)).sum(axis=0), 0.3, 2)
    squash = np.array([[random.uniform(0.5, 1.0)], [1.0]])
    tilt = random.uniform(0, np.pi)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    points = (turn @ (squash * reach * np.stack([np.cos(angle), np.sin(angle)]))).T + random.uniform(0, side, 2)
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 256).astype(np.int32)[:, None]], 255, lineType=cv2.LINE_AA, shift=8)
    return mask.astype(np.float32) / 255


def moved(patch: np.ndarray, shift: np.ndarray, margin: int) -> np.ndarray:
    """Move the image of a patch, out(p) = image(p - shift), and cut off its margin.

    Parameters
    ----------
    patch : ndarray, shape (..., side + 2 margin, side + 2 margin), float32
        Spline coefficients.
    shift : ndarray, shape (2,)
        x, y in pixels; at most ``margin - 3`` each.
    margin
        Pixels around the part that is returned.

    Returns
    -------
    ndarray, shape (..., side, side), float32
    """
    for axis, distance in ((-1, float(shift[0])), (-2, float(shift[1]))):
        patch = _moved_along(patch, distance, margin, axis)
    return patch


def _moved_along(patch: np.ndarray, distance: float, margin: int, axis: int) -> np.ndarray:
    start = int(np.floor(margin - distance))
    if not 1 <= start <= 2 * margin - 2:
        raise ValueError(f"a shift of {distance} px needs a margin of more than {margin} px")
    weights = taps(margin - distance - start)[1:].astype(np.float32)  # of the samples -1..2 around the position
    index: list[slice] = [slice(None)] * patch.ndim
    parts = []
    for first, weight in enumerate(weights, start - 1):
        index[axis] = slice(first, first + patch.shape[axis] - 2 * margin)
        parts.append(weight * patch[tuple(index)])
    return parts[0] + parts[1] + parts[2] + parts[3]
