"""Adapter for CAS(ME)^3, parts A and C; see ``docs/databases/casme3.md``.

Part A: ``part_A/spNO.1/a/color/175.jpg`` are whole recordings, the file number is the sheet's, and one recording
holds several expressions; subject, video and onset together name one. The clip release of the same part is
``Part_A_ME_clip/frame/spNo.1_a_355/355.jpg``. Part C: ``part_C/01/a/color/373.jpg``. 30 frames per second. Sources:
the owners' repository, the paper, public loading code. The depth images are not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import FrameNumbers, Maker, Place
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row
from mer_features.databases.table import safe_name

FPS = 30.0


@dataclass(frozen=True)
class Part:
    """What one variant reads."""

    folders: tuple[str, ...]  # names of the folder that holds it
    inner: re.Pattern[str]  # what lies right below
    example: str
    sheet: re.Pattern[str]
    sheet_name: str
    title: str
    columns: dict[str, Column]
    place: Callable[[Tree, Path, FrameNumbers, Row], Place]
    published: tuple[Published, ...]


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Micro-expressions of the part's sheet, in its order.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder with the part's folder in it or one level below, and the sheet.
    options
        ``variant``: ``part_a`` (default), ``part_a_clips`` or ``part_c``; ``sheet``; ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet missing, or the sheet cannot be read.
    """
    variant = adapter.variant(name, options, tuple(VARIANTS))
    part, tree = VARIANTS[variant], Tree(root)
    found = tree.search(part.folders, part.inner, depth=2)
    if not found:
        raise DatabaseError(f"{root}: expected frames like {part.example}; found there: {tree.contents()}")
    path, notes = sheets.choose(tree, options.sheet, part.sheet, expected=part.sheet_name, subject=part.inner)
    sheet = sheets.read(path, part.columns, titles=(part.title,))
    maker = Maker(name, Errata("casme3", options.errata), FPS, recordings=variant != "part_a_clips")
    frame_numbers = FrameNumbers(tree)
    clips, skipped = maker.clips(sheet.rows, partial(part.place, tree, found[0], frame_numbers))
    unlisted = _unlisted(tree, found[0], clips) if variant == "part_a_clips" else ()
    remarks = (*notes, *skipped, *unlisted, *maker.errata.notes(), *tree.notes())
    return Listing(clips, (Note("sheet", f"read {sheet.label}"), *remarks), part.published)


def _unlisted(tree: Tree, top: Path, clips: tuple[Clip, ...]) -> tuple[Note, ...]:
    listed = {clip.source for clip in clips}
    folders = [folder for folder in tree.entries(top).folders if (top / folder).as_posix() not in listed]
    return adapter.counted("unlisted_folder", "clips have no row in the sheet", folders)


def _in_part_a(tree: Tree, top: Path, frame_numbers: FrameNumbers, row: Row) -> Place:
    cells = row.cells
    way = (cells["subject"], cells["video"], "color")
    return _place(tree, top, way, (cells["subject"], f"{cells['video']}_{cells['onset']}"), frame_numbers)


def _in_clips(tree: Tree, top: Path, frame_numbers: FrameNumbers, row: Row) -> Place:
    cells = row.cells
    way = (f"{cells['subject']}_{cells['video']}_{cells['onset']}",)
    return _place(tree, top, way, (cells["subject"], f"{cells['video']}_{cells['onset']}"), frame_numbers)


def _in_part_c(tree: Tree, top: Path, frame_numbers: FrameNumbers, row: Row) -> Place:
    """The owners' only video of a subject in this part is ``a``; expressions are numbered within a subject."""
    subject = row.cells["subject"]
    owner = f"{int(subject):02d}" if subject.isdecimal() else subject
    return _place(tree, top, (owner, "a", "color"), (owner, row.cells["count"]), frame_numbers)


def _place(tree: Tree, top: Path, way: tuple[str, ...], names: tuple[str, str], frame_numbers: FrameNumbers) -> Place:
    """Place of a clip: the folders on the way to its frames, and the names of its subject and of itself."""
    subject, clip = (safe_name(name) or "unnamed" for name in names)
    folder, issues = adapter.source(tree, top, *way, key=unpadded)
    if issues:
        return Place(subject, clip, folder, issues)
    if len(way) > 1:
        subject = safe_name(folder.relative_to(top).parts[0])
    numbers, found = frame_numbers(folder)
    return Place(subject, clip, folder, found, numbers)


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
