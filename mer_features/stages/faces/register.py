"""Rigid head motion: each frame against the onset frame, with what an expression moves kept out.

Landmarks found separately on each frame jitter by half a pixel, as much as a micro-expression moves; the motion of the
whole head can be measured a hundred times better. Two methods share one interface: ``lk`` follows points by the
pyramidal Lucas-Kanade method [1]_ and fits a similarity robustly; ``ecc`` starts from that and maximises the enhanced
correlation coefficient [2]_ of the picture around the points that agreed.

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

# Halvings of the picture: the head is looked for close to where it was on the frame before, and only if it is not
# there (a cut, a jump from the onset back to an early first frame) within a hundred pixels.
_NEAR, _FAR = 1, 4

_ECC_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-7)

# Fewer points, or a smaller share of those started with, do not hold a similarity; nor do points that it leaves
# this far off (median, in eye distances) or that shrink so much, which found something else than the face.
_FEWEST_POINTS = 10
_FEWEST_SHARE = 0.4
_MOST_LEFT = 0.04
_LEAST_SCALE = 0.7

# Rounds of the robust fit, and the smallest distance it tells apart: what Lucas-Kanade reaches at usual noise.
_ROUNDS_L1, _ROUNDS_TUKEY = 4, 4
_FLOOR_PX = 0.02

_COMPLEX = np.array([1, 1j])


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


@dataclass(frozen=True)
class _Fit:
    """A motion between windows, the points it comes from, and which of them count as rigid."""

    matrix: np.ndarray  # (2, 3)
    source: np.ndarray  # (N, 2)
    target: np.ndarray  # (N, 2)
    rigid: np.ndarray  # (N,) bool


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
        low = np.floor(landmarks.min(axis=0) - [0.3 * self._eye_px, 0.9 * self._eye_px])
        high = np.ceil(landmarks.max(axis=0) + 0.3 * self._eye_px)
        self._size = (int(high[0] - low[0]), int(high[1] - low[1]))
        self._home = _shift(low)
        self._previous = align.identity()
        self._reference = self._look(reference, self._home)
        self._points = _features(self._reference, rigid_mask(self._reference.shape, landmarks - low), self._eye_px)

    def register(self, image: np.ndarray) -> Motion:
        """Motion from the reference to ``image``, shape (H, W, C), uint8."""
        motion = self._register_from(self._previous, image)
        if motion.reliable and _turned(align.compose(motion.matrix, align.invert(self._previous))):
            motion = self._register_from(motion.matrix, image)
        if motion.reliable:
            self._previous = motion.matrix
        return motion

    def _register_from(self, guess: np.ndarray, image: np.ndarray) -> Motion:
        view = self._follow(guess)
        frame = self._look(image, view)
        start = align.compose(align.invert(view), align.compose(guess, self._home))
        fit = self._fit(frame, start, _NEAR) or self._fit(frame, start, _FAR)
        if fit is None:
            return Motion(self._previous, float("nan"), reliable=False)
        inner = self._correlate(frame, fit) if self._method == "ecc" else fit.matrix
        matrix = align.compose(view, align.compose(inner, align.invert(self._home)))
        return Motion(matrix, _left_px(inner, fit.source, fit.target), reliable=True)

    def _follow(self, motion: np.ndarray) -> np.ndarray:
        """Window pixels to frame pixels: by whole pixels, which resamples nothing, unless the head has turned.

        The points are compared without turning them, so a turn has to be taken out before.
        """
        if _turned(motion):
            return align.compose(motion, self._home)
        centre = self._home[:, 2] + np.array(self._size) / 2
        return _shift(self._home[:, 2] + np.rint(align.apply(motion, centre) - centre))

    def _look(self, image: np.ndarray, view: np.ndarray) -> np.ndarray:
        """Grey window (height, width) uint8 without its local mean and at a fixed contrast.

        So neither flicker nor shading passes for motion. The frame's border is repeated outside it.
        """
        grey = _cut(image, view, self._size)
        side = int(self._eye_px / 2) | 1
        mean = cv2.blur(grey, (side, side))
        contrast = cv2.norm(grey, mean, cv2.NORM_L1) / grey.size
        gain = 24 / max(contrast, 0.5)
        result: np.ndarray = cv2.addWeighted(grey, gain, mean, -gain, 128)
        return result

    def _fit(self, frame: np.ndarray, start: np.ndarray, halvings: int) -> _Fit | None:
        """The motion of the points; None if too few were found or they do not move as one."""
        needed = max(_FEWEST_POINTS, _FEWEST_SHARE * len(self._points))
        target, source = self._track(frame, start, halvings)
        if len(source) < needed:
            return None
        matrix, rigid = robust_similarity(source, target)
        astray = _left_px(matrix, source, target) > _MOST_LEFT * self._eye_px
        if astray or not _LEAST_SCALE < np.linalg.det(matrix[:, :2]) ** 0.5 < 1 / _LEAST_SCALE:
            return None
        return _Fit(matrix, source, target, rigid)

    def _track(self, frame: np.ndarray, start: np.ndarray, halvings: int) -> tuple[np.ndarray, np.ndarray]:
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
            maxLevel=halvings,
            criteria=_STOP,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        kept = status.ravel() == 1
        return found[kept].astype(np.float64), self._points[kept]

    def _correlate(self, frame: np.ndarray, fit: _Fit) -> np.ndarray:
        """The similarity of largest correlation around the rigid points, searched at half size.

        The search is affine, for a Euclidean motion cannot follow a head that comes closer; the similarity is the
        one nearest to it over the points.
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
        except cv2.error:  # it did not converge
            return fit.matrix
        affine = align.compose(align.invert(halve), align.compose(matrix.astype(np.float64), halve))
        found = align.apply(affine, rigid)
        astray = np.hypot(*(found - fit.target[fit.rigid]).T).mean() > _MOST_LEFT * self._eye_px
        return fit.matrix if astray else align.similarity(rigid, found)


