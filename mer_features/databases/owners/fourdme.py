"""Adapter for 4DME, its grey micro-expression videos; see ``docs/databases/4dme.md``.

``gray_micro/<sub_ID>/<fold_name>/...``, in another release ``micro_short_gray_video/<SubID>/<fold>/
Frame_000000123.jpg``. The sheet names both folders. How its frame numbers relate to the file names is not known from
public sources: they are taken as the same, and each that has no file is reported. Source: public loading code.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import FrameNumbers, Maker, Place
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row
from mer_features.databases.table import safe_name

VARIANTS = ("gray_micro", "micro_short_gray_video")
_SHEET = re.compile(r"4dme[-_ ]label.*micro.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
#: Folders in which no sheet is looked for.
_FRAMES = re.compile("|".join(VARIANTS), re.IGNORECASE)
COLUMNS = {
    "subject": Column(("sub_ID", "SubID")),
    "clip": Column(("fold_name",)),
    "onset": Column(("Onset",)),
    "apex": Column(("Apex",)),
    "offset": Column(("Offset",)),
    "action_units": Column(("AUs",)),
    "emotion": Column(("Emotion",)),
}
#: Rows that a public loader reads; labels have not been counted in public.
PUBLISHED = (Published("public loader", 267),)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Micro-expressions of the sheet, in its order.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder with the variant's folder and the sheet.
    options
        ``variant``: ``gray_micro`` or ``micro_short_gray_video``, by default the one that is there; ``sheet``;
        ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet missing, or the sheet cannot be read.
    """
    tree = Tree(root)
    top = adapter.descend(tree, _variant(name, tree, options))
    expected = "4DME_Labelling_Micro_release v1.xlsx"
    path, notes = sheets.choose(tree, options.sheet, _SHEET, expected=expected, subject=_FRAMES)
    sheet = sheets.read(path, COLUMNS)
    maker, frame_numbers = Maker(name, Errata("4dme", options.errata)), FrameNumbers(tree)
    clips, skipped = maker.clips(sheet.rows, partial(_place, tree, top, frame_numbers))
    listed = {clip.source for clip in clips}
    on_disk = [
        top / subject / clip for subject in tree.entries(top).folders for clip in tree.entries(top / subject).folders
    ]
    unlisted = [tree.shown(folder) for folder in on_disk if folder.as_posix() not in listed]
    more = adapter.counted("unlisted_folder", "clips have no row in the sheet", unlisted)
    remarks = (Note("sheet", f"read {sheet.label}"), *notes, *skipped, *more, *maker.errata.notes(), *tree.notes())
    return Listing(clips, remarks, PUBLISHED)


def _variant(name: str, tree: Tree, options: OwnerDatabase) -> str:
    """The configured release, else the one that is there, else the first."""
    there = {folder.casefold() for folder in tree.entries(tree.root).folders}
    found = [] if options.variant else [variant for variant in VARIANTS if variant in there]
    return found[0] if found else adapter.variant(name, options, VARIANTS)


def _place(tree: Tree, top: Path, frame_numbers: FrameNumbers, row: Row) -> Place:
    subject, clip = row.cells["subject"], row.cells["clip"]
    folder, issues = adapter.source(tree, top, subject, clip, key=unpadded)
    numbers, found = ((), ()) if issues else frame_numbers(folder)
    return Place(safe_name(folder.parent.name), safe_name(folder.name), folder, (*issues, *found), numbers)
