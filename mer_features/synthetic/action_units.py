"""FACS action units as smooth displacement fields anchored at landmarks.

Directions follow the Facial Action Coding System (Ekman, Friesen and Hager, 2002). The extents are ours; they were
chosen so that exaggerated faces look natural. Left and right are those of the person: the person's left is on the right
of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer_features.synthetic.portrait_parts import MIRRORED

#: Largest slope of the displacement of one action unit. With a larger slope the skin would fold, so peaks saturate.
MAX_SLOPE = 0.6


@dataclass(frozen=True)
class Action:
    """One action unit of a clip; peak displacements in frame pixels on the person's left and right side."""

    unit: int
    left_px: float
    right_px: float

    @property
    def text(self) -> str:
        """The unit in the notation of annotation sheets: "12", "L12", "R12"."""
        side = "L" if self.right_px == 0 else "R" if self.left_px == 0 else ""
        return f"{side}{self.unit}"

    @property
    def peak_px(self) -> float:
        """Peak displacement of the stronger side."""
        return max(self.left_px, self.right_px)


@dataclass(frozen=True)
class Bump:
    """A Gaussian displacement on the person's right side (the left of the image).

    Lengths are multiples of the distance between the eyes; ``push`` and ``offset`` are (outwards, upwards).
    """

    landmarks: tuple[int, ...]  # their mean is the centre
    push: tuple[float, float]
    size: tuple[float, float]  # standard deviations (horizontal, vertical)
    offset: tuple[float, float] = (0.0, 0.0)


#: Bumps by action unit; bumps at the chin or the middle of the lips act on both sides.
UNITS: dict[int, tuple[Bump, ...]] = {
    1: (Bump((21,), (0, 1), (0.2, 0.2), (0, 0.05)), Bump((20,), (0, 0.4), (0.15, 0.18), (0, 0.05))),
    2: (Bump((17, 18), (0.1, 1), (0.2, 0.2), (0, 0.04)), Bump((19,), (0, 0.45), (0.15, 0.18), (0, 0.04))),
    4: (Bump((21,), (-0.65, -0.8), (0.2, 0.2)), Bump((19,), (-0.25, -0.75), (0.25, 0.18))),
    5: (Bump((37, 38), (0, 1), (0.17, 0.08), (0, 0.01)),),
    6: (
        Bump((41, 48), (-0.1, 1), (0.26, 0.2), (0.08, 0)),
        Bump((40, 41), (0, 0.5), (0.2, 0.08)),
        Bump((36,), (-0.5, -0.1), (0.13, 0.13), (0.12, 0)),
    ),
    7: (Bump((40, 41), (0, 1), (0.18, 0.08)), Bump((37, 38), (0, -0.4), (0.16, 0.07))),
    9: (
        Bump((31, 39), (0.05, 1), (0.15, 0.2)),
        Bump((31,), (0.15, 0.5), (0.1, 0.1)),
        Bump((21,), (-0.35, -0.5), (0.14, 0.14), (-0.08, -0.05)),
    ),
    10: (Bump((49, 50), (0, 1), (0.17, 0.1)), Bump((31, 49), (0.15, 0.5), (0.15, 0.14), (0.08, 0))),
    12: (Bump((48,), (0.65, 0.75), (0.2, 0.16)), Bump((48,), (0.15, 0.4), (0.24, 0.2), (0.22, 0.28))),
    14: (Bump((48,), (0.9, 0.1), (0.14, 0.12)), Bump((48,), (-0.45, 0), (0.13, 0.15), (0.28, 0))),
    15: (Bump((48,), (0.1, -1), (0.17, 0.17)),),
    17: (Bump((8, 57), (0, 1), (0.28, 0.16)), Bump((57,), (0, 0.5), (0.24, 0.08))),
    20: (Bump((48,), (1, -0.15), (0.24, 0.18)), Bump((48,), (0.4, -0.1), (0.2, 0.2), (0.25, 0))),
    23: (
        Bump((48,), (-0.8, 0), (0.16, 0.12)),
        Bump((51,), (0, -0.3), (0.2, 0.06)),
        Bump((57,), (0, 0.35), (0.2, 0.07)),
    ),
    24: (
        Bump((51,), (0, -0.8), (0.26, 0.07)),
        Bump((57,), (0, 0.9), (0.26, 0.08)),
        Bump((48,), (-0.25, 0), (0.14, 0.12)),
    ),
    25: (Bump((57,), (0, -1), (0.24, 0.1)), Bump((51,), (0, 0.4), (0.2, 0.07))),
}

