"""Motion of the regions of a face between a key frame and later frames.

Motion that is summed from frame to frame drifts like a random walk, and motion since the first frame suffers from slow
changes of pose and lighting. Therefore points are tracked from a key frame [1]_, which is renewed every few seconds.
Both key frames are tracked for a while; the median difference of their results joins the two parts of the signals.

References
----------
.. [1] J.-Y. Bouguet: Pyramidal implementation of the Lucas Kanade feature tracker. Intel, 2000. The comparison of the
   forward with the backward motion is that of Z. Kalal, K. Mikolajczyk, J. Matas: Forward-backward error. ICPR 2010.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from mer_features.stages.signals.regions import LIDS, RADIUS, REGIONS, centres

# The points of a region form a square grid, those of a lid lie along it, and its windows are smaller, because a window
# that is as high as the eye would see both lids. Lengths are in distances between the eyes. With 25 instead of 9 points
# per region, noise is the same and the search takes twice as long; with windows of 0.3, noise is a third smaller, but
# the motion of a small region is also measured too small by a third.
_GRID, _LID_GRID = (3, 3), (5, 2)
_LID_REACH = (0.07, 0.01)
_WINDOW, _LID_WINDOW = 0.20, 0.12
_BORDER = 0.35  # of the part of the crop in which points are tracked, around them
_HALVINGS, _STOP = 2, (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.005)

#: Largest distance, between the eyes, of a point from where it started after it was tracked forward and back.
MAX_ERROR = 0.0035
#: Lids change too much in a blink to be tracked back; a point that moves further than this does not count.
LONGEST_LID = 0.25
#: A region is measured if at least this share of its points was tracked.
MIN_SHARE = 1 / 3

# A key frame is renewed only while no region moves by more than this distance (between the eyes) in the seconds before.
# After the longest wait it is renewed in any case. Old and new key frame are tracked together for the overlap.
_CALM, _CALM_S = 0.006, 0.3
_LONGEST_WAIT_S = 1.0
_OVERLAP_S = 0.5

#: Regions, then right upper, right lower, left upper and left lower lid.
_TRACKED = len(REGIONS) + 2 * len(LIDS)


@dataclass(frozen=True)
class Grids:
    """Points to track, in pixels of the crop.

    Attributes
    ----------
    regions : ndarray, shape (17, P, 2), float32
    lids : ndarray, shape (4, Q, 2), float32
    eye_px : float
        Distance between the centres of the eyes, in pixels of the crop.
    """

    regions: np.ndarray
    lids: np.ndarray
    eye_px: float

    @classmethod
    def around(cls, landmarks: np.ndarray, eye_px: float) -> Grids:
        """Grids around landmarks (68, 2) in pixels of the crop."""
        pairs = [pair for lids in LIDS.values() for pair in lids]
        lids = np.array([landmarks[list(pair)].mean(axis=0) for pair in pairs])
        return cls(
            _spread(centres(landmarks), _GRID, (RADIUS, RADIUS), eye_px),
            _spread(lids, _LID_GRID, _LID_REACH, eye_px),
            eye_px,
        )


class RegionTracker:
    """Follows the regions through the crops of one segment, in temporal order.

    Parameters
    ----------
    grids : Grids
    fps : float
        Crops per second.
    key_frame_s : float
        Seconds after which the key frame is renewed.
    """

    def __init__(self, grids: Grids, fps: float, key_frame_s: float) -> None:
        self._grids = grids
        self._period, self._overlap = max(2, round(key_frame_s * fps)), max(2, round(_OVERLAP_S * fps))
        self._longest_wait = round(_LONGEST_WAIT_S * fps)
        self._recent: deque[np.ndarray] = deque(maxlen=max(2, round(_CALM_S * fps)))
        self._key: _KeyFrame | None = None
        self._next: _KeyFrame | None = None
        self._differences: list[np.ndarray] = []
        self._offset = np.zeros((_TRACKED, 2))
        self._age = 0

    def track(self, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position of the regions in one crop.

        Parameters
        ----------
        crop : ndarray, shape (S, S), uint8
            After :func:`~mer_features.stages.faces.register.even_light`.

        Returns
        -------
        motion : ndarray, shape (17, 2), float64
            Displacement in distances between the eyes since the first crop; NaN where it was not measured.
        lids : ndarray, shape (2,), float64
            Change of the opening of the right and left lids, in the same unit; negative while they close.
        """
        if self._key is None:
            self._key = _KeyFrame(crop, self._grids)
        moved = self._key.displacement(crop) + self._offset
        self._recent.append(moved)
        self._age += 1
        self._renew(crop, moved)
        upper, lower = moved[len(REGIONS) :: 2, 1], moved[len(REGIONS) + 1 :: 2, 1]
        return moved[: len(REGIONS)] / self._grids.eye_px, (lower - upper) / self._grids.eye_px

    def _renew(self, crop: np.ndarray, moved: np.ndarray) -> None:
        """Start a new key frame when it is time, and replace the old one at the end of the overlap."""
        if self._next is None:
            late = self._age >= self._period + self._longest_wait
            if self._age >= self._period and (late or self._is_calm()):
                self._next, self._differences = _KeyFrame(crop, self._grids), [moved]
            return
        self._differences.append(moved - self._next.displacement(crop))
        if len(self._differences) < self._overlap:
            return
        table = np.array(self._differences)
        measured = np.isfinite(table).all(axis=2).any(axis=0)
        # A region that was never measured during the overlap is assumed to have stayed where it was.
        self._offset[measured] = np.nanmedian(table[:, measured], axis=0)
        self._key, self._next, self._age = self._next, None, len(self._differences)

    def _is_calm(self) -> bool:
        table = np.array(self._recent)
        if np.isnan(table).any():
            return False
        return bool(np.ptp(table, axis=0).max() < _CALM * self._grids.eye_px)


