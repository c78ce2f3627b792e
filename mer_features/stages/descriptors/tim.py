"""Temporal interpolation model: resamples a clip to a fixed number of frames along a curve through its frames.

Zhou, Zhao, Guo and Pietikäinen 2012 ("An image-based visual speech animation system", doi:10.1109/TCSVT.2012.2199399).
The k-th coordinate of the curve at s in [1/n, 1] is ``sin(pi k s + pi (n - k) / (2 n))``, k = 1 .. n - 1 (the
eigenvectors of a path graph). A linear map is fitted so that it maps the curve to the n frames minus their mean. The
paper maps the curve to coordinates of a singular value decomposition. This change of basis cancels, so here the curve
is mapped directly to pixels, and the whole model is one matrix that depends on n alone.
"""

from __future__ import annotations

import functools

import numpy as np

#: With fewer frames there is no curve, and frames are interpolated linearly.
FEWEST = 3
# Number of pixels resampled at once. A whole clip in double precision does not fit into a processor's cache; all
# frames of this many pixels do.
_SLAB = 2048


def resample(frames: np.ndarray, count: int) -> np.ndarray:
    """Resample a clip to another number of frames.

    Parameters
    ----------
    frames : ndarray, shape (n, ...)
        Any real dtype; n >= 1.
    count
        Number of output frames, at equal steps from the first to the last.

    Returns
    -------
    ndarray, shape (count, ...), float64
        For ``count`` = n, the input frames up to rounding. A single frame is repeated.

    Raises
    ------
    ValueError
        If there are no frames, or ``count`` is less than 1.
    """
    if len(frames) < 1 or count < 1:
        raise ValueError(f"found {len(frames)} frames and a count of {count}; expected at least 1 for both")
    flat = frames.reshape(len(frames), -1)
    out = np.empty((count, flat.shape[1]))
    for start in range(0, flat.shape[1], _SLAB):
        slab = flat[:, start : start + _SLAB].astype(np.float64)
        mean = slab.mean(axis=0)
        out[:, start : start + _SLAB] = matrix(len(frames), count) @ (slab - mean) + mean
    return out.reshape(count, *frames.shape[1:])


@functools.lru_cache(maxsize=256)
def matrix(n: int, count: int) -> np.ndarray:
    """Matrix that maps n frames minus their mean to ``count`` frames minus that mean, (count, n) float64."""
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
