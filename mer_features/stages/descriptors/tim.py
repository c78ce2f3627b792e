"""Temporal interpolation model: a clip resampled to a fixed number of frames along a curve through its frames.

Zhou, Zhao, Guo and Pietikäinen 2012 ("An image-based visual speech animation system", doi:10.1109/TCSVT.2012.2199399):
the n frames, minus their mean, are points of the curve whose k-th coordinate at s in [1/n, 1] is
``sin(pi k s + pi (n - k) / (2 n))``, k = 1 .. n - 1 (the eigenvectors of a path graph), under a linear map that fits
them. The paper maps the curve to coordinates of a singular value decomposition; that is a change of basis which
cancels, so here the map leads to the pixels themselves and the whole model is one matrix that depends on n alone.
"""

from __future__ import annotations

import functools

import numpy as np

#: Fewer frames hold no curve; they are interpolated linearly.
FEWEST = 3
# Pixels resampled at once: a clip in double precision does not fit a processor's caches, so many frames of these do.
_SLAB = 2048


def resample(frames: np.ndarray, count: int) -> np.ndarray:
    """A clip at another number of frames.

    Parameters
    ----------
    frames : ndarray, shape (n, ...)
        Any real dtype; n >= 1.
    count
        Frames wanted, at equal steps from the first to the last.

    Returns
    -------
    ndarray, shape (count, ...), float64
        With ``count`` = n the frames themselves up to rounding. One frame is repeated.

    Raises
    ------
    ValueError
        For no frames, or a count below 1.
    """
    if len(frames) < 1 or count < 1:
        raise ValueError(f"found {len(frames)} frames and a count of {count}; expected at least 1 of both")
    flat = frames.reshape(len(frames), -1)
    out = np.empty((count, flat.shape[1]))
    for start in range(0, flat.shape[1], _SLAB):
        slab = flat[:, start : start + _SLAB].astype(np.float64)
        mean = slab.mean(axis=0)
        out[:, start : start + _SLAB] = matrix(len(frames), count) @ (slab - mean) + mean
    return out.reshape(count, *frames.shape[1:])


@functools.lru_cache(maxsize=256)
def matrix(n: int, count: int) -> np.ndarray:
    """What turns n frames minus their mean into ``count`` frames minus that mean, (count, n) float64."""
    if n < FEWEST:
        places = np.linspace(0, n - 1, count)
        result: np.ndarray = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(n)))
        return result
    known = _curve(np.arange(1, n + 1) / n, n)
    return _curve(np.linspace(1 / n, 1, count), n) @ np.linalg.pinv(known)


def _curve(s: np.ndarray, n: int) -> np.ndarray:
    """Coordinates 1 .. n - 1 of the curve at positions s, (len(s), n - 1)."""
    k = np.arange(1, n)
    result: np.ndarray = np.sin(np.pi * k * s[:, None] + np.pi * (n - k) / (2 * n))
    return result
