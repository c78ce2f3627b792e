"""SAMM micro-expressions as Manchester Metropolitan University distributes them; see ``docs/databases/samm.md``.

Facts about the release come from the papers that use it and public loading code: 200 frames per second, grey,
``006/006_1_2/006_05562.jpg`` with the sheet's numbers in the file names, 29 subjects with micro-expressions.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import Release
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree
from mer_features.databases.listing import Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column

FPS = 200.0
_SUBJECT = re.compile(r"[0-9]{1,3}")
#: Names of each variant's folder; some copies have the raw subjects straight under the root.
VARIANTS = {"raw": ("SAMM",), "cropped": ("SAMM_CROP", "SAMM_cropped")}
_SHEET = re.compile(r"samm[-_ ]micro[-_ ]facs[-_ ]codes.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
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
    """Clips of the sheet of micro-expressions, in its order.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder with the frames' folder (or the subjects' folders) and the sheet.
    options
        ``variant``: ``raw`` (default) or ``cropped``; ``sheet``: default is the one found; ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet missing, or the sheet cannot be read.
    """
    tree = Tree(root)
    variant = adapter.variant(name, options, tuple(VARIANTS))
    searches = {key: partial(tree.search, names, _SUBJECT, takes_root=key == "raw") for key, names in VARIANTS.items()}
    part, beside = adapter.part_of(
        tree, searches, variant, f"a folder {VARIANTS[variant][0]} with the subjects' folders (006, 007, ...)"
    )
    path, notes = sheets.choose(tree, options.sheet, _SHEET, expected="SAMM_Micro_FACS_Codes_v2.xlsx", subject=_SUBJECT)
    sheet = sheets.read(path, COLUMNS, titles=("MICRO_ONLY",))
    release = Release(name, tree, part, _SUBJECT, _folder_of, FPS)
    listing = adapter.read(release, sheet.rows, Errata("samm", options.errata))
    return Listing(listing.clips, (Note("sheet", f"read {sheet.label}"), *beside, *notes, *listing.notes), PUBLISHED)


def _folder_of(subject: str) -> str:
    return f"{int(subject):03d}" if re.fullmatch("[0-9]{1,3}", subject) else subject
