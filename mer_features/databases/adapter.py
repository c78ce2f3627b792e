"""What adapters have in common beyond sheets and folders: configuration keys, descending a tree, counting notes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.databases import sheets
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, off_disk, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Row
from mer_features.databases.table import safe_name

#: For databases of film clips: nobody says who is in them.
NO_SUBJECTS = Note("layout", "the owners name no persons: every clip is its own subject, so folds may share persons")

_NAMES_SHOWN = 5


def refuse(name: str, options: OwnerDatabase, *keys: str) -> None:
    """Refuse configuration keys that a database has no use for.

    Raises
    ------
    DatabaseError
        If one of ``sheet`` or ``variant`` is configured.
    """
    for key in keys:
        if getattr(options, key) is not None:
            raise DatabaseError(f"databases.{name}.{key}: {options.adapter} has no {key} to choose; leave the key out")


def variant(name: str, options: OwnerDatabase, known: Sequence[str]) -> str:
    """The configured variant, the first known one by default.

    Raises
    ------
    DatabaseError
        If another one is configured.
    """
    chosen = options.variant or known[0]
    if chosen not in known:
        raise DatabaseError(f"databases.{name}.variant: {chosen!r} is unknown; known are {', '.join(known)}")
    return chosen


def descend(tree: Tree, *names: str) -> Path:
    """The folder reached from the root by these names, whatever their case.

    Raises
    ------
    DatabaseError
        If one of them is missing or a link that leaves the root; names what the root holds.
    """
    place = tree.root
    for name in names:
        try:
            place = tree.folder(place, name)
        except ClipRejectedError as error:
            expected = f"expected the folder {'/'.join(names)} in {tree.root}"
            raise DatabaseError(f"{expected} ({error.issue.detail}); found {tree.contents()}") from error
    return place


def source(
    tree: Tree, parent: Path, *names: str, key: Callable[[str], str] = str.casefold
) -> tuple[Path, tuple[Issue, ...]]:
    """A clip's folder by the names on the way to it, and what forbids using it.

    Names are the same as folders under ``key``. A folder that is not there comes with safe names: nothing outside
    the root is ever listed.
    """
    place = parent
    try:
        for name in names:
            place = tree.folder(place, name, key)
    except ClipRejectedError as error:
        return parent.joinpath(*(safe_name(name) or "unnamed" for name in names)), (error.issue,)
    return place, ()


def counted(kind: str, what: str, names: Sequence[str]) -> tuple[Note, ...]:
    """One note that counts names and shows the first; none without names."""
    if not names:
        return ()
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return (Note(kind, f"{len(names)} {what}: {', '.join(names[:_NAMES_SHOWN])}{more}", len(names)),)


# Clips of a sheet whose rows each name the folder of one clip: what CASME II, SAMM and SMIC-E have in common.

FRAME_FIELDS = ("first", "onset", "apex", "offset", "last")
_LABELS = ("emotion", "action_units")
#: What owners write for "not annotated"; to be told from a number that cannot be read.
_NOT_ANNOTATED = ("", "/")
_NO_NUMBERS: tuple[int, ...] = ()


@dataclass(frozen=True)
class Release:
    """One release on disk: ``<part>/<subject>/<clip>/<frames>``."""

    database: str  # configured name
    tree: Tree
    part: Path
    subject: re.Pattern[str]  # what a subject's folder is called, whole name
    folder_of: Callable[[str], str]  # the sheet's subject -> the owner's folder, e.g. "1" -> "sub01"
    fps: float
    clip_key: Callable[[str], str] = str.casefold  # under which the sheet's clip and its folder are the same


def part_of(
    tree: Tree, variants: Mapping[str, Callable[[], list[Path]]], chosen: str, expected: str
) -> tuple[Path, tuple[Note, ...]]:
    """Folder of the chosen variant, and a note for each other folder that would do.

    Parameters
    ----------
    tree
        The database's folders.
    variants
        A search for each variant.
    chosen
        The variant to read.
    expected
        What should be there, for messages.

    Raises
    ------
    DatabaseError
        If it is not there; says what was expected, what the root holds and which variants would be found.
    """
    if found := variants[chosen]():
        return found[0], tuple(
            Note("layout", f"{tree.shown(other)} is there too and was not read") for other in found[1:]
        )
    others = [name for name, look in variants.items() if name != chosen and look()]
    hint = f"; `variant: {others[0]}` would be found" if others else ""
    raise DatabaseError(f"{tree.root}: expected {expected}; found there: {tree.contents()}{hint}")


def read(release: Release, rows: Iterable[Row], errata: Errata) -> Listing:
    """A clip for each row, notes on folders without a row, rows without a clip and errata without use.

    Parameters
    ----------
    release
        Where the clips are.
    rows
        Cells ``subject``, ``clip``, any of :data:`FRAME_FIELDS`, ``emotion`` and ``action_units``; ``folder`` where
        the clip's folder bears another name than the clip.
    errata
        Corrections to apply.
    """
    clips, notes, listed = [], [], set()
    for row in rows:
        if not any(row.cells.get(name) for name in ("clip", "onset", "offset")):
            notes.append(Note("sheet", f"row {row.line} names no clip and was skipped"))
            continue
        clip, folder = _clip(release, row, errata)
        clips.append(clip)
        listed.add(folder)
    notes += [
        Note("unlisted_folder", release.tree.shown(folder)) for folder in _folders(release) if folder not in listed
    ]
    return Listing(tuple(clips), (*notes, *errata.notes(), *release.tree.notes()))


def _folders(release: Release) -> list[Path]:
    subjects = [name for name in release.tree.entries(release.part).folders if release.subject.fullmatch(name)]
    folders = [release.part / name for name in subjects]
    return [folder / name for folder in folders for name in release.tree.entries(folder).folders]


def _clip(release: Release, row: Row, errata: Errata) -> tuple[Clip, Path | None]:
    issues = [Issue("empty_cell", name) for name in ("subject", "clip") if not row.cells[name]]
    owner = release.folder_of(row.cells["subject"])
    subject, name, folder, numbers = safe_name(owner), safe_name(row.cells["clip"]), None, _NO_NUMBERS
    try:
        home = release.tree.folder(release.part, owner, unpadded)
        subject = safe_name(home.name)
        folder = release.tree.folder(home, row.cells.get("folder", row.cells["clip"]), release.clip_key)
        if "folder" not in row.cells:
            name = safe_name(folder.name)
        numbers = release.tree.frames(folder)
    except ClipRejectedError as error:
        issues.append(error.issue)
    subject, name = subject or "unknown", name or "unnamed"
    # What lies behind a link out of the root is not even named: somebody would list it.
    unsafe = any(issue.code == "unsafe_path" for issue in issues)
    source = folder or (release.part if unsafe else release.part / subject / name)
    corrected = errata.apply(subject, name, texts(row), numbers)
    frames, unreadable = frame_numbers(corrected.values, corrected.fields)
    clip = Clip(
        clip_id=f"{subject}/{name}",
        database=release.database,
        subject=subject,
        source=source.as_posix(),
        fps=release.fps,
        emotion=corrected.values.get("emotion", "").lower(),
        action_units=corrected.values.get("action_units", ""),
        corrected=",".join(corrected.fields),
        **frames,  # type: ignore[arg-type]  # the keys are the fields of frame numbers
    )
    issues += [*corrected.issues, *unreadable, *(off_disk(clip, numbers) if numbers else ())]
    return replace(clip, issues=tuple(issues)), folder


def texts(row: Row) -> dict[str, str]:
    """The cells of a row that become fields of its clip."""
    return {name: row.cells[name] for name in (*FRAME_FIELDS, *_LABELS) if name in row.cells}


def frame_numbers(values: Mapping[str, str], corrected: Iterable[str]) -> tuple[dict[str, int | None], list[Issue]]:
    """Frame numbers from their texts, and an issue for each cell that is empty or cannot be read."""
    numbers, issues = {}, []
    for name, text in values.items():
        if name in FRAME_FIELDS:
            numbers[name] = sheets.frame_number(text)
        if text in _NOT_ANNOTATED and name not in corrected:
            issues.append(Issue("empty_cell", f"{name}: {text!r}" if text else name))
        elif name in FRAME_FIELDS and numbers[name] is None and text not in _NOT_ANNOTATED:
            issues.append(Issue("bad_cell", f"{name}: {text!r} is not a frame number"))
    return numbers, issues


# Clips of sheets whose rows name no folder of their own: expressions in longer recordings, folders in any place.

#: Cells that name a clip within its subject.
_NAMES = ("clip", "video", "count")


@dataclass(frozen=True)
class Place:
    """Where a row's frames are, or what forbids using them."""

    subject: str  # as the owner's folder writes it, safe in a path
    name: str  # of the clip, safe in a path
    source: Path
    issues: tuple[Issue, ...] = ()
    numbers: tuple[int, ...] = ()  # of the frames on disk


