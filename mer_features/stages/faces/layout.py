"""Position of the face crop in one frame, and the issues of this frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.stages.faces import align
from mer_features.stages.faces import landmarks as lm
from mer_features.stages.faces.detection import Detections, search
from mer_features.stages.options import Faces

#: Detections below this score are used, but give an issue.
UNSURE_SCORE = 0.75

# Border added around precropped frames in which the detector finds no face, as a fraction of each side.
_BORDER_SHARE = 0.3


@dataclass(frozen=True)
class Layout:
    """The face in one frame and the position of its crop.

    Attributes
    ----------
    transform : ndarray, shape (2, 3), float64
        Maps source pixels to crop pixels.
    landmarks : ndarray, shape (68, 2), float64
        x, y in source pixels; NaN if the detector finds no face in a precropped frame.
    box : ndarray, shape (4,), float64
        Left, top, width and height in source pixels.
    score : float
        Score of the detection, 0..1; NaN without a detection.
    issues : tuple of Issue
    """

    transform: np.ndarray
    landmarks: np.ndarray
    box: np.ndarray
    score: float
    issues: tuple[Issue, ...]


def lay_out(image: np.ndarray, options: Faces) -> Layout:
    """Find the face in a frame and determine the position of its crop.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        C is 1 or 3.
    options : Faces

    Raises
    ------
    ClipRejectedError
        With code ``no_face`` if no face is found; never in ``precropped`` mode.
    FileNotFoundError, ValueError
        If the landmark model cannot be used.
    """
    if options.mode == "precropped":
        return _precropped(image, options)
    detections = search(image, options.detector, detect_side=options.detect_side, min_score=options.min_score)
    faces = detections.above(options.min_score)
    if not len(faces):
        best = f"best score {detections.scores.max():.2f}, " if len(detections) else ""
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
        unknown = np.full((68, 2), np.nan)
        return Layout(transform, unknown, np.array([0.0, 0.0, width, height]), float("nan"), (issue,))
    landmarks = lm.find(image, faces.boxes[0], options.landmark_model)
    return Layout(transform, landmarks, faces.boxes[0], float(faces.scores[0]), _face_issues(faces, landmarks))


def _find_in_crop(image: np.ndarray, options: Faces) -> Detections:
    """Faces in a precropped frame; detectors may miss a face that fills the frame unless a border is added."""
    detections = search(image, options.detector, detect_side=options.detect_side, min_score=options.min_score)
    faces = detections.above(options.min_score)
    if len(faces):
        return faces
    y, x = (round(side * _BORDER_SHARE) for side in image.shape[:2])
    padded = cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_REPLICATE)
    detections = search(padded, options.detector, detect_side=options.detect_side, min_score=options.min_score)
    faces = detections.above(options.min_score)
    return Detections(faces.boxes - [x, y, 0, 0], faces.scores)


def _face_issues(faces: Detections, landmarks: np.ndarray) -> tuple[Issue, ...]:
    issues = []
    if len(faces) > 1:
        issues.append(Issue("several_faces", f"{len(faces)} faces"))
    if faces.scores[0] < UNSURE_SCORE:
        issues.append(Issue("low_face_score", f"score {faces.scores[0]:.2f}, reliable from {UNSURE_SCORE}"))
    if problem := align.geometry_problem(landmarks, faces.boxes[0]):
        issues.append(Issue("landmarks_off", problem))
    return tuple(issues)


def _border_issues(transform: np.ndarray, shape: tuple[int, ...], size: int) -> tuple[Issue, ...]:
    share = align.outside_share(align.invert(transform), (shape[0], shape[1]), size)
    if share <= align.MAX_OUTSIDE_SHARE:
        return ()
    return (Issue("face_at_border", f"{share:.0%} of the crop lies outside the frame"),)
