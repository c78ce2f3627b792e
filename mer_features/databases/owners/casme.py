"""Adapter for CASME, the database of 2013; see ``docs/databases/casme.md``.

``CASME_raw_selected/sub01/<Filename>/<Filename>-<frame>.jpg``, crops in ``Cropped/sub01/<Filename>/reg_...``. The
original shape is ``RAW/CASME_A/Section A/sub07/EP01_6`` and ``RAW/CASME_B/Section B/...``, with a workbook for each
section. 60 frames per second. Sources: the owners' page, public loading code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError
from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import FrameNumbers, Maker, Place
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row
from mer_features.databases.table import safe_name

FPS = 60.0
#: Names of the folders that hold each variant's subjects; of ``sections`` both are read.
VARIANTS = {
    "raw_selected": ("CASME_raw_selected",),
    "cropped": ("Cropped",),
    "sections": ("Section A", "Section B"),
}
_SUBJECT = re.compile(r"sub[0-9]{1,3}", re.IGNORECASE)
_SECTION = re.compile(r"section[-_ ]*([ab])\.(?:xlsx|xls|csv)", re.IGNORECASE)
#: What a sheet of both sections together is called is not known; "CASME2..." is another database's.
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
#: The owners count 195 clips; the sheet of a public loader has 189 rows. Labels have not been counted in public.
PUBLISHED = (Published("owners' page", 195, 19), Published("public loader", 189, 19))


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Clips of the sheet or of both sections' sheets, in their order.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder with the frames' folders and the sheets.
    options
        ``variant``: ``raw_selected``, ``sections`` (by default the first of these that is there) or ``cropped``;
        ``sheet``: one to read instead of those found; ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folders or the sheet missing, or a sheet cannot be read.
    """
    tree = Tree(root)
    parts = _parts(name, tree, options)
    paths, remarks = _sheets(tree, options.sheet)
    maker, frame_numbers = Maker(name, Errata("casme", options.errata), FPS), FrameNumbers(tree)
    clips: list[Clip] = []
    notes: list[Note] = []
    second: list[str] = []
    for path in paths:
        sheet = sheets.read(path, COLUMNS)
        found_clips, skipped = maker.clips(sheet.rows, partial(_place, tree, parts, frame_numbers))
        clips += found_clips
        notes += [Note("sheet", f"read {sheet.label}"), *skipped]
        second += [row.cells["clip"] for row in sheet.rows if row.cells.get("apex2", "").isdigit()]
    notes += adapter.counted("sheet", "clips have a second apex (ApexF2), which is not read", second)
    listed = {clip.source for clip in clips}
    unlisted = [tree.shown(folder) for folder in _on_disk(tree, parts) if folder.as_posix() not in listed]
    notes += adapter.counted("unlisted_folder", "clips have no row in a sheet", unlisted)
    return Listing(tuple(clips), (*notes, *remarks, *maker.errata.notes(), *tree.notes()), PUBLISHED)


def _parts(name: str, tree: Tree, options: OwnerDatabase) -> list[Path]:
    """Folders that hold the subjects: of the configured variant, else of the first raw one that is there."""
    variants = [adapter.variant(name, options, tuple(VARIANTS))] if options.variant else ["raw_selected", "sections"]
    for variant in variants:
        parts = [found[0] for wanted in VARIANTS[variant] if (found := tree.search((wanted,), _SUBJECT))]
        if parts:
            return parts
    folders = " or ".join(folder for variant in variants for folder in VARIANTS[variant])
    hint = (
        ""
        if "cropped" in variants or not tree.search(VARIANTS["cropped"], _SUBJECT)
        else ("; `variant: cropped` would be found")
    )
    expected = f"a folder {folders} with the subjects' folders (sub01, sub02, ...)"
    raise DatabaseError(f"{tree.root}: expected {expected}; found there: {tree.contents()}{hint}")


def _sheets(tree: Tree, option: Path | None) -> tuple[list[Path], tuple[Note, ...]]:
    """The configured sheet, else the sections' sheets, else the one of both together."""
    sections: dict[str, Path] = {}
    # A section's .xls comes before a copy saved in a form that needs no further package, which then replaces it.
    for path in sorted(tree.files(_SECTION, _SUBJECT), key=lambda found: found.suffix.lower() != ".xls"):
        if match := _SECTION.fullmatch(path.name):
            sections[match[1].lower()] = path
    if option is None and sections:
        return [sections[letter] for letter in sorted(sections)], ()
    path, notes = sheets.choose(tree, option, _SHEET, expected="Section A.xls", subject=_SUBJECT)
    return [path], notes


def _on_disk(tree: Tree, parts: Sequence[Path]) -> list[Path]:
    subjects = [part / name for part in parts for name in tree.entries(part).folders if _SUBJECT.fullmatch(name)]
    return [subject / clip for subject in subjects for clip in tree.entries(subject).folders]


def _place(tree: Tree, parts: Sequence[Path], frame_numbers: FrameNumbers, row: Row) -> Place:
    """The clip's folder in the first part that has it, else what forbids using it in the last."""
    subject, clip = row.cells["subject"], row.cells["clip"]
    owner = f"sub{int(subject):02d}" if re.fullmatch("[0-9]{1,3}", subject) else subject
    for part in parts:
        try:
            home = tree.folder(part, owner, unpadded)
            folder = tree.folder(home, clip)
        except ClipRejectedError as error:
            issue = error.issue
            continue
        numbers, found = frame_numbers(folder)
        return Place(safe_name(home.name), safe_name(folder.name), folder, found, numbers)
    names = safe_name(owner) or "unknown", safe_name(clip) or "unnamed"
    return Place(*names, parts[-1].joinpath(*names), (issue,))
