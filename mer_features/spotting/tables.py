"""Reads tables of recordings, events and spots: our own format and those of the challenges.

All are TSV or CSV with a header. Three headers are known for events and spots; which one it is follows from the
columns:

- our own: ``recording_id``, ``onset``, ``offset``, ``kind``; ``event_id``, ``apex``, ``emotion`` and, of spots,
  ``score`` may follow, and so may all columns of :mod:`mer_features.core.recordings`;
- MEGC 2022: ``vid``, ``pred_onset``, ``pred_offset``, ``type`` (``me`` or ``mae``);
- MEGC 2024 and 2025, STRS-Metric: ``subject``, ``video``, ``onset``, ``offset``, ``emotion``; all are
  micro-expressions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Generic

from mer_features.core import quality
from mer_features.core.clips import table_text
from mer_features.core.quality import Issue
from mer_features.core.recordings import EVENT_COLUMNS, Event, Recording, Row, Spot, kind_of, within
from mer_features.databases.listing import DatabaseError
from mer_features.databases.table import read_cells

#: Lowest and highest frame rate accepted, from time lapse to the fastest cameras.
RATES_HZ = (0.001, 1e7)
_LARGEST_FRAME = 2**31
SPOT_COLUMNS = tuple(field.name for field in fields(Spot))


class TableError(ValueError):
    """A table of recordings, events or spots that cannot be used; names the file, the line, and what was expected."""


@dataclass(frozen=True)
class Format:
    """Columns of one kind of table of intervals."""

    name: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    onset: str = "onset"
    offset: str = "offset"


_OWN = ("recording_id", "onset", "offset", "kind")
FORMATS = (
    Format("own", _OWN, (*(column for column in EVENT_COLUMNS if column not in _OWN), "subject", "score")),
    Format("MEGC 2022", ("vid", "pred_onset", "pred_offset", "type"), ("score",), "pred_onset", "pred_offset"),
    Format("MEGC 2024", ("subject", "video", "onset", "offset", "emotion"), ("apex", "score")),
)


@dataclass(frozen=True)
class Table(Generic[Row]):
    """Events or spots of one file."""

    path: Path
    format: str  # name of the format
    rows: tuple[Row, ...]  # as the file has them
    inside: tuple[Row, ...]  # without the frames before and after the film, where these are known
    ignored: tuple[str, ...]  # columns that no format has

    @property
    def cut(self) -> tuple[str, ...]:
        """One line on each interval that reaches beyond its film."""
        return tuple(
            f"{row.recording_id}: {row.onset} to {row.offset} was cut to {part.onset} to {part.offset}"
            for row, part in zip(self.rows, self.inside, strict=True)
            if row != part
        )


@dataclass(frozen=True)
class _Line:
    where: str  # file and line, for messages
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    def frame(self, column: str) -> int:
        text = self[column]
        if not re.fullmatch(r"[+-]?\d{1,12}(\.0*)?", text) or abs(float(text)) >= _LARGEST_FRAME:
            raise TableError(f"{self.where}: {column} is {text!r}; expected a whole frame number, not a time")
        return int(float(text))

    def frame_or_none(self, column: str) -> int | None:
        return self.frame(column) if self[column] else None

    def number(self, column: str, least: float = -math.inf, most: float = math.inf) -> float | None:
        """A finite number, None for an empty cell."""
        if not self[column]:
            return None
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            between = f" from {least:g} to {most:g}" if math.isfinite(most) else ""
            raise TableError(f"{self.where}: {column} is {self[column]!r}; expected a number{between}")
        return value

    def issues(self) -> tuple[Issue, ...]:
        """Issues that this project wrote; none in the column of another program."""
        try:
            return quality.loads(self["issues"])
        except (ValueError, TypeError):
            return ()


def read_recordings(path: Path, fps: float | None = None) -> tuple[Recording, ...]:
    """The recordings to count, also those without an event.

    Parameters
    ----------
    path
        Table with ``recording_id`` and, as far as they are known, ``subject``, ``database``, ``first`` and ``last``
        (numbers of the first and last frame) and ``fps``. Without ``subject``, it is the identifier before the last
        ``/``.
    fps
        Frame rate of the recordings for which the table has none.

    Raises
    ------
    TableError
        If the table cannot be read, names a recording twice, or has another frame rate than ``fps``.
    """
    header, lines = _read(path, "list of recordings")
    if "recording_id" not in header:
        raise TableError(f"{path}: found the columns {', '.join(header)}; missing recording_id")
    recordings: dict[str, Recording] = {}
    for line in lines:
        name, rate = line["recording_id"], line.number("fps", *RATES_HZ)
        first, last = line.frame_or_none("first"), line.frame_or_none("last")
        if not name:
            raise TableError(f"{line.where}: recording_id is empty; expected the name of a recording")
        if name in recordings:
            raise TableError(f"{line.where}: recording {name} is listed twice; expected one line per recording")
        if first is not None and last is not None and last < first:
            raise TableError(f"{line.where}: last is {last} and first {first}; expected first <= last")
        if fps is not None and rate not in (None, fps):
            raise TableError(f"{line.where}: {name} has {rate:g} frames per second; {fps:g} were given for all")
        recordings[name] = Recording(
            name,
            line["subject"] or _subject(name),
            line["database"],
            first,
            last,
            fps if rate is None else rate,
            line["source"],
            line["digest"],
            line.issues(),
        )
    if not recordings:
        raise TableError(f"{path}: no line below the header; expected one line per recording")
    return tuple(recordings.values())


def read_events(
    path: Path,
    recordings: Iterable[Recording] | None = None,
    fps: float | None = None,
    words: Mapping[str, str] | None = None,
) -> tuple[Table[Event], tuple[Recording, ...]]:
    """The events of a file, in the order of its lines, and the recordings to count.

    Parameters
    ----------
    path
        Table in one of the three formats.
    recordings
        The recordings. If None, those that have an event are counted, and their ends are not known.
    fps
        Frame rate of the recordings, if they are not given.
    words
        Class of each emotion word; other words stay as they are.

    Raises
    ------
    TableError
        If the table cannot be read, an interval is reversed, negative or outside its film, a recording is not one of
        those given, or an event identifier is not unique.
    """
    form, header, lines = _intervals(path, "table of events")
    if recordings is None:
        found: dict[str, str] = {}
        for line in lines:
            found[_name(line, form)] = found.get(_name(line, form)) or line["subject"]
        listed = tuple(Recording(name, subject or _subject(name), fps=fps) for name, subject in found.items() if name)
        if not listed:
            raise TableError(f"{path}: no event; expected at least one, or a list of recordings besides")
    else:
        listed = tuple(recordings)
    seen: set[str] = set()

    def row(line: _Line, film: Recording) -> Event:
        identifier = line["event_id"]
        if identifier and identifier in seen:
            raise TableError(f"{line.where}: event {identifier} is listed twice; expected unique identifiers")
        seen.add(identifier)
        return Event(
            *_values(line, form, film, words or {}),
            event_id=identifier,
            action_units=line["action_units"],
            note=line["note"],
            corrected=line["corrected"],
            issues=line.issues(),
        )

    return _table(path, form, header, lines, listed, row), listed


def read_spots(path: Path, recordings: Sequence[Recording], words: Mapping[str, str] | None = None) -> Table[Spot]:
    """The spots of a file, in the order of its lines; a table with a header alone has none.

    Parameters
    ----------
    path
        Table in one of the three formats.
    recordings
        The recordings to count.
    words
        As for :func:`read_events`.

    Raises
    ------
    TableError
        As for :func:`read_events`.
    """
    form, header, lines = _intervals(path, "table of spots")

    def row(line: _Line, film: Recording) -> Spot:
        return Spot(*_values(line, form, film, words or {}), score=line.number("score"))

    return _table(path, form, header, lines, recordings, row)


def spot_text(spots: Iterable[Spot]) -> str:
    """Spots as tab-separated text in our own format; the same spots give the same text."""
    return table_text(SPOT_COLUMNS, spots)


def _read(path: Path, what: str) -> tuple[list[str], list[_Line]]:
    try:
        lines = read_cells(path, what)
    except DatabaseError as error:
        raise TableError(str(error)) from error
    if not lines:
        raise TableError(f"{path}: empty; expected a {what} with a header")
    header = [" ".join(cell.lower().split()) for cell in lines[0][1]]
    if repeated := sorted({column for column in header if column and header.count(column) > 1}):
        raise TableError(f"{path}: {', '.join(repeated)} is in the header more than once")
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise TableError(f"{path}:{number}: found {len(cells)} cells; the header has {len(header)} columns")
        rows.append(_Line(f"{path}:{number}", dict(zip(header, map(str.strip, cells), strict=True))))
    return header, rows


def _intervals(path: Path, what: str) -> tuple[Format, list[str], list[_Line]]:
    header, lines = _read(path, what)
    for form in FORMATS:
        if set(form.needed) <= set(header):
            return form, header, lines
    nearest = max(FORMATS, key=lambda form: len(set(form.needed) & set(header)))
    missing = ", ".join(column for column in nearest.needed if column not in header)
    known = "; or ".join(", ".join(form.needed) for form in FORMATS)
    raise TableError(
        f"{path}: found the columns {', '.join(header[:12])}; expected {known}. The closest lacks {missing}"
    )


def _table(
    path: Path,
    form: Format,
    header: Sequence[str],
    lines: Iterable[_Line],
    recordings: Sequence[Recording],
    row: Callable[[_Line, Recording], Row],
) -> Table[Row]:
    films = _Films(recordings)
    rows, inside = [], []
    for line in lines:
        film = films.of(line, form)
        try:
            rows.append(row(line, film))
            inside.append(within(rows[-1], film))
        except TableError:
            raise
        except ValueError as error:
            raise TableError(f"{line.where}: {error}") from error
    ignored = tuple(column for column in header if column and column not in form.needed + form.optional)
    return Table(path, form.name, tuple(rows), tuple(inside), ignored)


def _values(
    line: _Line, form: Format, film: Recording, words: Mapping[str, str]
) -> tuple[str, int, int, str, int | None, str]:
    """Fields of an interval, in the order of :class:`Interval`."""
    emotion = " ".join(line["emotion"].lower().split())
    kind = "micro" if form.name == "MEGC 2024" else kind_of(line["type"] if form.name == "MEGC 2022" else line["kind"])
    return (
        film.recording_id,
        line.frame(form.onset),
        line.frame(form.offset),
        kind,
        line.frame_or_none("apex"),
        words.get(emotion, emotion),
    )


def _name(line: _Line, form: Format) -> str:
    if form.name == "MEGC 2024":
        return f"{line['subject']}/{line['video']}" if line["subject"] and line["video"] else ""
    return line["vid"] if form.name == "MEGC 2022" else line["recording_id"]


def _subject(recording_id: str) -> str:
    """The subject that an identifier begins with; empty if it names none."""
    return recording_id.rpartition("/")[0]


class _Films:
    """Recordings by their identifier, or by its last part if only one recording has it."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._by_id = {film.recording_id: film for film in recordings}
        self._by_part: dict[str, list[Recording]] = {}
        for film in recordings:
            self._by_part.setdefault(film.recording_id.rpartition("/")[2], []).append(film)

    def of(self, line: _Line, form: Format) -> Recording:
        name = _name(line, form)
        if not name:
            raise TableError(f"{line.where}: the name of the recording is empty; expected one of {self._some()}")
        if name in self._by_id:
            return self._by_id[name]
        same = self._by_part.get(name, [])
        if len(same) > 1:
            several = ", ".join(film.recording_id for film in same[:5])
            raise TableError(f"{line.where}: {name} can be {several}; expected the whole name of one recording")
        if not same:
            near = get_close_matches(name, self._by_id, n=2)
            meant = f" ({' or '.join(near)}?)" if near else ""
            raise TableError(
                f"{line.where}: recording {name} is not known{meant}; expected one of {self._some()}. A list of "
                "recordings can name those without an event"
            )
        return same[0]

    def _some(self) -> str:
        return ", ".join(self._names()) + (", ..." if len(self._by_id) > 3 else "")

    def _names(self) -> Iterator[str]:
        yield from list(self._by_id)[:3]
