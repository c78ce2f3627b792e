"""Clips of a sheet whose rows each name the folder of one clip: what CASME II, SAMM and SMIC-E have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mer_features.clips import Clip
from mer_features.databases import sheets
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, off_disk, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note
from mer_features.databases.sheets import Row
from mer_features.databases.table import safe_name
from mer_features.quality import ClipRejectedError, Issue

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
