"""Adapter for CAS(ME)^2; see ``docs/databases/casmesq.md``.

Whole recordings are in ``rawpic/s15/15_0401girlcrashing/img1.jpg``: the folder of the subject, then the number of the
subject with the code and name of the film that was watched. The first sheet of the workbook has no header. Its rows
name a participant and an expression (``anger1_1``: film and running number); two more sheets say which folders these
are. Micro- and macro-expressions are in the same sheet. The frame rate is 30 frames per second. Sources: the
workbook, the paper, and public loading code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mer_features.core.quality import Issue
from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import ClipBuilder, Place
from mer_features.databases.errata import Errata
from mer_features.databases.films import Annotation, EventReader, Films, Zeros
from mer_features.databases.folders import Tree
from mer_features.databases.listing import (
    DatabaseError,
    Listing,
    Note,
    Published,
    PublishedRecordings,
    RecordedListing,
)
from mer_features.databases.options import CasmesqRecordings, OwnerDatabase
from mer_features.databases.sheets import Row
from mer_features.databases.table import safe_name

FPS = 30.0
#: Variant -> types of expressions that it lists, as in the last column of the sheet.
VARIANTS = {
    "micro": ("micro-expression",),
    "macro": ("macro-expression",),
    "all": ("micro-expression", "macro-expression"),
}
#: Sheet "naming rule1": participant -> folder of the subject.
SUBJECTS = {
    str(participant): f"s{folder}"
    for participant, folder in enumerate(
        (15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40), start=1
    )
}
#: Sheet "naming rule2": film -> code in the name of the folder. Some film names are misspelt in the release.
FILMS = {
    "disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402", "happy1": "0502", "happy2": "0503",
    "happy3": "0505", "happy4": "0507", "happy5": "0508",
}  # fmt: skip
#: Columns of the sheet by position. The next column, which is not read, is the emotion the participant reported.
COLUMNS = ("subject", "clip", "onset", "apex", "offset", "action_units", "emotion", "type")
_EDITION = "code_final(Updated)"
PUBLISHED = {
    "micro": (Published(_EDITION, 57, 14, {"negative": 21, "others": 19, "surprise": 9, "positive": 8}),),
    "macro": (Published(_EDITION, 300, 20, {"positive": 116, "negative": 105, "others": 63, "surprise": 16}),),
    "all": (Published(_EDITION, 357, 22, {"negative": 126, "positive": 124, "others": 82, "surprise": 25}),),
}
PUBLISHED_RECORDINGS = (PublishedRecordings(_EDITION, 98, 95, 22, 57, 300),)
_SUBJECT = re.compile(r"s[0-9]{1,3}", re.IGNORECASE)
_SHEET_NAME = "CAS(ME)^2code_final(Updated).xlsx"
_SHEET = re.compile(r"cas\W*me\W*2[-_ ]?code.*\.(?:xlsx|xls|csv)", re.IGNORECASE)
_TYPES = VARIANTS["all"]


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Expressions of the sheet, in the order of the rows.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that holds the sheet and, directly or one level below, ``rawpic``.
    options
        ``variant``: ``micro`` (default), ``macro`` or ``all``; ``sheet``; ``errata``.

    Raises
    ------
    DatabaseError
        If the variant is unknown, ``rawpic`` or the sheet is missing, or the sheet has another format.
    """
    variant = adapter.variant(name, options, tuple(VARIANTS))
    tree = Tree(root)
    top = adapter.find_part(tree, ("rawpic",), _SUBJECT, "a folder rawpic with the subjects' folders (s15, s16, ...)")
    path, other_sheets = sheets.choose(tree, options.sheet, _SHEET, expected=_SHEET_NAME, subject=_SUBJECT)
    builder = ClipBuilder(name, Errata("casmesq", options.errata), FPS, recordings=True)
    rows = list(_rows(path))
    # A row of unknown type is listed under every variant, so that it is not overlooked.
    chosen = [row for row in rows if row.cells["type"] in VARIANTS[variant] or row.cells["type"] not in _TYPES]
    clips, skipped = builder.clips(chosen, partial(_place, tree, top))
    sheet_note = Note("sheet", f"read {path.name}, {len(rows)} rows, of which {len(chosen)} are listed ({variant})")
    notes = (sheet_note, *other_sheets, *skipped, *builder.errata.notes(), *tree.notes())
    return Listing(clips, notes, PUBLISHED[variant])


