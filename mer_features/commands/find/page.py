"""The page of a recording: what was found, when, where in the face, and how good the recording is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from mer_features.commands.find.checks import Check, bad_spans, duration, frame_rate
from mer_features.commands.find.pictures import MOST, Loop
from mer_features.commands.find.spots import Entry, Search, strength, strongest
from mer_features.core.jobs import counted

#: Seconds of a recording in one row of the timeline.
ROW_S = 60.0
_WIDTH, _HEIGHT = 1000, 40  # of the drawing of the curve, in its own units
_LEAST = 4.0  # width of the shortest mark
_BINS = 500
#: The curve is cut off at so many times the least motion that counts.
_TOP = 4.0

NOTHING = "Nothing above the noise of this recording"


@dataclass(frozen=True)
class Mark:
    """An interval in a row of the timeline, in units of its drawing."""

    left: float
    width: float
    text: str
    number: int  # of a spot, else 0
    kind: str  # of a spot, else empty


@dataclass(frozen=True)
class _Mark:
    """An interval of the recording."""

    start_s: float
    end_s: float
    text: str
    number: int = 0
    kind: str = ""


@dataclass(frozen=True)
class Row:
    """Part of the timeline."""

    curves: tuple[str, ...]  # points of a polyline each
    spots: tuple[Mark, ...]
    blinks: tuple[Mark, ...]
    bad: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]  # per cent of the width, label
    share: float  # of the width of a whole row, in per cent


def render(source: Path, search: Search, checks: Sequence[Check], loops: Mapping[int, Loop]) -> str:
    """The page as HTML; it needs no other files and no network.

    Parameters
    ----------
    source
        File or folder of the recording.
    search
        What was found.
    checks
        Of the recording.
    loops
        Pictures by the number of their spot.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(__package__, "."), PackageLoader("mer_features.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    signals = search.signals
    face = [entry for entry in search.entries if not entry.mouth_only]
    mouth = [entry for entry in search.entries if entry.mouth_only]
    return environment.get_template("page.html.jinja").render(
        name=source.resolve().name,
        result=result_text(search),
        facts=(
            f"{clock(duration(signals))} long",
            f"{frame_rate(signals):.3g} frames per second",
            f"{signals.eye_px:.0f} px between the eyes",
        ),
        checks=checks,
        rows=tuple(_rows(search)),
        top=_TOP,
        sections=[item for item in ((face, ""), (mouth, "Movements of the mouth alone")) if item[0]],
        loops=loops,
        chosen=strongest(search.entries, MOST),
        most=MOST,
        micro_searched="micro" in search.kinds,
        values=search.options.values,
        clock=clock,
    )


def result_text(search: Search) -> str:
    """One sentence on what was found."""
    if not search.entries:
        return f"{NOTHING}."
    face = [entry.kind for entry in search.entries if not entry.mouth_only]
    parts = [counted(face.count(kind), f"{kind}-expression") for kind in search.kinds if kind in face]
    if mouth := len(search.entries) - len(face):
        parts.append(f"{counted(mouth, 'movement')} of the mouth alone")
    return ", ".join(parts) + "."


def clock(seconds: float) -> str:
    """Seconds as ``12.34 s``, or ``2:05.30`` from one minute on."""
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{int(minutes)}:{rest:05.2f}" if minutes else f"{rest:.2f} s"


def _rows(search: Search) -> Iterator[Row]:
    signals = search.signals
    length = duration(signals)
    count = max(1, math.ceil(length / ROW_S - 0.05))  # a last row of less than 3 s belongs to the one before
    seconds = length if count == 1 else ROW_S
    curves = list(strength(search))
    spots = [_Mark(entry.start_s, entry.end_s, _spot_text(entry), entry.number, entry.kind) for entry in search.entries]
    blinks = [_Mark(start, end, "blink") for start, end in search.blinks.tolist()]
    bad = [_Mark(span.start_s, span.end_s, span.reason) for span in bad_spans(signals)]
    for place in range(count):
        start = place * seconds
        end = length if place == count - 1 else start + seconds
        yield Row(
            curves=tuple(_points(times, values, start, end) for times, values in curves),
            spots=_drawn(spots, start, end),
            blinks=_drawn(blinks, start, end),
            bad=_drawn(bad, start, end),
            ticks=_ticks(start, end, seconds),
            share=100 * min(1.0, (end - start) / seconds),
        )


def _drawn(marks: Sequence[_Mark], start: float, end: float) -> tuple[Mark, ...]:
    """Those that have a part in a row."""
    scale = _WIDTH / (end - start)
    drawn = []
    for mark in marks:
        left, right = max(mark.start_s, start), min(mark.end_s, end)
        if left <= right:
            width = max((right - left) * scale, _LEAST)
            drawn.append(Mark(min((left - start) * scale, _WIDTH - width), width, mark.text, mark.number, mark.kind))
    return tuple(drawn)


def _points(times: np.ndarray, values: np.ndarray, start: float, end: float) -> str:
    """Points of the curve in a row: the largest value of each of :data:`_BINS` steps."""
    inside = (times >= start) & (times <= end)
    if not inside.any():
        return ""
    place = np.minimum(((times[inside] - start) / (end - start) * _BINS).astype(int), _BINS - 1)
    highest = np.full(_BINS, -1.0)
    np.maximum.at(highest, place, values[inside])
    known = np.flatnonzero(highest >= 0)
    y = _HEIGHT * (1 - np.minimum(highest[known], _TOP) / _TOP)
    return " ".join(f"{(bin_ + 0.5) / _BINS * _WIDTH:.0f},{height:.1f}" for bin_, height in zip(known, y, strict=True))


def _ticks(start: float, end: float, whole_s: float) -> tuple[tuple[float, str], ...]:
    """Round times in a row, with their places in per cent of its width; ``whole_s`` is the length of a whole row."""
    step = next(step for step in (0.5, 1, 2, 5, 10) if whole_s / step <= 7)
    times = np.arange(math.ceil(start / step), math.floor(end / step) + 1) * step
    return tuple((100 * (time - start) / (end - start), _short(time)) for time in times.tolist())


def _short(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:02g}" if minutes else f"{rest:g} s"


def _spot_text(entry: Entry) -> str:
    return f"{entry.number}: {', '.join(entry.regions)}, {entry.kind}, {clock(entry.start_s)} to {clock(entry.end_s)}"
