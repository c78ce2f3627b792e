"""Adapter for published flow maps, one picture per clip; see ``docs/databases/flow_maps.md``.

Two layouts are in circulation. Flat: ``<subject>_<clip> .png``, and a table gives the classes. Nested, arranged for
leave-one-subject-out: ``<held-out subject>/{u_train,u_test}/<class>/<subject>_<clip> .png``. There, each clip has a
copy in the folder of every held-out subject, and the folder gives its class.

:mod:`mer_features.databases.map_files` lists the files, and :func:`read` makes clips of their names and of the table.
:mod:`mer_features.databases.pictures` examines the pictures of the clips that are left after subjects were excluded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import map_files, sheets
from mer_features.databases.adapter import clip_of, note_count
from mer_features.databases.exclusion import LeftOut
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Listing, Note
from mer_features.databases.map_files import CLASSES, PARTS, SUFFIX, Copy, Key, Maps, key_of, part_of
from mer_features.databases.options import FlowMapsDatabase
from mer_features.databases.sheets import Column, Row, Sheet
from mer_features.databases.table import safe_name

__all__ = ["OFFERED", "PARTS", "read"]

#: For the message that the folder of the maps is missing.
OFFERED = (
    "the maps are offered for download, e.g. at github.com/wangzhifengharrison/HTNet; docs/databases/flow_maps.md has "
    "the command"
)
#: What the column of a table that names the database may say -> part.
_DATABASES = {"casme2": "casme2", "casmeii": "casme2", "smic": "smic", "smichs": "smic", "samm": "samm"}
COLUMNS = {
    "database": Column(("dataset", "database"), needed=False),
    "subject": Column(("sub", "subject")),
    "clip": Column(("filename_o", "filename", "clip")),
    "label": Column(("label", "class")),
}
_MAX_TABLE_BYTES = 1 << 26
_TABLES = (
    "HTNet's combined_3_class2_for_optical_flow.csv (github.com/wangzhifengharrison/HTNet) or the challenge's "
    "images/combined_3class_gt.csv (github.com/Facial-Micro-ExpressionGC/MEGC2019). STSTNet's page "
    "(github.com/christy1206/STSTNet) offers the maps in folders that give the classes"
)


def read(name: str, root: Path, options: FlowMapsDatabase, left_out: LeftOut) -> Listing:
    """Clips of one part: the rows of the table in their order, or without a table the maps by name.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder of the maps; in the nested layout the folder of the held-out subjects or the folder above it.
    options
        ``labels`` and ``part``.
    left_out
        Subjects whose files no note may name. Their clips are listed.

    Raises
    ------
    DatabaseError
        If there is no map, the table cannot be read, or the flat layout has no table.
    """
    tree = Tree(root)
    maps = map_files.find(tree, options, left_out)
    maps.separate_doubles()
    if options.labels is None:
        if not maps.nested:
            raise DatabaseError(
                f"databases.{name}.labels: the maps in {root} lie side by side, so a table must give their classes; "
                f"set `labels` to {_TABLES}"
            )
        clips, notes = _clips_of_folders(name, maps)
    else:
        sheet = _table(name, maps, options.labels)
        clips, notes = _clips_of_rows(name, maps, sheet.rows)
        notes = [sheet.note, *notes]
    clips += [_odd_clip(name, path) for path in maps.odd.values()]
    published = (PARTS[options.part].published,) if options.part else ()
    people = {copies[0].names.subject for copies in maps.copies.values()} | maps.skipped
    if options.part:
        people = {subject for subject in people if part_of(subject) in {options.part, ""}}
    return Listing(tuple(clips), (*notes, *maps.notes, *tree.notes()), published, frozenset(people))


# Table


def _table(name: str, maps: Maps, labels: Path) -> Sheet:
    """Rows with the cells of :data:`COLUMNS`; a list without a header has the columns in this order.

    Raises
    ------
    DatabaseError
        If the file is missing or not a table of that kind.
    """
    path = maps.tree.root / labels
    if not path.is_file():  # reading a pipe would never return
        reason = "not a file" if path.exists() else "missing"
        hint = (
            f"; {labels} is there seen from the working folder, so give its absolute path" if labels.is_file() else ""
        )
        hint += "; `labels` can be left out, because the folders of these maps give the classes" if maps.nested else ""
        raise DatabaseError(
            f"databases.{name}.labels: the table {path} cannot be read ({reason}); the path is seen from `root`{hint}"
        )
    if (size := path.stat().st_size) > _MAX_TABLE_BYTES:
        raise DatabaseError(f"{path}: {size} bytes; no table of labels is larger than {_MAX_TABLE_BYTES}")
    for title, grid in sheets.read_grids(path).items():
        lines = [(line, cells) for line, cells in enumerate(grid, start=1) if any(cells)]
        if lines and len(lines[0][1]) >= len(COLUMNS) and _class(lines[0][1][len(COLUMNS) - 1]):
            padded = ((line, [*cells, *[""] * len(COLUMNS)]) for line, cells in lines)
            rows = tuple(Row(line, dict(zip(COLUMNS, cells, strict=False))) for line, cells in padded)
            return Sheet(path, title, rows)
    try:
        return sheets.read(path, COLUMNS)
    except DatabaseError as error:
        order = ", ".join(column.headers[0] for column in COLUMNS.values())
        raise DatabaseError(
            f"{error}. A list without a header has the columns {order} in this order, with 0, 1 or 2 as label in its "
            "first row. Columns are separated by commas, semicolons or tabs"
        ) from error


def _class(text: str) -> str:
    """Class in a cell, a name or a number as 1 or 1.0; "" for any other text."""
    return CLASSES.get(re.sub(r"\.0+$", "", text.lower()), "")


def _part_of_row(row: Row) -> str:
    """Part of a row by its column, or by its subject if there is none; the text of the column if it is unknown."""
    text = row.cells.get("database", "")
    return _DATABASES.get(re.sub(r"[\W_]+", "", text).casefold(), text) or part_of(row.cells["subject"])


# Clips


def _clips_of_rows(name: str, maps: Maps, rows: Sequence[Row]) -> tuple[list[Clip], list[Note]]:
    """The clips of the rows that belong to the part, and notes on what does not match."""
    part = maps.options.part
    databases = [_part_of_row(row) for row in rows]
    chosen: dict[Key, list[Row]] = {}
    others: dict[Key, dict[str, Row]] = {}  # rows of other parts: "row 3 of smic" -> row
    for row, database in zip(rows, databases, strict=True):
        key = key_of(safe_name(row.cells["subject"]), safe_name(row.cells["clip"]))
        if part in {None, database}:
            chosen.setdefault(key, []).append(row)
        else:
            others.setdefault(key, {})[f"row {row.line} of {database[:40] or 'no database'}"] = row
    clips = []
    for key, members in chosen.items():
        clips += _clips(name, maps, key, members, others.get(key, {}) if all(key) else {})
    notes = _database_notes(databases, part) if part else []
    hidden = [copies[0] for key, copies in maps.copies.items() if key not in chosen and key not in others]
    unlisted = [copy for copy in hidden if not part or part_of(copy.names.subject) in {part, ""}]
    shown = [maps.tree.shown(copy.path) for copy in unlisted if maps.may_name(copy.path)]
    notes += note_count("unlisted_file", "maps have no row in the table", sorted(shown))
    return clips, [*notes, *map_files.copy_notes(maps, chosen)]


def _database_notes(databases: Sequence[str], part: str) -> list[Note]:
    """Notes on databases in the table: names that are unknown, and what there is if nothing is of the part."""
    strange = sorted({database or "(none)" for database in databases} - PARTS.keys())
    notes = list(note_count("sheet", f"names of databases in the table are none of {', '.join(_DATABASES)}", strange))
    if part not in databases:
        found = ", ".join(f"{database or '(none)'} {number}" for database, number in Counter(databases).most_common(5))
        notes.append(Note("sheet", f"no row of the table is of part {part}; rows by database: {found}"))
    return notes


def _clips_of_folders(name: str, maps: Maps) -> tuple[list[Clip], list[Note]]:
    """The clips of the part by the names of their maps, whose folders give the classes, and notes on the copies."""
    part = maps.options.part
    clips, keys = [], []
    owners: Counter[str] = Counter()
    for key, copies in sorted(maps.copies.items(), key=lambda item: item[1][0].name):
        owner = part_of(copies[0].names.subject)
        owners[owner] += 1
        if part and not owner:
            clips.append(_stranger(name, maps, key))
        elif part in {None, owner}:
            keys.append(key)
            clips += _clips(name, maps, key, ())
    notes = map_files.copy_notes(maps, keys)
    if part and owners and not owners[part]:
        found = ", ".join(f"{owner or 'of no part'} {number}" for owner, number in owners.most_common())
        notes.append(Note("layout", f"no map is of part {part}; maps by part: {found}"))
    return clips, notes


def _stranger(name: str, maps: Maps, key: Key) -> Clip:
    """The rejected clip of a subject that is of none of the parts."""
    clip, subject = _clip(name, maps, key, (), {}), maps.copies[key][0].names.subject
    known = "sub01 (casme2), s01 (smic) or 006 (samm)"
    detail = f"the subject {subject!r} is of no part, expected a name like {known}; leave out `part` to read every map"
    return replace(clip, issues=(*clip.issues, Issue("bad_map", detail)))


def _clips(name: str, maps: Maps, key: Key, rows: Sequence[Row], others: dict[str, Row] | None = None) -> list[Clip]:
    """The clip of some rows of the table and the copies of its map, of which it may lack either.

    Further rows and double files follow as rejected clips.
    """
    clip = _clip(name, maps, key, rows, others or {})
    again = [
        replace(
            clip,
            emotion=_class(row.cells["label"]),
            issues=(Issue("duplicate_clip", f"row {row.line} after row {rows[0].line}"),),
        )
        for row in rows[1:]
    ]
    doubles = {copy.name: copy for copy in reversed(maps.doubles.get(key, ()))}  # each spelling once
    for copy in (doubles[spelling] for spelling in sorted(doubles)):
        beside = next(kept.name for kept in maps.copies[key] if kept.folder == copy.folder)
        place = f" in {maps.tree.shown(copy.folder)}" if maps.nested else ""
        issue = Issue("duplicate_clip", f"{copy.name!r} beside {beside!r}{place}")
        again.append(replace(clip, source=copy.path.as_posix(), issues=(issue, *_unsafe(maps.tree, copy))))
    return [clip, *again]


def _clip(name: str, maps: Maps, key: Key, rows: Sequence[Row], others: dict[str, Row]) -> Clip:
    """The clip of a key; ``others`` are the rows of other parts that claim the same map."""
    labels: dict[str, list[str | Path]] = {}  # class -> where it is given, a row or folders
    issues: list[Issue] = []
    for row in rows[:1]:
        issues += [Issue("empty_cell", column) for column in ("subject", "clip", "label") if not row.cells[column]]
        if row.cells["label"] and not _class(row.cells["label"]):
            issues.append(Issue("bad_cell", f"label: {row.cells['label'][:40]!r} is not 0, 1 or 2"))
    for place, row in ({f"row {row.line}": row for row in rows} | others).items():
        labels.setdefault(_class(row.cells["label"]), []).append(place)
    copies = maps.copies.get(key, ())
    for copy in copies:
        labels.setdefault(copy.label, []).append(copy.folder)
    given = {label: places for label, places in labels.items() if label}
    if len(given) > 1:
        shown = [f"{label} in {_few(maps.tree, places)}" for label, places in given.items()]
        issues.append(Issue("label_conflict", "; ".join(shown)))
    if others:
        issues.append(Issue("duplicate_clip", f"row {rows[0].line} of {maps.options.part} and {', '.join(others)}"))
    if copies:
        copy = map_files.chosen(copies)
        subject, clip, path = copy.names.subject, copy.names.clip, copy.path
        issues += _unsafe(maps.tree, copy)
    else:
        subject, clip = (safe_name(rows[0].cells[column]) for column in ("subject", "clip"))
        subject, clip = subject or "unknown", clip or "unnamed"
        path = maps.tree.root / f"{maps.spelled(subject)}_{clip} {SUFFIX}"
        issues.append(Issue("source_missing", f"no map {path.name!r}"))
    return clip_of(name, maps.spelled(subject), clip, path, next(iter(given), ""), issues)


def _odd_clip(name: str, path: Path) -> Clip:
    stem = safe_name(path.stem.encode(errors="replace").decode()) or "unnamed"
    detail = f"{path.name[:80]!r}: the name names no clip, expected `<subject>_<clip> .png`, e.g. 'sub01_EP02_01f .png'"
    return clip_of(name, "unknown", stem, path.parent, "", (Issue("bad_map", detail),))


def _unsafe(tree: Tree, copy: Copy) -> tuple[Issue, ...]:
    return () if copy.size is not None else (Issue("unsafe_path", f"{tree.shown(copy.path)} leaves the root"),)


def _few(tree: Tree, places: Sequence[str | Path]) -> str:
    first = tree.shown(places[0]) if isinstance(places[0], Path) else places[0]
    return first + (f" and {len(places) - 1} more" if len(places) > 1 else "")