#: Action units without sides.
MEDIAL = frozenset({17, 23, 24, 25})


@dataclass(frozen=True)
class Window:
    """The rectangle of the canvas in which skin moves: left, top, width, height in canvas pixels."""

    left: int
    top: int
    width: int
    height: int


def eye_distance(landmarks: np.ndarray) -> float:
    """Distance between the centres of the eyes, the unit of length of :class:`Bump`."""
    return float(np.linalg.norm(landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0)))


def window(landmarks: np.ndarray) -> Window:
    """The face with a border of about a third of the distance between the eyes, more above the brows."""
    border = eye_distance(landmarks) * np.array([0.35, 0.65])
    low = np.floor(landmarks.min(axis=0) - border).astype(int)
    high = np.ceil(landmarks.max(axis=0) + border[0]).astype(int)
    return Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def displacement(actions: Sequence[Action], landmarks: np.ndarray) -> tuple[np.ndarray, tuple[Action, ...]]:
    """Displacement of the skin by these actions at full strength.

    Parameters
    ----------
    actions
        Peak displacements in canvas pixels.
    landmarks : ndarray, shape (68, 2)
        Landmarks of the neutral face, canvas pixels.

    Returns
    -------
    field : ndarray, shape (2, h, w), float32
        x and y displacement on the :func:`window`, canvas pixels; 0 at its border.
    actions
        The actions, with lower peaks where a unit saturates at :data:`MAX_SLOPE`.
    """
    area = window(landmarks)
    total = np.zeros((2, area.height, area.width), np.float32)
    limited_actions = []
    for action in actions:
        sides = []
        for peak, side in ((action.left_px, "L"), (action.right_px, "R")):
            unit = _side_field(action.unit, side, landmarks, area) if peak > 0 else None
            sides.append((peak, unit))
        if action.unit in MEDIAL:
            sides = [(action.peak_px, sides[0][1] + sides[1][1])]  # type: ignore[operator]  # both sides act
        limited = [_limited(peak, unit) for peak, unit in sides]
        for peak, unit in limited:
            if unit is not None:
                total += np.float32(peak) * unit
        peaks = [peak for peak, _ in limited]
        limited_actions.append(Action(action.unit, peaks[0], peaks[-1]))
    return total, tuple(limited_actions)


def _limited(peak: float, unit: np.ndarray | None) -> tuple[float, np.ndarray | None]:
    """The peak that the slope of a field allows, and the field scaled to a peak of 1 px."""
    if unit is None:
        return 0.0, None
    unit = unit / np.linalg.norm(unit, axis=0).max()
    return min(peak, MAX_SLOPE / slope(unit)), unit


def slope(field: np.ndarray) -> float:
    """Largest Frobenius norm of a displacement field's derivative; the field is (2, h, w)."""
    across, down = np.diff(field, axis=2)[:, :-1], np.diff(field, axis=1)[:, :, :-1]
    return float(np.sqrt((across**2 + down**2).sum(axis=0)).max())


def _side_field(unit: int, side: str, landmarks: np.ndarray, area: Window) -> np.ndarray:
    """One side of one unit, unscaled, on the window; (2, h, w), float32."""
    length = eye_distance(landmarks)
    x = np.arange(area.left, area.left + area.width, dtype=np.float32)
    y = np.arange(area.top, area.top + area.height, dtype=np.float32)
    outward = 1.0 if side == "L" else -1.0  # the person's left is on the right of the image
    field = np.zeros((2, area.height, area.width), np.float32)
    for bump in UNITS[unit]:
        anchors = MIRRORED[list(bump.landmarks)] if side == "L" else list(bump.landmarks)
        centre = landmarks[anchors].mean(axis=0) + length * np.array([outward, -1.0]) * bump.offset
        across = np.exp(-0.5 * ((x - centre[0]) / (bump.size[0] * length)) ** 2)
        down = np.exp(-0.5 * ((y - centre[1]) / (bump.size[1] * length)) ** 2)
        push = np.array([outward * bump.push[0], -bump.push[1]], np.float32)
        field += push[:, None, None] * (down[:, None] * across[None, :]).astype(np.float32)
    return field * (_taper(area.height)[:, None] * _taper(area.width)[None, :])


def _taper(count: int) -> np.ndarray:
    """Weights (count,) float32: 1 inside, falling smoothly to 0 over an eighth of the length at both ends."""
    position = np.arange(count) / (count - 1)
    edge = np.clip(np.minimum(position, 1 - position) * 8, 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * edge)).astype(np.float32)
