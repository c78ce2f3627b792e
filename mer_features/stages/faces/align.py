"""Position of the crop in the frame: transforms, alignment to the canonical face, and plausibility of landmarks.

A transform is a (2, 3) float64 matrix that maps pixel centres, ``q = M[:, :2] @ p + M[:, 2]``.
"""

from __future__ import annotations

import numpy as np

from mer_features.stages.faces import landmarks as lm

# The canonical face, in eye distances from the point between the eyes, x to the right and y down. The proportions are
# those of the mean face of the landmark model. Only the eyes and the nose base are used for alignment; the other points
# are used to check whether the landmarks form a face.
_EYE = 0.5
_NOSE_BASE = 0.77
_ANCHORS = np.array(
    [
        [-_EYE, 0.0],
        [_EYE, 0.0],
        [0.0, _NOSE_BASE],
        [-0.57, -0.30],  # brows
        [0.57, -0.30],
        [0.0, 1.11],  # mouth
        [0.0, 1.84],  # chin
    ]
)

#: Distance between the eye centres and their distance from the top edge of an aligned crop, as fractions of the side of
#: the crop. Brows, chin and both cheeks of the mean face lie inside the crop with a margin of 8 %.
EYE_DISTANCE = 0.34
EYE_HEIGHT = 0.30

#: Largest fraction of a crop's area that may lie outside the frame without a warning.
MAX_OUTSIDE_SHARE = 0.02

_COMPLEX = np.array([1, 1j])

# Limits of a plausible frontal face.
_MAX_MISFIT = 0.18  # rms distance of the seven anchors from the canonical face, in eye distances
_EYES_PER_BOX = (0.2, 0.8)  # eye distance over the width of the detector's box


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (..., 2) by a transform (2, 3)."""
    result: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return result


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The transform that applies ``inner`` and then ``outer``."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse transform."""
    (a, b, x), (c, d, y) = matrix.tolist()
    scale = 1 / (a * d - b * c)  # closed form: a general solver takes ten times as long
    result: np.ndarray = scale * np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]])
    return result


def identity() -> np.ndarray:
    """The identity transform."""
    return np.eye(2, 3)


def similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Least-squares similarity (rotation, scale, shift; no reflection) from one point set to another.

    In two dimensions, Umeyama's solution (1991, Eqs. 40-42) reduces to one complex division.

    Parameters
    ----------
    source, target : ndarray, shape (N, 2)
        Points, at least two of which do not coincide.
    weights : ndarray, shape (N,), optional
        Weights of the points, >= 0.

    Returns
    -------
    ndarray, shape (2, 3), float64
    """
    p, q = source @ _COMPLEX, target @ _COMPLEX
    turn, shift = solve(p, q, np.ones(len(p)) if weights is None else weights)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def solve(p: np.ndarray, q: np.ndarray, weights: np.ndarray) -> tuple[complex, complex]:
    """Solve ``q = turn * p + shift`` by weighted least squares.

    Points are complex numbers; ``turn`` holds rotation and scale.
    """
    share = weights / weights.sum()
    centre_p, centre_q = share @ p, share @ q
    centred = p - centre_p
    weighted = share * centred.conj()
    turn = weighted @ q / (weighted @ centred)
    return turn, centre_q - turn * centre_p


def aligned(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Transform from source to crop: the similarity that best aligns eye centres and nose base to the canonical face.

    Parameters
    ----------
    landmarks : ndarray, shape (68, 2)
        Landmarks in source pixels.
    size : int
        Side of the crop in pixels.
    """
    return similarity(_anchors(landmarks)[:3], _canonical(size)[:3])


def square(box: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Transform from source to crop for a square around a detector's box: the longer side of the box plus two margins.

    Parameters
    ----------
    box : ndarray, shape (4,)
        Left, top, width, height in source pixels (edges, not centres).
    margin : float
        Margin on every side, as a fraction of the longer side of the box.
    size : int
        Side of the crop in pixels.
    """
    left, top, width, height = box
    side = max(width, height) * (1 + 2 * margin)
    corner = np.array([left + width / 2 - side / 2, top + height / 2 - side / 2])
    scale = size / side
    return np.array([[scale, 0, (0.5 - corner[0]) * scale - 0.5], [0, scale, (0.5 - corner[1]) * scale - 0.5]])


def whole(frame_size: tuple[int, int], size: int) -> np.ndarray:
    """Transform from source to crop for the whole frame (H, W), stretched to a square."""
    y, x = size / frame_size[0], size / frame_size[1]
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5]])


def geometry_problem(landmarks: np.ndarray, box: np.ndarray) -> str:
    """The reason why landmarks (68, 2) in a detector's box (4,) do not form an upright frontal face, or ``""``."""
    anchors = _anchors(landmarks)
    left_eye, right_eye, _, _, _, mouth, _ = anchors
    eye_distance = float(np.hypot(*(right_eye - left_eye)))
    if mouth[1] <= (left_eye[1] + right_eye[1]) / 2:
        return "the mouth lies above the eyes"
    low, high = _EYES_PER_BOX
    if not low <= eye_distance / box[2] <= high:
        return f"the eye distance is {eye_distance / box[2]:.2f} of the box's width, expected {low}..{high}"
    errors = apply(similarity(anchors, _ANCHORS), anchors) - _ANCHORS
    misfit = float(np.sqrt((errors**2).sum(axis=1).mean()))
    if misfit > _MAX_MISFIT:
        return f"landmarks differ from the mean face by {misfit:.2f} eye distances, limit {_MAX_MISFIT}"
    return ""


def outside_share(crop_to_source: np.ndarray, frame_size: tuple[int, int], size: int) -> float:
    """Fraction of a crop that lies outside the frame (H, W), 0..1; the transform (2, 3) maps crop to source pixels."""
    steps = (np.arange(64) + 0.5) * size / 64 - 0.5
    points = apply(crop_to_source, np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2))
    limit = np.array([frame_size[1] - 0.5, frame_size[0] - 0.5])
    return float(1 - np.all((points >= -0.5) & (points <= limit), axis=1).mean())


def _anchors(landmarks: np.ndarray) -> np.ndarray:
    parts = (lm.LEFT_EYE, lm.RIGHT_EYE, lm.NOSE_BASE, lm.LEFT_BROW, lm.RIGHT_BROW, lm.MOUTH_OUTLINE, lm.CHIN)
    return np.stack([landmarks[part].reshape(-1, 2).mean(axis=0) for part in parts])


def _canonical(size: int) -> np.ndarray:
    """The canonical face in pixels of an aligned crop."""
    return (_ANCHORS * EYE_DISTANCE + [0.5, EYE_HEIGHT]) * size - 0.5
