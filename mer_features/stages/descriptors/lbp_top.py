"""LBP-TOP: local binary patterns on three orthogonal planes of a clip (Zhao and Pietikäinen 2007).

For every voxel of the volume that has all its neighbours, P samples on an ellipse in each of the planes XY, XT and YT
are compared with the voxel, which gives one bit per sample. Every block of the frame has one histogram of these
patterns per plane. For a sample between voxels, the weighted sum of the differences to the centre is compared with 0;
this sum is exactly 0 if all values are equal. The defaults are those of the MEGC 2019 baseline (See et al. 2019):
radii 1, 1 and 4 along x, y and t, four neighbours, 5 x 5 blocks.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PLANES = ("XY", "XT", "YT")


@dataclass(frozen=True)
class Parameters:
    """Parameters of the patterns and of their histograms.

    Attributes
    ----------
    radii
        Radii of the ellipses along x and y (pixels) and t (frames).
    points
        Number of samples P on each ellipse, in the direction from the first axis of the plane to the second. With
        P = 4 all samples coincide with voxels.
    blocks
        Number of rows and columns of blocks; the blocks do not overlap.
    uniform
        Whether all patterns with more than two changes around the ellipse share one bin.
    """

    radii: tuple[int, int, int] = (1, 1, 4)
    points: int = 4
    blocks: tuple[int, int] = (5, 5)
    uniform: bool = True

    @property
    def bins(self) -> int:
        """Number of bins of one histogram: P (P - 1) + 3 if uniform (15 for P = 4, 59 for P = 8), otherwise 2^P."""
        return self.points * (self.points - 1) + 3 if self.uniform else 1 << self.points

    @property
    def length(self) -> int:
        """Length of the descriptor."""
        return self.blocks[0] * self.blocks[1] * len(PLANES) * self.bins


def describe(volume: np.ndarray, parameters: Parameters | None = None) -> np.ndarray:
    """LBP-TOP descriptor of a clip.

    Parameters
    ----------
    volume : ndarray, shape (T, H, W)
        Grey levels, any real dtype. T must be greater than twice the radius in time, and every block must contain at
        least one pixel that is a full radius away from the border.
    parameters
        By default those of MEGC 2019, which give 1125 values.

    Returns
    -------
    ndarray, shape (rows x columns x 3 x bins,), float64
        Histograms ordered by block (row by row), then by plane; the sum of each is 1.

    Raises
    ------
    ValueError
        If the volume is too small.
    """
    parameters = parameters or Parameters()
    if volume.ndim != 3:
        raise ValueError(f"found a volume of shape {volume.shape}, expected (T, H, W)")
    rx, ry, rt = parameters.radii
    smallest = (2 * rt + 1, max(2 * ry + 1, parameters.blocks[0]), max(2 * rx + 1, parameters.blocks[1]))
    if any(size < least for size, least in zip(volume.shape, smallest, strict=True)):
        raise ValueError(f"found a volume of shape {volume.shape}, expected at least {smallest} for {parameters}")
    from mer_features.stages.apex import lbp_kernels  # noqa: PLC0415 - compiled code is loaded on first use

    codes = patterns(volume, parameters)  # (3, T', H', W')
    rows = _edges(volume.shape[1], parameters.blocks[0], ry)
    columns = _edges(volume.shape[2], parameters.blocks[1], rx)
    blocks = [np.s_[:, top:bottom, left:right] for top, bottom in rows for left, right in columns]
    pattern_counts = np.zeros((len(blocks), len(PLANES), 1 << parameters.points), np.int64)
    for block, histograms in zip(blocks, pattern_counts, strict=True):
        for plane, histogram in zip(codes, histograms, strict=True):
            lbp_kernels.count(plane[block], histogram)
    counts = pattern_counts @ np.eye(parameters.bins, dtype=np.int64)[_bins(parameters.points, parameters.uniform)]
    result: np.ndarray = (counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)).ravel()
    return result


def patterns(volume: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Patterns of every voxel that has all its neighbours; sample 0 is bit 0.

    Returns
    -------
    ndarray, shape (3, T - 2 rt, H - 2 ry, W - 2 rx), uint8
        Patterns in the planes XY, XT and YT.
    """
    from mer_features.stages.apex import lbp_kernels  # noqa: PLC0415 - compiled code is loaded on first use

    rx, ry, rt = parameters.radii
    strides = np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])
    places = np.zeros((len(PLANES), parameters.points, 4), np.int64)
    weights = np.zeros(places.shape)
    corners = np.zeros(places.shape[:2], np.int64)
    for plane, name in enumerate(PLANES):
        for point, sample in enumerate(_ellipse(name, parameters)):
            corners[plane, point] = len(sample)
            for corner, (offset, weight) in enumerate(sample):
                places[plane, point, corner] = strides @ offset
                weights[plane, point, corner] = weight
    inner = [size - 2 * radius for radius, size in zip((rt, ry, rx), volume.shape, strict=True)]
    codes = np.empty((len(PLANES), *inner), np.uint8)
    lbp_kernels.planes(np.ascontiguousarray(volume), (rt, ry, rx), places, weights, corners, codes)
    return codes


#: A sample: the offsets (t, y, x) of the voxels around it, with their interpolation weights.
_Sample = tuple[tuple[tuple[int, int, int], float], ...]


def _ellipse(plane: str, parameters: Parameters) -> Iterator[_Sample]:
    """Samples of a plane, each as the surrounding voxels with bilinear weights."""
    radius = dict(zip("XYT", parameters.radii, strict=True))
    first, second = plane[0], plane[1]
    for point in range(parameters.points):
        angle = 2 * np.pi * point / parameters.points
        # Rounded, so that samples on the axes coincide exactly with voxels.
        along = {first: round(radius[first] * np.cos(angle), 5), second: round(radius[second] * np.sin(angle), 5)}
        yield tuple(_corners(along.get("T", 0.0), along.get("Y", 0.0), along.get("X", 0.0)))


def _corners(*position: float) -> Iterator[tuple[tuple[int, int, int], float]]:
    """Voxels around a position (t, y, x) whose interpolation weight is greater than 0, with these weights."""
    low = [int(np.floor(value)) for value in position]
    share = [value - floor for value, floor in zip(position, low, strict=True)]
    for step in np.ndindex(2, 2, 2):
        weight = float(np.prod([part if up else 1 - part for part, up in zip(share, step, strict=True)]))
        if weight > 0:
            t, y, x = (floor + int(up) for floor, up in zip(low, step, strict=True))
            yield (t, y, x), weight


def _edges(size: int, blocks: int, rim: int) -> list[tuple[int, int]]:
    """Ranges of pixels of each block along an axis of ``size`` pixels, counted from ``rim`` and without the rim."""
    edges = [round(block * size / blocks) for block in range(blocks + 1)]
    inside = [min(max(edge - rim, 0), size - 2 * rim) for edge in edges]
    return list(itertools.pairwise(inside))


@functools.cache
def _bins(points: int, uniform: bool) -> np.ndarray:
    """Bin of every pattern: uniform patterns in ascending order, all others in the last bin."""
    patterns = np.arange(1 << points)
    if not uniform:
        return patterns.astype(np.uint8)
    rotated = (patterns >> 1) | ((patterns & 1) << (points - 1))
    changes = np.array([int(value).bit_count() for value in patterns ^ rotated])
    table = np.full(len(patterns), points * (points - 1) + 2, np.uint8)
    table[changes <= 2] = np.arange((changes <= 2).sum())
    return table
