"""Recordings, the events annotated in them, and the spots that a method found: one typed row each.

Frame numbers are those of the recording, as everywhere in this package: the last digit group of the file name in an
image folder, the zero-based index in a video. Onset and offset belong to the interval, so 10 to 30 are 21 frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

#: Kinds of expressions: a micro-expression is shorter and weaker than a macro-expression.
KINDS = ("micro", "macro")

#: What tables write for the two kinds, in lower case. SAMM Long Videos has ``Micro - 1/2``.
_KIND_WORDS = {
    "micro": "micro", "me": "micro", "micro-expression": "micro", "micro - 1/2": "micro",
    "macro": "macro", "mae": "macro", "macro-expression": "macro",
}  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """One continuous film of one person."""

    recording_id: str  # "<subject>/<name>", unique in a table
    subject: str = ""
    database: str = ""
    first: int | None = None  # number of the first frame
    last: int | None = None  # number of the last frame, which belongs to the film
    fps: float | None = None

    @property
    def minutes(self) -> float | None:
        """Length in minutes; None if the frame rate or the number of frames is not known."""
        if self.first is None or self.last is None or self.fps is None:
            return None
        return (self.last - self.first + 1) / self.fps / 60


@dataclass(frozen=True)
class Interval:
    """Frames onset to offset of a recording, both included.

    Raises
    ------
    ValueError
        If the offset comes before the onset, or the kind is not one of :data:`KINDS`.
    """

    recording_id: str
    onset: int
    offset: int
    kind: str = "micro"
    apex: int | None = None
    emotion: str = ""

    def __post_init__(self) -> None:
        if self.offset < self.onset:
            raise ValueError(f"offset {self.offset} comes before onset {self.onset}; expected onset <= offset")
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is not a kind; expected {' or '.join(KINDS)}")

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.offset - self.onset + 1


@dataclass(frozen=True)
class Event(Interval):
    """An annotated expression: the ground truth."""

    event_id: str = ""


@dataclass(frozen=True)
class Spot(Interval):
    """An expression that a method found."""

    score: float | None = None  # a higher one is more certain


Row = TypeVar("Row", Event, Spot)


def kind_of(word: str) -> str:
    """The kind that a table calls ``me``, ``mae``, ``Micro - 1/2``, ``macro-expression``, ...

    Raises
    ------
    ValueError
        For another word.
    """
    kind = _KIND_WORDS.get(" ".join(word.lower().split()))
    if kind is None:
        raise ValueError(f"{word!r} is not a kind; expected micro (or me) or macro (or mae)")
    return kind


def order(row: Event | Spot) -> tuple[object, ...]:
    """Sort key of events or of spots, independent of the order of a table; spots with high scores come first."""
    own = row.event_id if isinstance(row, Event) else math.inf if row.score is None else -row.score
    return (row.recording_id, row.kind, row.onset, row.offset, row.apex is None, row.apex or 0, row.emotion, own)


def grouped(rows: Iterable[Row], *, kinds: bool = True) -> dict[tuple[str, str], list[Row]]:
    """Rows by recording and kind, each group in the order of :func:`order`; without ``kinds``, by recording alone."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=order):
        groups.setdefault((row.recording_id, row.kind if kinds else ""), []).append(row)
    return groups


def within(row: Row, film: Recording) -> Row:
    """The part of an interval that lies in the film; the interval itself where the ends of the film are not known.

    Raises
    ------
    ValueError
        If the interval has no frame in common with the film, or a negative frame number that this does not cut off.
    """
    onset = row.onset if film.first is None else max(row.onset, film.first)
    offset = row.offset if film.last is None else min(row.offset, film.last)
    if offset < onset:
        raise ValueError(
            f"{row.onset} to {row.offset} lies outside recording {film.recording_id}, which has the frames "
            f"{film.first} to {film.last}; are its frames counted in another way, or at another frame rate?"
        )
    if onset < 0:
        raise ValueError(
            f"onset {row.onset} is negative; expected a frame number, or the first frame of {film.recording_id} in a "
            "list of recordings, so that the interval can be cut"
        )
    return replace(row, onset=onset, offset=offset)
