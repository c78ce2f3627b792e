"""Adapter for own recordings: a table of recordings, a table of events and, if there is one, a table of blinks.

``docs/databases/own_recordings.md`` describes the columns. An event names its recording as the table of recordings
does, by ``subject`` and ``path`` or by ``recording_id``, ``<subject>/<name>``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mer_features.core.quality import Issue
from mer_features.core.recordings import Blink, Event, Recording
from mer_features.databases.adapter import frames_on_disk
from mer_features.databases.errata import Errata
from mer_features.databases.films import Annotation, EventReader, Film, Films, with_ends
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Note, RecordedListing
from mer_features.databases.options import TableRecordings
from mer_features.databases.sheets import frame_number
from mer_features.databases.table import rate_of, read_rows, safe_name, source_of

RECORDING_REQUIRED = ("subject", "path")
RECORDING_OPTIONAL = ("recording_id", "first", "last", "fps")
BLINK_REQUIRED = ("onset", "offset")
EVENT_REQUIRED = (*BLINK_REQUIRED, "kind")
EVENT_OPTIONAL = ("recording_id", "subject", "path", "event_id", "apex", "emotion", "action_units", "note")
#: In place of an identifier: a path that several recordings share.
_SEVERAL = "/"
#: Columns that hold a frame number or a time.
_FRAMES = ("onset", "apex", "offset")


def read(name: str, root: Path, options: TableRecordings) -> RecordedListing:
    """Recordings in the order of their table, and events in that of theirs.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that paths are relative to.
    options
        ``recordings``, ``events``, ``blinks`` and ``unit``.

    Raises
    ------
    DatabaseError
        If a table is missing or lacks a column, a recording is listed twice, or times are given without a frame rate.
    """
    tree, table = Tree(root), root / options.recordings
    films = Films(tree, name)
    names: dict[tuple[str, str], str] = {}  # subject and path, or "" and identifier, as the table has them
    for line, row in read_rows(table, RECORDING_REQUIRED, RECORDING_OPTIONAL, "recording"):
        film = _film(name, root, tree, row)
        if films.of(film.recording.recording_id):
            raise DatabaseError(
                f"{table}:{line}: {film.recording.recording_id} is listed twice; expected another name in the column "
                "recording_id, or one line per recording"
            )
        films.put(film)
        by_path = row["subject"], row["path"]
        names[by_path] = _SEVERAL if by_path in names else film.recording.recording_id
        names["", f"{row['subject']}/{_name(row)}"] = film.recording.recording_id
    reader = EventReader(films, Errata(name, enabled=False))
    events: tuple[Event, ...] = ()
    blinks: tuple[Blink, ...] = ()
    notes: list[Note] = []
    if "events" not in options.model_fields_set and not (root / options.events).exists():
        notes.append(Note("sheet", f"{options.events} is not there: nothing is annotated"))
    else:
        rows = _annotations(root / options.events, EVENT_REQUIRED, "event", names, films, options.unit)
        events = reader.events(rows)
    if options.blinks:
        rows = _annotations(root / options.blinks, BLINK_REQUIRED, "blink", names, films, options.unit)
        blinks = reader.blinks(rows)
    return RecordedListing(films.recordings, events, blinks, (*notes, *reader.notes(), *tree.notes()))


def _name(row: Mapping[str, str]) -> str:
    """Name of a recording within its subject, as the table has it."""
    return row.get("recording_id", "").removeprefix(f"{row['subject']}/") or Path(row["path"]).stem


def _film(database: str, root: Path, tree: Tree, row: Mapping[str, str]) -> Film:
    issues = [Issue("empty_cell", column) for column in RECORDING_REQUIRED if not row[column]]
    texts = {column: row.get(column, "") for column in ("first", "last", "fps")}
    first, last, fps = frame_number(texts["first"]), frame_number(texts["last"]), rate_of(texts["fps"])
    for column, value in (("first", first), ("last", last), ("fps", fps)):
        if texts[column] and value is None:
            issues.append(Issue("bad_cell", f"{column}: {texts[column][:80]!r} is not a valid number"))
    subject = safe_name(row["subject"]) or "unknown"
    name = safe_name(_name(row)) or "unnamed"
    source, problem = source_of(root, row["path"])
    unsafe = any(issue.code == "unsafe_path" for issue in problem)
    recording = Recording(
        f"{subject}/{name}", subject, database, first, last, fps, (root if unsafe else source).as_posix(),
        issues=(*issues, *problem),
    )  # fmt: skip
    if problem or not source.is_dir():
        return Film(recording)
    numbers, problem = frames_on_disk(tree, source)
    inside = tuple(n for n in numbers if (first is None or n >= first) and (last is None or n <= last))
    if not inside:
        problem = problem or (Issue("no_frames", f"no image has a number in {first}..{last}"),)
        return Film(replace(recording, issues=(*recording.issues, *problem)))
    film = with_ends(Film(recording, inside))
    return replace(film, recording=replace(film.recording, issues=(*issues, *film.recording.issues)))


def _annotations(
    table: Path,
    required: tuple[str, ...],
    what: str,
    names: Mapping[tuple[str, str], str],
    films: Films,
    unit: str,
) -> Iterator[Annotation]:
    for line, row in read_rows(table, required, EVENT_OPTIONAL, what):
        if not row.get("recording_id") and "path" not in row:
            expected = "the columns subject and path, or recording_id (subject/name)"
            raise DatabaseError(f"{table}:{line}: which recording? expected {expected}")
        key = ("", row["recording_id"]) if row.get("recording_id") else (row.get("subject", ""), row["path"])
        named = names.get(key, key[1])
        if named == _SEVERAL:
            raise DatabaseError(f"{table}:{line}: {key[1]} is the path of several recordings; expected recording_id")
        film = films.of(named)
        times = {column: row[column] for column in _FRAMES if column in row}
        if unit == "s" and film is not None:
            times = {column: _frame(text, film, f"{table}:{line}") for column, text in times.items()}
        texts = {key: row.get(key, "") for key in ("kind", "emotion", "action_units", "note")}
        event_id = row.get("event_id", "")
        yield Annotation(line, named, event_id or f"{named}:{line}", **times, **texts, event_id=event_id)


def _frame(text: str, film: Film, where: str) -> str:
    """Text of the frame number nearest to a time in seconds from the first frame of the film; other text unchanged."""
    try:
        seconds = float(text)
    except ValueError:
        return text
    recording = film.recording
    if recording.fps is None:
        raise DatabaseError(f"{where}: times in seconds need the column fps for {recording.recording_id}")
    if not math.isfinite(seconds):
        return text
    return str(film.start + round(seconds * recording.fps))
