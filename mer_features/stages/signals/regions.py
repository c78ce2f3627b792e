"""The face regions whose motion is measured, around landmarks of the iBUG 68-point scheme (0-based)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: Radius of a region, in distances between the centres of the eyes.
RADIUS = 0.09
#: Region -> landmarks whose mean is its centre; a landmark may be given a weight. Right and left are the person's.
_CENTRES: Mapping[str, Mapping[int, float]] = {
    "brow_outer_right": {17: 1, 18: 1},
    "brow_middle_right": {19: 1},
    "brow_inner_right": {20: 1, 21: 1},
    "brow_inner_left": {22: 1, 23: 1},
    "brow_middle_left": {24: 1},
    "brow_outer_left": {25: 1, 26: 1},
    "nose_wing_right": {31: 1},
    "nose_wing_left": {35: 1},
    "mouth_corner_right": {48: 1},
    "mouth_corner_left": {54: 1},
    "upper_lip": {51: 1},
    "lower_lip": {57: 1},
    "chin": {57: 0.4, 8: 0.6},
    "cheek_right": {31: 1, 40: 1},
    "cheek_left": {35: 1, 47: 1},
    "nose_bridge": {27: 1, 28: 1},
    "nose_tip": {29: 1, 30: 1},
}
#: All regions, in the order of the signals' second axis.
REGIONS = tuple(_CENTRES)
#: The regions that expressions move; those of the nose move with the head only.
EXPRESSION = tuple(name for name in REGIONS if name not in ("nose_bridge", "nose_tip"))
#: Expression regions of the mouth, which speech moves, too.
MOUTH = ("mouth_corner_right", "mouth_corner_left", "upper_lip", "lower_lip", "chin")
#: Lids, in the order of the signals' lid channels: landmarks of the upper and of the lower lid.
LIDS: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "right": ((37, 38), (41, 40)),
    "left": ((43, 44), (47, 46)),
}
#: Region -> region on the other side of the face; regions of the middle are their own.
MIRROR = {
    name: name.replace("_right", "_LEFT").replace("_left", "_right").replace("_LEFT", "_left") for name in REGIONS
}


def centres(landmarks: np.ndarray) -> np.ndarray:
    """Centres of :data:`REGIONS`.

    Parameters
    ----------
    landmarks : ndarray, shape (68, 2)
        x, y in pixels.

    Returns
    -------
    ndarray, shape (17, 2), float64
        x, y in the same pixels.
    """
    return np.array(
        [np.average(landmarks[list(marks)], axis=0, weights=list(marks.values())) for marks in _CENTRES.values()]
    )
