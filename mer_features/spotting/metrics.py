"""Metrics of spotting: spots are matched with events, counted over all recordings, and only then divided.

The rule is that of the MEGC 2019 guideline: a spot fits an event if their intersection over union (IoU) is at least
0.5; an event can be hit once, and a spot can hit one event; TP, FP and FN are summed over all recordings before any
ratio is taken. The guideline leaves open which spot goes to which event. Here as many pairs as possible are formed, so
the counts depend neither on the order of a table nor on who is served first; among these assignments the one with the
largest sum of IoU is taken. ``docs/spotting.md`` has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from mer_features.protocols.metrics import interval
from mer_features.spotting.events import Event, Interval, Recording, Spot, grouped, order

#: IoU from which a spot fits an event.
IOU = 0.5


@dataclass(frozen=True)
class Counts:
    """Hits, false spots and missed events; they add up over recordings, kinds and databases."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def spots(self) -> int:
        """Number of spots, TP + FP."""
        return self.tp + self.fp

    @property
    def events(self) -> int:
        """Number of events, TP + FN."""
        return self.tp + self.fn

    @property
    def precision(self) -> float:
        """TP / (TP + FP), 0 to 1; NaN without spots."""
        return self.tp / self.spots if self.spots else math.nan

    @property
    def recall(self) -> float:
        """TP / (TP + FN), 0 to 1; NaN without events."""
        return self.tp / self.events if self.events else math.nan

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), 0 to 1; NaN without spots and events."""
        return 2 * self.tp / (self.spots + self.events) if self.spots + self.events else math.nan


@dataclass(frozen=True)
class Pair:
    """An event and the spot that hits it."""

    event: Event
    spot: Spot


@dataclass(frozen=True)
class Matching:
    """Which spot hits which event, which spots are false and which events are missed."""

    pairs: tuple[Pair, ...]
    false: tuple[Spot, ...]
    missed: tuple[Event, ...]

    @property
    def counts(self) -> Counts:
        """Counts over all recordings and kinds."""
        return Counts(len(self.pairs), len(self.false), len(self.missed))

    def of_kind(self, kind: str) -> Matching:
        """What concerns one kind; a pair has the kind of its event."""
        return Matching(
            tuple(pair for pair in self.pairs if pair.event.kind == kind),
            tuple(spot for spot in self.false if spot.kind == kind),
            tuple(event for event in self.missed if event.kind == kind),
        )

    def of(self, recordings: Iterable[str]) -> Matching:
        """What concerns some recordings, by identifier."""
        chosen = set(recordings)
        return Matching(
            tuple(pair for pair in self.pairs if pair.event.recording_id in chosen),
            tuple(spot for spot in self.false if spot.recording_id in chosen),
            tuple(event for event in self.missed if event.recording_id in chosen),
        )


def iou(one: Interval, other: Interval) -> Fraction:
    """Intersection over union of two intervals in frames, 0 to 1, exact: 10 to 30 and 16 to 36 have 15 / 27."""
    common = max(0, min(one.offset, other.offset) - max(one.onset, other.onset) + 1)
    return Fraction(common, one.frames + other.frames - common)


def match(events: Sequence[Event], spots: Sequence[Spot], threshold: float = IOU, *, kinds: bool = True) -> Matching:
    """Assign spots to events, as many as possible.

    Parameters
    ----------
    events, spots
        Of any number of recordings, in any order.
    threshold
        IoU from which a pair fits, above 0, at most 1; equality counts.
    kinds
        Whether a spot of one kind cannot hit an event of the other. Otherwise kinds are ignored.

    Raises
    ------
    ValueError
        If the threshold is not in this range.
    """
    least = _exact(threshold)
    of_events, of_spots = grouped(events, kinds=kinds), grouped(spots, kinds=kinds)
    pairs: list[Pair] = []
    false: list[Spot] = []
    missed: list[Event] = []
    for group in sorted(of_events.keys() | of_spots.keys()):
        known, found = of_events.get(group, []), of_spots.get(group, [])
        hits = _assign(known, found, least)
        pairs += [Pair(known[i], found[j]) for i, j in hits]
        hit_events, hit_spots = {i for i, _ in hits}, {j for _, j in hits}
        missed += [event for i, event in enumerate(known) if i not in hit_events]
        false += [spot for j, spot in enumerate(found) if j not in hit_spots]
    return Matching(tuple(pairs), tuple(false), tuple(missed))


def _exact(threshold: float) -> Fraction:
    if not 0 < threshold <= 1:
        raise ValueError(f"an IoU threshold is above 0 and at most 1; found {threshold}")
    return Fraction(str(threshold))  # 0.55 as it is written, not as it is stored


def _assign(events: Sequence[Event], spots: Sequence[Spot], least: Fraction) -> list[tuple[int, int]]:
    """Positions of the events and spots of one recording that hit each other.

    A pair weighs more than all IoU together, so the heaviest assignment has the largest number of pairs and, among
    those, the largest sum of IoU. It is solved for each connected part of the graph of fitting pairs.
    """
    if not events or not spots:
        return []
    overlap, fits = _overlap(events, spots, least)
    m, n = fits.shape
    rows, columns = np.nonzero(fits)
    graph = csr_array((np.ones(len(rows)), (rows, columns + m)), shape=(m + n, m + n))
    _, part = connected_components(graph, directed=False)
    hits = []
    for number in np.unique(part[:m][fits.any(axis=1)]):
        i, j = np.flatnonzero(part[:m] == number), np.flatnonzero(part[m:] == number)
        weight = np.where(fits[np.ix_(i, j)], overlap[np.ix_(i, j)] + len(i) + 1, 0)
        hits += [
            (int(i[a]), int(j[b]))
            for a, b in zip(*linear_sum_assignment(weight, maximize=True), strict=True)
            if weight[a, b] > 0
        ]
    return sorted(hits)


def _overlap(events: Sequence[Interval], spots: Sequence[Interval], least: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """IoU of every event with every spot, (M, N) float64, and whether it reaches the threshold, in whole numbers."""
    a, b = (np.array([[getattr(row, end)] for row in events], dtype=np.int64) for end in ("onset", "offset"))
    c, d = (np.array([[getattr(row, end) for row in spots]], dtype=np.int64) for end in ("onset", "offset"))
    common = np.maximum(0, np.minimum(b, d) - np.maximum(a, c) + 1)
    union = (b - a + 1) + (d - c + 1) - common
    return common / union, common * least.denominator >= union * least.numerator


def average_precision(events: Sequence[Event], spots: Sequence[Spot], threshold: float = IOU) -> float:
    """Area under precision over recall when spots are taken by falling score; 0 to 1, NaN without events.

    A spot is a hit if an event of its recording and kind fits that no spot with a higher score has taken; of several
    the one with the largest IoU. Precision at a recall is the highest at this or a larger recall, as in PASCAL VOC
    since 2010. Spots with equal scores count together, so their order does not matter.

    Raises
    ------
    ValueError
        If a spot has no score.
    """
    if any(spot.score is None for spot in spots):
        raise ValueError("average precision needs the score of every spot")
    least = _exact(threshold)
    free = grouped(events)
    scores, hits = [], []
    for spot in sorted(spots, key=lambda row: (-(row.score or 0.0), order(row))):
        known = free.get((spot.recording_id, spot.kind), [])
        best = max(known, key=lambda event: iou(event, spot), default=None)
        hit = best is not None and iou(best, spot) >= least
        if hit:
            known.remove(best)  # type: ignore[arg-type]
        scores.append(spot.score)
        hits.append(hit)
    if not events:
        return math.nan
    if not spots:
        return 0.0
    ends = np.flatnonzero(np.append(np.diff(np.array(scores, dtype=np.float64)) != 0, True))
    tp = np.cumsum(hits)[ends]
    precision, recall = tp / (ends + 1), tp / len(events)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * highest))


def false_per_minute(false: Sequence[Spot], recordings: Iterable[Recording]) -> float:
    """False spots in these recordings per minute of film; NaN without a recording or if a length is not known."""
    films = list(recordings)
    minutes = [film.minutes for film in films]
    if not films or None in minutes:
        return math.nan
    chosen = {film.recording_id for film in films}
    return sum(spot.recording_id in chosen for spot in false) / sum(filter(None, minutes))


def frame_counts(events: Sequence[Event], spots: Sequence[Spot]) -> Counts:
    """Counts of frames instead of intervals: a frame is positive if it lies in at least one event (spot)."""
    known, found = _covered(events), _covered(spots)
    total = Counts()
    for name in known.keys() | found.keys():
        one, other = known.get(name, set()), found.get(name, set())
        total += Counts(len(one & other), len(other - one), len(one - other))
    return total


def _covered(rows: Iterable[Interval]) -> dict[str, set[int]]:
    frames: dict[str, set[int]] = {}
    for row in rows:
        frames.setdefault(row.recording_id, set()).update(range(row.onset, row.offset + 1))
    return frames


def boundary_errors(pairs: Sequence[Pair], recordings: Mapping[str, Recording]) -> dict[str, dict[str, float]]:
    """How far the onset and offset of the spots are from those of the events that they hit.

    Returns
    -------
    dict
        ``onset`` and ``offset`` -> ``median_frames`` (spot minus event: positive is late), ``median_absolute_frames``,
        and the same two in seconds, ``median_s`` and ``median_absolute_s``. NaN without pairs; in seconds also if the
        frame rate of one of their recordings is not known.
    """
    errors: dict[str, dict[str, float]] = {}
    for end in ("onset", "offset"):
        frames: list[float] = [getattr(pair.spot, end) - getattr(pair.event, end) for pair in pairs]
        seconds = _seconds(frames, pairs, recordings)
        errors[end] = {
            "median_frames": _median(frames),
            "median_absolute_frames": _median([abs(value) for value in frames]),
            "median_s": _median(seconds),
            "median_absolute_s": _median([abs(value) for value in seconds]),
        }
    return errors


def apex_errors(pairs: Sequence[Pair], recordings: Mapping[str, Recording]) -> dict[str, float]:
    """How far the apex of the spots is from that of the events that they hit.

    Only pairs of which both have an apex count. An annotated apex outside its event is moved to the nearer end.

    Returns
    -------
    dict
        ``n`` pairs; the mean absolute error ``frames``, ``s`` (seconds) and ``relative`` (to the number of frames of
        the event); ``inside``, the share of the spots whose apex lies in the event, known as ASR. NaN without such
        pairs.
    """
    chosen = [pair for pair in pairs if pair.event.apex is not None and pair.spot.apex is not None]
    frames, relative, inside = [], [], []
    for pair in chosen:
        event, found = pair.event, pair.spot.apex
        assert event.apex is not None
        assert found is not None
        error = abs(found - min(max(event.apex, event.onset), event.offset))
        frames.append(float(error))
        relative.append(error / event.frames)
        inside.append(float(event.onset <= found <= event.offset))
    return {
        "n": len(chosen),
        "frames": _mean(frames),
        "s": _mean(_seconds(frames, chosen, recordings)),
        "relative": _mean(relative),
        "inside": _mean(inside),
    }


def _seconds(frames: Sequence[float], pairs: Sequence[Pair], recordings: Mapping[str, Recording]) -> list[float]:
    rates = [recordings[pair.event.recording_id].fps for pair in pairs]
    return [] if None in rates else [value / rate for value, rate in zip(frames, rates, strict=True) if rate]


def _median(values: Sequence[float]) -> float:
    return float(median(values)) if values else math.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def f1_interval(
    by_subject: Mapping[Any, Counts], *, seed: int = 0, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of F1 when whole subjects are drawn with replacement and their counts are summed.

    Draws without any spot and event, of which F1 is not defined, are left out.

    Parameters
    ----------
    by_subject
        Counts of each subject.
    seed
        Seed of the draws.
    samples
        Number of draws.
    level
        Share of the draws inside the interval.

    Returns
    -------
    tuple
        (low, high), 0 to 1; NaN if F1 is defined in no draw.
    """
    counts = np.array([[item.tp, item.spots + item.events] for item in by_subject.values()], dtype=np.int64)
    if not len(counts):
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=samples)
    hits, total = (draws @ counts).T
    if not (total > 0).any():
        return math.nan, math.nan
    return interval(2 * hits[total > 0] / total[total > 0], level)


def best(counts: np.ndarray) -> int:
    """The combination with the highest F1; of equal ones that with the fewest spots, then the first.

    Parameters
    ----------
    counts : ndarray, shape (C, 3), int64
        Hits, spots and events of each combination. Spots in recordings without an event are among them.
    """
    hits, spots, events = counts.T
    f1 = 2 * hits / np.maximum(spots + events, 1)
    return int(np.lexsort((spots, -f1))[0])


def as_dict(counts: Counts) -> dict[str, Any]:
    """Counts with the ratios made of them."""
    return {
        "tp": counts.tp, "fp": counts.fp, "fn": counts.fn,
        "precision": counts.precision, "recall": counts.recall, "f1": counts.f1,
    }  # fmt: skip
