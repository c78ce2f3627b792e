"""Smooth map from the image of a subject to the photograph: a thin-plate spline through the landmarks."""

from __future__ import annotations

import numpy as np

from mer_features.synthetic import identities, portrait
from mer_features.synthetic.identities import Identity

#: Points on the edge of the hair; they move with the width of the face and the height of the brows.
_HAIR = np.array([(160, 85), (165, 55), (195, 30), (230, 17), (265, 27), (290, 55), (297, 85)], float)
#: Fixed points around the head.
_AROUND = np.array(
    [(110, 60), (120, 160), (150, 210), (225, 225), (300, 210), (335, 150), (340, 60), (225, -25)], float
)
#: Smoothing of the spline. Landmarks may be off by some tenths of a pixel, but the skin does not fold.
_STIFFNESS = 1.0


class Bend:
    """Map from positions in the image of a subject to positions in the photograph with closed mouth, in pixels."""

    def __init__(self, person: Identity, shaped: np.ndarray) -> None:
        self._mirror = person.mirror
        source = portrait.closed_landmarks()
        moved, still = _anchors(person)
        if person.mirror:
            source, moved, still = identities.mirror(source), _flip(moved), _flip(still)
        self._knots = np.vstack([_knots(shaped), moved])
        self._weights = _solve(self._knots, np.vstack([_knots(source), still]) - self._knots)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mapped positions, of the shape of x and y; float32."""
        shift_x, shift_y = np.zeros(x.shape), np.zeros(y.shape)
        for (knot_x, knot_y), (weight_x, weight_y) in zip(self._knots, self._weights[:-3], strict=True):
            kernel = _thin_plate((x - knot_x) ** 2 + (y - knot_y) ** 2)
            shift_x += weight_x * kernel
            shift_y += weight_y * kernel
        for basis, (weight_x, weight_y) in zip((1.0, x, y), self._weights[-3:], strict=True):
            shift_x += weight_x * basis
            shift_y += weight_y * basis
        mapped_x = x + shift_x
        if self._mirror:
            mapped_x = 511 - mapped_x
        return mapped_x.astype(np.float32), (y + shift_y).astype(np.float32)


def _knots(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks, with the line between the lips instead of the inner lips, which touch."""
    line = (landmarks[[61, 62, 63]] + landmarks[[67, 66, 65]]) / 2
    return np.vstack([landmarks[:61], line, landmarks[64:65]])


def _anchors(person: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Further points: their positions in the (unmirrored) image of the subject and in the photograph."""
    centre = portrait.landmarks()[27]
    growth = 0.1 * person.hair_volume * (_HAIR[:, 1:] < 80)
    widening = np.array([0.05 * person.face_width, 0.0])
    shift = (_HAIR - centre) * (growth + widening) - np.array([0.0, 3.0 * person.brow_height])
    return np.vstack([_HAIR + shift, _AROUND]), np.vstack([_HAIR, _AROUND])


def _flip(points: np.ndarray) -> np.ndarray:
    return points * [-1, 1] + [511, 0]


def _thin_plate(squared: np.ndarray) -> np.ndarray:
    return squared * np.log(squared + 1e-12)


def _solve(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weights (n + 3, 2) of the spline with ``values`` (n, 2) at ``knots`` (n, 2); the last three are affine."""
    count = len(knots)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _thin_plate(((knots[:, None] - knots[None]) ** 2).sum(axis=-1))
    system[:count, :count] += _STIFFNESS * np.eye(count)
    system[:count, count] = system[count, :count] = 1
    system[:count, count + 1 :] = knots
    system[count + 1 :, :count] = knots.T
    weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, 2))]))
    return np.round(weights, 9)  # the last bits depend on the threads of the linear algebra library
