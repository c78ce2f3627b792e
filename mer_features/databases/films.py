"""What the adapters of recordings share: recordings from folders, and events from the rows of a sheet.

The folders decide which recordings there are, and the sheet which events: a recording without a row is kept
(:class:`Films`). An event that a row describes wrongly is left out, and everything that is changed is an issue of its
event (:class:`EventReader`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from mer_features.core.clips import gaps, missing_frames
from mer_features.core.quality import Issue
from mer_features.core.recordings import Blink, Event, Recording, kind_of, within
from mer_features.databases.adapter import frames_on_disk, note_count
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import Note
from mer_features.databases.sheets import frame_number

#: Kinds of notes on events that a listing does not have because their row is wrong or because the configuration says
#: so, and on recordings that became one. They explain why counts differ from the published ones.
LEFT_OUT, DROPPED, MERGED = "event_left_out", "event_dropped", "recordings_merged"
#: What owners write in a cell for "not annotated".
_EMPTY = ("", "/")
#: The texts of a row that an erratum may correct.
_FIELDS = ("onset", "apex", "offset", "emotion", "action_units")
#: Offset of an event without an annotated one, from onset and apex.
OFFSET_RULES: Mapping[str, Callable[[int, int], int]] = {
    "apex": lambda _, apex: apex,
    "apex+20": lambda _, apex: apex + 20,
    "mirror": lambda onset, apex: apex + (apex - onset),
}


# Recordings


@dataclass(frozen=True)
class Film:
    """A recording and the frame numbers on disk, ascending; none for a video or where no frame can be used."""

    recording: Recording
    numbers: tuple[int, ...] = ()

    @property
    def start(self) -> int:
        """Number of the first frame; 0 for a video, or where it is not known."""
        return self.recording.first or 0


class Films:
    """Recordings of one database, by the identifier under which a sheet names them.

    Parameters
    ----------
    tree
        The database's folders.
    database
        Configured name.
    fps
        Frames per second of the folders that are added.
    """

    def __init__(self, tree: Tree, database: str, fps: float | None = None) -> None:
        self._tree, self._database, self._fps = tree, database, fps
        self._films: dict[str, Film] = {}
        self.notes: list[Note] = []

    def add(self, recording_id: str, folder: Path) -> None:
        """Add a recording from its folder of frames; a second folder of the same recording gives a note."""
        if (other := self.of(recording_id)) is not None:
            shown = f"{self._tree.shown(folder)} was not read: {other.recording.source} is {recording_id}, too"
            self.notes.append(Note("layout", shown))
            return
        numbers, issues = frames_on_disk(self._tree, folder)
        film = Film(self._recording(recording_id, folder, issues), numbers)
        self.put(with_ends(film) if numbers else film)

    def put(self, film: Film) -> None:
        """Add a film, in the place of one with the same identifier."""
        self._films[_key(film.recording.recording_id)] = film

    def add_missing(self, recording_id: str) -> str:
        """Add a recording that only a sheet names, unless there is a folder of it; return its identifier."""
        if (film := self.of(recording_id)) is None:
            issue = Issue("source_missing", f"no folder of {recording_id} in {self._tree.root}")
            film = Film(self._recording(recording_id, self._tree.root, (issue,)))
            self.put(film)
        return film.recording.recording_id

    def replace(self, old: Sequence[Film], new: Film) -> None:
        """Put one film in the place of others; they are still reached by their identifiers."""
        for film in old:
            self._films[_key(film.recording.recording_id)] = new

    def of(self, recording_id: str) -> Film | None:
        """The film of this identifier, whatever its case and leading zeros."""
        return self._films.get(_key(recording_id))

    def __iter__(self) -> Iterator[Film]:
        """Every film once, in the order in which they were added."""
        return iter(dict.fromkeys(self._films.values()))

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """Every recording once."""
        return tuple(film.recording for film in self)

    def _recording(self, recording_id: str, source: Path, issues: tuple[Issue, ...]) -> Recording:
        subject = recording_id.split("/", 1)[0]
        return Recording(
            recording_id, subject, self._database, fps=self._fps, source=source.as_posix(), issues=tuple(issues)
        )


def with_ends(film: Film) -> Film:
    """A film whose first and last frame are those on disk, with an issue for missing numbers between them."""
    first, last = film.numbers[0], film.numbers[-1]
    holes = missing_frames(gaps(film.numbers))
    return replace(film, recording=replace(film.recording, first=first, last=last, issues=holes))


def _key(recording_id: str) -> str:
    return unpadded(recording_id)


# Events


@dataclass(frozen=True)
class Annotation:
    """One expression, or blink, of a sheet, as text."""

    line: int  # row of the sheet, counted from 1
    recording_id: str
    name: str  # of the expression, as the table of errata has it
    onset: str
    offset: str
    apex: str | None = None  # None: the sheet has no apexes
    kind: str = ""  # the owner's word
    emotion: str = ""
    action_units: str = ""
    note: str = ""
    event_id: str = ""  # by default from recording and row


@dataclass(frozen=True)
class Zeros:
    """What a 0 in a sheet means; an empty rule means that it is a frame number."""

    onset: str = ""  # "first" or "drop"
    offset: str = ""  # a key of OFFSET_RULES, or "drop"
    apex: tuple[str, ...] = ()  # texts for "not annotated"


class _LeftOutError(ValueError):
    """A row that gives no event, and why."""


class _DroppedError(_LeftOutError):
    """A row that gives no event because of a rule of the configuration."""


Row = TypeVar("Row", Event, Blink)


@dataclass
class EventReader:
    """Reads the events of one database.

    Parameters
    ----------
    films
        Its recordings.
    errata
        Corrections to apply.
    zeros
        What a 0 means.
    """

    films: Films
    errata: Errata
    zeros: Zeros = Zeros()
    _names: Counter[str] = field(default_factory=Counter)
    _ids: Counter[str] = field(default_factory=Counter)
    _left_out: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _issues: Counter[str] = field(default_factory=Counter)

    def events(self, annotations: Iterable[Annotation]) -> tuple[Event, ...]:
        """The events that the rows describe, in their order."""
        return tuple(self._rows(Event, annotations))

    def blinks(self, annotations: Iterable[Annotation]) -> tuple[Blink, ...]:
        """The blinks that the rows describe, in their order."""
        return tuple(self._rows(Blink, annotations))

    def notes(self) -> tuple[Note, ...]:
        """Notes on rows that were left out, on rules that were applied, on names used twice, and on errata."""
        left_out = [
            note
            for (kind, reason), names in self._left_out.items()
            for note in note_count(kind, f"left out, {reason}", names)
        ]
        twice = [name for name, count in self._names.items() if count > 1]
        rules = [
            Note("convention", f"{self._issues[code]} {what}", self._issues[code])
            for code, what in (
                ("offset_assumed", f"events without an offset: it was set by `offset_zero: {self.zeros.offset}`"),
                ("onset_before_film", "events with onset 0: they begin with the first frame (`onset_zero: first`)"),
                ("event_cut", "events reach beyond their film and were cut there"),
            )
            if self._issues[code]
        ]
        doubles = note_count("sheet", "names are in more than one row, and every row is an event", twice)
        return (*rules, *left_out, *doubles, *self.errata.notes(), *self.films.notes)

    def _rows(self, row_type: type[Row], annotations: Iterable[Annotation]) -> Iterator[Row]:
        for annotation in annotations:
            ends = f"{annotation.onset or 'none'} to {annotation.offset or 'none'}"
            label = f"{annotation.name} (row {annotation.line}: {ends})"
            try:
                row = self._row(row_type, annotation)
            except _LeftOutError as reason:
                kind = DROPPED if isinstance(reason, _DroppedError) else LEFT_OUT
                self._left_out.setdefault((kind, str(reason)), []).append(label)
                continue
            self._issues.update(issue.code for issue in row.issues)
            yield row

    def _row(self, row_type: type[Row], annotation: Annotation) -> Row:
        film = self.films.of(annotation.recording_id)
        if film is None:
            raise _LeftOutError("the recording is not listed")
        subject = film.recording.subject
        self._names[f"{subject}/{annotation.name}"] += row_type is Event
        texts = {name: text for name in _FIELDS if (text := getattr(annotation, name)) is not None}
        corrected = self.errata.apply(subject, annotation.name, texts, film.numbers)
        texts, issues = dict(corrected.values), list(corrected.issues)
        onset = self._onset(texts["onset"], film, issues)
        apex = self._apex(texts.get("apex"), issues)
        offset = self._offset(texts["offset"], onset, apex, issues)
        if offset < onset:
            raise _LeftOutError("the offset comes before the onset")
        whole = row_type(film.recording.recording_id, onset, offset, _kind(row_type, annotation.kind), apex)
        try:
            row = within(whole, film.recording)
        except ValueError as error:
            raise _LeftOutError("outside the film") from error
        if (row.onset, row.offset) != (onset, offset):
            issues.append(Issue("event_cut", f"{onset} to {offset}, the film has {_ends(film.recording)}"))
        if apex is not None and not row.onset <= apex <= row.offset:
            issues.append(Issue("apex_outside", f"apex {apex}, onset..offset {row.onset}..{row.offset}"))
        return replace(
            row,
            event_id=self._unique(annotation.event_id or f"{row.recording_id}/row-{annotation.line}"),
            emotion=" ".join(texts["emotion"].lower().split()),
            action_units=texts["action_units"],
            note=annotation.note,
            corrected=",".join(corrected.fields),
            issues=tuple(issues),
        )

    def _onset(self, text: str, film: Film, issues: list[Issue]) -> int:
        if text == "0" and self.zeros.onset == "drop":
            raise _DroppedError("onset 0 (`onset_zero: drop`)")
        if text == "0" and self.zeros.onset:
            first = film.start
            issues.append(Issue("onset_before_film", f"onset 0, the first frame is {first}"))
            return first
        return _frame("onset", text)

    def _apex(self, text: str | None, issues: list[Issue]) -> int | None:
        if text is None:
            return None
        number = frame_number(text)
        if text in (*_EMPTY, *self.zeros.apex):
            issues.append(Issue("empty_cell", f"apex: {text!r} means not annotated" if text else "apex"))
            return None
        if number is None:
            issues.append(Issue("bad_cell", f"apex: {text[:80]!r} is not a frame number"))
        return number

    def _offset(self, text: str, onset: int, apex: int | None, issues: list[Issue]) -> int:
        rule = self.zeros.offset
        if not rule or text not in ("0", *_EMPTY):
            return _frame("offset", text)
        if rule == "drop":
            raise _DroppedError("no offset (`offset_zero: drop`)")
        if apex is None:
            raise _LeftOutError("neither apex nor offset is annotated")
        offset = OFFSET_RULES[rule](onset, apex)
        issues.append(Issue("offset_assumed", f"{offset} (`offset_zero: {rule}`)"))
        return offset

    def _unique(self, name: str) -> str:
        """A name that no other event has: a further event of a row, for example, gets a number."""
        self._ids[name] += 1
        return name if self._ids[name] == 1 else f"{name}-{self._ids[name]}"


def _frame(what: str, text: str) -> int:
    number = frame_number(text)
    if number is None:
        raise _LeftOutError(f"{what} {'is empty' if text in _EMPTY else f'{text[:80]!r} is not a frame number'}")
    return number


def _kind(row_type: type[Event], word: str) -> str:
    if row_type is Blink:
        return "blink"
    try:
        return kind_of(word)
    except ValueError as error:
        raise _LeftOutError(f"{word[:80]!r} is neither micro nor macro") from error


def _ends(recording: Recording) -> str:
    return f"{recording.first} to {recording.last}"
