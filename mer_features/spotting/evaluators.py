"""What public evaluation scripts print for a result, with their faults, so that published figures can be understood.

Each rule below was written after the public source that it names and does what that source does. None of them
should be used to score a method; :mod:`mer_features.spotting.metrics` does that. They see the intervals as the files
give them, in the order of the files, at an IoU of 0.5. Not repeated are steps before the scoring: non-maximum
suppression, the reduction of the frame rate, the choice of an epoch by the test result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mer_features.core.recordings import KINDS, Event, Recording, Spot
from mer_features.spotting.metrics import Counts

Ends = tuple[int, int]  # onset and offset


@dataclass(frozen=True)
class Printed:
    """What an evaluator prints. FP and FN can be negative: it may count more hits than there are spots or events."""

    counts: dict[str, Counts] = field(default_factory=dict)  # by kind and "overall", as far as it scores them
    values: dict[str, float] = field(default_factory=dict)  # other values that it prints
    error: str = ""  # the exception with which it stops, or what it needs and was not given


@dataclass(frozen=True)
class _Film:
    recording: Recording
    events: list[Ends]
    spots: list[Ends]


@dataclass(frozen=True)
class Evaluator:
    """A public evaluation script."""

    name: str
    source: str  # repository and file on GitHub
    rule: str  # what it does otherwise
    run: Callable[[Sequence[Recording], Sequence[Event], Sequence[Spot]], Printed]


def _films(recordings: Sequence[Recording], events: Sequence[Event], spots: Sequence[Spot]) -> list[_Film]:
    films = {film.recording_id: _Film(film, [], []) for film in recordings}
    for event in events:
        films[event.recording_id].events.append((event.onset, event.offset))
    for spot in spots:
        films[spot.recording_id].spots.append((spot.onset, spot.offset))
    return list(films.values())


def _by_kind(count: Callable[[_Film], Counts]) -> Callable[..., Printed]:
    """An evaluator that counts each recording and kind by itself and adds up."""

    def run(recordings: Sequence[Recording], events: Sequence[Event], spots: Sequence[Spot]) -> Printed:
        counts = {}
        for kind in KINDS:
            chosen = [row for row in events if row.kind == kind], [row for row in spots if row.kind == kind]
            counts[kind] = sum((count(film) for film in _films(recordings, *chosen)), Counts())
        return Printed(counts | {"overall": sum(counts.values(), Counts())})

    return run


def _counts(hits: int, film: _Film) -> Counts:
    return Counts(hits, len(film.spots) - hits, len(film.events) - hits)


def _megc2020(film: _Film) -> Counts:
    """Events that at least one spot fits; a spot may hit several of them."""

    def overlap(one: Ends, other: Ends) -> float:
        common = max(0, min(one[1], other[1]) - max(one[0], other[0])) + 1  # 1 also for intervals that do not meet
        union = (one[1] - one[0] + 1) + (other[1] - other[0] + 1) - common
        return 0.0 if one[1] <= one[0] or other[1] <= other[0] else common / union

    return _counts(sum(any(overlap(spot, event) >= 0.5 for spot in film.spots) for event in film.events), film)


def _descending(spot: Ends, events: Sequence[Ends]) -> list[tuple[float, int]]:
    """IoU of a spot with each event, and the event's position, largest first; of equal ones the last event first."""
    return sorted(((_overlap(spot, event), position) for position, event in enumerate(events)), reverse=True)


def _overlap(one: Ends, other: Ends) -> float:
    """IoU with both ends inside, as it should be."""
    common = max(0, min(one[1], other[1]) - max(one[0], other[0]) + 1)
    return common / (one[1] - one[0] + 1 + other[1] - other[0] + 1 - common)


#: In recordings without a spot these scripts put one that hits nothing, so that a library does not fail.
_DUMMY: list[Ends] = [(0, 0)]


def _softnet(film: _Film) -> Counts:
    """Only recordings with an event; each spot looks at the event with the largest IoU and no other."""
    if not film.events:
        return Counts()
    taken: set[int] = set()
    spots = film.spots or _DUMMY
    for spot in spots:
        best, position = _descending(spot, film.events)[0]
        if best >= 0.5:
            taken.add(position)
    return Counts(len(taken), len(spots) - len(taken), len(film.events) - len(taken))


