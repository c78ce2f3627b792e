"""Spotting by the motion of face regions: an event is a movement that rises above rest and falls back.

The approach is that of optical-flow spotters (He et al. 2020, "Spotting macro- and micro-expression intervals in long
video sequences"; Zhao et al. 2022, "ME-PLAN"; Yu et al. 2022): motion of face regions without that of the head,
thresholds, growth of intervals from their apex, union over regions. The form is our own: times are in seconds and
lengths in distances between the eyes, so neither the frame rate nor the size of the face matters; the threshold follows
the noise, not the largest motion of the recording, so nothing has to be found; and every spot has a score and says
which regions moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from mer_features.core.recordings import KINDS, Spot
from mer_features.spotting import filters
from mer_features.spotting.options import RegionSpotter, RegionValues
from mer_features.stages.signals import EXPRESSION, MOUTH, REGIONS, Signals

#: Samples per second of the filtered signals; slower recordings keep their own rate.
RATE_HZ = 50.0
#: Fraction of the height at which a movement becomes visible: there it begins and ends.
_VISIBLE = 0.05
#: Blinks also move the skin shortly before and after the lids are closed, in seconds.
_AROUND_BLINK_S = 0.1
_RESIDUAL = 0.005
#: What a second and every further region adds to the certainty of a spot.
_AGREEMENT = 0.25
_REGIONS = np.array([REGIONS.index(name) for name in EXPRESSION])
_NEAR_EYE = np.array([name.startswith(("brow", "cheek")) for name in REGIONS])
_NOSE = [REGIONS.index(name) for name in ("nose_bridge", "nose_tip")]


@dataclass(frozen=True)
class Finding:
    """A spot and what speaks for it."""

    spot: Spot
    regions: tuple[str, ...]  # that move, those that move most above their noise first
    peak: float  # largest motion of a region, in distances between the eyes
    noise: float  # noise of this region, in distances between the eyes
    rise_s: float  # from onset to apex
    duration_s: float


@dataclass(frozen=True)
class Movements:
    """Movements of single regions, one value of each array per movement."""

    region: np.ndarray  # int64, position in REGIONS
    apex_s: np.ndarray
    onset_s: np.ndarray
    offset_s: np.ndarray
    rise_s: np.ndarray
    height: np.ndarray  # in distances between the eyes
    noise: np.ndarray  # of the region
    blink: np.ndarray  # bool: the apex lies in a blink
    speech: np.ndarray  # size of the motion of speech at the apex, in distances between the eyes

    def of(self, chosen: np.ndarray) -> Movements:
        """Some of them, by mask or positions."""
        return Movements(**{name: values[chosen] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Prepared:
    """All that no searched value changes: every movement that may become part of a spot."""

    signals: Signals
    options: RegionSpotter
    movements: dict[tuple[str, float], Movements]  # by kind and value of ``boundary``


class _Filtered:
    """Filtered signals of a recording, one array per piece."""

    def __init__(self, signals: Signals, options: RegionSpotter) -> None:
        self.parts = filters.pieces(signals, options.low_pass_hz, RATE_HZ)
        self.split = options.split
        self.window_s = {"micro": options.micro_window_s, "macro": options.macro_window_s}
        #: Kind -> motion relative to its rest, (n, 17, 2) of each piece, in distances between the eyes.
        self.moving = {
            kind: [filters.without_rest(part.motion, part.samples(seconds)) for part in self.parts]
            for kind, seconds in self.window_s.items()
        }
        #: Noise of each region, (17,), and size of its motion in speech, (n, 17) of each piece; in the same unit.
        self.noise = filters.noise(self.moving["micro"]) if self.parts else np.zeros(len(REGIONS))
        self.speech = [filters.speech(part) for part in self.parts]
        #: Start and end of the blinks in seconds, (B, 2).
        self.blinks = filters.blinks(self.parts)
        #: Where the head was registered as well as usual, (n,) bool of each piece.
        usual = float(np.median(np.concatenate([part.residual for part in self.parts] or [np.zeros(1)])))
        limit = max(_RESIDUAL, options.residual_factor * usual)
        self.steady = [part.residual <= limit for part in self.parts]


def prepare(signals: Signals, options: RegionSpotter) -> Prepared:
    """Measure the movements in a recording for :func:`spot_regions`, once for all combinations of values."""
    tried = options.combinations()
    factor = min(values.noise_factor for values in tried)
    least = {
        "micro": min(values.micro_height for values in tried),
        "macro": min(values.macro_height for values in tried),
    }
    filtered = _Filtered(signals, options)
    floors = {kind: np.maximum(least[kind], factor * filtered.noise) for kind in KINDS}
    movements = {
        (kind, boundary): _movements(filtered, kind, boundary, floors[kind])
        for kind in KINDS
        for boundary in dict.fromkeys(values.boundary for values in tried)
    }
    return Prepared(signals, options, movements)


def spot_regions(prepared: Prepared, recording_id: str, values: RegionValues, kind: str) -> list[Finding]:
    """Spots of one kind in a recording, in the order of time.

    Parameters
    ----------
    prepared
        From :func:`prepare`.
    recording_id
        Name of the recording, for the spots.
    values
        One of the combinations of the options that ``prepared`` was made with.
    kind
        ``micro`` or ``macro``.

    Returns
    -------
    list
        Findings, whose spots have frame numbers of the recording and scores from 0 (at the threshold) to 1.
    """
    moved = prepared.movements[kind, values.boundary]
    options = prepared.options
    duration = moved.offset_s - moved.onset_s
    lasts = moved.rise_s if options.kind_rule == "rise" else duration
    height = values.micro_height if kind == "micro" else values.macro_height
    limit = np.maximum(height, values.noise_factor * moved.noise)
    limit = np.maximum(limit, options.speech_factor * moved.speech)
    limit = np.where(moved.blink & _NEAR_EYE[moved.region], np.maximum(limit, options.blink_height), limit)
    possible = (duration >= options.shortest_s) & (duration <= options.macro_window_s / 2)
    chosen = (moved.height >= limit) & possible & ((lasts <= values.micro_s) == (kind == "micro"))
    strength = (moved.height / limit)[chosen]
    findings = _merge(moved.of(chosen), strength, values.overlap, (prepared.signals, recording_id, kind))
    certain = [finding for finding in findings if _least(finding, values) <= (finding.spot.score or 0.0)]
    return sorted(certain, key=lambda finding: (finding.spot.onset, finding.spot.offset))


def _least(finding: Finding, values: RegionValues) -> float:
    """The score that a spot must have."""
    mouth_alone = set(finding.regions) <= set(MOUTH)
    return max(values.least_score, values.mouth_score) if mouth_alone else values.least_score


def spot_film(signals: Signals, recording_id: str, options: RegionSpotter) -> list[Finding]:
    """Spots of both kinds with the values of the options, without any training; in the order of time."""
    prepared = prepare(signals, options.model_copy(update={"tune": False}))
    found = [finding for kind in KINDS for finding in spot_regions(prepared, recording_id, options.values, kind)]
    return sorted(found, key=lambda finding: (finding.spot.onset, finding.spot.offset))


def _movements(filtered: _Filtered, kind: str, boundary: float, floors: np.ndarray) -> Movements:
    """Every movement of a region above its floor, (17,)."""
    rows: list[tuple[float, ...]] = []
    for number, part in enumerate(filtered.parts):
        motion, rest = filtered.moving["macro"][number], filtered.moving[kind][number]
        fit = part.known & filtered.steady[number][:, None]
        reach = part.samples(filtered.window_s[kind] / 2)
        for region in _REGIONS:
            size = np.hypot(*rest[:, region].T)
            for peak in find_peaks(size, height=floors[region])[0].tolist():
                direction = rest[peak, region] / size[peak]
                along = motion[:, region] @ direction
                if kind == "macro":
                    along = np.maximum(along, 0)  # movements to the other side of rest are others
                shape = measure(along, peak, reach, boundary, filtered.split)
                if shape is None or shape.height < floors[region]:
                    continue
                first, last = int(shape.onset), int(np.ceil(shape.offset))
                own_height = shape.height - _nose(motion[:, _NOSE] @ direction, first, peak, last)
                if own_height < floors[region] or not fit[first : last + 1, region].all():
                    continue
                times = part.time_s[0] + np.array([peak, shape.onset, shape.offset]) / part.rate_hz
                own = (own_height, filtered.noise[region], filtered.speech[number][peak, region])
                rows.append((region, *times, shape.rise / part.rate_hz, *own))
    region, apex, *others = np.array(rows, dtype=np.float64).reshape(-1, 8).T
    onset, offset, rise, heights, noise, talk = others
    start, stop = filtered.blinks.T
    blink = (apex[:, None] >= start - _AROUND_BLINK_S) & (apex[:, None] <= stop + _AROUND_BLINK_S)
    return Movements(region.astype(np.int64), apex, onset, offset, rise, heights, noise, blink.any(axis=1), talk)


def _nose(along: np.ndarray, first: int, peak: int, last: int) -> float:
    """How far both parts of the nose, (n, 2), move in the same way: motion of the head that registration left."""
    moved = along[peak] - (along[first] + along[last]) / 2
    return float(max(0.0, moved.min()))


@dataclass(frozen=True)
class Shape:
    """Where a movement begins and ends, in samples with fractions."""

    onset: float
    offset: float
    rise: float  # samples from the onset to the apex; with a plateau, to its begin
    height: float  # above the higher of the lowest values on both sides


def measure(values: np.ndarray, peak: int, reach: int, boundary: float, split: float) -> Shape | None:
    """Interval of the movement around a peak.

    On either side, the movement ends at the lowest value before the values exceed the peak or, after they have fallen,
    rise again by the fraction ``split`` of the height. Between this valley and the peak, the side is taken for half a
    period of a cosine: from the times at which it passes the fractions ``boundary`` and 1 - ``boundary``, the time at
    which it becomes visible (5 %) follows.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Motion along one direction.
    peak
        Position of the apex.
    reach
        Most samples between the apex and an end.
    boundary
        Above 0, below 0.5.
    split
        Above 0.

    Returns
    -------
    Shape or None
        None if the values fall on one side only, as at the ends of the recording or in a change of the pose.
    """
    left = _flank(values[peak::-1][: reach + 1], boundary, split)
    right = _flank(values[peak:][: reach + 1], boundary, split)
    if left is None or right is None:
        return None
    (before, rise, height), (after, _, other) = left, right
    onset, offset = max(0.0, peak - before), min(len(values) - 1.0, peak + after)
    return Shape(onset, offset, min(rise, peak - onset), min(height, other))


def _flank(side: np.ndarray, boundary: float, split: float) -> tuple[float, float, float] | None:
    """Samples from the peak (the first value) to the end, samples of the flank alone, and its height."""
    higher = np.flatnonzero(side > side[0])
    side = side[: higher[0]] if len(higher) else side
    lowest = np.minimum.accumulate(side)
    again = np.flatnonzero(side - lowest > split * (side[0] - side.min()))
    if len(again):
        side = side[: again[0]]
    valley = int(np.argmin(side))
    height = float(side[0] - side[valley])
    if valley == 0 or height <= 0:
        return None
    low, high = (side[valley] + fraction * height for fraction in (boundary, 1 - boundary))
    below = int(np.argmax(side < low)) if (side < low).any() else valley
    above = int(np.flatnonzero(side[:below] >= high)[-1])
    end, start = _crossing(side, below, low), _crossing(side, above + 1, high)
    full = np.pi * (end - start) / (np.pi - 2 * np.arccos(1 - 2 * boundary))  # samples of half a period
    shift = full * (np.arccos(1 - 2 * boundary) - np.arccos(1 - 2 * _VISIBLE)) / np.pi
    return end + shift, full, height


def _crossing(side: np.ndarray, below: int, level: float) -> float:
    """Where falling values pass a level; ``below`` is the first sample under it."""
    before, after = side[below - 1], side[below]
    return below - 1 + float((before - level) / (before - after)) if before > after else float(below)


def _merge(moved: Movements, strength: np.ndarray, overlap: float, names: tuple[Signals, str, str]) -> list[Finding]:
    """Join the movements of several regions: the strongest one takes all that overlap it, then the next one."""
    findings = []
    left = np.argsort(-strength, kind="stable")
    while len(left):
        first = left[0]
        common = np.minimum(moved.offset_s[left], moved.offset_s[first])
        common = common - np.maximum(moved.onset_s[left], moved.onset_s[first])
        length = moved.offset_s[left] - moved.onset_s[left]
        own = moved.offset_s[first] - moved.onset_s[first]
        joined = common > overlap * np.minimum(length, own)
        joined[0] = True
        alike = joined & (2 * common >= length + own - common)
        alike[0] = True
        findings.append(_finding(moved, left[joined], left[alike], strength, names))
        left = left[~joined]
    return findings


def _finding(
    moved: Movements, members: np.ndarray, alike: np.ndarray, strength: np.ndarray, names: tuple[Signals, str, str]
) -> Finding:
    """One spot: its ends are means over the regions that agree about them, weighted with their strength."""
    signals, recording_id, kind = names
    best = members[0]
    onset_s, offset_s = (
        float(np.average(ends[alike], weights=strength[alike])) for ends in (moved.onset_s, moved.offset_s)
    )
    apex_s = min(max(float(moved.apex_s[best]), onset_s), offset_s)
    onset, apex, offset = filters.frames_at(signals, np.array([onset_s, apex_s, offset_s])).tolist()
    regions = tuple(dict.fromkeys(REGIONS[region] for region in moved.region[members]))
    certainty = 1 - np.exp(-(strength[best] - 1) - _AGREEMENT * (len(regions) - 1))
    spot = Spot(recording_id, onset, offset, kind, apex, score=float(certainty))
    return Finding(
        spot=spot,
        regions=regions,
        peak=float(moved.height[best]),
        noise=float(moved.noise[best]),
        rise_s=float(moved.rise_s[best]),
        duration_s=offset_s - onset_s,
    )