def robust_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity that most points agree on, an expression's movements ignored.

    Iteratively reweighted least squares: towards the smallest sum of distances first, then with Tukey's biweight,
    which gives no weight to points more than four times as far off as the calmest third is. Unlike the largest
    consistent set of a random search it changes smoothly with the points: where a head turns out of the picture's
    plane and no similarity is right, it stays a steady compromise and does not jump from frame to frame.

    Parameters
    ----------
    source, target : ndarray, shape (N, 2), float64
        N is 2 or more.

    Returns
    -------
    matrix : ndarray, shape (2, 3), float64
    rigid : ndarray, shape (N,), bool
        The points that count.
    """
    p, q = source @ _COMPLEX, target @ _COMPLEX
    weights = np.ones(len(p))
    calm = int(0.35 * len(p))
    for round_ in range(_ROUNDS_L1 + _ROUNDS_TUKEY):
        turn, shift = align.solve(p, q, weights)
        distance = np.abs(turn * p + shift - q)
        if round_ < _ROUNDS_L1:
            weights = 1 / np.maximum(distance, _FLOOR_PX)
        else:
            limit = 4 * max(np.partition(distance, calm)[calm], _FLOOR_PX)
            weights = np.maximum(1 - (distance / limit) ** 2, 0) ** 2
    return align.similarity(source, target, weights), weights > 0


def rigid_mask(shape: tuple[int, ...], landmarks: np.ndarray) -> np.ndarray:
    """Where to look for points that follow the head: the face up to the hair, without its most mobile parts.

    Every part of a face moves in some expression, so the mask leaves out what moves in many or without one (eyes,
    brows, nostrils, mouth, chin) and spreads wide enough that what is still outnumbers what is not.

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
        _fill(mask, landmarks[part], 0, grow=0.20 * eye_px)
    _fill(mask, landmarks[lm.NOSTRILS], 0, grow=0.10 * eye_px)
    _fill(mask, landmarks[lm.MOUTH], 0, grow=0.12 * eye_px)
    _fill(mask, np.concatenate([landmarks[lm.CHIN - 2 : lm.CHIN + 3], landmarks[lm.LOWER_LIP]]), 0, grow=0.05 * eye_px)
    return mask


def _left_px(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> float:
    """Median distance of ``target`` (N, 2) from where ``matrix`` puts ``source``."""
    distance = np.abs((align.apply(matrix, source) - target) @ _COMPLEX)
    return float(np.partition(distance, len(distance) // 2)[len(distance) // 2])


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
    result: np.ndarray = landmarks[lm.RIGHT_EYE].mean(axis=0) - landmarks[lm.LEFT_EYE].mean(axis=0)
    return result


def _cut(image: np.ndarray, view: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The grey window (height, width) that ``view`` (2, 3) shows of a frame; a plain slice where that is possible."""
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


def _turned(motion: np.ndarray) -> bool:
    """Whether a motion turns by more than about half a degree or scales by more than about a per cent."""
    return bool(np.abs(motion[:, :2] - np.eye(2)).max() > 0.008)
