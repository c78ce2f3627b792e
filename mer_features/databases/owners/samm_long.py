"""Adapter for SAMM Long Videos; see ``docs/databases/samm_long.md``.

Recordings are in ``SAMM_longvideos/006_1/006_1_00001.jpg``, in grey, numbered from 1; the first three digits are the
subject. The sheet has micro- and macro-expressions without emotions; its row ``006_1_2`` is the second expression of
the recording ``006_1``. The sheet of the short clips (:mod:`~mer_features.databases.owners.samm`) has the emotions of
the same micro-expressions, under the same names but with other frame numbers. 200 frames per second. Sources: the
sheet, the paper, and public loading code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from mer_features.core.recordings import kind_of
from mer_features.databases import adapter, sheets
from mer_features.databases.errata import Errata
from mer_features.databases.films import Annotation, EventReader, Films, Zeros
from mer_features.databases.folders import Tree
from mer_features.databases.listing import Note, PublishedRecordings, RecordedListing
from mer_features.databases.options import SammLongRecordings
from mer_features.databases.owners import samm
from mer_features.databases.sheets import Column, Sheet
from mer_features.databases.table import safe_name

FPS = 200.0
FOLDERS = ("SAMM_longvideos", "SAMM_long_video")
_RECORDING = re.compile(r"[0-9]{3}_[0-9]{1,2}")
#: Releases of the sheet, the newest first.
_SHEETS = tuple(
    re.compile(rf"samm[-_ ]?long[-_ ]?videos?[-_ ]?{version}.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
    for version in ("v3", "v2", "v1", "")
)
COLUMNS = {
    "subject": Column(("Subject",)),
    "clip": Column(("Filename",)),
    "onset": Column(("Onset",)),
    "apex": Column(("Apex",)),
    "offset": Column(("Offset",)),
    "kind": Column(("Type",)),
    "action_units": Column(("Action Units",)),
    "note": Column(("Notes",), needed=False),
}
PUBLISHED_RECORDINGS = (PublishedRecordings("SAMM_LongVideos_V2_Release", 147, 147, 30, 159, 343),)


def read_recordings(name: str, root: Path, options: SammLongRecordings) -> RecordedListing:
    """Every recording on disk and the events of the sheet.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the sheet and, directly or up to three levels below, ``SAMM_longvideos``.
    options
        ``sheet``, ``errata``, and ``onset_zero``: what an onset of 0 means.

    Raises
    ------
    DatabaseError
        If the folder of recordings or the sheet is missing, or the sheet cannot be read.
    """
    tree = Tree(root)
    search = {"": partial(tree.search, FOLDERS, _RECORDING, takes_root=True)}
    expected = f"a folder {FOLDERS[0]} with the recordings (006_1, 006_2, ...)"
    part, other_parts = adapter.choose_part(tree, search, "", expected)
    path, other_sheets = sheets.choose_newest(
        tree, options.sheet, _SHEETS, expected="SAMM_LongVideos_V2_Release.xlsx", subject=_RECORDING
    )
    sheet = sheets.read(path, COLUMNS, titles=("FACS_Movement_Only",))
    films = Films(tree, name, FPS)
    for folder in tree.entries(part).folders:
        if _RECORDING.fullmatch(folder):
            films.add(f"{folder[:3]}/{folder}", part / folder)
    emotions, emotion_notes = _emotions(tree)
    reader = EventReader(films, Errata("samm_long", options.errata), Zeros(options.onset_zero, apex=("-1", "0")))
    events = reader.events(_annotations(sheet, films, emotions))
    notes = (sheet.note, *emotion_notes, *other_parts, *other_sheets, *reader.notes(), *tree.notes())
    return RecordedListing(films.recordings, events, (), notes, PUBLISHED_RECORDINGS)


def _annotations(sheet: Sheet, films: Films, emotions: Mapping[str, str]) -> Iterator[Annotation]:
    for row in sheet.rows:
        cells = row.cells
        recording = safe_name(cells["clip"].rpartition("_")[0])
        if not recording:
            continue  # a remark below the table
        subject = adapter.numbered_folder("{:03d}", cells["subject"])
        recording_id = films.add_missing(f"{safe_name(subject) or recording[:3]}/{recording}")
        texts = {key: cells[key] for key in ("onset", "apex", "offset", "kind", "action_units")}
        emotion = emotions.get(cells["clip"], "") if _is_micro(cells["kind"]) else ""
        yield Annotation(row.line, recording_id, cells["clip"], **texts, emotion=emotion, note=cells.get("note", ""))


def _is_micro(word: str) -> bool:
    try:
        return kind_of(word) == "micro"
    except ValueError:
        return False


def _emotions(tree: Tree) -> tuple[dict[str, str], tuple[Note, ...]]:
    """Emotion of each micro-expression from the sheet of the short clips, if it is there."""
    files = tree.files(samm.SHEET, _RECORDING)
    if not files:
        text = "the events have no emotions: the sheet of the short clips, SAMM_Micro_FACS_Codes_v2.xlsx, is not there"
        return {}, (Note("sheet", text),)
    sheet = sheets.read(files[0], samm.COLUMNS, titles=("MICRO_ONLY",))
    return {row.cells["clip"]: row.cells["emotion"] for row in sheet.rows}, (sheet.note,)