def _me_tst(film: _Film) -> Counts:
    """Only recordings with an event; every fitting pair is a hit."""
    if not film.events:
        return Counts()
    spots = film.spots or _DUMMY
    fitting = [sum(value >= 0.5 for value, _ in _descending(spot, film.events)) for spot in spots]
    return Counts(sum(fitting), fitting.count(0), len(film.events) - sum(fitting))


def _shorter_overlap(one: Ends, others: Sequence[Ends]) -> np.ndarray:
    """IoU with lengths offset - onset, a frame too short; NaN for two intervals of one frame."""
    start, end = np.array(others, dtype=np.float64).T
    common = np.maximum(np.minimum(end, one[1]) - np.maximum(start, one[0]), 0.0)
    with np.errstate(invalid="ignore"):
        overlap: np.ndarray = common / ((one[1] - one[0]) + (end - start) - common)
    return overlap


def _abpn(film: _Film) -> Counts:
    """Spots that are the best of at least one event."""
    best = set()
    for event in film.events if film.spots else ():
        overlaps = _shorter_overlap(event, film.spots)
        if max(overlaps) > 0.5:  # Python's max and NumPy's argmax differ on NaN
            best.add(int(np.argmax(overlaps)))
    return _counts(len(best), film)


def _auw_gcn(film: _Film) -> Counts:
    """Spots that fit at least one event; an event may be hit by several of them."""
    spots = film.spots if film.events else ()
    return _counts(sum(bool(max(_shorter_overlap(spot, film.events)) > 0.5) for spot in spots), film)


def _zhao(recordings: Sequence[Recording], events: Sequence[Event], spots: Sequence[Spot]) -> Printed:
    """Kinds by length; each event looks at the spots until one overlaps by 0.2, and that one decides."""
    if any(film.fps is None for film in recordings):
        return Printed(error="needs the frame rate: it takes intervals of up to half a second for micro-expressions")
    hits = short_hits = short_spots = 0
    for film in _films(recordings, events, spots):
        limit = int(film.recording.fps or 0) // 2
        short_spots += sum(end - start <= limit for start, end in film.spots)
        for start, end in film.events:
            try:
                hit = _first_decides((start, end), film.spots)
            except ZeroDivisionError:
                return Printed(error="ZeroDivisionError: an event and a spot are the same single frame")
            hits += hit
            short_hits += hit and end - start <= limit
    micro = sum(event.kind == "micro" for event in events)
    return Printed({
        "micro": Counts(short_hits, short_spots - short_hits, micro - short_hits),
        "macro": Counts(
            hits - short_hits, len(spots) - short_spots - (hits - short_hits), len(events) - micro - (hits - short_hits)
        ),
        "overall": Counts(hits, len(spots) - hits, len(events) - hits),
    })  # fmt: skip


def _first_decides(event: Ends, spots: Sequence[Ends]) -> bool:
    for spot in spots:
        if spot[1] < event[0] or spot[0] > event[1]:
            continue
        points = sorted((*event, *spot))
        overlap = (points[2] - points[1]) / (points[3] - points[0])
        if overlap >= 0.2:
            return overlap >= 0.5
    return False


def _strs_metric(
    recordings: Sequence[Recording],
    events: Sequence[Event],
    spots: Sequence[Spot],
    classes: Sequence[str] | None = None,
) -> Printed:
    """Micro-expressions of subjects with a spot, in recordings with an event; a spot takes all free events that fit."""
    micro = [row for row in events if row.kind == "micro"], [row for row in spots if row.kind == "micro"]
    subject = {film.recording_id: film.subject for film in recordings}
    if not all(subject.values()):
        return Printed(error="needs the subject of every recording")
    active = {subject[spot.recording_id] for spot in micro[1]}
    pairs: list[tuple[str, str]] = []  # class of the event, class of the spot
    false = missed = 0
    for name in dict.fromkeys(event.recording_id for event in micro[0] if subject[event.recording_id] in active):
        free = [event for event in micro[0] if event.recording_id == name]
        for spot in (row for row in micro[1] if row.recording_id == name):
            hits = [event for event in free if _overlap((event.onset, event.offset), (spot.onset, spot.offset)) >= 0.5]
            pairs += [(event.emotion, spot.emotion) for event in hits]
            free = [event for event in free if event not in hits]
            false += not hits
        missed += len(free)
    if not pairs:
        return Printed(error="KeyError: no event is hit")
    counts = Counts(len(pairs), false, missed)
    if not any(event.emotion for event in micro[0]):
        return Printed({"micro": counts})  # the script wants the emotions, and its counts do not need them
    chosen = list(dict.fromkeys(event.emotion for event in micro[0])) if classes is None else list(classes)
    return Printed({"micro": counts}, _strs_values(counts, [pair for pair in pairs if pair[0] in chosen], chosen))


