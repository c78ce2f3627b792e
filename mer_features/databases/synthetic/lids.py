"""A blink: the upper lid drawn over the eye."""

from __future__ import annotations

import numpy as np

#: Outer corner to inner corner along the upper and the lower lid, by eye.
_EYES = (((36, 37, 38, 39), (36, 41, 40, 39)), ((42, 43, 44, 45), (42, 47, 46, 45)))


def close(landmarks: np.ndarray, closure: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Vertical displacement of the sampling position that closes the lids.

    Parameters
    ----------
    landmarks : ndarray, shape (68, 2)
        Of the neutral face.
    closure : float
        0 open .. 1 closed.
    x, y : ndarray, shape (h, w), float32
        Positions on the face, in the pixels of the landmarks.

    Returns
    -------
    ndarray, shape (h, w), float32
        To be added to y: a place between the lids shows the skin that lies above the open upper lid.
    """
    shift = np.zeros_like(y)
    for upper, lower in _EYES:
        top = _curve(landmarks[list(upper)], x)
        bottom = _curve(landmarks[list(lower)], x)
        opening = np.maximum(bottom - top, 0)
        skin = 1.2 * opening + 1e-3  # lid skin that unfolds above the eye
        depth = y - (top - skin)
        inside = np.clip(depth / (skin + opening), 0, None)
        below = np.clip((y - bottom) / (0.35 * opening + 1e-3), 0, 1)
        shift -= np.where(depth > 0, opening * np.minimum(inside, 1) * (1 - below), 0)
    return np.float32(closure) * shift


def _curve(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Height of a lid at x: a parabola-like arc through its four landmarks, flat beyond the corners."""
    fine = np.linspace(points[0, 0], points[-1, 0], 64)
    height = np.polynomial.Polynomial.fit(points[:, 0], points[:, 1], 3)(fine)
    return np.interp(x, fine, height).astype(np.float32)
