"""Adapter for MMEW; see ``docs/databases/mmew.md``.

Three layouts are in use: ``Micro_Expression/<emotion>/S03-01-002/1.jpg``,
``Micro_Expression/S03/<emotion>/S03-01-002/1.jpg`` and ``Micro_Expression/S03-01-002/1.jpg``. The files are numbered
from the onset, which is always frame 1. The frame rate is 90 frames per second. Sources: the owners' page and public
loading code.

The macro-expressions, ``Macro_Expression/S03/happiness/S03-01-001.jpg``, are single images. They are listed, with the
image file as source. The variant is declared as one of still images (:mod:`mer_features.databases.options`): the single
frame of such a clip is its onset and its apex, and nothing is measured between frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mer_features.core.clips import IMAGE_SUFFIXES, Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter
from mer_features.databases.adapter import ClipBuilder, Place
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row
from mer_features.databases.table import safe_name

FPS = 90.0
VARIANTS = {"micro": "Micro_Expression", "macro": "Macro_Expression"}
_SUBJECT = re.compile(r"S[0-9]{1,3}", re.IGNORECASE)
_CLIP = re.compile(r"S[0-9]{1,3}-[0-9]+-[0-9]+", re.IGNORECASE)
#: Whole name of the folders directly inside the folder of the part.
_BELOW = re.compile(
    rf"{_SUBJECT.pattern}|{_CLIP.pattern}|happiness|surprise|disgust|fear|sadness|anger|repression|others",
    re.IGNORECASE,
)
_SHEET = re.compile(r"mmew[-_ ]micro[-_ ]exp.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
COLUMNS = {
    "subject": Column(("Subject",)),
    "clip": Column(("Filename",)),
    "onset": Column(("OnsetFrame",)),
    "apex": Column(("ApexFrame",)),
    "offset": Column(("OffsetFrame",)),
    "action_units": Column(("Action Units",)),
    "emotion": Column(("Estimated Emotion",)),
}
_WORDS = {"surprise": 89, "disgust": 72, "others": 66, "happiness": 36, "fear": 16, "sadness": 13, "anger": 8}
PUBLISHED = {
    "micro": (Published("owners' page and papers", 300, 30, _WORDS),),
    "macro": (Published("owners' page", 900, 30),),
}


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Micro-expressions of the sheet, in the order of the rows, or the single images of macro-expressions.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the sheet and, directly or one level below, ``Micro_Expression`` or ``Macro_Expression``.
    options
        ``variant``: ``micro`` (default) or ``macro``; ``sheet`` and ``errata`` apply to ``micro`` only.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet is missing, or the sheet cannot be read.
    """
    variant = adapter.variant(name, options, tuple(VARIANTS))
    tree = Tree(root)
    expected = f"a folder {VARIANTS[variant]} with folders by emotion, subject (S01) or clip (S01-01-001)"
    top = adapter.find_part(tree, (VARIANTS[variant],), _BELOW, expected)
    if variant == "macro":
        adapter.refuse(name, options, "sheet")
        return _macro(name, tree, top)
    return _micro(name, tree, top, options)


def _micro(name: str, tree: Tree, top: Path, options: OwnerDatabase) -> Listing:
    expected = "MMEW_Micro_Exp.xlsx"
    sheet, other_sheets = adapter.read_sheet(tree, options, _SHEET, COLUMNS, expected=expected, subject=_BELOW)
    folders = dict(_clip_folders(tree, top))
    builder = ClipBuilder(name, Errata("mmew", options.errata), FPS)
    clips, skipped = builder.clips(sheet.rows, partial(_place, tree, top, folders))
    unlisted = adapter.note_unlisted(clips, folders.values(), tree.root)
    notes = (sheet.note, *other_sheets, *skipped, *unlisted, *builder.errata.notes(), *tree.notes())
    return Listing(clips, notes, PUBLISHED["micro"])


def _clip_folders(tree: Tree, top: Path) -> Iterator[tuple[str, Path]]:
    """Clip folders by unpadded name, in any of the layouts, including links that leave the root."""
    level = [top]
    for _ in range(3):
        below = []
        for folder in level:
            here = tree.entries(folder)
            yield from (
                (unpadded(name), folder / name) for name in here.folders + here.leaving if _CLIP.fullmatch(name)
            )
            below += [folder / name for name in here.folders if not _CLIP.fullmatch(name)]
        level = below


def _place(tree: Tree, top: Path, folders: dict[str, Path], row: Row) -> Place:
    clip, subject = row.cells["clip"], row.cells["subject"]
    named = _CLIP.fullmatch(clip)
    # Most layouts have no folder per subject, so the spelling of the subject comes from the name of the clip.
    owner = clip.split("-")[0] if named else f"S{int(subject):02d}" if subject.isdecimal() else subject
    folder = folders.get(unpadded(clip))
    if folder is None:
        missing = Issue("source_missing", f"no folder {clip!r} in {tree.shown(top)}")
        return Place(
            safe_name(owner) or "unknown",
            safe_name(clip) or "unnamed",
            top / (safe_name(clip) or "unnamed"),
            (missing,),
        )
    if not tree.inside(folder):
        outside = Issue("unsafe_path", f"{tree.shown(folder)} leads out of the root")
        return Place(safe_name(owner), safe_name(clip), folder, (outside,))
    numbers, issues = adapter.frames_on_disk(tree, folder)
    return Place(safe_name(owner), safe_name(folder.name), folder, issues, numbers)


def _macro(name: str, tree: Tree, top: Path) -> Listing:
    clips: list[Clip] = []
    for subject in tree.entries(top).folders:
        for emotion in tree.entries(top / subject).folders:
            here = tree.entries(top / subject / emotion)
            images = [image for image in here.files if Path(image).suffix.lower() in IMAGE_SUFFIXES]
            clips += [_single(name, top / subject / emotion / image) for image in images]
    if not clips:
        expected = f"images like {VARIANTS['macro']}/S03/happiness/S03-01-001.jpg"
        raise DatabaseError(f"{tree.root}: expected {expected}; found there: {tree.contents()}")
    return Listing(tuple(clips), tree.notes(), PUBLISHED["macro"])


def _single(name: str, image: Path) -> Clip:
    subject, emotion = image.parts[-3:-1]
    return adapter.clip_of(name, subject, image.stem, image, emotion.lower(), first=0, last=0)
