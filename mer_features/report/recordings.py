"""Spotting in recordings: scores of every spotter, recognition of what they found, and a timeline per recording."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Rows of the score tables: key in the file, and how it is called.
_KINDS = (("micro", "micro"), ("macro", "macro"), ("overall", "both kinds"))
_SCALE = 1000  # width of a timeline, in units of its drawing
_LEAST = 3  # width of the shortest interval in a timeline, in the same units


@dataclass(frozen=True)
class Row:
    """Scores of one kind of expression of one spotter; None where a value is not defined."""

    spotter: str
    kind: str
    tp: int
    fp: int
    fn: int
    f1: float | None
    interval: tuple[float | None, float | None]
    precision: float | None
    recall: float | None
    at: Mapping[str, float | None]  # IoU threshold -> F1
    average_precision: float | None
    false_per_minute: float | None
    false_without_event: float | None
    onset_ms: float | None  # median absolute error
    offset_ms: float | None
    control: str  # what it is a control for: blind or shuffled; empty for a method


@dataclass(frozen=True)
class Recognition:
    """Recognition of the spots of one spotter by one system, means over seeds."""

    spotter: str
    protocol: str
    system: str
    strs: float | None
    strs_interval: tuple[float | None, float | None]
    joint_f1: float | None
    joint_interval: tuple[float | None, float | None]
    analysis_f1: float | None
    uf1: float | None
    uar: float | None
    clips: int
    seeds: int


@dataclass(frozen=True)
class Mark:
    """An interval in a timeline, in units of its drawing."""

    left: float
    width: float
    kind: str
    state: str  # of an event: found or missed; of a spot: right or false
    text: str


@dataclass(frozen=True)
class Timeline:
    """One recording with its events and the spots of one spotter."""

    name: str
    seconds: float
    events: tuple[Mark, ...]
    spots: tuple[Mark, ...]


@dataclass(frozen=True)
class Section:
    """Everything that the report shows of one set of recordings."""

    name: str
    recordings: int
    without_event: int
    minutes: float | None
    subjects: int
    measured_on: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    recognition: tuple[Recognition, ...]
    best: str  # spotter whose timelines are shown
    timelines: tuple[Timeline, ...]

    @property
    def annotated(self) -> bool:
        """Whether there is any event, without which nothing can be scored."""
        return self.without_event < self.recordings


def build(scores: Sequence[Path], recognised: Sequence[Path]) -> list[Section]:
    """One section for each set of recordings.

    Parameters
    ----------
    scores
        Files of :func:`mer_features.spotting.summary.summarise`.
    recognised
        Files of :func:`mer_features.spotting.summary.recognise`.
    """
    read = [json.loads(path.read_text(encoding="utf-8")) for path in scores]
    systems = [json.loads(path.read_text(encoding="utf-8")) for path in recognised]
    names = dict.fromkeys(item["recordings"] for item in read)
    return [_section(name, [item for item in read if item["recordings"] == name], systems) for name in names]


def _section(name: str, spotters: Sequence[Mapping[str, Any]], systems: Sequence[Mapping[str, Any]]) -> Section:
    best = max(spotters, key=_rank)
    films = best["scores"]["recordings"]
    return Section(
        name=name,
        recordings=films["n"],
        without_event=films["without_event"],
        minutes=films["minutes"],
        subjects=best["subjects"],
        measured_on=best["measured_on"],
        notes=tuple(best["notes"]),
        rows=tuple(
            _row(item, key, kind) for key, kind in _KINDS for item in spotters if key in item["scores"]["spotting"]
        ),
        recognition=tuple(_recognition(item) for item in systems if item["recordings"] == name),
        best=best["spotter"],
        timelines=tuple(_timeline(item) for item in best["timelines"]),
    )


def _rank(item: Mapping[str, Any]) -> tuple[bool, float]:
    """Methods first, the best one last; then controls, which are shuffled or blind."""
    return not item["control"], item["scores"]["spotting"]["overall"]["f1"] or 0.0


def _row(item: Mapping[str, Any], key: str, kind: str) -> Row:
    scores = item["scores"]["spotting"][key]
    return Row(
        spotter=item["spotter"],
        kind=kind,
        **{name: scores[name] for name in ("tp", "fp", "fn", "f1", "precision", "recall", "average_precision")},
        interval=tuple(scores["interval"]),
        at=scores["f1_at"],
        false_per_minute=scores["false_per_minute"],
        false_without_event=scores["false_per_minute_without_event"],
        onset_ms=_ms(scores["boundaries"]["onset"]),
        offset_ms=_ms(scores["boundaries"]["offset"]),
        control=item["control"],
    )


def _ms(error: Mapping[str, float | None]) -> float | None:
    return None if error["median_absolute_s"] is None else 1000 * error["median_absolute_s"]


def _recognition(item: Mapping[str, Any]) -> Recognition:
    keys = ("spotter", "protocol", "system", "strs", "joint_f1", "analysis_f1", "uf1", "uar", "clips", "seeds")
    return Recognition(
        **{key: item[key] for key in keys},
        strs_interval=tuple(item["strs_interval"]),
        joint_interval=tuple(item["joint_interval"]),
    )


def _timeline(film: Mapping[str, Any]) -> Timeline:
    frames = film["last"] - film["first"] + 1
    scale = _SCALE / frames

    def mark(row: Mapping[str, Any]) -> Mark:
        start = (row["onset"] - film["first"]) / film["fps"]
        score = f", score {row['score']:.2f}" if row.get("score") is not None else ""
        seconds = (row["offset"] - row["onset"] + 1) / film["fps"]
        return Mark(
            left=(row["onset"] - film["first"]) * scale,
            width=max((row["offset"] - row["onset"] + 1) * scale, _LEAST),
            kind=row["kind"],
            state=row["state"],
            text=f"{row['kind']}, {row['state']}: {start:.2f} s, {seconds:.2f} s long{score}",
        )

    return Timeline(
        name=film["recording_id"],
        seconds=frames / film["fps"],
        events=tuple(mark(row) for row in film["events"]),
        spots=tuple(mark(row) for row in film["spots"]),
    )
