"""Where the crop of a face lies in one frame, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.stages.faces import align
from mer_features.stages.faces import landmarks as lm
from mer_features.stages.faces.detection import Detections, search
from mer_features.stages.options import Faces

#: Below this score a detection is used and flagged.
UNSURE_SCORE = 0.75

# Border put around frames that are faces already, where the detector finds nothing without: a share of each side.
_BORDER_SHARE = 0.3


@dataclass(frozen=True)
class Layout:
    """The face of one frame and the crop laid over it.

    Attributes
    ----------
    transform : ndarray, shape (2, 3), float64
        Source pixels to crop pixels.
    landmarks : ndarray, shape (68, 2), float64
        Source pixels; NaN where a precropped frame shows no face to the detector.
    box : ndarray, shape (4,), float64
        Left, top, width, height in source pixels.
    score : float
        The detector's confidence, 0..1; NaN without a detection.
    issues : tuple of Issue
    """

    transform: np.ndarray
    landmarks: np.ndarray
    box: np.ndarray
    score: float
    issues: tuple[Issue, ...]


def lay_out(image: np.ndarray, options: Faces) -> Layout:
    """Find the face of a frame and lay the crop over it.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        C is 1 or 3.
    options : Faces

    Raises
    ------
    ClipRejectedError
        ``no_face``, except in ``precropped`` mode.
    FileNotFoundError, ValueError
        If the landmark model cannot be used.
    """
    if options.mode == "precropped":
        return _precropped(image, options)
    found = search(image, options.detector, detect_side=options.detect_side, min_score=options.min_score)
    faces = found.above(options.min_score)
    if not len(faces):
        best = f"best score {found.scores.max():.2f}, " if len(found) else ""
        raise ClipRejectedError("no_face", f"{best}minimum {options.min_score}")
    box, score = faces.boxes[0], float(faces.scores[0])
    landmarks = lm.find(image, box, options.landmark_model)
    if options.mode == "aligned":
        transform = align.aligned(landmarks, options.size)
    else:
        transform = align.square(box, options.margin, options.size)
    issues = _face_issues(faces, landmarks) + _border_issues(transform, image.shape, options.size)
    return Layout(transform, landmarks, box, score, issues)


def _precropped(image: np.ndarray, options: Faces) -> Layout:
    height, width = image.shape[:2]
    transform = align.whole((height, width), options.size)
    faces = _find_in_crop(image, options)
    if not len(faces):
        issue = Issue("landmarks_off", "no face found in the frame, so no landmarks")
        nowhere = np.full((68, 2), np.nan)
        return Layout(transform, nowhere, np.array([0.0, 0.0, width, height]), float("nan"), (issue,))
    landmarks = lm.find(image, faces.boxes[0], options.landmark_model)
    return Layout(transform, landmarks, faces.boxes[0], float(faces.scores[0]), _face_issues(faces, landmarks))


def _find_in_crop(image: np.ndarray, options: Faces) -> Detections:
    """Faces in a frame that a face may fill to the edge, where detectors miss it without some surroundings."""
    found = search(image, options.detector, detect_side=options.detect_side, min_score=options.min_score)
    faces = found.above(options.min_score)
    if len(faces):
        return faces
    y, x = (round(side * _BORDER_SHARE) for side in image.shape[:2])
    padded = cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_REPLICATE)
    found = search(padded, options.detector, detect_side=options.detect_side, min_score=options.min_score)
    faces = found.above(options.min_score)
    return Detections(faces.boxes - [x, y, 0, 0], faces.scores)


def _face_issues(faces: Detections, landmarks: np.ndarray) -> tuple[Issue, ...]:
    issues = []
    if len(faces) > 1:
        issues.append(Issue("several_faces", f"{len(faces)} faces"))
    if faces.scores[0] < UNSURE_SCORE:
        issues.append(Issue("low_face_score", f"score {faces.scores[0]:.2f}, sure from {UNSURE_SCORE}"))
    if problem := align.geometry_problem(landmarks, faces.boxes[0]):
        issues.append(Issue("landmarks_off", problem))
    return tuple(issues)


def _border_issues(transform: np.ndarray, shape: tuple[int, ...], size: int) -> tuple[Issue, ...]:
    share = align.outside_share(align.invert(transform), (shape[0], shape[1]), size)
    if share <= align.MAX_OUTSIDE_SHARE:
        return ()
    return (Issue("face_at_border", f"{share:.0%} of the crop lies outside the frame"),)
