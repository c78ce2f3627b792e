"""Uniform local binary patterns and their histograms over boxes of an image.

Eight samples on a circle around each pixel, taken by bilinear interpolation, are compared with the pixel: one
bit each. The 58 patterns with at most two changes around the circle have a bin of their own, all others share
the last (Ojala, Pietikäinen and Mäenpää 2002, doi:10.1109/TPAMI.2002.1017623; not made rotation invariant, as
in Ahonen, Hadid and Pietikäinen 2006, doi:10.1109/TPAMI.2006.244). Codes and their numbering equal those of
scikit-image's ``local_binary_pattern(image, 8, radius, "nri_uniform")``; whole-array arithmetic takes half
the time, which counts because every frame of every clip is coded.
"""

from __future__ import annotations

import functools
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
        Radius of the circle in pixels; larger sees coarser texture.
    box
        Pixels to code, the whole image by default. Their samples are taken from the whole image.

    Returns
    -------
    ndarray, shape (box height, box width), uint8
        Pattern numbers 0..58; 58 holds the non-uniform patterns.

    Raises
    ------
    ValueError
        If the image is not two-dimensional, the radius not positive or the box empty or not inside the image.
    """
    box = Box(0, 0, *np.shape(image)) if box is None and np.ndim(image) == 2 else box
    if box is None or radius < 1 or not _inside(box, np.shape(image)):
        raise ValueError(f"found image {np.shape(image)}, radius {radius}, {box}; expected (H, W), >= 1, box inside")
    patch = np.pad(image, radius)[box.top : box.bottom + 2 * radius, box.left : box.right + 2 * radius]
    patch = patch.astype(np.float64)
    centre = patch[radius:-radius, radius:-radius]
    bits = np.zeros(centre.shape, np.uint8)
    for point, (dy, dx) in enumerate(_circle(radius)):
        bits |= (_sample(patch, box, radius, dy, dx) >= centre).view(np.uint8) << point
    return _uniform_table().take(bits)


def histograms(image: np.ndarray, boxes: Iterable[Box], radius: int = 1) -> np.ndarray:
    """LBP histograms of several boxes, one after the other.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        Grey levels.
    boxes
        Boxes inside the image.
    radius
        As for :func:`codes`.

    Returns
    -------
    ndarray, shape (59 · number of boxes,), int64
        Pixel counts, not normalised: a box weighs as much as it has pixels.
    """
    return np.concatenate([np.bincount(codes(image, radius, box).ravel(), minlength=BINS) for box in boxes])


def _inside(box: Box, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and 0 <= box.top < box.bottom <= shape[0] and 0 <= box.left < box.right <= shape[1]


def _circle(radius: int) -> list[tuple[float, float]]:
    """Offsets (down, right) of the samples, counter-clockwise from the right."""
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    # Five decimals as in scikit-image: samples on the axes fall on pixels exactly.
    down, right = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
    return list(zip(down.tolist(), right.tolist(), strict=True))


def _sample(patch: np.ndarray, box: Box, radius: int, dy: float, dx: float) -> np.ndarray:
    """Values at a fixed offset from every pixel of the box; ``patch`` is the box with a rim of the radius."""
    height, width = box.bottom - box.top, box.right - box.left
    y, x = int(np.floor(dy)) + radius, int(np.floor(dx)) + radius
    if dy.is_integer() and dx.is_integer():
        return patch[y : y + height, x : x + width]
    # Weights from absolute positions, as in scikit-image: their last bits decide where a sample equals its
    # pixel.
    wy = ((np.arange(box.top, box.bottom) + dy) % 1)[:, None]
    wx = (np.arange(box.left, box.right) + dx) % 1
    rows = patch[y : y + height + 1]
    across = (1 - wx) * rows[:, x : x + width] + wx * rows[:, x + 1 : x + 1 + width]
    return (1 - wy) * across[:-1] + wy * across[1:]


@functools.cache
def _uniform_table() -> np.ndarray:
    """Pattern number of each of the 256 bit patterns.

    All zeros is 0, all ones 57; a run of n ones starting at sample s is 1 + 8 (n - 1) + (-s mod 8); the rest
    is 58.
    """
    table = np.full(1 << POINTS, BINS - 1, np.uint8)
    table[0], table[-1] = 0, BINS - 2
    for length in range(1, POINTS):
        for start in range(POINTS):
            pattern = sum(1 << (start + step) % POINTS for step in range(length))
            table[pattern] = 1 + POINTS * (length - 1) + -start % POINTS
    return table
