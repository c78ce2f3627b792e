"""Evenly sampled, filtered signals of the stretches of a recording in which the face was followed without a gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d, median_filter, uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from mer_features.stages.signals import MOUTH, REGIONS, Signals

#: Longest gap in seconds that is interpolated; a longer one ends a piece.
GAP_S = 0.1
#: Shorter pieces are left out, in seconds.
SHORTEST_S = 0.5
#: Window of the running median that is the open state of the lids, in seconds.
_OPEN_S = 2.0
#: Smallest closure of a blink in distances between the eyes, and as a fraction of the largest in the recording.
_CLOSURE, _CLOSURE_SHARE = 0.02, 0.4
_BLINK_S = (0.06, 0.6)
#: Speech: band in Hz, window in seconds, and the smallest motion of a lip in distances between the eyes.
_SPEECH_HZ, _SPEECH_S, _SPEECH_HEIGHT = (2.0, 7.0), 1.5, 0.0025
#: A single movement turns twice in this band; from so many more turns on it is certainly speech.
_TURNS = (2, 4)
_LIPS = [REGIONS.index(name) for name in MOUTH if not name.startswith("mouth_corner")]


@dataclass(frozen=True)
class Piece:
    """n evenly spaced samples of one segment, without a gap longer than :data:`GAP_S`.

    Attributes
    ----------
    time_s : ndarray, shape (n,)
        Seconds since the first frame of the recording.
    motion : ndarray, shape (n, 17, 2)
        As in :class:`~mer_features.stages.signals.Signals`, interpolated.
    known : ndarray, shape (n, 17), bool
        Where a region was measured; elsewhere its motion is interpolated over a longer gap, or 0.
    lids : ndarray, shape (n, 2)
        Opening of the lids; 0 where it was not measured.
    head : ndarray, shape (n, 4)
        Similarity of the head; 0 where it was not measured.
    residual : ndarray, shape (n,)
        Error of the registration; 0 where it was not measured.
    rate_hz : float
        Samples per second.
    """

    time_s: np.ndarray
    motion: np.ndarray
    known: np.ndarray
    lids: np.ndarray
    head: np.ndarray
    residual: np.ndarray
    rate_hz: float

    def samples(self, seconds: float) -> int:
        """Number of samples in so many seconds, at least 1."""
        return max(1, round(seconds * self.rate_hz))


def pieces(signals: Signals, low_pass_hz: float, rate_hz: float) -> tuple[Piece, ...]:
    """Pieces of a recording without motion above ``low_pass_hz``, at no more than ``rate_hz`` samples per second.

    Copies of the frame before and unreliable rows are interpolated. The filter has no delay (Butterworth of third
    order, forwards and backwards) and sees one piece at a time.
    """
    found = []
    for rows in _stretches(signals):
        time = signals.time_s[rows]
        count = int(np.floor((time[-1] - time[0]) * signals.fps + 1e-6)) + 1
        if count < max(4, SHORTEST_S * signals.fps):
            continue
        grid = time[0] + np.arange(count) / signals.fps
        longest = GAP_S + 1.01 / signals.fps
        motion, known = _even(grid, time, signals.motion[rows].reshape(len(rows), -1), longest)
        others = np.column_stack([signals.lids[rows], signals.head[rows], signals.residual[rows]])
        others, _ = _even(grid, time, others, longest)
        values = low_pass(np.hstack([motion, others[:, :2]]), low_pass_hz, signals.fps)
        rest = others[:, 2:]
        rate = signals.fps
        if rate > rate_hz * 1.01:
            rate = rate_hz
            coarse = np.arange(grid[0], grid[-1] + 1e-9, 1 / rate)
            values, rest = _at(coarse, grid, values), _at(coarse, grid, rest)
            known = known[np.minimum(np.searchsorted(grid, coarse - 1e-9), count - 1)]
            grid = coarse
        found.append(
            Piece(
                time_s=grid,
                motion=values[:, :-2].reshape(len(grid), len(REGIONS), 2),
                known=known[:, ::2] & known[:, 1::2],
                lids=values[:, -2:],
                head=rest[:, :4],
                residual=rest[:, 4],
                rate_hz=rate,
            )
        )
    return tuple(found)


def _stretches(signals: Signals) -> Iterator[np.ndarray]:
    """Rows of each piece: usable ones of one segment, without a long gap between them."""
    usable = signals.reliable & ~signals.repeated & np.isfinite(signals.motion).any(axis=(1, 2))
    rows = np.flatnonzero(usable)
    if not len(rows):
        return
    pause = np.diff(signals.time_s[rows]) - 1 / signals.fps
    ends = np.flatnonzero((pause > GAP_S * 1.0001) | (np.diff(signals.segment[rows]) != 0)) + 1
    yield from np.split(rows, ends)


def _even(grid: np.ndarray, time: np.ndarray, values: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Each column at the times of the grid, and whether it was measured near them; 0 for a column of NaN."""
    even, known = np.zeros((len(grid), values.shape[1])), np.zeros((len(grid), values.shape[1]), dtype=bool)
    for column in range(values.shape[1]):
        finite = np.isfinite(values[:, column])
        if finite.sum() < 2:
            continue
        times = time[finite]
        even[:, column] = np.interp(grid, times, values[finite, column])
        right = np.clip(np.searchsorted(times, grid - 1e-9), 1, len(times) - 1)
        inside = (grid >= times[0] - 1e-9) & (grid <= times[-1] + 1e-9)
        known[:, column] = inside & (times[right] - times[right - 1] <= longest)
    return even, known


