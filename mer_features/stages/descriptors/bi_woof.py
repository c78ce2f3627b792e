"""Bi-WOOF: histograms of flow orientation, weighted by flow magnitude within blocks and by strain between blocks.

Liong, See, Wong and Phan 2018, "Less is more: micro-expression recognition from video using apex frame"
(doi:10.1016/j.image.2017.11.006).
"""

from __future__ import annotations

import numpy as np

BINS = 8
BLOCKS = 5
LENGTH = BLOCKS * BLOCKS * BINS


def describe(u: np.ndarray, v: np.ndarray, strain: np.ndarray) -> np.ndarray:
    """Bi-WOOF descriptor of the flow between two frames.

    The image is divided into 5 x 5 blocks. Each block has a histogram of flow orientation with 8 bins over
    (-180°, 180°], in which every pixel is weighted by its flow magnitude (local weight). The histogram is divided by
    its sum and multiplied by the block's sum of optical strain (global weight). Finally the whole vector is normalised
    to unit length.

    Parameters
    ----------
    u, v : ndarray, shape (H, W)
        Flow to the right and down, pixels.
    strain : ndarray, shape (H, W)
        Optical strain, >= 0.

    Returns
    -------
    ndarray, shape (200,), float64
        Histograms of the blocks, row by row. A block without flow is zero; without any strain the whole vector is zero.

    Raises
    ------
    ValueError
        If the planes differ in shape or are smaller than 5 x 5.
    """
    if not u.shape == v.shape == strain.shape or u.ndim != 2 or min(u.shape) < BLOCKS:
        raise ValueError(
            f"found u {u.shape}, v {v.shape}, strain {strain.shape}; expected equal shapes (H, W) with sides of at "
            "least 5"
        )
    votes = np.hypot(u, v).astype(np.float64)
    block = blocks(u.shape)
    counts = np.bincount((block * BINS + _orientation(u, v)).ravel(), votes.ravel(), LENGTH).reshape(-1, BINS)
    sums = counts.sum(axis=1, keepdims=True)
    local = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    weighted = (local * np.bincount(block.ravel(), strain.ravel(), BLOCKS * BLOCKS)[:, None]).ravel()
    length = np.linalg.norm(weighted)
    result: np.ndarray = weighted / length if length > 0 else weighted
    return result


def _orientation(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bin of each pixel's angle: bin b holds (-180° + 45° b, -180° + 45° (b + 1)]."""
    # Adding 0 turns -0 into 0; the angle of -0 would be -180° instead of 180°.
    turns = (np.arctan2(v.astype(np.float64) + 0.0, u.astype(np.float64)) + np.pi) / (2 * np.pi)
    return np.clip(np.ceil(turns * BINS).astype(np.int64) - 1, 0, BINS - 1)


def blocks(shape: tuple[int, ...]) -> np.ndarray:
    """Index of the block that contains each pixel, (H, W); the blocks do not overlap."""
    rows, columns = (np.arange(size) * BLOCKS // size for size in shape)
    return rows[:, None] * BLOCKS + columns