def read_recordings(name: str, root: Path, options: CasmesqRecordings) -> RecordedListing:
    """Every recording of ``rawpic``, also those without an event, and the events of the sheet.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        As for :func:`read`.
    options
        ``sheet``, ``errata``, and ``offset_zero``: what an offset of 0 means.

    Raises
    ------
    DatabaseError
        If ``rawpic`` or the sheet is missing, or the sheet has another format.
    """
    tree = Tree(root)
    top = adapter.find_part(tree, ("rawpic",), _SUBJECT, "a folder rawpic with the subjects' folders (s15, s16, ...)")
    path, other_sheets = sheets.choose(tree, options.sheet, _SHEET, expected=_SHEET_NAME, subject=_SUBJECT)
    films = Films(tree, name, FPS)
    for folder in adapter.clip_folders(tree, top, _SUBJECT):
        subject, code = folder.parent.name, _film(folder.name)
        films.add(f"{subject}/{subject[1:]}_{code}" if code else f"{subject}/{safe_name(folder.name)}", folder)
    rows = [row for row in _rows(path) if row.cells["clip"]]
    reader = EventReader(films, Errata("casmesq", options.errata), Zeros(offset=options.offset_zero, apex=("0",)))
    events = reader.events(_annotation(films, row) for row in rows)
    notes = (Note("sheet", f"read {path.name}, {len(rows)} rows"), *other_sheets, *reader.notes(), *tree.notes())
    return RecordedListing(films.recordings, events, (), notes, PUBLISHED_RECORDINGS)


def _annotation(films: Films, row: Row) -> Annotation:
    cells = row.cells
    subject = SUBJECTS.get(cells["subject"], safe_name(cells["subject"]) or "unknown")
    code = FILMS.get(cells["clip"].rsplit("_", 1)[0].lower(), safe_name(cells["clip"]))
    recording = films.add_missing(f"{subject}/{subject.removeprefix('s')}_{code}")
    texts = {key: cells[key] for key in ("onset", "apex", "offset", "emotion", "action_units")}
    return Annotation(row.line, recording, cells["clip"], kind=cells["type"], **texts)


def _rows(path: Path) -> Iterator[Row]:
    """Rows of the first sheet that contains expressions; the other sheets hold the naming rules."""
    for grid in sheets.read_grids(path).values():
        if any(_is_expression(cells) for cells in grid):
            break
    else:
        example = "1, anger1_1, 557, 572, 608, 4+10+14+15, negative, macro-expression"
        raise DatabaseError(
            f"{path}: no row like {example}; the sheet has no header, so its columns are read by position"
        )
    for line, cells in enumerate(grid, start=1):
        padded = [*cells, *[""] * len(COLUMNS)]
        if any(cells[: len(COLUMNS)]):
            yield Row(line, _cleaned(dict(zip(COLUMNS, padded, strict=False))))


def _is_expression(cells: list[str]) -> bool:
    return len(cells) >= len(COLUMNS) and cells[len(COLUMNS) - 1].lower() in _TYPES


def _cleaned(cells: dict[str, str]) -> dict[str, str]:
    """The cells, empty where an offset of 0 or the action units ``NULL`` mean "not annotated"."""
    if cells["offset"] == "0":
        cells["offset"] = ""
    if cells["action_units"].upper() == "NULL":
        cells["action_units"] = ""
    return cells | {"type": cells["type"].lower()}


def _place(tree: Tree, top: Path, row: Row) -> Place:
    participant, clip, kind = row.cells["subject"], row.cells["clip"], row.cells["type"]
    issues = []
    if kind not in _TYPES:
        issues.append(Issue("bad_cell", f"type: {kind!r} is neither {' nor '.join(_TYPES)}"))
    owner = SUBJECTS.get(participant, participant)
    subject, name = safe_name(owner) or "unknown", safe_name(clip) or "unnamed"
    home, missing = adapter.source(tree, top, owner)
    if missing:
        return Place(subject, name, home / "unnamed", (*issues, *missing))
    code = FILMS.get(clip.rsplit("_", 1)[0].lower())
    here = tree.entries(home)
    folders = [folder for folder in here.folders + here.leaving if code and _film(folder) == code]
    if not folders:
        film = f"the film {code} of {clip!r}" if code else f"{clip!r}, which is not a film of the naming rule"
        issues.append(Issue("source_missing", f"no folder in {tree.shown(home)} for {film}"))
        return Place(subject, name, home / name, tuple(issues))
    folder, numbers, problems = adapter.source_frames(tree, home, folders[0])
    return Place(safe_name(home.name), name, folder, (*issues, *problems), numbers)


def _film(folder: str) -> str:
    """Code of the film in the name of a recording's folder: ``15_0401girlcrashing`` -> ``0401``."""
    match = re.fullmatch(r"[0-9]+_([0-9]{4})\D*", folder)
    return match[1] if match else ""
