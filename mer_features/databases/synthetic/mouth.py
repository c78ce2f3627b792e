"""Closing the smiling mouth of the photograph, column by column.

Between the lips' edges the teeth shrink to a thin dark line; the lips, which the smile has stretched thin, widen to
fill the room. A thin-plate spline cannot do this: over so short a distance it folds.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mer_features.databases.synthetic import outline

_LINE = 0.55  # where the lips meet, as a fraction of the opening from its upper edge
_GAP = 0.22  # half the thickness of the line between them, photograph pixels
_ABOVE, _BELOW = 7.0, 11.0  # how much skin above and below the opening widens, photograph pixels


def open_up(x: np.ndarray, y: np.ndarray) -> None:
    """Turn positions with the mouth closed into those of the photograph, in place.

    Parameters
    ----------
    x, y : ndarray, shape (h, w), float32
        Positions on a smooth grid; y is changed where the mouth is.
    """
    left, top, right, bottom = _box()
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(rows):
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        photograph, shut = _steps(x[box])
        y[box] = _piecewise(y[box], shut, photograph)


def closed(points: np.ndarray) -> np.ndarray:
    """Where points (n, 2) of the photograph go when the mouth closes."""
    photograph, shut = _steps(points[:, 0])
    return np.column_stack([points[:, 0], _piecewise(points[:, 1], photograph, shut)])


def _box() -> tuple[float, float, float, float]:
    low, high = np.min(outline.MOUTH_OPENING, axis=0), np.max(outline.MOUTH_OPENING, axis=0)
    return low[0], low[1] - _ABOVE, high[0], high[1] + _BELOW


def _steps(x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Heights at each x between which the closing is linear: in the photograph, and with the mouth closed."""
    edge = np.array(outline.MOUTH_OPENING)
    turn = int(edge[:, 0].argmax())
    upper, lower = edge[: turn + 1], np.vstack([edge[turn:], edge[:1]])[::-1]
    high = np.interp(x, upper[:, 0], upper[:, 1])
    low = np.interp(x, lower[:, 0], lower[:, 1])
    low = np.maximum(low, high)
    meet = high + _LINE * (low - high)
    gap = np.minimum(_GAP, (low - high) / 4)
    top, bottom = high - _ABOVE, low + _BELOW
    return [top, high, low, bottom], [top, meet - gap, meet + gap, bottom]


def _piecewise(y: np.ndarray, start: list[np.ndarray], end: list[np.ndarray]) -> np.ndarray:
    """y, moved so that each height ``start[i]`` goes to ``end[i]``, linearly between, unmoved outside."""
    moved = y.astype(float)
    for (a, b), (to_a, to_b) in zip(pairwise(start), pairwise(end), strict=True):
        inside = (y > a) & (y <= b)
        moved = np.where(inside, to_a + (y - a) * (to_b - to_a) / np.maximum(b - a, 1e-6), moved)
    return moved
