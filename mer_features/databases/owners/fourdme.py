"""Adapter for the grey micro-expression videos of 4DME; see ``docs/databases/4dme.md``.

Frames are in ``gray_micro/<sub_ID>/<fold_name>/...``; in another release they are in
``micro_short_gray_video/<SubID>/<fold>/Frame_000000123.jpg``. The sheet names both folders. Public sources do not say
how its frame numbers relate to the file names. They are assumed to be the same, and a number without a file is
reported. Source: public loading code.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from mer_features.databases import adapter
from mer_features.databases.adapter import ClipBuilder, Place
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import Listing, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row
from mer_features.databases.table import safe_name

VARIANTS = ("gray_micro", "micro_short_gray_video")
_SHEET = re.compile(r"4dme[-_ ]label.*micro.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
#: Folders that are not searched for the sheet.
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
#: Rows that a public loader reads. No counts per label are published.
PUBLISHED = (Published("public loader", 267),)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Micro-expressions of the sheet, in the order of the rows.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the folder of the variant and the sheet.
    options
        ``variant``: ``gray_micro`` or ``micro_short_gray_video`` (default: the one that is there); ``sheet``;
        ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet is missing, or the sheet cannot be read.
    """
    tree = Tree(root)
    top = adapter.descend(tree, _variant(name, tree, options))
    expected = "4DME_Labelling_Micro_release v1.xlsx"
    sheet, other_sheets = adapter.read_sheet(tree, options, _SHEET, COLUMNS, expected=expected, subject=_FRAMES)
    builder = ClipBuilder(name, Errata("4dme", options.errata))
    clips, skipped = builder.clips(sheet.rows, partial(_place, tree, top))
    unlisted = adapter.note_unlisted(clips, adapter.clip_folders(tree, top), root)
    notes = (sheet.note, *other_sheets, *skipped, *unlisted, *builder.errata.notes(), *tree.notes())
    return Listing(clips, notes, PUBLISHED)


def _variant(name: str, tree: Tree, options: OwnerDatabase) -> str:
    """The configured release, or the first one that is there, or the first known one."""
    folders = {folder.casefold() for folder in tree.entries(tree.root).folders}
    present = [] if options.variant else [variant for variant in VARIANTS if variant in folders]
    return present[0] if present else adapter.variant(name, options, VARIANTS)


def _place(tree: Tree, top: Path, row: Row) -> Place:
    folder, numbers, issues = adapter.source_frames(tree, top, row.cells["subject"], row.cells["clip"], key=unpadded)
    return Place(safe_name(folder.parent.name), safe_name(folder.name), folder, issues, numbers)
