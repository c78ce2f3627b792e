"""Rigid head motion between the onset frame and every other frame, measured without the movements of the expression.

Landmarks located separately on each frame jitter by half a pixel, as much as a micro-expression moves. The motion of
the whole head can be measured a hundred times more accurately. There are two methods: ``lk`` tracks points with the
pyramidal Lucas-Kanade method [1]_ and fits a similarity robustly; ``ecc`` starts from this result and maximises the
enhanced correlation coefficient [2]_ of the image around the points that fit the similarity.

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

from mer_features.core.grey import levels
from mer_features.stages.faces import align
from mer_features.stages.faces import landmarks as lm

_POINTS = 80
_WINDOW_PX = 21
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.005)

# Halvings of the image (pyramid levels). The head is first searched close to its position in the previous frame, and
# only if that fails (after a cut, or a jump from the onset back to an early first frame) within a hundred pixels.
_NEAR, _FAR = 1, 4

_ECC_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-7)

# A similarity is rejected if it is fitted to fewer points, or to a smaller fraction of the initial points. It is also
# rejected if the median distance of the points after the fit (in eye distances) is larger, or if the scale is smaller
# (or larger than its inverse), because the points then lie on something other than the face.
_MIN_POINTS = 10
_MIN_SHARE = 0.4
_MAX_RESIDUAL = 0.04
_MIN_SCALE = 0.7

# Rounds of the robust fit, and the smallest distance that it distinguishes: the accuracy of Lucas-Kanade at usual
# noise.
_ROUNDS_L1, _ROUNDS_TUKEY = 4, 4
_FLOOR_PX = 0.02

_COMPLEX = np.array([1, 1j])


@dataclass(frozen=True)
class Motion:
    """Head motion from the onset frame to another frame.

    Attributes
    ----------
    matrix : ndarray, shape (2, 3), float64
        Maps source pixels of the onset frame to source pixels of this frame.
    residual_px : float
        Median distance in source pixels between the tracked points and the points predicted by ``matrix``.
    reliable : bool
        False if too few points were tracked; ``matrix`` is then that of the previous frame.
    """

    matrix: np.ndarray
    residual_px: float
    reliable: bool


@dataclass(frozen=True)
class _Fit:
    """A motion between windows, the points it was fitted to, and whether each point counts as rigid."""

    matrix: np.ndarray  # (2, 3)
    source: np.ndarray  # (N, 2)
    target: np.ndarray  # (N, 2)
    rigid: np.ndarray  # (N,) bool


class Registrar:
    """Registers frames, in temporal order, to one reference frame.

    Parameters
    ----------
    reference : ndarray, shape (H, W, C), uint8
    landmarks : ndarray, shape (68, 2)
        Landmarks on the reference, in source pixels.
    method : {"lk", "ecc"}
    """

    def __init__(self, reference: np.ndarray, landmarks: np.ndarray, method: Literal["lk", "ecc"]) -> None:
        self._method = method
        self._eye_px = float(np.hypot(*_eye_vector(landmarks)))
        low = np.floor(landmarks.min(axis=0) - [0.3 * self._eye_px, 0.9 * self._eye_px])
        high = np.ceil(landmarks.max(axis=0) + 0.3 * self._eye_px)
        self._size = (int(high[0] - low[0]), int(high[1] - low[1]))
        self._home = _shift(low)
        self._previous = align.identity()
        self._reference = self._window(reference, self._home)
        self._points = _features(self._reference, rigid_mask(self._reference.shape, landmarks - low), self._eye_px)

    def register(self, image: np.ndarray) -> Motion:
        """Motion from the reference to ``image``, shape (H, W, C), uint8."""
        motion = self._register_from(self._previous, image)
        if motion.reliable and _is_rotated(align.compose(motion.matrix, align.invert(self._previous))):
            motion = self._register_from(motion.matrix, image)
        if motion.reliable:
            self._previous = motion.matrix
        return motion

    def _register_from(self, guess: np.ndarray, image: np.ndarray) -> Motion:
        view = self._follow(guess)
        frame = self._window(image, view)
        start = align.compose(align.invert(view), align.compose(guess, self._home))
        fit = self._fit(frame, start, _NEAR) or self._fit(frame, start, _FAR)
        if fit is None:
            return Motion(self._previous, float("nan"), reliable=False)
        inner = self._correlate(frame, fit) if self._method == "ecc" else fit.matrix
        matrix = align.compose(view, align.compose(inner, align.invert(self._home)))
        return Motion(matrix, _residual_px(inner, fit.source, fit.target), reliable=True)

    def _follow(self, motion: np.ndarray) -> np.ndarray:
        """Transform from window pixels to frame pixels.

        It shifts by whole pixels, which needs no resampling, unless the head has rotated. The tracker compares image
        patches without rotating them, so a rotation has to be removed first.
        """
        if _is_rotated(motion):
            return align.compose(motion, self._home)
        centre = self._home[:, 2] + np.array(self._size) / 2
        return _shift(self._home[:, 2] + np.rint(align.apply(motion, centre) - centre))

    def _window(self, image: np.ndarray, view: np.ndarray) -> np.ndarray:
        """Grey window (height, width), uint8, after :func:`even_light`; outside the frame, its border is repeated."""
        return even_light(_cut(image, view, self._size), self._eye_px)

    def _fit(self, frame: np.ndarray, start: np.ndarray, halvings: int) -> _Fit | None:
        """The common motion of the points; None if too few were tracked or they do not move together."""
        needed = max(_MIN_POINTS, _MIN_SHARE * len(self._points))
        target, source = self._track(frame, start, halvings)
        if len(source) < needed:
            return None
        matrix, rigid = robust_similarity(source, target)
        failed = _residual_px(matrix, source, target) > _MAX_RESIDUAL * self._eye_px
        if failed or not _MIN_SCALE < np.linalg.det(matrix[:, :2]) ** 0.5 < 1 / _MIN_SCALE:
            return None
        return _Fit(matrix, source, target, rigid)

    def _track(self, frame: np.ndarray, start: np.ndarray, halvings: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the reference's points in ``frame`` and in the reference, both (N, 2), without lost points."""
        if not len(self._points):
            return self._points, self._points
        guess = align.apply(start, self._points).astype(np.float32)
        positions, status, _ = cv2.calcOpticalFlowPyrLK(
            self._reference,
            frame,
            self._points.astype(np.float32),
            guess.copy(),
            winSize=(_WINDOW_PX, _WINDOW_PX),
            maxLevel=halvings,
            criteria=_STOP,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        tracked = status.ravel() == 1
        return positions[tracked].astype(np.float64), self._points[tracked]

    def _correlate(self, frame: np.ndarray, fit: _Fit) -> np.ndarray:
        """The similarity with the largest correlation around the rigid points, searched at half size.

        The search uses an affine motion, because a Euclidean motion cannot follow a head that comes closer. The result
        is the similarity closest to the affine motion at these points.
        """
        mask = np.zeros(self._reference.shape, np.uint8)
        rigid = fit.source[fit.rigid]
        for x, y in np.rint(rigid).astype(int):
            cv2.circle(mask, (int(x), int(y)), int(0.15 * self._eye_px), 255, thickness=-1)
        halve = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
        guess = align.compose(halve, align.compose(fit.matrix, align.invert(halve)))
        small = _half(frame)
        try:
            _, matrix = cv2.findTransformECCWithMask(
                _half(self._reference), small, _half(mask), np.full(small.shape, 255, np.uint8),
                guess.astype(np.float32), cv2.MOTION_AFFINE, _ECC_STOP, 5,
            )  # fmt: skip
        except cv2.error:  # the search did not converge
            return fit.matrix
        affine = align.compose(align.invert(halve), align.compose(matrix.astype(np.float64), halve))
        positions = align.apply(affine, rigid)
        failed = np.hypot(*(positions - fit.target[fit.rigid]).T).mean() > _MAX_RESIDUAL * self._eye_px
        return fit.matrix if failed else align.similarity(rigid, positions)


def even_light(grey: np.ndarray, eye_px: float) -> np.ndarray:
    """An image without its local mean and with a fixed contrast, so that flicker and shading are not seen as motion.

    Parameters
    ----------
    grey : ndarray, shape (H, W), uint8
    eye_px : float
        Distance between the eyes in pixels; the local mean is that of a square of half this side.

    Returns
    -------
    ndarray, shape (H, W), uint8
        Around 128, with a mean absolute deviation of 24 grey levels (less if the image is nearly uniform).
    """
    side = int(eye_px / 2) | 1
    mean = cv2.blur(grey, (side, side))
    contrast = cv2.norm(grey, mean, cv2.NORM_L1) / grey.size
    gain = 24 / max(contrast, 0.5)
    result: np.ndarray = cv2.addWeighted(grey, gain, mean, -gain, 128)
    return result


def robust_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity that fits most points and ignores the movements of an expression.

    Iteratively reweighted least squares: the first rounds minimise the sum of distances, the following rounds use
    Tukey's biweight, in which points have no weight if their distance is more than four times the 35th percentile of
    all distances. Unlike the largest consistent set of a random search (RANSAC), the result changes smoothly with the
    points. If the head rotates out of the image plane, so that no similarity is exact, the result is a stable
    compromise that does not jump from frame to frame.

    Parameters
    ----------
    source, target : ndarray, shape (N, 2), float64
        Corresponding points, N >= 2.

    Returns
    -------
    matrix : ndarray, shape (2, 3), float64
    rigid : ndarray, shape (N,), bool
        Whether each point has a weight greater than 0 in the final fit.
    """
    p, q = source @ _COMPLEX, target @ _COMPLEX
    weights = np.ones(len(p))
    rank = int(0.35 * len(p))
    for round_ in range(_ROUNDS_L1 + _ROUNDS_TUKEY):
        turn, shift = align.solve(p, q, weights)
        distance = np.abs(turn * p + shift - q)
        if round_ < _ROUNDS_L1:
            weights = 1 / np.maximum(distance, _FLOOR_PX)
        else:
            limit = 4 * max(np.partition(distance, rank)[rank], _FLOOR_PX)
            weights = np.maximum(1 - (distance / limit) ** 2, 0) ** 2
    return align.similarity(source, target, weights), weights > 0


def rigid_mask(shape: tuple[int, ...], landmarks: np.ndarray) -> np.ndarray:
    """Region for points that follow the head: the face up to the hair without its most mobile parts.

    Every part of a face moves in some expression. The mask excludes the parts that move in many expressions or without
    any (eyes, brows, nostrils, mouth, chin), and is large enough that most of its points do not move.

    Parameters
    ----------
    shape : tuple
        Height and width of the mask.
    landmarks : ndarray, shape (68, 2)
        x, y in pixels of the mask.

    Returns
    -------
    ndarray, shape (H, W), uint8
        255 where points may be tracked, otherwise 0.
    """
    across = _eye_vector(landmarks)
    eye_px = float(np.hypot(*across))
    down = np.array([-across[1], across[0]])
    mask = np.zeros(shape[:2], np.uint8)
    _fill(mask, np.concatenate([landmarks[lm.JAW], landmarks[lm.BROWS] - 0.9 * down]), 255)
    for part in (lm.LEFT_EYE, lm.RIGHT_EYE):
        _fill(mask, landmarks[part], 0, grow=0.14 * eye_px)
    for part in (lm.LEFT_BROW, lm.RIGHT_BROW):
        _fill(mask, landmarks[part], 0, grow=0.20 * eye_px)
    _fill(mask, landmarks[lm.NOSTRILS], 0, grow=0.10 * eye_px)
    _fill(mask, landmarks[lm.MOUTH], 0, grow=0.12 * eye_px)
    _fill(mask, np.concatenate([landmarks[lm.CHIN - 2 : lm.CHIN + 3], landmarks[lm.LOWER_LIP]]), 0, grow=0.05 * eye_px)
    return mask


def _residual_px(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> float:
    """Median distance between ``target`` (N, 2) and ``source`` mapped by ``matrix``."""
    distance = np.abs((align.apply(matrix, source) - target) @ _COMPLEX)
    return float(np.partition(distance, len(distance) // 2)[len(distance) // 2])


def _features(image: np.ndarray, mask: np.ndarray, eye_px: float) -> np.ndarray:
    """Corners (N, 2) spread over the mask, float64; the low quality level also allows points on smooth skin."""
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
    result: np.ndarray = landmarks[lm.RIGHT_EYE].mean(axis=0) - landmarks[lm.LEFT_EYE].mean(axis=0)
    return result


def _cut(image: np.ndarray, view: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The grey window (height, width) of a frame given by ``view`` (2, 3); a plain slice if possible."""
    x, y = view[:, 2].astype(int)
    if (view == _shift(np.array([x, y]))).all() and x >= 0 and y >= 0:
        window = image[y : y + size[1], x : x + size[0]]
        if window.shape[:2] == size[::-1]:
            return levels(window)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    result: np.ndarray = cv2.warpAffine(levels(image), view, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return result


def _half(image: np.ndarray) -> np.ndarray:
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    result: np.ndarray = cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return result


def _shift(by: np.ndarray) -> np.ndarray:
    return np.column_stack([np.eye(2), by])


def _is_rotated(motion: np.ndarray) -> bool:
    """Whether a motion rotates by more than about half a degree or scales by more than about one per cent."""
    return bool(np.abs(motion[:, :2] - np.eye(2)).max() > 0.008)
