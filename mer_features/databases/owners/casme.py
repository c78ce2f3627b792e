"""Adapter for CASME, the database of 2013; see ``docs/databases/casme.md``.

Frames are in ``CASME_raw_selected/sub01/<Filename>/<Filename>-<frame>.jpg``, face crops in
``Cropped/sub01/<Filename>/reg_...``. The original layout is ``RAW/CASME_A/Section A/sub07/EP01_6`` and
``RAW/CASME_B/Section B/...``, with one workbook per section. The frame rate is 60 frames per second. Sources: the
owners' page and public loading code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError
from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import ClipBuilder, Place
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row
from mer_features.databases.table import safe_name

FPS = 60.0
#: Names of the folders that hold the subjects of each variant. Both folders of ``sections`` are read.
VARIANTS = {
    "raw_selected": ("CASME_raw_selected",),
    "cropped": ("Cropped",),
    "sections": ("Section A", "Section B"),
}
_SUBJECT = re.compile(r"sub[0-9]{1,3}", re.IGNORECASE)
_SECTION = re.compile(r"section[-_ ]*([ab])\.(?:xlsx|xls|csv)", re.IGNORECASE)
#: The name of a sheet for both sections is not known. "CASME2..." belongs to another database.
_SHEET = re.compile(r"casme(?![-_ ]*(?:2|3|ii|sq)).*\.(?:xlsx|xls|csv)", re.IGNORECASE)
COLUMNS = {
    "subject": Column(("Subject",)),
    "clip": Column(("Filename",)),
    "onset": Column(("OnsetF", "OnsetFrame")),
    "apex": Column(("ApexF1", "ApexF", "ApexFrame")),
    "apex2": Column(("ApexF2",), needed=False),
    "offset": Column(("OffsetF", "OffsetFrame")),
    "action_units": Column(("AU", "AUs", "Action Units")),
    "emotion": Column(("Emotion", "Estimated Emotion")),
}
#: The owners report 195 clips; the sheet of a public loader has 189 rows. No counts per label are published.
PUBLISHED = (Published("owners' page", 195, 19), Published("public loader", 189, 19))


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Clips of the sheet, or of the sheets of both sections, in the order of the rows.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the folders of frames and the sheets.
    options
        ``variant``: ``raw_selected``, ``sections`` (default: the first of these two that is there) or ``cropped``;
        ``sheet``: a sheet to read instead of those that are there; ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folders or the sheet are missing, or a sheet cannot be read.
    """
    tree = Tree(root)
    parts = _parts(name, tree, options)
    paths, others = _sheets(tree, options.sheet)
    builder = ClipBuilder(name, Errata("casme", options.errata), FPS)
    clips: list[Clip] = []
    notes: list[Note] = []
    second_apex: list[str] = []
    for path in paths:
        sheet = sheets.read(path, COLUMNS)
        sheet_clips, skipped = builder.clips(sheet.rows, partial(_place, tree, parts))
        clips += sheet_clips
        notes += [sheet.note, *skipped]
        second_apex += [row.cells["clip"] for row in sheet.rows if row.cells.get("apex2", "").isdigit()]
    notes += adapter.note_count("sheet", "clips have a second apex (ApexF2), which is not read", second_apex)
    folders = [folder for part in parts for folder in adapter.clip_folders(tree, part, _SUBJECT)]
    notes += adapter.note_unlisted(clips, folders, root, "clips have no row in a sheet")
    return Listing(tuple(clips), (*notes, *others, *builder.errata.notes(), *tree.notes()), PUBLISHED)


def _parts(name: str, tree: Tree, options: OwnerDatabase) -> list[Path]:
    """Folders that hold the subjects of the configured variant, or of the first raw variant that is there."""
    variants = [adapter.variant(name, options, tuple(VARIANTS))] if options.variant else ["raw_selected", "sections"]
    for variant in variants:
        matches = [tree.search((folder,), _SUBJECT) for folder in VARIANTS[variant]]
        parts = [folders[0] for folders in matches if folders]
        if parts:
            return parts
    names = " or ".join(folder for variant in variants for folder in VARIANTS[variant])
    cropped = "cropped" not in variants and tree.search(VARIANTS["cropped"], _SUBJECT)
    hint = "; `variant: cropped` would be found" if cropped else ""
    expected = f"a folder {names} with the subjects' folders (sub01, sub02, ...)"
    raise DatabaseError(f"{tree.root}: expected {expected}; found there: {tree.contents()}{hint}")


def _sheets(tree: Tree, option: Path | None) -> tuple[list[Path], tuple[Note, ...]]:
    """The configured sheet, or the sheets of the sections, or the sheet of both; with notes on other candidates."""
    sections: dict[str, Path] = {}
    # The .xls of a section comes first. A copy in a format that needs no further package then replaces it.
    for path in sorted(tree.files(_SECTION, _SUBJECT), key=lambda path: path.suffix.lower() != ".xls"):
        if match := _SECTION.fullmatch(path.name):
            sections[match[1].lower()] = path
    if option is None and sections:
        return [sections[letter] for letter in sorted(sections)], ()
    path, notes = sheets.choose(tree, option, _SHEET, expected="Section A.xls", subject=_SUBJECT)
    return [path], notes


def _place(tree: Tree, parts: Sequence[Path], row: Row) -> Place:
    """The clip's folder in the first part that has it; if none has it, the issue found in the last part."""
    clip = row.cells["clip"]
    owner = adapter.numbered_folder("sub{:02d}", row.cells["subject"])
    for part in parts:
        try:
            home = tree.folder(part, owner, unpadded)
            folder = tree.folder(home, clip)
        except ClipRejectedError as error:
            issue = error.issue
            continue
        numbers, issues = adapter.frames_on_disk(tree, folder)
        return Place(safe_name(home.name), safe_name(folder.name), folder, issues, numbers)
    names = safe_name(owner) or "unknown", safe_name(clip) or "unnamed"
    return Place(*names, parts[-1].joinpath(*names), (issue,))
