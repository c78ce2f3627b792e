"""Adapter for MMEW; see ``docs/databases/mmew.md``.

Three layouts are in use: ``Micro_Expression/<emotion>/S03-01-002/1.jpg``, ``Micro_Expression/S03/<emotion>/S03-01-002/
1.jpg`` and ``Micro_Expression/S03-01-002/1.jpg``. Files count from the onset, whose number is always 1. 90 frames per
second. Sources: the owners' page and public loading code.

``Macro_Expression/S03/happiness/S03-01-001.jpg`` are single images. They are listed, with the image file as source,
so that they can be looked at and counted; one image holds no movement, so every one is rejected as ``few_frames``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import FrameNumbers, Maker, Place
from mer_features.databases.errata import Errata
from mer_features.databases.folders import IMAGE_SUFFIXES, Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column, Row
from mer_features.databases.table import safe_name

FPS = 90.0
VARIANTS = {"micro": "Micro_Expression", "macro": "Macro_Expression"}
_SUBJECT = re.compile(r"S[0-9]{1,3}", re.IGNORECASE)
_CLIP = re.compile(r"S[0-9]{1,3}-[0-9]+-[0-9]+", re.IGNORECASE)
#: What lies right below the part's folder.
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
    """Micro-expressions of the sheet, in its order, or the single images of macro-expressions.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder with ``Micro_Expression`` or ``Macro_Expression`` in it or one level below, and the sheet.
    options
        ``variant``: ``micro`` (default) or ``macro``; ``sheet`` and ``errata`` count for ``micro`` only.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder or the sheet missing, or the sheet cannot be read.
    """
    variant = adapter.variant(name, options, tuple(VARIANTS))
    tree = Tree(root)
    found = tree.search((VARIANTS[variant],), _BELOW, depth=2)
    if not found:
        expected = f"a folder {VARIANTS[variant]} with folders by emotion, subject (S01) or clip (S01-01-001)"
        raise DatabaseError(f"{root}: expected {expected}; found there: {tree.contents()}")
    if variant == "macro":
        adapter.refuse(name, options, "sheet")
        return _macro(name, tree, found[0])
    return _micro(name, tree, found[0], options)


def _micro(name: str, tree: Tree, top: Path, options: OwnerDatabase) -> Listing:
    path, notes = sheets.choose(tree, options.sheet, _SHEET, expected="MMEW_Micro_Exp.xlsx", subject=_BELOW)
    sheet = sheets.read(path, COLUMNS)
    folders = dict(_clip_folders(tree, top))
    maker, numbers = Maker(name, Errata("mmew", options.errata), FPS), FrameNumbers(tree)
    clips, skipped = maker.clips(sheet.rows, partial(_place, tree, top, folders, numbers))
    listed = {clip.source for clip in clips}
    unlisted = [tree.shown(folder) for folder in folders.values() if folder.as_posix() not in listed]
    more = adapter.counted("unlisted_folder", "clips have no row in the sheet", unlisted)
    return Listing(
        clips,
        (Note("sheet", f"read {sheet.label}"), *notes, *skipped, *more, *maker.errata.notes(), *tree.notes()),
        PUBLISHED["micro"],
    )


def _clip_folders(tree: Tree, top: Path) -> Iterator[tuple[str, Path]]:
    """Clip folders by unpadded name, in whichever layout; links that leave the root among them."""
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


def _place(tree: Tree, top: Path, folders: dict[str, Path], frame_numbers: FrameNumbers, row: Row) -> Place:
    clip, subject = row.cells["clip"], row.cells["subject"]
    named = _CLIP.fullmatch(clip)
    # Most layouts have no subject's folder, so the owner's spelling is that of the clip's name.
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
    numbers, found = frame_numbers(folder)
    return Place(safe_name(owner), safe_name(folder.name), folder, found, numbers)


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
    subject = safe_name(image.parts[-3])
    return Clip(
        clip_id=f"{subject}/{safe_name(image.stem)}",
        database=name,
        subject=subject,
        source=image.as_posix(),
        emotion=image.parts[-2].lower(),
        issues=(Issue("few_frames", "a single image; no frame without expression belongs to it"),),
    )
