"""Recordings, the events and blinks annotated in them, and the spots that a method found: one typed row each.

Frame numbers are those of the recording, as everywhere in this package: the last digit group of the file name in an
image folder, the zero-based index in a video. Onset and offset belong to the interval, so 10 to 30 are 21 frames.

Three tables hold them as text: ``recordings.tsv`` (:func:`dumps`, :func:`read`), and ``events.tsv`` and ``blinks.tsv``
with the same columns (:func:`dumps_events`, :func:`read_events`, :func:`read_blinks`). What is annotated is kept out of
``recordings.tsv``, so that a corrected label makes no stage read a recording again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, TypeVar

from mer_features.core.clips import read_table, table_text
from mer_features.core.quality import Issue

#: Kinds of expressions: a micro-expression is shorter and weaker than a macro-expression.
KINDS = ("micro", "macro")
#: Between the folders of one film in :attr:`Recording.source`.
SEPARATOR = "|"

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
    source: str = ""  # image folder or video, as reached from the working directory; see `sources`
    digest: str = ""  # of the source's file names, sizes and times: changes when the pixels may have changed
    issues: tuple[Issue, ...] = ()  # found while listing its files

    @property
    def minutes(self) -> float | None:
        """Length in minutes; None if the frame rate or the number of frames is not known."""
        if self.first is None or self.last is None or self.fps is None:
            return None
        return (self.last - self.first + 1) / self.fps / 60

    @property
    def sources(self) -> tuple[str, ...]:
        """The folder or video; several folders if the film is distributed in parts that share frames."""
        return tuple(part for part in self.source.split(SEPARATOR) if part)


@dataclass(frozen=True)
class Interval:
    """Frames onset to offset of a recording, both included.

    Raises
    ------
    ValueError
        If the offset comes before the onset, or the kind is not one of :attr:`kinds`.
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS

    recording_id: str
    onset: int
    offset: int
    kind: str = "micro"
    apex: int | None = None
    emotion: str = ""

    def __post_init__(self) -> None:
        if self.offset < self.onset:
            raise ValueError(f"offset {self.offset} comes before onset {self.onset}; expected onset <= offset")
        if self.kind not in self.kinds:
            raise ValueError(f"{self.kind!r} is not a kind; expected {' or '.join(self.kinds)}")

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.offset - self.onset + 1


@dataclass(frozen=True)
class Event(Interval):
    """An annotated expression: the ground truth."""

    event_id: str = ""  # "<recording_id>/row-<line of the sheet>": a sheet may use a name twice
    action_units: str = ""  # the owner's text, e.g. "4+L10"
    note: str = ""  # the owner's remark, e.g. "While blinking"
    corrected: str = ""  # fields that an erratum changed, e.g. "apex,offset"
    issues: tuple[Issue, ...] = ()  # found while reading the sheet


@dataclass(frozen=True)
class Blink(Event):
    """An annotated blink; it has the columns of an event."""

    kinds: ClassVar[tuple[str, ...]] = ("blink",)

    kind: str = "blink"


@dataclass(frozen=True)
class Spot(Interval):
    """An expression that a method found."""

    score: float | None = None  # a higher one is more certain


Row = TypeVar("Row", Event, Blink, Spot)
AnnotatedRow = TypeVar("AnnotatedRow", Event, Blink)

RECORDING_COLUMNS = tuple(field.name for field in fields(Recording))
EVENT_COLUMNS = tuple(field.name for field in fields(Event))
_RECORDING_NUMBERS: dict[str, type[int | float]] = {"first": int, "last": int, "fps": float}
_EVENT_NUMBERS: dict[str, type[int | float]] = {"onset": int, "offset": int, "apex": int}


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


def dumps(recordings: Iterable[Recording]) -> str:
    """Recordings as tab-separated text with a header; the same recordings give the same text."""
    return table_text(RECORDING_COLUMNS, recordings)


def dumps_events(events: Iterable[Event]) -> str:
    """Events, or blinks, as tab-separated text with a header; the same events give the same text."""
    return table_text(EVENT_COLUMNS, events)


def read(path: Path | str) -> tuple[Recording, ...]:
    """Read the text of :func:`dumps`.

    Raises
    ------
    ValueError
        If the header is another one or a cell cannot be read; names file and line.
    """
    rows = read_table(path, RECORDING_COLUMNS, _RECORDING_NUMBERS, "table of recordings")
    return tuple(Recording(**row) for _, row in rows)  # type: ignore[arg-type]  # the columns are the fields


def read_events(path: Path | str) -> tuple[Event, ...]:
    """Read the text of :func:`dumps_events`.

    Raises
    ------
    ValueError
        If the header is another one, or a cell or an interval is wrong; names file and line.
    """
    return _read(path, Event, "table of events")


def read_blinks(path: Path | str) -> tuple[Blink, ...]:
    """As :func:`read_events`, for blinks."""
    return _read(path, Blink, "table of blinks")


def _read(path: Path | str, row_type: type[AnnotatedRow], what: str) -> tuple[AnnotatedRow, ...]:
    rows = []
    for where, values in read_table(path, EVENT_COLUMNS, _EVENT_NUMBERS, what):
        if values["onset"] is None or values["offset"] is None:
            raise ValueError(f"{where}: onset or offset is empty; expected frame numbers")
        try:
            rows.append(row_type(**values))  # type: ignore[arg-type]  # the columns are the fields
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return tuple(rows)