class _KeyFrame:
    """One crop, and where its points were last seen."""

    def __init__(self, crop: np.ndarray, grids: Grids) -> None:
        eye_px = grids.eye_px
        self._regions = _Patch(crop, grids.regions, _odd(_WINDOW * eye_px), _BORDER * eye_px)
        self._lids = _Patch(crop, grids.lids, _odd(_LID_WINDOW * eye_px), _BORDER * eye_px)
        self._max_error_px, self._longest_lid_px = MAX_ERROR * eye_px, LONGEST_LID * eye_px

    def displacement(self, crop: np.ndarray) -> np.ndarray:
        """Displacement (21, 2) of regions and lids in pixels of the crop since this key frame."""
        regions = self._regions.follow(crop, self._max_error_px)
        return np.concatenate([regions, self._lids.follow_far(crop, self._longest_lid_px)])


class _Patch:
    """Groups of points of the key frame that are tracked with one window size."""

    def __init__(self, crop: np.ndarray, points: np.ndarray, window_px: int, border_px: float) -> None:
        low = np.maximum(np.floor(points.min(axis=(0, 1)) - border_px), 0).astype(int)
        high = np.ceil(points.max(axis=(0, 1)) + border_px).astype(int)
        self._area = slice(low[1], high[1]), slice(low[0], high[0])
        self._key = crop[self._area]
        self._points, self._window = points - low.astype(np.float32), (window_px, window_px)
        self._last = np.zeros((len(points), 1, 2), np.float32)

    def follow(self, crop: np.ndarray, limit_px: float) -> np.ndarray:
        """Median displacement (G, 2) of each group, over the points that return when they are tracked back."""
        part, start = crop[self._area], self._points.reshape(-1, 2)
        there, seen = self._search(part)
        back, returned = self._flow(part, self._key, there, start.copy())
        return self._agree(there, seen & returned & (np.hypot(*(back - start).T) < limit_px))

    def follow_far(self, crop: np.ndarray, limit_px: float) -> np.ndarray:
        """As :meth:`follow`, over the points that move by less than a limit."""
        there, seen = self._search(crop[self._area])
        return self._agree(there, seen & (np.hypot(*(there - self._points.reshape(-1, 2)).T) < limit_px))

    def _search(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (N, 2) of all points, searched from where they were in the frame before."""
        guess = (self._points + self._last).reshape(-1, 2)
        return self._flow(self._key, part, self._points.reshape(-1, 2), guess)

    def _agree(self, there: np.ndarray, good: np.ndarray) -> np.ndarray:
        groups = self._points.shape[:2]
        moved: np.ndarray = _median(there.reshape(*groups, 2) - self._points, good.reshape(groups))
        self._last = np.nan_to_num(moved, nan=0.0)[:, None].astype(np.float32)
        return moved

    def _flow(
        self, first: np.ndarray, second: np.ndarray, points: np.ndarray, guess: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        positions, status, _ = cv2.calcOpticalFlowPyrLK(
            first, second, points, guess, winSize=self._window, maxLevel=_HALVINGS, criteria=_STOP,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )  # fmt: skip
        return positions, status.ravel() == 1


def _median(moved: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Median (G, 2), float64, over the good points of each group (G, P, 2); NaN for groups with too few of them."""
    count = good.sum(axis=1)
    ordered = np.sort(np.where(good[..., None], moved, np.inf), axis=1).astype(np.float64)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, good.shape[1] - 1)
    rows = np.arange(len(moved))
    middle: np.ndarray = (ordered[rows, low] + ordered[rows, high]) / 2
    middle[count < MIN_SHARE * good.shape[1]] = np.nan
    return middle


def _spread(middles: np.ndarray, shape: tuple[int, int], reach: tuple[float, float], eye_px: float) -> np.ndarray:
    """Grids (G, P, 2), float32, of ``shape`` (across, down) that reach so far from their middles (G, 2)."""
    across, down = (np.linspace(-far, far, count) for far, count in zip(reach, shape, strict=True))
    grid = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2) * eye_px
    return (middles[:, None] + grid).astype(np.float32)


def _odd(length_px: float) -> int:
    return max(5, int(length_px) | 1)
