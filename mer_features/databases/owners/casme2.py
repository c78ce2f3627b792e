"""CASME II as the Chinese Academy of Sciences distributes it; see ``docs/databases/casme2.md``.

Facts about the release come from the owners' page, the papers that use it and public loading code: 200 frames per
second, ``sub01/EP02_01f/img46.jpg`` with the sheet's numbers in the file names, 26 subjects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import Release
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree
from mer_features.databases.listing import Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row

FPS = 200.0
_SUBJECT = re.compile(r"sub[0-9]{1,3}", re.IGNORECASE)
#: Names of each variant's folder as released and as seen in copies.
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
#: Frames on disk, a row in no public sheet; these values are those of a sheet of 256 rows that two public
#: repositories build on. Its action units are unknown.
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
        Folder with the frames' folder and the sheet.
    options
        ``variant``: ``raw_selected`` (default), ``cropped`` or ``raw``; ``sheet``: default is the newest found;
        ``errata``; ``unlisted`` adds sub24/EP02_07.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet missing, or the sheet cannot be read.
    """
    tree = Tree(root)
    variant = adapter.variant(name, options, tuple(VARIANTS))
    searches = {key: partial(tree.search, names, _SUBJECT) for key, names in VARIANTS.items()}
    part, beside = adapter.part_of(
        tree, searches, variant, f"a folder {VARIANTS[variant][0]} with the subjects' folders (sub01, sub02, ...)"
    )
    path, notes = sheets.choose(tree, options.sheet, _SHEET, expected="CASME2-coding-20190701.xlsx", subject=_SUBJECT)
    sheet = sheets.read(path, COLUMNS)
    release = Release(name, tree, part, _SUBJECT, _folder_of, FPS)
    listing = adapter.read(release, (*sheet.rows, *_unlisted(sheet.rows, options)), Errata("casme2", options.errata))
    return Listing(listing.clips, (Note("sheet", f"read {sheet.label}"), *beside, *notes, *listing.notes), PUBLISHED)


def _unlisted(rows: Sequence[Row], options: OwnerDatabase) -> list[Row]:
    """The row that only a sheet of 256 rows has, if asked for and not there."""
    known = {(_folder_of(row.cells["subject"]).lower(), row.cells["clip"].lower()) for row in rows}
    wanted = options.unlisted and (_folder_of(_UNLISTED["subject"]), _UNLISTED["clip"].lower()) not in known
    return [Row(rows[-1].line + 1, _UNLISTED)] if wanted else []


def _folder_of(subject: str) -> str:
    return f"sub{int(subject):02d}" if re.fullmatch("[0-9]{1,3}", subject) else subject
