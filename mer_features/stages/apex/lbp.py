"""Uniform local binary patterns (LBP) and their histograms over boxes of an image.

Eight samples on a circle around each pixel are compared with the pixel, which gives one bit per sample; samples between
pixels are interpolated bilinearly. Each of the 58 patterns with at most two changes around the circle has its own bin,
and all other patterns share the last bin (Ojala, Pietikäinen and Mäenpää 2002, doi:10.1109/TPAMI.2002.1017623). The
patterns are not rotation invariant, as in Ahonen, Hadid and Pietikäinen 2006, doi:10.1109/TPAMI.2006.244. Codes and
their numbering equal those of scikit-image's ``local_binary_pattern(image, 8, radius, "nri_uniform")`` bit for bit. The
compiled loops need one sixtieth of the time, which matters because every frame of every clip is coded.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

POINTS = 8
BINS = POINTS * (POINTS - 1) + 3


class Box(NamedTuple):
    """A rectangle of pixels: rows ``top`` to ``bottom - 1``, columns ``left`` to ``right - 1``."""

    top: int
    left: int
    bottom: int
    right: int


def codes(image: np.ndarray, radius: int = 1, box: Box | None = None) -> np.ndarray:
    """Uniform LBP code of every pixel of a box.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        Grey levels, any real dtype. Samples outside the image count as 0.
    radius
        Radius of the circle in pixels; larger radii describe coarser texture.
    box
        Pixels to code, by default the whole image. Samples outside the box are taken from the image.

    Returns
    -------
    ndarray, shape (box height, box width), uint8
        Pattern numbers 0..58; 58 is the number of all non-uniform patterns.

    Raises
    ------
    ValueError
        If the image is not two-dimensional, the radius is not positive, or the box is empty or not inside the image.
    """
    box = Box(0, 0, *np.shape(image)) if box is None and np.ndim(image) == 2 else box
    if box is None or radius < 1 or not _inside(box, np.shape(image)):
        raise ValueError(f"found image {np.shape(image)}, radius {radius}, {box}; expected (H, W), >= 1, box inside")
    # Compiled code is loaded on first use.
    from mer_features.stages.apex import lbp_kernels  # noqa: PLC0415

    # Five decimals as in scikit-image.
    diagonal = round(radius * math.sin(math.pi / 4), 5)
    numbers = np.empty((box.bottom - box.top, box.right - box.left), np.uint8)
    lbp_kernels.circle(
        _with_rim(np.asarray(image), box, radius),
        radius,
        math.floor(-diagonal) + radius,
        math.floor(diagonal) + radius,
        _weights(box.top, box.bottom, diagonal),
        _weights(box.left, box.right, diagonal),
        _uniform_table(),
        numbers,
    )
    return numbers


def histograms(image: np.ndarray, boxes: Iterable[Box], radius: int = 1) -> np.ndarray:
    """LBP histograms of several boxes, concatenated.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        Grey levels.
    boxes
        Boxes inside the image.
    radius
        Radius in pixels, as for :func:`codes`.

    Returns
    -------
    ndarray, shape (59 · number of boxes,), int64
        Pixel counts, not normalised: the weight of a box is its number of pixels.
    """
    from mer_features.stages.apex import lbp_kernels  # noqa: PLC0415 - loaded on first use

    boxes = list(boxes)
    counts = np.zeros((len(boxes), BINS), np.int64)
    for box, row in zip(boxes, counts, strict=True):
        lbp_kernels.count(codes(image, radius, box)[None], row)
    return counts.ravel()


def _inside(box: Box, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and 0 <= box.top < box.bottom <= shape[0] and 0 <= box.left < box.right <= shape[1]


def _with_rim(image: np.ndarray, box: Box, radius: int) -> np.ndarray:
    """The box with a margin of ``radius`` pixels on every side; 0 outside the image."""
    top, left, bottom, right = box.top - radius, box.left - radius, box.bottom + radius, box.right + radius
    height, width = image.shape
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return np.ascontiguousarray(image[top:bottom, left:right])
    patch = np.zeros((bottom - top, right - left), image.dtype)
    inside = image[max(top, 0) : bottom, max(left, 0) : right]
    patch[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]] = inside
    return patch


@functools.lru_cache(maxsize=256)
def _weights(start: int, stop: int, by: float) -> np.ndarray:
    """Interpolation weights of samples ``by`` pixels before and after each position, shape (2, N).

    A sample lies between two pixels; the weight is that of the second pixel.
    """
    # Computed from absolute positions, as in scikit-image: the last bits decide whether a sample equals its pixel.
    positions = np.arange(start, stop)
    return np.stack([(positions - by) % 1, (positions + by) % 1])


@functools.cache
def _uniform_table() -> np.ndarray:
    """Pattern number of each of the 256 bit patterns.

    All zeros is 0 and all ones is 57. A run of n ones starting at sample s is 1 + 8 (n - 1) + (-s mod 8). All other
    patterns are 58.
    """
    table = np.full(1 << POINTS, BINS - 1, np.uint8)
    table[0], table[-1] = 0, BINS - 2
    for length in range(1, POINTS):
        for start in range(POINTS):
            pattern = sum(1 << (start + step) % POINTS for step in range(length))
            table[pattern] = 1 + POINTS * (length - 1) + -start % POINTS
    return table
