"""Rigid head motion: each frame against the onset frame, with what an expression moves kept out.

Landmarks found anew on each frame jitter by half a pixel, as much as a micro-expression moves; the motion of the
whole head can be measured a hundred times better. Two methods share one interface: ``lk`` follows points by the
pyramidal Lucas-Kanade method [1]_ and fits a similarity robustly; ``ecc`` maximises the enhanced correlation
coefficient [2]_ of the face's picture under a Euclidean motion.

References
----------
.. [1] J.-Y. Bouguet: Pyramidal implementation of the Lucas Kanade feature tracker. Intel, 2000.
.. [2] G. Evangelidis, E. Psarakis: Parametric image alignment using enhanced correlation coefficient
   maximization. IEEE TPAMI 30(10), 2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from mer_features.faces import align
from mer_features.faces import landmarks as lm

_POINTS = 100
_WINDOW_PX = 15
_LEVELS = 2
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.002)
_ECC_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-7)

# Fewer points, or a smaller share of those started with, do not hold a similarity.
_FEWEST_POINTS = 10
_FEWEST_SHARE = 0.4

# Points that agree with a rigid motion within this distance count as rigid; about three times the error of
# Lucas-Kanade at usual noise, and less than what an expression moves.
_AGREE_PX = 0.1


@dataclass(frozen=True)
class Motion:
    """Where the head went between the onset frame and another.

    Attributes
    ----------
    matrix : ndarray, shape (2, 3), float64
        Onset source pixels to this frame's source pixels.
    residual_px : float
        Median distance in source pixels between where the points were found and where ``matrix`` puts them.
    reliable : bool
        False if too few points were found; ``matrix`` is then the previous frame's.
    """

    matrix: np.ndarray
    residual_px: float
    reliable: bool


class Registrar:
    """Registers frames, in the order of time, against one reference frame.

    Parameters
    ----------
    reference : ndarray, shape (H, W, C), uint8
    landmarks : ndarray, shape (68, 2)
        On the reference, source pixels.
    method : {"lk", "ecc"}
    """

    def __init__(self, reference: np.ndarray, landmarks: np.ndarray, method: Literal["lk", "ecc"]) -> None:
        self._method = method
        self._eye_px = float(np.hypot(*_eye_vector(landmarks)))
        self._window = _Window.around(landmarks, self._eye_px)
        self._previous = align.identity()
        self._reference = self._normalised(reference, self._window)
        self._points = _features(
            self._reference, rigid_mask(self._reference.shape, landmarks - self._window.origin), self._eye_px
        )

    def register(self, image: np.ndarray) -> Motion:
        """Motion from the reference to ``image``, shape (H, W, C), uint8."""
        window = self._window.moved(self._previous)
        frame = self._normalised(image, window)
        found, kept = self._track(frame, _between(self._previous, self._window, window))
        if len(found) < max(_FEWEST_POINTS, _FEWEST_SHARE * len(self._points)):
            return Motion(self._previous, float("nan"), reliable=False)
        inner, rigid = robust_similarity(kept, found)
        if self._method == "ecc":
            inner = self._correlate(frame, inner, kept[rigid])
        residual = np.median(np.hypot(*(align.apply(inner, kept) - found).T))
        self._previous = _between(inner, self._window.opposite(), window.opposite())
        return Motion(self._previous, float(residual), reliable=True)

    def _normalised(self, image: np.ndarray, window: _Window) -> np.ndarray:
        """Grey window without its local mean and at a fixed contrast: flicker and shading drop out."""
        grey = lm.to_grey(window.cut(image))
        side = int(self._eye_px / 2) | 1
        mean = cv2.blur(grey, (side, side))
        contrast = cv2.norm(grey, mean, cv2.NORM_L1) / grey.size
        gain = 24 / max(contrast, 0.5)
        return cv2.addWeighted(grey, gain, mean, -gain, 128)

    def _track(self, frame: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the reference's points lie in ``frame``, and those points; both (N, 2), lost ones left out."""
        if not len(self._points):
            return self._points, self._points
        guess = align.apply(start, self._points).astype(np.float32)
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            self._reference,
            frame,
            self._points.astype(np.float32),
            guess.copy(),
            winSize=(_WINDOW_PX, _WINDOW_PX),
            maxLevel=_LEVELS,
            criteria=_STOP,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        near = np.hypot(*(found - guess).T) < self._eye_px / 2
        kept = (status.ravel() == 1) & near
        return found[kept].astype(np.float64), self._points[kept]

    def _correlate(self, frame: np.ndarray, start: np.ndarray, rigid: np.ndarray) -> np.ndarray:
        """The Euclidean motion of largest correlation around the rigid points (N, 2), searched at half size."""
        mask = np.zeros(self._reference.shape, np.uint8)
        for x, y in np.rint(rigid).astype(int):
            cv2.circle(mask, (int(x), int(y)), int(0.1 * self._eye_px), 255, thickness=-1)
        halve = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
        turn = start.copy()
        turn[:, :2] /= np.sqrt(np.linalg.det(start[:, :2]))
        guess = align.compose(halve, align.compose(turn, align.invert(halve)))
        small = _half(frame)
        try:
            _, matrix = cv2.findTransformECCWithMask(
                _half(self._reference), small, _half(mask), np.full(small.shape, 255, np.uint8),
                guess.astype(np.float32), cv2.MOTION_EUCLIDEAN, _ECC_STOP, 5,
            )  # fmt: skip
        except cv2.error:  # it did not converge
            return start
        return align.compose(align.invert(halve), align.compose(matrix.astype(np.float64), halve))


