"""What the owners' adapters share.

The ``read`` of an adapter takes the same steps, in the order of this module: it checks the configured keys, finds the
folder that holds the clips, finds and reads the annotation sheet, turns each row into a clip, and notes what does not
match.

There are two ways to turn rows into clips. :func:`read_release` is for releases in which each row names the folder of
its clip, ``<part>/<subject>/<clip>``: CASME II, SAMM and SMIC-E. :class:`ClipBuilder` is for the others, e.g. for
expressions in longer recordings; the adapter says where the frames of each row are (:class:`Place`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.databases import sheets
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, off_disk, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row, Sheet
from mer_features.databases.table import safe_name

#: For databases of film clips, which do not identify the people in them.
NO_SUBJECTS = Note(
    "layout", "the owners do not identify people: each clip is its own subject, so folds may share people"
)
FRAME_FIELDS = ("first", "onset", "apex", "offset", "last")
_LABELS = ("emotion", "action_units")
#: Cells that name a clip within its subject.
_NAMES = ("clip", "video", "count")
#: What owners write for "not annotated", as opposed to a number that cannot be read.
_NOT_ANNOTATED = ("", "/")
_NAMES_SHOWN = 5


# Configuration keys


def refuse(name: str, options: OwnerDatabase, *keys: str) -> None:
    """Refuse configuration keys that do not apply to a database.

    Raises
    ------
    DatabaseError
        If one of ``keys`` (``sheet``, ``variant``) is configured.
    """
    for key in keys:
        if getattr(options, key) is not None:
            raise DatabaseError(f"databases.{name}.{key}: {options.adapter} has no {key} to choose; leave the key out")


def variant(name: str, options: OwnerDatabase, known: Sequence[str]) -> str:
    """The configured variant; by default the first known one.

    Raises
    ------
    DatabaseError
        If the configured variant is not a known one.
    """
    chosen = options.variant or known[0]
    if chosen not in known:
        raise DatabaseError(f"databases.{name}.variant: {chosen!r} is unknown; known are {', '.join(known)}")
    return chosen


# Folders and frames


def descend(tree: Tree, *names: str) -> Path:
    """The folder reached from the root by these names, whatever their case.

    Raises
    ------
    DatabaseError
        If one of the folders is missing or is a link that leaves the root. The message lists what the root holds.
    """
    folder = tree.root
    for name in names:
        try:
            folder = tree.folder(folder, name)
        except ClipRejectedError as error:
            expected = f"expected the folder {'/'.join(names)} in {tree.root}"
            raise DatabaseError(f"{expected} ({error.issue.detail}); found {tree.contents()}") from error
    return folder


def find_part(tree: Tree, names: Sequence[str], inner: re.Pattern[str], expected: str) -> Path:
    """The first folder, at most two levels below the root, that has one of the names and holds the clips.

    Parameters
    ----------
    tree
        The database's folders.
    names
        Accepted names of the folder, the preferred one first.
    inner
        Whole name of the folders directly inside it.
    expected
        What should be there, for the message.

    Raises
    ------
    DatabaseError
        If the folder is missing. The message says what was expected and what the root holds.
    """
    folders = tree.search(names, inner, depth=2)
    if not folders:
        raise DatabaseError(f"{tree.root}: expected {expected}; found there: {tree.contents()}")
    return folders[0]


def choose_part(
    tree: Tree, variants: Mapping[str, Callable[[], list[Path]]], chosen: str, expected: str
) -> tuple[Path, tuple[Note, ...]]:
    """Folder of the chosen variant, and a note for each other folder that matches it as well.

    Parameters
    ----------
    tree
        The database's folders.
    variants
        A search for each variant.
    chosen
        The variant to read.
    expected
        What should be there, for the message.

    Raises
    ------
    DatabaseError
        If the folder is missing. The message says what was expected, what the root holds and which other variant
        is there.
    """
    if folders := variants[chosen]():
        return folders[0], tuple(
            Note("layout", f"{tree.shown(other)} is there too and was not read") for other in folders[1:]
        )
    others = [name for name, search in variants.items() if name != chosen and search()]
    hint = f"; `variant: {others[0]}` would be found" if others else ""
    raise DatabaseError(f"{tree.root}: expected {expected}; found there: {tree.contents()}{hint}")


def numbered_folder(pattern: str, subject: str, *, digits: int = 3) -> str:
    """Name of the folder of a subject that the sheet gives as a number: ``sub{:02d}`` and ``1`` -> ``sub01``.

    A subject that is not a number of at most ``digits`` digits is returned unchanged.
    """
    return pattern.format(int(subject)) if re.fullmatch(f"[0-9]{{1,{digits}}}", subject) else subject


def clip_folders(tree: Tree, part: Path, subject: re.Pattern[str] | None = None) -> list[Path]:
    """All folders ``<part>/<subject>/<clip>``, of the subjects whose whole name matches."""
    subjects = [name for name in tree.entries(part).folders if subject is None or subject.fullmatch(name)]
    return [part / name / clip for name in subjects for clip in tree.entries(part / name).folders]


def source(
    tree: Tree, parent: Path, *names: str, key: Callable[[str], str] = str.casefold
) -> tuple[Path, tuple[Issue, ...]]:
    """The folder of a clip, reached from ``parent`` by ``names``, and the issue that rejects the clip, if any.

    A name and a folder match if they are the same under ``key``. If a folder is missing, the path returned is made of
    safe names, so that nothing outside the root is ever listed.
    """
    folder = parent
    try:
        for name in names:
            folder = tree.folder(folder, name, key)
    except ClipRejectedError as error:
        return parent.joinpath(*(safe_name(name) or "unnamed" for name in names)), (error.issue,)
    return folder, ()


def frames_on_disk(tree: Tree, folder: Path) -> tuple[tuple[int, ...], tuple[Issue, ...]]:
    """Frame numbers in a folder, ascending; if there are none, the issue that says why."""
    try:
        return tree.frames(folder), ()
    except ClipRejectedError as error:
        return (), (error.issue,)


def source_frames(
    tree: Tree, parent: Path, *names: str, key: Callable[[str], str] = str.casefold
) -> tuple[Path, tuple[int, ...], tuple[Issue, ...]]:
    """The folder of a clip as by :func:`source`, its frame numbers, and the issue that rejects the clip, if any."""
    folder, missing = source(tree, parent, *names, key=key)
    numbers, issues = ((), missing) if missing else frames_on_disk(tree, folder)
    return folder, numbers, issues


# Annotation sheet


def read_sheet(
    tree: Tree,
    options: OwnerDatabase,
    pattern: re.Pattern[str],
    columns: Mapping[str, Column],
    *,
    expected: str,
    subject: re.Pattern[str],
    titles: Sequence[str] = (),
) -> tuple[Sheet, tuple[Note, ...]]:
    """Choose the annotation sheet (:func:`sheets.choose`) and read it (:func:`sheets.read`).

    Returns
    -------
    Sheet
        Its rows, with the cells named as in ``columns``.
    tuple of Note
        One for each other file that could have been the sheet.

    Raises
    ------
    DatabaseError
        If the sheet is missing or cannot be read.
    """
    path, others = sheets.choose(tree, options.sheet, pattern, expected=expected, subject=subject)
    return sheets.read(path, columns, titles), others


# Clips of a sheet in which each row names the folder of its clip


@dataclass(frozen=True)
class Release:
    """One release on disk: ``<part>/<subject>/<clip>/<frames>``."""

    database: str  # configured name
    tree: Tree
    part: Path
    subject: re.Pattern[str]  # whole name of a subject's folder
    folder_of: Callable[[str], str]  # subject in the sheet -> the owner's folder, e.g. "1" -> "sub01"
    fps: float
    clip_key: Callable[[str], str] = str.casefold  # under which the clip in the sheet and its folder are the same


def read_release(release: Release, rows: Iterable[Row], errata: Errata) -> Listing:
    """A clip for each row, and notes on rows that name no clip, folders without a row and errata that do not apply.

    Parameters
    ----------
    release
        Where the clips are.
    rows
        Cells ``subject``, ``clip``, any of :data:`FRAME_FIELDS`, ``emotion`` and ``action_units``; also ``folder``
        if the folder of the clip has another name than the clip.
    errata
        Corrections to apply.
    """
    listed: set[Path | None] = set()

    def place(row: Row) -> Place:
        where, folder = _place_in_release(release, row)
        listed.add(folder)
        return where

    clips, skipped = ClipBuilder(release.database, errata, release.fps).clips(rows, place)
    folders = clip_folders(release.tree, release.part, release.subject)
    unlisted = [Note("unlisted_folder", release.tree.shown(folder)) for folder in folders if folder not in listed]
    return Listing(clips, (*skipped, *unlisted, *errata.notes(), *release.tree.notes()))


def _place_in_release(release: Release, row: Row) -> tuple[Place, Path | None]:
    """The place of a row, and the folder of the clip if it was found."""
    owner = release.folder_of(row.cells["subject"])
    subject, name, folder = safe_name(owner), safe_name(row.cells["clip"]), None
    numbers: tuple[int, ...] = ()
    issues: tuple[Issue, ...] = ()
    try:
        home = release.tree.folder(release.part, owner, unpadded)
        subject = safe_name(home.name)
        folder = release.tree.folder(home, row.cells.get("folder", row.cells["clip"]), release.clip_key)
        if "folder" not in row.cells:
            name = safe_name(folder.name)
        numbers = release.tree.frames(folder)
    except ClipRejectedError as error:
        issues = (error.issue,)
    subject, name = subject or "unknown", name or "unnamed"
    # The target of a link out of the root is not named as a source, because a later step would list it.
    unsafe = any(issue.code == "unsafe_path" for issue in issues)
    path = folder or (release.part if unsafe else release.part / subject / name)
    return Place(subject, name, path, issues, numbers), folder


# Clips of other sheets: expressions in longer recordings, or folders that the row does not name


@dataclass(frozen=True)
class Place:
    """Where the frames of a row are, and what is wrong with that place."""

    subject: str  # spelled as the owner's folder, safe in a path
    name: str  # name of the clip, safe in a path
    source: Path
    issues: tuple[Issue, ...] = ()
    numbers: tuple[int, ...] = ()  # frame numbers on disk


@dataclass(frozen=True)
class ClipBuilder:
    """Builds the clips of one database from rows and places.

    Parameters
    ----------
    database
        Configured name.
    errata
        Corrections to apply.
    fps
        Frames per second; ``None`` if the owners do not say.
    recordings
        Whether a source holds more than the clip, so that the clip needs ``first`` and ``last``.
    """

    database: str
    errata: Errata
    fps: float | None = None
    recordings: bool = False

    def clips(self, rows: Iterable[Row], place: Callable[[Row], Place]) -> tuple[tuple[Clip, ...], tuple[Note, ...]]:
        """A clip for each row, and a note for each row that names no clip, such as a remark below the table."""
        clips, notes = [], []
        for row in rows:
            if any(row.cells.get(name) for name in (*_NAMES, "onset", "offset")):
                clips.append(self._clip(place(row), row))
            else:
                notes.append(Note("sheet", f"row {row.line} names no clip and was skipped"))
        return tuple(clips), tuple(notes)

    def _clip(self, place: Place, row: Row) -> Clip:
        empty = [Issue("empty_cell", name) for name in ("subject", *_NAMES) if row.cells.get(name) == ""]
        texts = {name: row.cells[name] for name in (*FRAME_FIELDS, *_LABELS) if name in row.cells}
        corrected = self.errata.apply(place.subject, place.name, texts, place.numbers)
        frames, unreadable = _frame_numbers(corrected.values, corrected.fields)
        if self.recordings:
            frames |= _bounds(frames)
        clip = Clip(
            clip_id=f"{place.subject}/{place.name}",
            database=self.database,
            subject=place.subject,
            source=place.source.as_posix(),
            fps=self.fps,
            emotion=corrected.values.get("emotion", "").lower(),
            action_units=corrected.values.get("action_units", ""),
            corrected=",".join(corrected.fields),
            **frames,  # type: ignore[arg-type]  # the keys are the fields of frame numbers
        )
        missing = off_disk(clip, place.numbers) if place.numbers else ()
        return replace(clip, issues=(*empty, *place.issues, *corrected.issues, *unreadable, *missing))


def _frame_numbers(values: Mapping[str, str], corrected: Iterable[str]) -> tuple[dict[str, int | None], list[Issue]]:
    """Frame numbers by field, and an issue for each cell that is empty or cannot be read."""
    numbers, issues = {}, []
    for name, text in values.items():
        if name in FRAME_FIELDS:
            numbers[name] = sheets.frame_number(text)
        if text in _NOT_ANNOTATED and name not in corrected:
            issues.append(Issue("empty_cell", f"{name}: {text!r}" if text else name))
        elif name in FRAME_FIELDS and numbers[name] is None and text not in _NOT_ANNOTATED:
            issues.append(Issue("bad_cell", f"{name}: {text!r} is not a frame number"))
    return numbers, issues


def _bounds(frames: Mapping[str, int | None]) -> dict[str, int | None]:
    """First and last frame of an expression in a longer recording.

    They are onset and offset, or onset and apex if no offset is annotated. If the annotated frames contradict each
    other, the range covers all of them, so that a later step reports the contradiction and not an empty clip.
    """
    onset, apex, offset = (frames.get(name) for name in ("onset", "apex", "offset"))
    if onset is not None and offset is not None and onset <= offset:
        return {"first": onset, "last": offset}
    marks = [mark for mark in (onset, apex, offset) if mark is not None]
    return {"first": min(marks, default=None), "last": max(marks, default=None)}


# Clips that are not read from a sheet of frame numbers


def clip_of(
    database: str, subject: str, name: str, path: Path, emotion: str, issues: Iterable[Issue] = (), **fields: Any
) -> Clip:
    """A clip with source ``path``; the names of subject and clip are made safe, other ``fields`` are set as given."""
    subject = safe_name(subject)
    return Clip(
        clip_id=f"{subject}/{safe_name(name)}",
        database=database,
        subject=subject,
        source=path.as_posix(),
        emotion=emotion,
        issues=tuple(issues),
        **fields,
    )


# Notes


def note_unlisted(
    clips: Iterable[Clip], folders: Iterable[Path], base: Path, what: str = "clips have no row in the sheet"
) -> tuple[Note, ...]:
    """One note on the folders that are not the source of a clip, shown relative to ``base``; none if there are none."""
    listed = {clip.source for clip in clips}
    unlisted = [folder.relative_to(base).as_posix() for folder in folders if folder.as_posix() not in listed]
    return note_count("unlisted_folder", what, unlisted)


def note_count(kind: str, what: str, names: Sequence[str]) -> tuple[Note, ...]:
    """One note with the number of names and the first few of them; none without names."""
    if not names:
        return ()
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return (Note(kind, f"{len(names)} {what}: {', '.join(names[:_NAMES_SHOWN])}{more}", len(names)),)
