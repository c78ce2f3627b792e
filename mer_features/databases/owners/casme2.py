"""Adapter for CASME II; see ``docs/databases/casme2.md``.

Frames are in ``sub01/EP02_01f/img46.jpg``; the file names hold the frame numbers of the sheet. There are 26 subjects,
recorded at 200 frames per second. Sources: the owners' page, the papers that use the database, and public loading
code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mer_features.databases import adapter
from mer_features.databases.adapter import Release
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree
from mer_features.databases.listing import Listing, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row

FPS = 200.0
_SUBJECT = re.compile(r"sub[0-9]{1,3}", re.IGNORECASE)
#: Names of the folder of each variant, in the release and in copies.
VARIANTS = {
    "raw_selected": ("CASME2_RAW_selected", "RAW_selected"),
    "cropped": ("Cropped", "Cropped_original", "Cropped-updated", "CASME2_Cropped"),
    "raw": ("CASME2-RAW", "RAW"),
}
_SHEET = re.compile(
    r"casme[-_ ]?(?:2|ii)[-_ ](?:coding|label[-_ ]ver)[-_ ]?(?:[0-9]+|updated).*\.(?:xlsx|xls|csv)", re.IGNORECASE
)
COLUMNS = {
    "subject": Column(("Subject",)),
    "clip": Column(("Filename",)),
    "onset": Column(("OnsetFrame", "OnsetF")),
    "apex": Column(("ApexFrame", "ApexF")),
    "offset": Column(("OffsetFrame", "OffsetF")),
    "action_units": Column(("Action Units",)),
    "emotion": Column(("Estimated Emotion",)),
}
#: A clip that is on disk but in no public sheet. The values are from a sheet of 256 rows that two public repositories
#: use. Its action units are unknown.
_UNLISTED = {
    "subject": "24",
    "clip": "EP02_07",
    "onset": "61",
    "apex": "91",
    "offset": "106",
    "action_units": "",
    "emotion": "disgust",
}
_WORDS = {"others": 99, "disgust": 63, "happiness": 32, "surprise": 25, "repression": 27, "sadness": 7, "fear": 2}
_EDITIONS = {"sheet of 2014": _WORDS, "sheet of 2019": _WORDS | {"surprise": 28, "sadness": 4}}
_folder_of = partial(adapter.numbered_folder, "sub{:02d}")
PUBLISHED = (
    *(Published(name, 255, 26, words) for name, words in _EDITIONS.items()),
    *(Published(f"{name} with sub24/EP02_07", 256, 26, words | {"disgust": 64}) for name, words in _EDITIONS.items()),
)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Clips of the annotation sheet, in its order.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the folder of frames and the sheet.
    options
        ``variant``: ``raw_selected`` (default), ``cropped`` or ``raw``; ``sheet``: default is the newest one;
        ``errata``; ``unlisted`` adds sub24/EP02_07.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet is missing, or the sheet cannot be read.
    """
    tree = Tree(root)
    variant = adapter.variant(name, options, tuple(VARIANTS))
    searches = {key: partial(tree.search, names, _SUBJECT) for key, names in VARIANTS.items()}
    part, other_parts = adapter.choose_part(
        tree, searches, variant, f"a folder {VARIANTS[variant][0]} with the subjects' folders (sub01, sub02, ...)"
    )
    sheet, other_sheets = adapter.read_sheet(
        tree, options, _SHEET, COLUMNS, expected="CASME2-coding-20190701.xlsx", subject=_SUBJECT
    )
    release = Release(name, tree, part, _SUBJECT, _folder_of, FPS)
    rows = (*sheet.rows, *_unlisted(sheet.rows, options))
    listing = adapter.read_release(release, rows, Errata("casme2", options.errata))
    return Listing(listing.clips, (sheet.note, *other_parts, *other_sheets, *listing.notes), PUBLISHED)


def _unlisted(rows: Sequence[Row], options: OwnerDatabase) -> list[Row]:
    """The row that only a sheet of 256 rows has, if it is configured and the sheet lacks it."""
    listed = {(_folder_of(row.cells["subject"]).lower(), row.cells["clip"].lower()) for row in rows}
    missing = (_folder_of(_UNLISTED["subject"]), _UNLISTED["clip"].lower()) not in listed
    return [Row(rows[-1].line + 1, _UNLISTED)] if options.unlisted and missing else []