@dataclass(frozen=True)
class Maker:
    """Makes clips of one database.

    Parameters
    ----------
    database
        Configured name.
    errata
        Corrections to apply.
    fps
        Frames per second; ``None`` if the owners do not say.
    recordings
        Whether a source holds more than the clip, so that ``first`` and ``last`` have to bound it.
    """

    database: str
    errata: Errata
    fps: float | None = None
    recordings: bool = False

    def clips(self, rows: Iterable[Row], place: Callable[[Row], Place]) -> tuple[tuple[Clip, ...], tuple[Note, ...]]:
        """A clip for each row, and a note for each that names none, such as a remark below the table."""
        clips, notes = [], []
        for row in rows:
            if any(row.cells.get(name) for name in (*_NAMES, "onset", "offset")):
                clips.append(self._clip(place(row), row))
            else:
                notes.append(Note("sheet", f"row {row.line} names no clip and was skipped"))
        return tuple(clips), tuple(notes)

    def _clip(self, place: Place, row: Row) -> Clip:
        empty = [Issue("empty_cell", name) for name in ("subject", *_NAMES) if row.cells.get(name) == ""]
        corrected = self.errata.apply(place.subject, place.name, texts(row), place.numbers)
        frames, unreadable = frame_numbers(corrected.values, corrected.fields)
        if self.recordings:
            frames |= bounds(frames)
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


def bounds(frames: Mapping[str, int | None]) -> dict[str, int | None]:
    """First and last frame of an expression in a longer recording.

    Onset to offset, or to the apex where no offset is marked. Where the marks contradict each other all of them
    are kept inside, so that the contradiction is reported instead of an empty clip.
    """
    onset, apex, offset = (frames.get(name) for name in ("onset", "apex", "offset"))
    if onset is not None and offset is not None and onset <= offset:
        return {"first": onset, "last": offset}
    marks = [mark for mark in (onset, apex, offset) if mark is not None]
    return {"first": min(marks, default=None), "last": max(marks, default=None)}


class FrameNumbers:
    """Frame numbers of folders, with the issue that says why there are none in place of an error."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __call__(self, folder: Path) -> tuple[tuple[int, ...], tuple[Issue, ...]]:
        """Frame numbers, and the issue that says why there are none."""
        try:
            return self._tree.frames(folder), ()
        except ClipRejectedError as error:
            return (), (error.issue,)
