"""Blinks: the upper lid moves over the eye."""

from __future__ import annotations

import numpy as np

from mer_features.synthetic.action_units import Window, eye_distance

#: Landmarks of the upper and the lower lid, by eye.
_EYES = (((36, 37, 38, 39), (36, 41, 40, 39)), ((42, 43, 44, 45), (42, 47, 46, 45)))


def window(landmarks: np.ndarray) -> Window:
    """The rectangle of both eyes; :func:`close` moves nothing outside it."""
    border = 0.3 * eye_distance(landmarks)
    low = np.floor(landmarks[36:48].min(axis=0) - border).astype(int)
    high = np.ceil(landmarks[36:48].max(axis=0) + border).astype(int)
    return Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def close(landmarks: np.ndarray, closure: tuple[float, float], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Vertical displacement of the sampling position that closes the lids.

    Parameters
    ----------
    landmarks : ndarray, shape (68, 2)
        Landmarks of the neutral face.
    closure : tuple of float
        Of the person's right and left eye, 0 (open) to 1 (closed).
    x, y : ndarray, shape (h, w), float32
        Positions on the face, in the pixels of the landmarks.

    Returns
    -------
    ndarray, shape (h, w), float32
        Displacement to be added to y. The part that the lid covers shows the skin above the open lid; the eye below
        the edge of the lid does not move.
    """
    shift = np.zeros_like(y)
    for (upper, lower), shut in zip(_EYES, closure, strict=True):
        lid = _curve(landmarks[list(upper)], x)
        opening = 1.15 * np.maximum(_curve(landmarks[list(lower)], x) - lid, 0)  # the landmarks are inside the lids
        lash = lid + 0.1 * opening
        fold = lid - 0.95 * opening  # skin below this height unfolds over the eye
        drop = np.float32(shut) * (lid + opening - lash)
        edge = lash + drop
        # The lashes, with a thickness of a third of the opening, move down unchanged; the skin above is stretched.
        unfolded = (y - fold) / np.maximum(edge - 0.33 * opening - fold, 1e-3)
        shift -= np.where((y > fold) & (y < edge), drop * np.minimum(unfolded, 1), 0)
    return shift


def opening(landmarks: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weight of the motion of the eyeballs: 1 in the middle of an eye opening, 0 at the lids and beyond.

    Parameters as in :func:`close`; the result has the shape of x, float32.
    """
    weight = np.zeros_like(y)
    for upper, lower in _EYES:
        top, bottom = (_curve(landmarks[list(lid)], x) for lid in (upper, lower))
        height = np.maximum(bottom - top, 1e-3)
        inward = np.minimum(np.minimum(y - top, bottom - y) / (0.3 * height), 1)
        left, right = landmarks[[upper[0], upper[-1]], 0]
        along = np.minimum(np.minimum(x - left, right - x) / (0.25 * (right - left)), 1)
        weight += np.clip(inward, 0, 1) * np.clip(along, 0, 1)
    return weight


def _curve(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Height of a lid at x: a parabola fitted to its four landmarks, constant outside the corners."""
    reach = 0.06 * (points[-1, 0] - points[0, 0])
    fine = np.linspace(points[0, 0] - reach, points[-1, 0] + reach, 64)
    height = np.polynomial.Polynomial.fit(points[:, 0], points[:, 1], 2)(fine)
    return np.interp(x, fine, height).astype(np.float32)
