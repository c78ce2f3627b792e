"""What is derived from stored signals: filtered motion, noise, blinks and speech.

The filters are symmetric in time (zero phase) and need the whole recording; they take seconds, so that another setting
needs no frame again. All lengths are in seconds and in distances between the centres of the eyes, so that frame rate
and resolution do not matter. Nothing is computed across the border of two segments or across a gap longer than
:data:`LONGEST_GAP_S`; shorter gaps, and copies of the frame before, are interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage, signal, stats

from mer_features.stages.signals.regions import MOUTH, REGIONS
from mer_features.stages.signals.series import Signals

#: Longest gap that is interpolated.
LONGEST_GAP_S = 0.2

_ORDER = 3  # of all Butterworth filters
_SHORTEST_S = 1.0  # in which noise is measured

# The open eye: this percentile of the opening over this time, in which the eye is open for the most part.
_OPEN_PERCENTILE, _OPEN_S = 70, 4.0

# Speech: frequencies, times over which power and changes of direction are counted, the motion of the lips (rms) that
# counts half, and the numbers of changes that count nothing and fully. A single movement has two.
_SPEECH_HZ, _POWER_S, _CHANGES_S = (2.0, 7.0), 1.0, 1.5
_HALF_POWER = 0.004
_FEW_CHANGES, _MANY_CHANGES = 2, 4

_Filter = Callable[[np.ndarray], np.ndarray]


def low_pass(signals: Signals, cutoff_hz: float = 5.0) -> np.ndarray:
    """Motion of the regions without fast changes, by a Butterworth filter of order 3 that runs forward and backward.

    Parameters
    ----------
    signals : Signals
    cutoff_hz : float
        At this frequency half of the amplitude remains. Above 0.9 times the highest frequency of the recording nothing
        is filtered.

    Returns
    -------
    ndarray, shape (T, 17, 2), float64
        Distances between the eyes; NaN where nothing was measured.
    """
    return _filtered(signals, signals.motion, _butterworth(signals.fps, cutoff_hz, "low"))


def without_baseline(signals: Signals, window_s: float = 1.5, cutoff_hz: float = 5.0) -> np.ndarray:
    """The result of :func:`low_pass` minus its running median: movements shorter than about half the window.

    Parameters
    ----------
    signals : Signals
    window_s : float
        Length of the running median in seconds. Slow changes, the drift from one key frame to the next and longer
        expressions are removed.
    cutoff_hz : float
        See :func:`low_pass`.

    Returns
    -------
    ndarray, shape (T, 17, 2), float64
        Distances between the eyes; NaN where nothing was measured.
    """
    smooth = _butterworth(signals.fps, cutoff_hz, "low")
    size = 2 * round(window_s * signals.fps / 2) + 1

    def move(values: np.ndarray) -> np.ndarray:
        course = smooth(values)
        result: np.ndarray = course - ndimage.median_filter(course, size, mode="nearest")
        return result

    return _filtered(signals, signals.motion, move)


def noise(signals: Signals, above_hz: float = 5.0) -> np.ndarray:
    """Noise of each region: 1.4826 times the median absolute deviation of the motion above a frequency.

    Expressions are slower, and too rare to change the median.

    Parameters
    ----------
    signals : Signals
    above_hz : float

    Returns
    -------
    ndarray, shape (17,), float64
        Standard deviation along one axis in distances between the eyes, root mean square of both axes; NaN for a
        region that was measured for less than one second.
    """
    fast = _filtered(signals, signals.motion, _butterworth(signals.fps, above_hz, "high"))
    fast[~_measured(signals, signals.motion)] = np.nan
    levels = np.full(fast.shape[1:], np.nan)
    for place in np.ndindex(levels.shape):
        values = fast[(slice(None), *place)]
        values = values[np.isfinite(values)]
        if len(values) >= _SHORTEST_S * signals.fps:
            levels[place] = stats.median_abs_deviation(values, scale="normal")
    result: np.ndarray = np.sqrt((levels**2).mean(axis=1))
    return result


def closure(signals: Signals) -> np.ndarray:
    """How far the lids are closed.

    Returns
    -------
    ndarray, shape (T, 2), float64
        Right and left eye: by how much the opening is smaller than that of the open eye (the 70th percentile over
        4 s), in distances between the eyes, >= 0; NaN where nothing was measured.
    """
    size = 2 * round(_OPEN_S * signals.fps / 2) + 1

    def close(values: np.ndarray) -> np.ndarray:
        result: np.ndarray = ndimage.percentile_filter(values, _OPEN_PERCENTILE, size, mode="nearest") - values
        return result

    closed: np.ndarray = np.maximum(_filtered(signals, signals.lids, close), 0)  # NaN stays
    return closed


@dataclass(frozen=True)
class Blink:
    """A blink: its first and last row of the signals (both included), and which eye closed."""

    first: int
    last: int
    eyes: Literal["both", "right", "left"]


def blinks(
    signals: Signals,
    *,
    least: float = 0.02,
    share: float = 0.4,
    shortest_s: float = 0.06,
    longest_s: float = 0.6,
) -> list[Blink]:
    """Intervals in which an eye is closed for a short time.

    Parameters
    ----------
    signals : Signals
    least : float
        Smallest :func:`closure`, distances between the eyes.
    share : float
        Smallest closure as a fraction of its 99th percentile in the recording.
    shortest_s, longest_s : float
        Shortest and longest blink in seconds.

    Returns
    -------
    list of Blink
        In temporal order. One of a single eye is a wink.
    """
    closed = closure(signals)
    shut = np.zeros(closed.shape, bool)
    for eye in range(2):
        values = closed[:, eye]
        if np.isfinite(values).any():
            shut[:, eye] = values > max(least, share * float(np.nanpercentile(values, 99)))
    intervals = []
    for rows in _runs(np.logical_or(*shut.T), signals.segment):
        length_s = signals.time_s[rows[-1]] - signals.time_s[rows[0]] + 1 / signals.fps
        if shortest_s <= length_s <= longest_s:
            right, left = shut[rows].any(axis=0)
            eyes: Literal["both", "right", "left"] = "both" if right and left else "right" if right else "left"
            intervals.append(Blink(int(rows[0]), int(rows[-1]), eyes))
    return intervals


def speech(signals: Signals) -> np.ndarray:
    """How much the lips move as in speech: repeated changes of direction at 2 to 7 Hz.

    Returns
    -------
    ndarray, shape (T,), float64
        0 to 1; 0 where nothing was measured. The product of two terms: the power P of the lips' motion in this band
        over 1 s, as P / (P + 0.004²) in distances between the eyes, and the number of changes of direction of the
        mouth's opening in 1.5 s (0 up to two changes, 1 from four changes).
    """
    lips = [REGIONS.index(name) for name in MOUTH]
    fast = _filtered(signals, signals.motion[:, lips], _butterworth(signals.fps, _SPEECH_HZ, "band"))
    fast = np.nan_to_num(fast)
    power = _average((fast**2).sum(axis=2).mean(axis=1), _POWER_S * signals.fps)
    opening = fast[:, MOUTH.index("lower_lip"), 1] - fast[:, MOUTH.index("upper_lip"), 1]
    # Small oscillations do not count: the direction is that of the last value above a third of the local rms.
    large = np.abs(opening) > np.maximum(np.sqrt(_average(opening**2, _CHANGES_S * signals.fps)) / 3, 1e-12)
    rows = np.flatnonzero(large)
    changes = np.zeros(len(opening))
    changes[rows[1:]] = np.diff(np.sign(opening[rows])) != 0
    count = _average(changes, _CHANGES_S * signals.fps) * (2 * round(_CHANGES_S * signals.fps / 2) + 1)
    repeated = np.clip((count - _FEW_CHANGES) / (_MANY_CHANGES - _FEW_CHANGES), 0, 1)
    score: np.ndarray = power / (power + _HALF_POWER**2) * repeated
    return score


def _butterworth(fps: float, hz: float | tuple[float, float], kind: Literal["low", "high", "band"]) -> _Filter:
    """A zero-phase filter for evenly sampled values (n,); values too few for it have no fast changes."""
    highest = 0.45 * fps
    low = np.min(hz)
    if low >= highest:
        return np.array if kind == "low" else np.zeros_like
    if np.max(hz) >= highest:
        hz, kind = float(low), "high" if kind == "band" else kind
    sections = signal.butter(_ORDER, hz, "bandpass" if kind == "band" else kind, fs=fps, output="sos")
    usual_pad = 3 * (2 * len(sections) + 1)

    def run(values: np.ndarray) -> np.ndarray:
        if len(values) < 4:
            return np.array(values) if kind == "low" else np.zeros_like(values)
        result: np.ndarray = signal.sosfiltfilt(sections, values, padlen=min(usual_pad, len(values) - 1))
        return result

    return run


def _filtered(signals: Signals, values: np.ndarray, run: _Filter) -> np.ndarray:
    """Apply a filter along the first axis of values (T, ...), separately between segments and long gaps.

    Each part is resampled to even steps in time, filtered, and sampled at the times of the frames.
    """
    columns = values.reshape(len(values), -1)
    valid = _measured(signals, values).reshape(columns.shape)
    result = np.full(columns.shape, np.nan)
    for column in range(columns.shape[1]):
        for rows in _parts(signals, valid[:, column]):
            time_s = signals.time_s[rows]
            even_s = time_s[0] + np.arange(round((time_s[-1] - time_s[0]) * signals.fps) + 1) / signals.fps
            course = run(np.interp(even_s, time_s, columns[rows, column].astype(np.float64)))
            inside = slice(rows[0], rows[-1] + 1)
            result[inside, column] = np.interp(signals.time_s[inside], even_s, course)
    filtered: np.ndarray = result.reshape(values.shape)
    return filtered


def _measured(signals: Signals, values: np.ndarray) -> np.ndarray:
    """Whether each of the values (T, ...) was measured, and not copied from the frame before."""
    usable = signals.reliable & ~signals.repeated
    measured: np.ndarray = np.isfinite(values) & usable.reshape(-1, *[1] * (values.ndim - 1))
    return measured


def _parts(signals: Signals, valid: np.ndarray) -> Iterator[np.ndarray]:
    """Rows with valid values, split where the segment changes or a gap is too long to be interpolated."""
    rows = np.flatnonzero(valid)
    if not len(rows):
        return
    longest_s = max(LONGEST_GAP_S, 1.5 / signals.fps)
    breaks = (np.diff(signals.time_s[rows]) > longest_s) | (np.diff(signals.segment[rows]) != 0)
    yield from np.split(rows, np.flatnonzero(breaks) + 1)


def _runs(mask: np.ndarray, segment: np.ndarray) -> Iterator[np.ndarray]:
    """Successive rows where ``mask`` holds within one segment."""
    rows = np.flatnonzero(mask)
    if len(rows):
        breaks = (np.diff(rows) > 1) | (np.diff(segment[rows]) != 0)
        yield from np.split(rows, np.flatnonzero(breaks) + 1)


def _average(values: np.ndarray, rows: float) -> np.ndarray:
    """Running mean (T,) over about so many rows, with zeros beyond the ends."""
    result: np.ndarray = ndimage.uniform_filter1d(values, 2 * round(rows / 2) + 1, mode="constant")
    return result
