"""All scores of a result: every measure of spotting by kind, and those of spot-then-recognise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mer_features.core.recordings import KINDS, Event, Recording, Spot
from mer_features.spotting import metrics, recognition
from mer_features.spotting.metrics import IOU, Counts, Matching, as_dict, match

#: IoU thresholds of the sweep, and those of which the mean F1 is given.
SWEEP = (0.2, 0.3, 0.4, 0.5)
STRICT = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


def score(
    events: Sequence[Event],
    spots: Sequence[Spot],
    recordings: Sequence[Recording],
    classes: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Score spots against events.

    Parameters
    ----------
    events, spots
        All of them, inside their films.
    recordings
        The recordings to count, with and without events; all those of ``events`` and ``spots``.
    classes
        Classes of spot-then-recognise; by default the emotions of the micro-expressions.
    seed
        Seed of the bootstrap over subjects.

    Returns
    -------
    dict
        ``recordings``: how many there are, and how long they are in minutes. ``spotting``: the measures of each kind
        that occurs, and ``overall``, with the kinds matched apart and their counts added up; ``any_kind``, the counts
        if kinds are ignored; ``event_kind``, the counts of each kind if every spot that then hits has the kind of its
        event. ``recognition``: scores of spot-then-recognise, None without an emotion on both sides. Ratios without a
        denominator, and measures for which something is not known, are NaN.
    """
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in (*events, *spots))]
    matching = match(events, spots)
    regardless = match(events, spots, kinds=False)
    spotting = {
        kind: _measures(matching.of_kind(kind), _of_kind(events, kind), _of_kind(spots, kind), recordings, seed=seed)
        for kind in kinds
    }
    spotting["overall"] = _measures(matching, events, spots, recordings, seed=seed)
    spotting["any_kind"] = as_dict(regardless.counts)
    spotting["event_kind"] = {kind: as_dict(regardless.of_kind(kind).counts) for kind in kinds}
    minutes = [film.minutes for film in recordings]
    return {
        "recordings": {
            "n": len(recordings),
            "without_event": len({film.recording_id for film in recordings} - {row.recording_id for row in events}),
            "minutes": math.nan if None in minutes else sum(filter(None, minutes)),
        },
        "spotting": spotting,
        "recognition": _recognition(matching.of_kind("micro"), _of_kind(events, "micro"), spots, classes),
    }


def _of_kind(rows: Sequence[Any], kind: str) -> list[Any]:
    return [row for row in rows if row.kind == kind]


def _measures(
    matching: Matching, events: Sequence[Event], spots: Sequence[Spot], recordings: Sequence[Recording], *, seed: int
) -> dict[str, Any]:
    films = {film.recording_id: film for film in recordings}
    with_event = {event.recording_id for event in events}
    quiet = [film for film in recordings if film.recording_id not in with_event]
    at = {threshold: match(events, spots, threshold).counts.f1 for threshold in sorted({*SWEEP, *STRICT})}
    scored = all(spot.score is not None for spot in spots)
    return as_dict(matching.counts) | {
        "interval": list(metrics.f1_interval(_by_subject(matching, films), seed=seed)),
        "f1_at": {f"{threshold:g}": at[threshold] for threshold in SWEEP},
        "f1_strict": sum(at[threshold] for threshold in STRICT) / len(STRICT),
        "average_precision": metrics.average_precision(events, spots) if scored else math.nan,
        "false_per_minute": metrics.false_per_minute(matching.false, recordings),
        "false_per_minute_without_event": metrics.false_per_minute(matching.false, quiet),
        "boundaries": metrics.boundary_errors(matching.pairs, films),
        "apex": metrics.apex_errors(matching.pairs, films),
        "frames": as_dict(metrics.frame_counts(events, spots)),
    }


def _by_subject(matching: Matching, films: Mapping[str, Recording]) -> dict[tuple[str, str], Counts]:
    """Counts of each subject, also of those without events; empty if the subject of a recording is not known."""
    if not all(film.subject for film in films.values()):
        return {}
    names: dict[tuple[str, str], list[str]] = {}
    for film in films.values():
        names.setdefault((film.database, film.subject), []).append(film.recording_id)
    return {subject: matching.of(recordings).counts for subject, recordings in names.items()}


def _recognition(
    matching: Matching, events: Sequence[Event], spots: Sequence[Spot], classes: Sequence[str] | None
) -> dict[str, Any] | None:
    words = sorted({event.emotion for event in events if event.emotion})
    if not words or not any(spot.emotion for spot in spots if spot.kind == "micro"):
        return None
    chosen = words if classes is None else list(classes)
    result: dict[str, Any] = {"classes": chosen, "joint": as_dict(recognition.joint(matching, chosen))}
    for variant in recognition.VARIANTS:
        analysis = recognition.analyse(matching.pairs, chosen, variant)
        result[variant] = asdict(analysis) | {"strs": recognition.strs(matching.counts, analysis)}
    return result


__all__ = ["IOU", "STRICT", "SWEEP", "score"]
