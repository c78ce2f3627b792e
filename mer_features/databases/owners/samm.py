"""Adapter for the micro-expressions of SAMM; see ``docs/databases/samm.md``.

Frames are in ``006/006_1_2/006_05562.jpg``, in grey; the file names hold the frame numbers of the sheet. There are 29
subjects with micro-expressions, recorded at 200 frames per second. Sources: the papers that use the database and
public loading code.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from mer_features.databases import adapter
from mer_features.databases.adapter import Release
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree
from mer_features.databases.listing import Listing, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column

FPS = 200.0
_SUBJECT = re.compile(r"[0-9]{1,3}")
#: Names of the folder of each variant. Some copies have the raw subjects directly under the root.
VARIANTS = {"raw": ("SAMM",), "cropped": ("SAMM_CROP", "SAMM_cropped")}
SHEET = re.compile(r"samm[-_ ]micro[-_ ]facs[-_ ]codes.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
COLUMNS = {
    "subject": Column(("Subject",)),
    "clip": Column(("Filename",)),
    "onset": Column(("Onset Frame",)),
    "apex": Column(("Apex Frame",)),
    "offset": Column(("Offset Frame",)),
    "action_units": Column(("Action Units",)),
    "emotion": Column(("Estimated Emotion",)),
}
_WORDS = {
    "anger": 57, "other": 26, "happiness": 26, "surprise": 15, "contempt": 12, "disgust": 9, "fear": 8, "sadness": 6,
}  # fmt: skip
PUBLISHED = (Published("Micro_FACS_Codes_v2", 159, 29, _WORDS),)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Clips of the sheet of micro-expressions, in the order of the rows.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the folder of frames (or the folders of the subjects) and the sheet.
    options
        ``variant``: ``raw`` (default) or ``cropped``; ``sheet``; ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet is missing, or the sheet cannot be read.
    """
    tree = Tree(root)
    variant = adapter.variant(name, options, tuple(VARIANTS))
    searches = {key: partial(tree.search, names, _SUBJECT, takes_root=key == "raw") for key, names in VARIANTS.items()}
    part, other_parts = adapter.choose_part(
        tree, searches, variant, f"a folder {VARIANTS[variant][0]} with the subjects' folders (006, 007, ...)"
    )
    expected = "SAMM_Micro_FACS_Codes_v2.xlsx"
    sheet, other_sheets = adapter.read_sheet(
        tree, options, SHEET, COLUMNS, expected=expected, subject=_SUBJECT, titles=("MICRO_ONLY",)
    )
    release = Release(name, tree, part, _SUBJECT, partial(adapter.numbered_folder, "{:03d}"), FPS)
    listing = adapter.read_release(release, sheet.rows, Errata("samm", options.errata))
    return Listing(listing.clips, (sheet.note, *other_parts, *other_sheets, *listing.notes), PUBLISHED)