def robust_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity that most points agree on, whatever the others do.

    The largest set that agrees within 0.1 px (RANSAC, with OpenCV's fixed seed) starts a Tukey biweight fit, which
    gives points beyond 4.7 robust standard deviations of that set no weight.

    Parameters
    ----------
    source, target : ndarray, shape (N, 2), float64
        N is 3 or more.

    Returns
    -------
    matrix : ndarray, shape (2, 3), float64
    agree : ndarray, shape (N,), bool
        The points that count.
    """
    matrix, inliers = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_AGREE_PX, maxIters=500, refineIters=0
    )
    if matrix is None:
        return align.similarity(source, target), np.ones(len(source), bool)
    agree = inliers.ravel() == 1
    for _ in range(5):
        distance = np.hypot(*(align.apply(matrix, source) - target).T)
        # The median of a distance in the plane is 1.18 standard deviations per axis.
        limit = 4.685 * max(float(np.median(distance[agree])) / 1.18, _AGREE_PX / 5)
        weights = np.maximum(1 - (distance / limit) ** 2, 0) ** 2
        matrix = align.similarity(source, target, weights)
    return matrix, weights > 0


def rigid_mask(shape: tuple[int, ...], landmarks: np.ndarray) -> np.ndarray:
    """Where to look for points that follow the head: the face up to the hair, without its most mobile parts.

    Every part of a face moves in some expression, so the mask leaves out what moves in many or without one (eyes,
    brows, mouth, chin) and spreads wide enough that what is still outnumbers what is not.

    Parameters
    ----------
    shape : tuple
        Height and width of the mask.
    landmarks : ndarray, shape (68, 2)
        In pixels of the mask.

    Returns
    -------
    ndarray, shape (H, W), uint8
        255 where points may be followed, else 0.
    """
    across = _eye_vector(landmarks)
    eye_px = float(np.hypot(*across))
    down = np.array([-across[1], across[0]])
    mask = np.zeros(shape[:2], np.uint8)
    _fill(mask, np.concatenate([landmarks[lm.JAW], landmarks[lm.BROWS] - 0.9 * down]), 255)
    for part in (lm.LEFT_EYE, lm.RIGHT_EYE):
        _fill(mask, landmarks[part], 0, grow=0.14 * eye_px)
    for part in (lm.LEFT_BROW, lm.RIGHT_BROW):
        _fill(mask, landmarks[part], 0, grow=0.10 * eye_px)
    _fill(mask, landmarks[lm.MOUTH], 0, grow=0.12 * eye_px)
    _fill(mask, np.concatenate([landmarks[lm.CHIN - 2 : lm.CHIN + 3], landmarks[lm.LOWER_LIP]]), 0, grow=0.05 * eye_px)
    return mask


def _features(image: np.ndarray, mask: np.ndarray, eye_px: float) -> np.ndarray:
    """Corners (N, 2) spread over the mask, float64; the low quality level keeps points on plain skin, too."""
    corners = cv2.goodFeaturesToTrack(
        image, _POINTS, qualityLevel=0.002, minDistance=0.1 * eye_px, mask=mask, blockSize=7
    )
    return np.empty((0, 2)) if corners is None else corners.reshape(-1, 2).astype(np.float64)


def _fill(mask: np.ndarray, points: np.ndarray, value: int, grow: float = 0.0) -> None:
    hull = cv2.convexHull(np.rint(points).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, value)
    if grow >= 1:
        cv2.polylines(mask, [hull], isClosed=True, color=value, thickness=2 * int(grow))


def _eye_vector(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[lm.RIGHT_EYE].mean(axis=0) - landmarks[lm.LEFT_EYE].mean(axis=0)


def _half(image: np.ndarray) -> np.ndarray:
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    return cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class _Window:
    """The part of a frame around the head: whole pixels, of the same size in every frame."""

    origin: np.ndarray  # (2,) x, y
    width: int
    height: int

    @classmethod
    def around(cls, landmarks: np.ndarray, eye_px: float) -> _Window:
        low = np.floor(landmarks.min(axis=0) - [0.3 * eye_px, 0.9 * eye_px]).astype(int)
        high = np.ceil(landmarks.max(axis=0) + 0.3 * eye_px).astype(int)
        return cls(low, *(int(side) for side in high - low))

    def moved(self, motion: np.ndarray) -> _Window:
        """The window that follows the head, in whole pixels."""
        centre = self.origin + np.array([self.width, self.height]) / 2
        shift = np.rint(align.apply(motion, centre) - centre).astype(int)
        return _Window(self.origin + shift, self.width, self.height)

    def opposite(self) -> _Window:
        return _Window(-self.origin, self.width, self.height)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The window's pixels (height, width, C); the border is repeated outside the frame."""
        far = self.origin + np.array([self.width, self.height])
        limit = np.array([image.shape[1], image.shape[0]])
        low, high = np.clip(self.origin, 0, limit - 1), np.clip(far, 1, limit)
        high = np.maximum(high, low + 1)
        part = image[low[1] : high[1], low[0] : high[0]]
        left, top = np.clip(low - self.origin, 0, [self.width - 1, self.height - 1])
        right, bottom = self.width - left - part.shape[1], self.height - top - part.shape[0]
        if not (left or top or right or bottom):
            return part
        return cv2.copyMakeBorder(part, top, max(bottom, 0), left, max(right, 0), cv2.BORDER_REPLICATE)


def _between(motion: np.ndarray, source: _Window, target: _Window) -> np.ndarray:
    """A motion of frame pixels as one from pixels of the window ``source`` to those of ``target``."""
    shifted = motion.copy()
    shifted[:, 2] += motion[:, :2] @ source.origin - target.origin
    return shifted
