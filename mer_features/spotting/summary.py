"""What the report shows of one spotter: its scores, the notes to read them by, and a timeline per recording.

Recognition of the spots by a system is a second file (:func:`recognise`), since one spotter may feed many systems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from mer_features.core.recordings import Event, Recording, Row, Spot
from mer_features.protocols.metrics import Prediction, interval
from mer_features.spotting import recognition
from mer_features.spotting.metrics import Matching, match
from mer_features.spotting.scores import score


@dataclass(frozen=True)
class Annotations:
    """The ground truth of a set of recordings."""

    recordings: Sequence[Recording]  # all that were searched, with and without events
    events: Sequence[Event]  # inside their films


def summarise(
    truth: Annotations,
    spots: Sequence[Spot],
    *,
    names: tuple[str, str],
    control: str = "",
    measured_on: str,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Scores and timelines of one spotter, as plain values for JSON; what is not defined is None.

    Parameters
    ----------
    truth
        Recordings and events.
    spots
        What the spotter found, inside the films.
    names
        Name of the set of recordings and of the spotter.
    control
        ``blind`` if the spotter sees no image, ``shuffled`` if it learned from events at random places; empty for a
        method.
    measured_on
        What the recordings are; it is stored with the scores.
    notes
        Conventions of the events that change the scores, one line each.
    seed
        Seed of the bootstrap over subjects.
    """
    recordings, events = truth.recordings, truth.events
    matching = match(events, spots)
    found = {pair.event.event_id for pair in matching.pairs}
    false = {id(spot) for spot in matching.false}
    wrong = "false" if events else "not judged"  # without ground truth nobody knows
    films = [
        {
            "recording_id": film.recording_id,
            **_extent(film, *_of(events, film), *_of(spots, film)),
            "fps": film.fps or 1.0,
            "events": [
                _mark(event) | {"state": "found" if event.event_id in found else "missed"}
                for event in _of(events, film)
            ],
            "spots": [
                _mark(spot) | {"score": spot.score, "state": wrong if id(spot) in false else "right"}
                for spot in _of(spots, film)
            ],
        }
        for film in recordings
    ]
    result = {
        "recordings": names[0],
        "spotter": names[1],
        "control": control,
        "measured_on": measured_on,
        "notes": list(notes),
        "subjects": len({(film.database, film.subject) for film in recordings}),
        "scores": score(events, spots, recordings, seed=seed),
        "timelines": films,
    }
    return cast("dict[str, Any]", without_nan(result))


def _of(rows: Sequence[Row], film: Recording) -> list[Row]:
    return [row for row in rows if row.recording_id == film.recording_id]


def _extent(film: Recording, *rows: Event | Spot) -> dict[str, int]:
    """First and last frame of a film; those of its intervals where they are not known."""
    first = film.first if film.first is not None else min((row.onset for row in rows), default=0)
    last = film.last if film.last is not None else max((row.offset for row in rows), default=first)
    return {"first": first, "last": last}


def _mark(row: Event | Spot) -> dict[str, Any]:
    return {"onset": row.onset, "offset": row.offset, "kind": row.kind}


def recognise(
    truth: Annotations,
    spots: Mapping[str, Spot],
    labels: Mapping[str, str],
    runs: Mapping[int, Sequence[Prediction]],
    *,
    classes: Sequence[str],
    names: tuple[str, str, str, str],
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of spot-then-recognise of one spotter and one system, as plain values for JSON.

    Parameters
    ----------
    truth
        Recordings and events.
    spots
        The spots by the name of the clip that was cut from each.
    labels
        Class of each event, by its identifier; an event without a class is spotted but not recognised.
    runs
        Predictions for the spots, by seed of the system (:func:`mer_features.training.evaluation.read_spots`). A spot
        that was rejected by a stage has none, and counts as a spot without a class.
    classes
        Classes of the protocol.
    names
        Names of the set of recordings, the spotter, the protocol and the system.
    seed
        Seed of the bootstrap over subjects.

    Returns
    -------
    dict
        ``strs``, ``joint_f1``, ``analysis_f1``, ``uf1`` and ``uar`` of the hits: means over the system's seeds of the
        challenges' variant, which divides by all classes; ``strs_interval`` and ``joint_interval``: 95 % over
        subjects; ``clips``: hits with a class; ``by_seed``: the same values of each seed, and of the variant
        ``present``.
    """
    micro = [replace(event, emotion=labels.get(event.event_id, "")) for event in truth.events if event.kind == "micro"]
    by_seed, draws = [], []
    for number, predictions in runs.items():
        predicted = {item.clip_id: item.prediction for item in predictions}
        named = [replace(spot, emotion=predicted.get(clip, "")) for clip, spot in spots.items() if spot.kind == "micro"]
        matching = match(micro, named)
        by_seed.append({"seed": number} | _values(matching, classes))
        draws.append(_draws(matching, truth.recordings, classes, seed))
    first = by_seed[0] if by_seed else {}
    keys = ("strs", "joint_f1", "analysis_f1", "uf1", "uar")
    result = {
        **dict(zip(("recordings", "spotter", "protocol", "system"), names, strict=True)),
        "classes": list(classes),
        "seeds": len(by_seed),
        "clips": first.get("clips", 0),
        **{key: _mean([item[key] for item in by_seed]) for key in keys},
        "strs_interval": _interval([item[0] for item in draws]),
        "joint_interval": _interval([item[1] for item in draws]),
        "by_seed": by_seed,
    }
    return cast("dict[str, Any]", without_nan(result))


def _values(matching: Matching, classes: Sequence[str]) -> dict[str, Any]:
    analysis = recognition.analyse(matching.pairs, classes)
    present = recognition.analyse(matching.pairs, classes, "present")
    return {
        "strs": recognition.strs(matching.counts, analysis),
        "strs_present": recognition.strs(matching.counts, present),
        "joint_f1": recognition.joint(matching, classes).f1,
        "analysis_f1": analysis.f1,
        "uf1": analysis.uf1,
        "uar": analysis.recall,
        "clips": analysis.clips,
        "outside": analysis.outside,
    }


_SAMPLES = 1000


def _draws(
    matching: Matching, recordings: Sequence[Recording], classes: Sequence[str], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """STRS and joint F1 of draws of whole subjects with replacement, (D,) each."""
    names: dict[tuple[str, str], list[str]] = {}
    for film in recordings:
        names.setdefault((film.database, film.subject), []).append(film.recording_id)
    parts = [matching.of(films) for films in names.values()]
    rng = np.random.default_rng(seed)
    values = []
    for times in rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=_SAMPLES) if parts else ():
        drawn = [part for part, count in zip(parts, times, strict=True) for _ in range(count)]
        pooled = Matching(
            tuple(pair for part in drawn for pair in part.pairs),
            tuple(spot for part in drawn for spot in part.false),
            tuple(event for part in drawn for event in part.missed),
        )
        analysis = recognition.analyse(pooled.pairs, classes)
        values.append((recognition.strs(pooled.counts, analysis), recognition.joint(pooled, classes).f1))
    strs, joint = np.array(values).reshape(-1, 2).T
    return strs, joint


def _interval(draws: Sequence[np.ndarray]) -> tuple[float, float]:
    """95 % of the draws, each the mean over the seeds of the system."""
    if not draws:
        return math.nan, math.nan
    means = np.stack(draws).mean(axis=0)
    means = means[np.isfinite(means)]
    return interval(means, 0.95) if len(means) else (math.nan, math.nan)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def without_nan(value: Any) -> Any:
    """The same plain values, with None for what is not a number."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