def _at(times: np.ndarray, grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.column_stack([np.interp(times, grid, column) for column in values.T])


def low_pass(values: np.ndarray, hz: float, rate_hz: float) -> np.ndarray:
    """Values, shape (n, ...), without what is faster; unchanged if the rate is too low for faster motion."""
    if hz > 0.45 * rate_hz:
        return values
    sections = butter(3, hz, fs=rate_hz, output="sos")
    return np.asarray(sosfiltfilt(sections, values, axis=0, padlen=min(12, len(values) - 1)))


def without_rest(values: np.ndarray, samples: int) -> np.ndarray:
    """Values, shape (n, ...), minus their running median over so many samples, mirrored at the ends."""
    columns = np.ascontiguousarray(values.reshape(len(values), -1).T)
    rest = np.stack([median_filter(column, size=samples | 1, mode="reflect") for column in columns], axis=1)
    return np.asarray(values - rest.reshape(values.shape))


def noise(values: Sequence[np.ndarray]) -> np.ndarray:
    """Robust standard deviation, 1.4826 times the median absolute value, of arrays (n, R, 2) together; shape (R,)."""
    together = np.abs(np.concatenate([np.asarray(part) for part in values]))
    return np.asarray(1.4826 * np.median(together.transpose(1, 0, 2).reshape(together.shape[1], -1), axis=1))


def closures(parts: Sequence[Piece]) -> list[np.ndarray]:
    """How far both eyes are closed in each piece, (n,) each, in distances between the eyes; 0 while one is open."""
    return [np.maximum(0, -without_rest(part.lids, part.samples(_OPEN_S)).max(axis=1)) for part in parts]


def blinks(parts: Sequence[Piece]) -> np.ndarray:
    """Start and end of the blinks, shape (B, 2), in seconds: both eyes closed for 0.06 to 0.6 s."""
    closed = closures(parts)
    if not closed:
        return np.zeros((0, 2))
    limit = max(_CLOSURE, _CLOSURE_SHARE * float(np.percentile(np.concatenate(closed), 99)))
    found = []
    for part, values in zip(parts, closed, strict=True):
        for start, stop in runs(values > limit):
            if _BLINK_S[0] <= (stop - start) / part.rate_hz <= _BLINK_S[1]:
                found.append((part.time_s[start], part.time_s[stop - 1]))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def speech(part: Piece) -> np.ndarray:
    """Size of the to-and-fro motion of speech in each region, shape (n, 17), in distances between the eyes.

    It is 0 where the lips do not move as in speech. Whether they do follows from how often the vertical motion of a
    lip or of the chin in the band 2 to 7 Hz changes its direction within 1.5 s; how far each region then moves (peak to
    peak) follows from its power in this band over 1.5 s.
    """
    n = len(part.time_s)
    if part.rate_hz < 2.5 * _SPEECH_HZ[1] or n < 13:
        return np.zeros((n, len(REGIONS)))
    sections = butter(2, _SPEECH_HZ, btype="bandpass", fs=part.rate_hz, output="sos")
    band = sosfiltfilt(sections, part.motion, axis=0, padlen=12)
    turns = np.zeros((n, len(_LIPS)))
    for column, lip in enumerate(_LIPS):
        moving = np.flatnonzero(np.abs(band[:, lip, 1]) > _SPEECH_HEIGHT)
        signs = np.sign(band[moving, lip, 1])
        turns[moving[1:][np.diff(signs) != 0], column] = 1
    window = part.samples(_SPEECH_S)
    count = uniform_filter1d(turns, window, axis=0, mode="constant").max(axis=1) * window
    power = uniform_filter1d((band**2).sum(axis=2), window, axis=0, mode="constant")
    # The largest values within the window, so that the first and the last syllable are speech, too.
    certain = maximum_filter1d(np.clip((count - _TURNS[0]) / _TURNS[1], 0, 1), window)
    largest = maximum_filter1d(np.maximum(power, 0), window, axis=0)
    return np.asarray(certain[:, None] * np.sqrt(8 * largest))


def runs(chosen: np.ndarray) -> Iterator[tuple[int, int]]:
    """Start and end (not included) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def frames_at(signals: Signals, seconds: np.ndarray) -> np.ndarray:
    """Numbers of the frames nearest to these times, int64; between analysed frames they are interpolated."""
    return np.asarray(np.rint(np.interp(seconds, signals.time_s, signals.number)), dtype=np.int64)
