"""Adapter for CAS(ME)^3, parts A and C; see ``docs/databases/casme3.md``.

Part A holds whole recordings, ``part_A/spNO.1/a/color/175.jpg``. The file names hold the frame numbers of the sheet.
A recording has several expressions; subject, video and onset together identify one. The same part is also released as
clips, ``Part_A_ME_clip/frame/spNo.1_a_355/355.jpg``. Part C is ``part_C/01/a/color/373.jpg``. The frame rate is 30
frames per second. The depth images are not read. Sources: the owners' repository, the paper, and public loading code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import ClipBuilder, Place
from mer_features.databases.errata import Errata
from mer_features.databases.films import Annotation, EventReader, Films
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note, Published, PublishedRecordings, RecordedListing
from mer_features.databases.options import Casme3Recordings, OwnerDatabase
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


# Recordings of part A, with micro- and macro-expressions

_EVENT_COLUMNS = {
    **{name: column for name, column in _COLUMNS_A.items() if name != "emotion"},
    "kind": Column(("Expression type",)),
}
_BLINK_COLUMNS = {name: _COLUMNS_A[name] for name in ("subject", "video", "onset", "offset")}
_BLINK_COLUMNS |= {"apex": Column(("Apex",), needed=False)}
#: Versions of the workbook of both kinds, the newest first.
_WORKBOOKS_A = tuple(
    re.compile(rf"cas\W*me\W*3[-_ ]part[-_ ]a[-_ ]{version}.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
    for version in ("v2", "v1")
)
PUBLISHED_RECORDINGS = (PublishedRecordings("CAS(ME)3_part_A_v2", None, 956, 98, 860, 3346),)


def read_recordings(name: str, root: Path, options: Casme3Recordings) -> RecordedListing:
    """Every recording of part A, also those without an event, the events of the workbook, and its blinks.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the workbook and, directly or one level below, ``part_A``.
    options
        ``sheet`` and ``errata``.

    Raises
    ------
    DatabaseError
        If the folder or the workbook is missing, or the workbook cannot be read.
    """
    part, tree = VARIANTS["part_a"], Tree(root)
    top = adapter.find_part(tree, part.folders, part.inner, f"frames like {part.example}")
    path, other_sheets = sheets.choose_newest(
        tree, options.sheet, _WORKBOOKS_A, expected="CAS(ME)3_part_A_v2.xls", subject=part.inner
    )
    grids = sheets.read_grids(path)
    sheet = sheets.find(path, grids, _EVENT_COLUMNS, titles=("AU+Emotion",))
    films = Films(tree, name, FPS)
    for folder in adapter.clip_folders(tree, top, part.inner):
        if "color" in map(str.casefold, tree.entries(folder).folders):
            films.add(f"{folder.parent.name}/{safe_name(folder.name)}", tree.folder(folder, "color"))
    emotions, emotion_notes = _emotions(tree, options)
    reader = EventReader(films, Errata("casme3", options.errata))
    events = reader.events(_annotations(sheet.rows, films, emotions))
    blink_rows, blink_notes = _blink_rows(path, grids)
    blinks = reader.blinks(_annotations(blink_rows, films, {}))
    notes = (sheet.note, *emotion_notes, *blink_notes, *other_sheets, *reader.notes(), *tree.notes())
    return RecordedListing(films.recordings, events, blinks, notes, PUBLISHED_RECORDINGS)


def _annotations(rows: tuple[Row, ...], films: Films, emotions: Mapping[str, str]) -> Iterator[Annotation]:
    for row in rows:
        cells = row.cells
        subject, video = (safe_name(cells[key]) or "unnamed" for key in ("subject", "video"))
        recording = films.add_missing(f"{subject}/{video}")
        texts = {key: cells.get(key, "") for key in ("onset", "offset", "kind", "action_units")}
        micro = cells.get("kind", "").casefold().startswith("micro")
        emotion = emotions.get(_event_key(row), "") if micro else ""
        name = f"{cells['video']}_{cells['onset']}"
        yield Annotation(row.line, recording, name, **texts, apex=cells.get("apex"), emotion=emotion)


def _event_key(row: Row) -> str:
    return unpadded(f"{row.cells['subject']}/{row.cells['video']}/{row.cells['onset']}")


def _emotions(tree: Tree, options: Casme3Recordings) -> tuple[dict[str, str], tuple[Note, ...]]:
    """Emotion of each micro-expression from the sheet of the micro-expressions, if it is there."""
    files = tree.files(_SHEET_A, _SUBJECT_A)
    if not files:
        return {}, (Note("sheet", f"the events have no emotions: {_NAME_A} is not there"),)
    sheet, errata, emotions = sheets.read(files[0], _COLUMNS_A, titles=("label",)), Errata("casme3", options.errata), {}
    for row in sheet.rows:
        cells = row.cells
        corrected = errata.apply(cells["subject"], f"{cells['video']}_{cells['onset']}", {"onset": cells["onset"]})
        emotions[_event_key(Row(row.line, {**cells, **corrected.values}))] = cells["emotion"]
    return emotions, (sheet.note,)


def _blink_rows(path: Path, grids: Mapping[str, sheets.Grid]) -> tuple[tuple[Row, ...], tuple[Note, ...]]:
    """Rows of the worksheet of blinks. Its form is not known: it is read if it has the columns of the events."""
    own = {title: grid for title, grid in grids.items() if "blink" in title.casefold()}
    if not own:
        return (), (Note("sheet", f"{path.name} has no sheet of blinks"),)
    try:
        sheet = sheets.find(path, own, _BLINK_COLUMNS)
    except DatabaseError as error:
        return (), (Note("sheet", f"the blinks were not read: {error}"),)
    return sheet.rows, (sheet.note,)
