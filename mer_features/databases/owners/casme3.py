"""Adapter for CAS(ME)^3, parts A and C; see ``docs/databases/casme3.md``.

Part A holds whole recordings, ``part_A/spNO.1/a/color/175.jpg``. The file names hold the frame numbers of the sheet.
A recording has several expressions; subject, video and onset together identify one. The same part is also released as
clips, ``Part_A_ME_clip/frame/spNo.1_a_355/355.jpg``. Part C is ``part_C/01/a/color/373.jpg``. The frame rate is 30
frames per second. The depth images are not read. Sources: the owners' repository, the paper, and public loading code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
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

FPS = 30.0


@dataclass(frozen=True)
class Part:
    """What one variant reads."""

    folders: tuple[str, ...]  # names of the folder that holds the part
    inner: re.Pattern[str]  # whole name of the folders directly inside it
    example: str
    sheet: re.Pattern[str]
    sheet_name: str
    title: str
    columns: dict[str, Column]
    place: Callable[[Tree, Path, Row], Place]
    published: tuple[Published, ...]


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Micro-expressions of the part's sheet, in the order of the rows.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the sheet and, directly or one level below, the folder of the part.
    options
        ``variant``: ``part_a`` (default), ``part_a_clips`` or ``part_c``; ``sheet``; ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet is missing, or the sheet cannot be read.
    """
    variant = adapter.variant(name, options, tuple(VARIANTS))
    part, tree = VARIANTS[variant], Tree(root)
    top = adapter.find_part(tree, part.folders, part.inner, f"frames like {part.example}")
    sheet, other_sheets = adapter.read_sheet(
        tree, options, part.sheet, part.columns, expected=part.sheet_name, subject=part.inner, titles=(part.title,)
    )
    is_clips = variant == "part_a_clips"
    builder = ClipBuilder(name, Errata("casme3", options.errata), FPS, recordings=not is_clips)
    clips, skipped = builder.clips(sheet.rows, partial(part.place, tree, top))
    folders = [top / folder for folder in tree.entries(top).folders] if is_clips else []
    unlisted = adapter.note_unlisted(clips, folders, top)
    notes = (sheet.note, *other_sheets, *skipped, *unlisted, *builder.errata.notes(), *tree.notes())
    return Listing(clips, notes, part.published)


def _in_part_a(tree: Tree, top: Path, row: Row) -> Place:
    cells = row.cells
    folders = (cells["subject"], cells["video"], "color")
    return _place(tree, top, folders, (cells["subject"], f"{cells['video']}_{cells['onset']}"))


def _in_clips(tree: Tree, top: Path, row: Row) -> Place:
    cells = row.cells
    folders = (f"{cells['subject']}_{cells['video']}_{cells['onset']}",)
    return _place(tree, top, folders, (cells["subject"], f"{cells['video']}_{cells['onset']}"))


def _in_part_c(tree: Tree, top: Path, row: Row) -> Place:
    """In this part a subject has one video, ``a``, and the expressions are numbered within the subject."""
    subject = row.cells["subject"]
    owner = f"{int(subject):02d}" if subject.isdecimal() else subject
    return _place(tree, top, (owner, "a", "color"), (owner, row.cells["count"]))


def _place(tree: Tree, top: Path, folders: tuple[str, ...], names: tuple[str, str]) -> Place:
    """Place of a clip from the folders that lead to its frames and from the names of its subject and of the clip."""
    subject, clip = (safe_name(name) or "unnamed" for name in names)
    folder, missing = adapter.source(tree, top, *folders, key=unpadded)
    if missing:
        return Place(subject, clip, folder, missing)
    if len(folders) > 1:
        subject = safe_name(folder.relative_to(top).parts[0])
    numbers, issues = adapter.frames_on_disk(tree, folder)
    return Place(subject, clip, folder, issues, numbers)


_SUBJECT_A = re.compile(r"spno\.?[0-9]+", re.IGNORECASE)
_COLUMNS_A = {
    "subject": Column(("Subject",)),
    "video": Column(("Filename",)),
    "onset": Column(("Onset",)),
    "apex": Column(("Apex",)),
    "offset": Column(("Offset",)),
    "action_units": Column(("AU",)),
    "emotion": Column(("emotion",)),
}
_SHEET_A = re.compile(r"cas\W*me\W*3[-_ ]part[-_ ]a[-_ ]me[-_ ]label.*v2.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
_NAME_A = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
_WORDS_A = {"disgust": 250, "surprise": 187, "others": 161, "fear": 86, "anger": 64, "sad": 57, "happy": 55}
_PUBLISHED_A = (Published("label_JpgIndex_v2", 860, 94, _WORDS_A),)

VARIANTS = {
    "part_a": Part(
        folders=("part_A",),
        inner=_SUBJECT_A,
        example="part_A/spNO.1/a/color/175.jpg",
        sheet=_SHEET_A,
        sheet_name=_NAME_A,
        title="label",
        columns=_COLUMNS_A,
        place=_in_part_a,
        published=_PUBLISHED_A,
    ),
    "part_a_clips": Part(
        folders=("frame",),
        inner=re.compile(r"spno\.?[0-9]+_[a-z]_[0-9]+", re.IGNORECASE),
        example="Part_A_ME_clip/frame/spNo.1_a_355/355.jpg",
        sheet=_SHEET_A,
        sheet_name=_NAME_A,
        title="label",
        columns=_COLUMNS_A,
        place=_in_clips,
        published=_PUBLISHED_A,
    ),
    "part_c": Part(
        folders=("part_C",),
        inner=re.compile(r"[0-9]{1,3}"),
        example="part_C/01/a/color/373.jpg",
        sheet=re.compile(r"cas\W*me\W*3[-_ ]part[-_ ]c[-_ ]me.*\.(?:xlsx|xls|csv)", re.IGNORECASE),
        sheet_name="CAS(ME)3_part_C_ME.xlsx",
        title="mockCrimeME",
        columns={
            "subject": Column(("sub",)),
            "count": Column(("count",)),
            "onset": Column(("onset",)),
            "offset": Column(("offset",)),
            "action_units": Column(("au",)),
            "emotion": Column(("emotion",)),
        },
        place=_in_part_c,
        published=(Published("part_C_ME", 165, 30, {"negative": 99, "surprise": 30, "others": 20, "positive": 16}),),
    ),
}
