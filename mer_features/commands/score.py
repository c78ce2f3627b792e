"""Scores the result of a spotter against a table of events, beside what public evaluators print for the same files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features.core.jobs import counted
from mer_features.protocols import LABEL_MAPS
from mer_features.spotting import KINDS, Event, Recording, Spot, read_events, read_recordings, read_spots, score
from mer_features.spotting.evaluators import EVALUATORS, Printed, printed_strs
from mer_features.spotting.metrics import Counts, as_dict
from mer_features.spotting.scores import SWEEP
from mer_features.spotting.summary import without_nan
from mer_features.spotting.tables import RATES_HZ, Table

_WIDTH = 30  # of the names on the left, in characters
_LINES_SHOWN = 8


@dataclass(frozen=True)
class Scores:
    """The scores of one file of spots."""

    spots: Table[Spot]
    events: Table[Event]
    recordings: tuple[Recording, ...]
    listed: bool  # whether a list of recordings was given
    result: Mapping[str, Any]  # see `spotting.score`
    by_database: Mapping[str, Mapping[str, Any]]  # the same of each database, if there are several
    printed: Mapping[str, Printed]  # by evaluator

    @property
    def notes(self) -> list[str]:
        """What a reader of the scores has to know, one line each."""
        notes = []
        if not self.listed:
            notes.append(
                "No list of recordings was given: only those with an event count, and false spots elsewhere do not."
            )
        if not all(film.subject for film in self.recordings):
            notes.append("The subject of a recording is not known, so there is no interval over subjects.")
        for table in (self.events, self.spots):
            if table.ignored:
                notes.append(f"{table.path}: ignored the columns {', '.join(table.ignored)}.")
            if table.cut:
                more = "" if len(table.cut) <= _LINES_SHOWN else f"; and {len(table.cut) - _LINES_SHOWN} more"
                notes.append(f"{table.path}: {'; '.join(table.cut[:_LINES_SHOWN])}{more}.")
        return notes

    def as_dict(self) -> dict[str, Any]:
        """The scores as plain values for JSON; what is not defined is None."""
        printed = {
            item.name: {
                "source": item.source,
                "rule": item.rule,
                "counts": {kind: as_dict(counts) for kind, counts in self.printed[item.name].counts.items()},
                "values": self.printed[item.name].values,
                "error": self.printed[item.name].error or None,
            }
            for item in EVALUATORS
        }
        return without_nan(
            {
                "result": str(self.spots.path),
                "events": str(self.events.path),
                "formats": {"result": self.spots.format, "events": self.events.format},
                "notes": self.notes,
                **self.result,
                "by_database": self.by_database,
                "public_evaluators": printed,
            }
        )


def score_files(
    result: Path,
    events: Path,
    *,
    recordings: Path | None = None,
    fps: float | None = None,
    classes: Sequence[str] | None = None,
    labels: str | None = None,
) -> Scores:
    """Score a file of spots against a file of events.

    Parameters
    ----------
    result, events
        Tables in one of the formats of :mod:`mer_features.spotting.tables`.
    recordings
        Table of the recordings to count; by default those with an event.
    fps
        Frame rate of the recordings for which the table has none.
    classes
        Classes of spot-then-recognise; by default those of ``labels``, or else all emotions of the micro-expressions.
    labels
        Name of a label map, which gives the class of each emotion word.

    Raises
    ------
    TableError
        If a table cannot be used.
    ValueError
        For a label map that does not exist, or a frame rate that no camera has.
    """
    if fps is not None and not RATES_HZ[0] <= fps <= RATES_HZ[1]:
        low, high = RATES_HZ
        raise ValueError(f"{fps:g} is not a frame rate; expected {low:g} to {high:g} frames per second")
    words: dict[str, str] = {}
    if labels is not None:
        if labels not in LABEL_MAPS:
            raise ValueError(f"{labels!r} is not a label map; expected {', '.join(LABEL_MAPS)}")
        words = {word: name for name, members in LABEL_MAPS[labels].items() for word in members}
        classes = classes or list(LABEL_MAPS[labels])
    listed = None if recordings is None else read_recordings(recordings, fps)
    truths, films = read_events(events, listed, fps, words)
    found = read_spots(result, films, words)
    inside = truths.inside, found.inside
    printed = {item.name: item.run(films, truths.rows, found.rows) for item in EVALUATORS}
    if classes:
        printed["STRS-Metric"] = printed_strs(films, truths.rows, found.rows, classes)
    databases = dict.fromkeys(film.database for film in films)
    return Scores(
        found,
        truths,
        films,
        listed is not None,
        score(*inside, films, classes),
        {name: _of_database(name, *inside, films, classes) for name in databases} if len(databases) > 1 else {},
        printed,
    )


def _of_database(
    name: str,
    events: Sequence[Event],
    spots: Sequence[Spot],
    recordings: Sequence[Recording],
    classes: Sequence[str] | None,
) -> dict[str, Any]:
    films = [film for film in recordings if film.database == name]
    known = {film.recording_id for film in films}
    return score(
        [row for row in events if row.recording_id in known],
        [row for row in spots if row.recording_id in known],
        films,
        classes,
    )


# The scores as text.


def text(scores: Scores) -> str:
    """The scores as tables for a terminal: those of this project, then what public evaluators print."""
    lines = list(_heading(scores))
    lines += ["", *_spotting(scores.result["spotting"])]
    for name, result in scores.by_database.items():
        lines += ["", f"Of these, {name or 'without a database'}", *_counts(result["spotting"])]
    if scores.result["recognition"] is not None:
        lines += ["", *_recognition(scores.result["recognition"])]
    lines += ["", *_public(scores.printed)]
    if scores.notes:
        lines += ["", "Notes", *(f"  {note}" for note in scores.notes)]
    return "\n".join(lines)


def _heading(scores: Scores) -> Iterator[str]:
    films = scores.result["recordings"]
    minutes = "" if math.isnan(films["minutes"]) else f", {films['minutes']:.1f} minutes"
    yield f"{scores.spots.path} scored against {scores.events.path}"
    yield (
        f"{counted(films['n'], 'recording')} ({films['without_event']} without an event){minutes}; "
        f"{counted(len(scores.events.rows), 'event')}, {counted(len(scores.spots.rows), 'spot')}"
    )


def _spotting(result: Mapping[str, Any]) -> Iterator[str]:
    yield "Spotting: IoU of at least 0.5, as many hits as possible, all recordings (docs/spotting.md)"
    yield from _counts(result)
    kinds = [kind for kind in (*KINDS, "overall") if kind in result]
    parts = [result[kind] for kind in kinds]
    yield ""
    yield _line("", *kinds)
    for threshold in SWEEP:
        yield _line(f"F1 at IoU {threshold:g}", *(_number(part["f1_at"][f"{threshold:g}"]) for part in parts))
    yield _line("mean F1 at IoU 0.5 to 0.95", *(_number(part["f1_strict"]) for part in parts))
    yield _line("average precision", *(_number(part["average_precision"]) for part in parts))
    yield _line("F1 of frames", *(_number(part["frames"]["f1"]) for part in parts))
    yield _line("false spots a minute", *(_number(part["false_per_minute"], 2) for part in parts))
    quiet = [part["false_per_minute_without_event"] for part in parts]
    yield _line("  without event (of this kind)", *(_number(value, 2) for value in quiet))
    for end in ("onset", "offset"):
        errors = [part["boundaries"][end] for part in parts]
        yield _line(f"{end}, median error", *(_error(e["median_frames"], e["median_s"], sign="+") for e in errors))
        yield _line(
            f"{end}, median |error|",
            *(_error(error["median_absolute_frames"], error["median_absolute_s"]) for error in errors),
        )
    apexes = [part["apex"] for part in parts]
    yield _line("apex, mean |error|", *(_error(apex["frames"], apex["s"]) for apex in apexes))
    yield _line("  relative to the event", *(_number(apex["relative"]) for apex in apexes))
    yield _line("apex inside the event", *(_number(apex["inside"]) for apex in apexes))


def _counts(result: Mapping[str, Any]) -> Iterator[str]:
    yield _line("", "TP", "FP", "FN", "precision", "recall", "F1", "95 % interval", width=9)
    rows = [(kind, result[kind]) for kind in (*KINDS, "overall") if kind in result]
    rows += [("kinds ignored", result["any_kind"])]
    rows += [(f"{kind}, if spots had its kind", part) for kind, part in result["event_kind"].items()]
    for name, part in rows:
        low, high = part.get("interval", (math.nan, math.nan))
        between = "" if "interval" not in part else "–" if math.isnan(low) else f"{low:.3f} to {high:.3f}"
        ratios = (_number(part[key]) for key in ("precision", "recall", "f1"))
        yield _line(name, *(str(part[key]) for key in ("tp", "fp", "fn")), *ratios, between, width=9)


def _recognition(result: Mapping[str, Any]) -> Iterator[str]:
    fixed, present = result["fixed"], result["present"]
    yield f"Spot-then-recognise: micro-expressions; classes {', '.join(result['classes'])}"
    outside = f", {fixed['outside']} of another class left out" if fixed["outside"] else ""
    yield f"  {counted(fixed['clips'], 'hit')} analysed{outside}"
    yield _line("", "all classes", "classes hit")
    for name, key in (
        ("mean precision", "precision"),
        ("mean recall (UAR)", "recall"),
        ("F1 of the analysis", "f1"),
        ("UF1", "uf1"),
        ("STRS", "strs"),
    ):
        yield _line(name, _number(fixed[key]), _number(present[key]))
    joint = result["joint"]
    yield _line("joint F1", _number(joint["f1"]), f"(TP {joint['tp']}, FP {joint['fp']}, FN {joint['fn']})")


def _public(printed: Mapping[str, Printed]) -> Iterator[str]:
    yield "What public evaluators print for these files: TP-FP-FN and F1 (docs/spotting.md says what they do otherwise)"
    yield _line("", *(*KINDS, "overall"), width=20)
    for name, item in printed.items():
        if item.error:
            yield f"  {name:{_WIDTH - 2}}{item.error}"
            continue
        yield _line(name, *(_brief(item.counts.get(kind)) for kind in (*KINDS, "overall")), width=20)
        if "strs" in item.values:
            values = item.values
            yield _line("  its STRS, F1, UAR", *(_number(values[key]) for key in ("strs", "f1", "uar")), width=20)


def _brief(counts: Counts | None) -> str:
    return "" if counts is None else f"{counts.tp}-{_signed(counts.fp)}-{_signed(counts.fn)} {_number(counts.f1)}"


def _signed(number: int) -> str:
    return f"({number})" if number < 0 else str(number)


def _line(name: str, *cells: str, width: int = 18) -> str:
    widths = [max(width, len(cell) + 2) for cell in cells]
    row = "".join(f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
    return f"  {name:{_WIDTH - 2}}{row}".rstrip()


def _number(value: float, digits: int = 4) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _error(frames: float, seconds: float, sign: str = "") -> str:
    if math.isnan(frames):
        return "–"
    return f"{frames:{sign}.1f} frames" if math.isnan(seconds) else f"{frames:{sign}.1f} ({seconds:{sign}.3f} s)"