def _strs_values(spotting: Counts, pairs: Sequence[tuple[str, str]], classes: Sequence[str]) -> dict[str, float]:
    """Values of the analysis: a class that is the only one, or does not occur, scores 0; "UAR" is the precision."""
    precisions, recalls, f1s = [], [], []
    for name in classes:
        actual, predicted = [pair[0] == name for pair in pairs], [pair[1] == name for pair in pairs]
        square = (
            len({*actual, *predicted}) == 2
        )  # otherwise the confusion matrix has one cell, and all counts are set to 0
        tp = sum(a and p for a, p in zip(actual, predicted, strict=True)) if square else 0
        precision = tp / sum(predicted) if square and any(predicted) else 0.0
        recall = tp / sum(actual) if square and any(actual) else 0.0
        precisions.append(precision)
        recalls.append(recall)
        f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else math.nan
    wrong = sum(actual != predicted and predicted in classes for actual, predicted in pairs)
    return {
        "precision": precision, "recall": recall, "f1": f1, "uf1": float(np.mean(f1s)), "uar": precision,
        "tp": sum(actual == predicted for actual, predicted in pairs), "fp": wrong, "fn": wrong,
        "strs": spotting.f1 * f1,
    }  # fmt: skip


def printed_strs(
    recordings: Sequence[Recording], events: Sequence[Event], spots: Sequence[Spot], classes: Sequence[str]
) -> Printed:
    """What STRS-Metric prints if it is given the classes of the analysis; ``values`` has the analysis and the score."""
    return _strs_metric(recordings, events, spots, classes)


#: The evaluators, in the order in which they appeared.
EVALUATORS = (
    Evaluator(
        "MEGC 2020",
        "HeyingGithub/Baseline-project-for-MEGC2020_spotting: MDMD_results/result_helper.py",
        "an event is hit if any spot fits it, so one spot can hit several; an interval of one frame fits nothing",
        _by_kind(_megc2020),
    ),
    Evaluator(
        "SOFTNet, MEAN",
        "genbing99/SoftNet-SpotME: Utils/mean_average_precision",
        "only recordings with an event of the kind; a false spot is added where none was found; a spot sees only the "
        "event with the largest IoU",
        _by_kind(_softnet),
    ),
    Evaluator(
        "Zhao 2022",
        "shengjianda/micro-expression-spot: main_casme2.py",
        "an event is decided by the first spot with an overlap of 0.2; a spot can hit several events; kinds by length "
        "(up to half a second is micro), while the events of each kind are counted as annotated",
        _zhao,
    ),
    Evaluator(
        "ABPN",
        "wenhaocold/USTC_ME_Spotting: post_process.py, abfcm.py",
        "lengths without the last frame, and IoU above 0.5; a hit is a spot that is the best of an event",
        _by_kind(_abpn),
    ),
    Evaluator(
        "AUW-GCN",
        "xjtupanda/AUW-GCN: utils/eval_utils.py",
        "lengths and threshold as ABPN; a hit is a spot that fits an event, and several may fit the same one",
        _by_kind(_auw_gcn),
    ),
    Evaluator(
        "STRS-Metric",
        "genbing99/STRS-Metric: strs_metric.py",
        "micro-expressions only; recordings without an event and subjects without a spot are not looked at; a spot "
        "takes every event that fits and that no earlier spot took",
        _strs_metric,
    ),
    Evaluator(
        "ME-TST",
        "zizheng-guo/ME-TST, genbing99/SFAMNet: Utils/mean_average_precision_str",
        "recordings as SOFTNet; every fitting pair is a hit",
        _by_kind(_me_tst),
    ),
)
