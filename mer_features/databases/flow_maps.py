"""Adapter for published flow maps, one picture per clip; see ``docs/databases/flow_maps.md``.

Two layouts are in circulation. Flat: ``<subject>_<clip> .png``, and a table gives the classes. Nested, arranged for
leave-one-subject-out: ``<held-out subject>/{u_train,u_test}/<class>/<subject>_<clip> .png``. There, each clip has a
copy in the folder of every held-out subject, and the folder gives its class.

:func:`read` lists names only. :mod:`mer_features.databases.pictures` examines the pictures of the clips that are left
after subjects were excluded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import sheets
from mer_features.databases.adapter import clip_of, note_count
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import FlowMapsDatabase
from mer_features.databases.sheets import Column, Row, Sheet
from mer_features.databases.table import safe_name


@dataclass(frozen=True)
class Part:
    """One database of the composite: names of its subjects, their usual spelling, and the published counts."""

    subject: re.Pattern[str]
    spelling: str
    published: Published


def _published(clips: int, subjects: int, *classes: int) -> Published:
    return Published(
        "MEGC 2019", clips, subjects, dict(zip(("negative", "positive", "surprise"), classes, strict=True))
    )


PARTS = {
    "casme2": Part(re.compile(r"sub([0-9]{1,3})", re.IGNORECASE), "sub{:02d}", _published(145, 24, 88, 32, 25)),
    "smic": Part(re.compile(r"s([0-9]{1,3})", re.IGNORECASE), "s{:02d}", _published(164, 16, 70, 51, 43)),
    "samm": Part(re.compile(r"([0-9]{1,3})"), "{:03d}", _published(133, 28, 92, 26, 15)),
}
#: What the column of a table that names the database may say -> part.
_DATABASES = {"casme2": "casme2", "casmeii": "casme2", "smic": "smic", "smichs": "smic", "samm": "samm"}
#: Name of a folder or text of a cell -> class.
_CLASSES = {"0": "negative", "1": "positive", "2": "surprise"} | {
    word: word for word in ("negative", "positive", "surprise")
}
COLUMNS = {
    "database": Column(("dataset", "database"), needed=False),
    "subject": Column(("sub", "subject")),
    "clip": Column(("filename_o", "filename", "clip")),
    "label": Column(("label", "class")),
}
_SUFFIX = ".png"
#: The published names have a blank before the dot.
_NAME = re.compile(r"([^_]+)_(.*\S)\s*\.png", re.IGNORECASE | re.DOTALL)
_SPLITS = ("u_train", "u_test")
#: Number of folders that the search for the nested layout lists.
_SEARCH_LIMIT = 500
_MAX_TABLE_BYTES = 1 << 26
_TABLES = (
    "HTNet's combined_3_class2_for_optical_flow.csv (github.com/wangzhifengharrison/HTNet) or the challenge's "
    "images/combined_3class_gt.csv (github.com/Facial-Micro-ExpressionGC/MEGC2019). STSTNet's page "
    "(github.com/christy1206/STSTNet) offers the maps in folders that give the classes"
)

Key = tuple[str, str]  # subject and clip, whatever their spelling


class Names(NamedTuple):
    """Safe names of subject and clip in the name of a file, and their key."""

    subject: str
    clip: str
    key: Key


class Copy(NamedTuple):
    """One file of a clip; the nested layout has 30 000 of them."""

    folder: Path
    name: str
    size: int | None  # bytes; None for a symbolic link that leaves the root
    names: Names
    label: str = ""  # class of the folder; "" in the flat layout
    own: bool = False  # in the folder of the subject that is held out
    test: bool = False

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name


@dataclass
class Maps:
    """All maps of a folder: copies of each clip, double files, and files whose names name no clip."""

    tree: Tree
    nested: bool
    options: FlowMapsDatabase
    copies: dict[Key, list[Copy]] = field(default_factory=dict)
    doubles: dict[Key, list[Copy]] = field(default_factory=dict)
    odd: dict[str, Path] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    _subjects: dict[str, str] = field(default_factory=dict)  # key -> first spelling

    def add(self, copy: Copy) -> None:
        """Add one file."""
        self.copies.setdefault(copy.names.key, []).append(copy)
        self._subjects.setdefault(copy.names.key[0], copy.names.subject)

    def separate_doubles(self) -> None:
        """Move further spellings of a clip in one folder, e.g. without the blank, to ``doubles``."""
        for key, copies in self.copies.items():
            per_folder = Counter(copy.folder for copy in copies)
            by_name = {copy.name: copy for copy in reversed(copies) if per_folder[copy.folder] > 1}
            if further := sorted(by_name)[1:]:
                self.doubles[key] = [by_name[name] for name in further]
                self.copies[key] = [copy for copy in copies if copy.name not in further]

    def note_others(self, folder: Path, names: Iterable[str], links: Iterable[str]) -> None:
        """Note files that are no maps, but not the table of labels, and links that leave the root."""
        table = self.tree.root / self.options.labels if self.options.labels else None
        self.tree.note_foreign(folder, [name for name in names if folder / name != table])
        for name in links:
            shown = self.tree.shown(folder / name)
            self.notes.append(Note("layout", f"{shown} leaves the root and is not followed"))

    def spelled(self, subject: str) -> str:
        """The subject in the usual spelling of the part, ``s1`` -> ``s01``, or else as in its first file."""
        subject = self._subjects.get(unpadded(subject), subject)
        part = PARTS.get(self.options.part or "")
        match = part.subject.fullmatch(subject) if part else None
        return part.spelling.format(int(match[1])) if part and match else subject


def read(name: str, root: Path, options: FlowMapsDatabase) -> Listing:
    """Clips of one part: the rows of the table in their order, or without a table the maps by name.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder of the maps; in the nested layout the folder of the held-out subjects or the folder above it.
    options
        ``labels`` and ``part``.

    Raises
    ------
    DatabaseError
        If there is no map, the table cannot be read, or the flat layout has no table.
    """
    tree = Tree(root)
    maps = _maps(tree, options)
    maps.separate_doubles()
    if options.labels is None:
        if not maps.nested:
            raise DatabaseError(
                f"databases.{name}.labels: the maps in {root} lie side by side, so a table must give their classes; "
                f"set `labels` to {_TABLES}"
            )
        clips, notes = _clips_of_folders(name, maps)
    else:
        sheet = _table(root / options.labels)
        clips, notes = _clips_of_rows(name, maps, sheet.rows)
        notes = [sheet.note, *notes]
    clips += [_odd_clip(name, path) for path in maps.odd.values()]
    published = (PARTS[options.part].published,) if options.part else ()
    return Listing(tuple(clips), (*notes, *maps.notes, *tree.notes()), published)


# Names


def _key(subject: str, clip: str) -> Key:
    return unpadded(subject), clip.casefold()


@lru_cache(maxsize=4096)
def _names(name: str) -> Names | None:
    """Subject and clip in the name of a file; ``None`` if it has another form."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return None
    match = _NAME.fullmatch(name)
    subject, clip = (safe_name(match[1]), safe_name(match[2])) if match else ("", "")
    return Names(subject, clip, _key(subject, clip)) if subject and clip else None


def _part_of(subject: str) -> str:
    """Part that a subject belongs to by its name; "" if it belongs to none."""
    return next((name for name, part in PARTS.items() if part.subject.fullmatch(subject)), "")


# Files


def _maps(tree: Tree, options: FlowMapsDatabase) -> Maps:
    here = tree.pictures(tree.root, _SUFFIX)
    if here.sizes or any(link.lower().endswith(_SUFFIX) for link in here.leaving):
        maps = Maps(tree, nested=False, options=options)
        maps.notes += note_count("layout", "folders beside the maps are not read", here.folders)
        _add(maps, tree.root)
        return maps
    tops = _nested_tops(tree)
    if not tops:
        raise DatabaseError(
            f"{tree.root}: expected maps `<subject>_<clip> .png`, or folders `<subject>/u_test/<class>` with maps; "
            f"found there: {tree.contents()}"
        )
    maps = Maps(tree, nested=True, options=options)
    maps.notes += [Note("layout", f"{tree.shown(top)} is there too and was not read") for top in tops[1:]]
    _add_nested(maps, tops[0])
    return maps


def _nested_tops(tree: Tree) -> list[Path]:
    """The root, or else the folders in it, in which a folder of a held-out subject has ``u_train`` or ``u_test``."""
    below = [tree.root / name for name in tree.pictures(tree.root, _SUFFIX).folders]
    for tops in ([tree.root], below[:_SEARCH_LIMIT]):
        found = [top for top in tops if any(map(_has_splits, _folders(top, tree)))]
        if found:
            return found
    return []


def _folders(top: Path, tree: Tree) -> Iterator[list[str]]:
    """Names of the folders in each of the first folders of ``top``."""
    for name in tree.pictures(top, _SUFFIX).folders[:_SEARCH_LIMIT]:
        yield tree.pictures(top / name, _SUFFIX).folders


def _has_splits(names: Iterable[str]) -> bool:
    return any(name.lower() in _SPLITS for name in names)


def _add_nested(maps: Maps, top: Path) -> None:
    """Add the maps of all held-out subjects."""
    unread: list[str] = []
    for subject in _inner(maps, top):
        for split in _inner(maps, subject):
            if split.name.lower() not in _SPLITS:
                unread.append(maps.tree.shown(split))
                continue
            for folder in _inner(maps, split):
                if folder.name.lower() in _CLASSES:
                    _add(maps, folder, held_out=subject.name, test=split.name.lower() == "u_test")
                else:
                    unread.append(maps.tree.shown(folder))
    maps.notes += note_count("layout", "folders are not read (expected u_train and u_test with 0, 1 and 2)", unread)


def _inner(maps: Maps, folder: Path) -> list[Path]:
    """Sub-folders; anything else in the folder is noted."""
    here = maps.tree.pictures(folder, _SUFFIX)
    maps.note_others(folder, [*here.others, *here.sizes], here.leaving)
    return [folder / name for name in here.folders]


def _add(maps: Maps, folder: Path, *, held_out: str = "", test: bool = False) -> None:
    """Add the maps in one folder and note what else it holds."""
    here = maps.tree.pictures(folder, _SUFFIX)
    links: dict[str, int | None] = {name: None for name in here.leaving if name.lower().endswith(_SUFFIX)}
    maps.note_others(folder, here.others, [name for name in here.leaving if name not in links])
    label = _CLASSES[folder.name.lower()] if maps.nested else ""
    owner = unpadded(safe_name(held_out))
    for name, size in sorted((links | here.sizes).items()):
        names = _names(name)
        if names is None:
            maps.odd.setdefault(name, folder / name)
        else:
            maps.add(Copy(folder, name, size, names, label, own=names.key[0] == owner, test=test))


def _chosen(copies: Sequence[Copy]) -> Copy:
    """The copy that is read: that of the clip's own subject in ``u_test``, else the first."""
    inside = [copy for copy in copies if copy.size is not None] or copies
    return next((copy for copy in inside if copy.own and copy.test), inside[0])


# Table


def _table(path: Path) -> Sheet:
    """Rows with the cells of :data:`COLUMNS`; a list without a header has the columns in this order.

    Raises
    ------
    DatabaseError
        If the file is missing or not a table of that kind.
    """
    if not path.is_file():  # reading a pipe would never return
        raise DatabaseError(
            f"{path}: the table of labels cannot be read ({'not a file' if path.exists() else 'missing'})"
        )
    if (size := path.stat().st_size) > _MAX_TABLE_BYTES:
        raise DatabaseError(f"{path}: {size} bytes; no table of labels is larger than {_MAX_TABLE_BYTES}")
    for title, grid in sheets.read_grids(path).items():
        lines = [(line, cells) for line, cells in enumerate(grid, start=1) if any(cells)]
        if lines and len(lines[0][1]) >= len(COLUMNS) and lines[0][1][len(COLUMNS) - 1].lower() in _CLASSES:
            padded = ((line, [*cells, *[""] * len(COLUMNS)]) for line, cells in lines)
            rows = tuple(Row(line, dict(zip(COLUMNS, cells, strict=False))) for line, cells in padded)
            return Sheet(path, title, rows)
    return sheets.read(path, COLUMNS)


def _part_of_row(row: Row) -> str:
    """Part of a row by its column, or by its subject if there is none; the text of the column if it is unknown."""
    text = row.cells.get("database", "")
    return _DATABASES.get(re.sub(r"[\W_]+", "", text).casefold(), text) or _part_of(row.cells["subject"])


# Clips


def _clips_of_rows(name: str, maps: Maps, rows: Sequence[Row]) -> tuple[list[Clip], list[Note]]:
    """The clips of the rows that belong to the part, and notes on what does not match."""
    part = maps.options.part
    keys = [_key(safe_name(row.cells["subject"]), safe_name(row.cells["clip"])) for row in rows]
    databases = [_part_of_row(row) for row in rows]
    chosen: dict[Key, list[Row]] = {}
    for key, row, database in zip(keys, rows, databases, strict=True):
        if part in {None, database}:
            chosen.setdefault(key, []).append(row)
    clips = [clip for key, members in chosen.items() for clip in _clips(name, maps, key, members)]
    strange = sorted({database or "(none)" for database in databases} - PARTS.keys()) if part else []
    notes = list(note_count("sheet", "names of databases in the table are not casme2, smic or samm", strange))
    unlisted = [maps.copies[key][0] for key in maps.copies.keys() - set(keys)]
    shown = [maps.tree.shown(copy.path) for copy in unlisted if not part or _part_of(copy.names.subject) in {part, ""}]
    notes += note_count("unlisted_file", "maps have no row in the table", sorted(shown))
    return clips, [*notes, *_copy_notes(maps, chosen)]


def _clips_of_folders(name: str, maps: Maps) -> tuple[list[Clip], list[Note]]:
    """The clips of the part by the names of their maps, whose folders give the classes, and notes on the copies."""
    part = maps.options.part
    clips, keys = [], []
    for key, copies in sorted(maps.copies.items(), key=lambda item: item[1][0].name):
        owner = _part_of(copies[0].names.subject)
        if part and not owner:
            maps.odd.setdefault(copies[0].name, copies[0].path)
        elif part in {None, owner}:
            keys.append(key)
            clips += _clips(name, maps, key, ())
    return clips, _copy_notes(maps, keys)


def _clips(name: str, maps: Maps, key: Key, rows: Sequence[Row]) -> list[Clip]:
    """The clip of some rows of the table and the copies of its map, of which it may lack either.

    Further rows and double files follow as rejected clips.
    """
    clip = _clip(name, maps, key, rows)
    again = [
        replace(
            clip, emotion=_class(row), issues=(Issue("duplicate_clip", f"row {row.line} after row {rows[0].line}"),)
        )
        for row in rows[1:]
    ]
    for copy in maps.doubles.get(key, ()):
        issue = Issue("duplicate_clip", f"{copy.name!r} beside {Path(clip.source).name!r}")
        again.append(replace(clip, source=copy.path.as_posix(), issues=(issue, *_unsafe(maps.tree, copy))))
    return [clip, *again]


def _clip(name: str, maps: Maps, key: Key, rows: Sequence[Row]) -> Clip:
    labels: dict[str, list[str | Path]] = {}  # class -> where it is given, a row or folders
    issues: list[Issue] = []
    for row in rows[:1]:
        issues += [Issue("empty_cell", column) for column in ("subject", "clip", "label") if not row.cells[column]]
        if row.cells["label"] and not _class(row):
            issues.append(Issue("bad_cell", f"label: {row.cells['label'][:40]!r} is not 0, 1 or 2"))
    for row in rows:
        labels.setdefault(_class(row), []).append(f"row {row.line}")
    copies = maps.copies.get(key, ())
    for copy in copies:
        labels.setdefault(copy.label, []).append(copy.folder)
    given = {label: places for label, places in labels.items() if label}
    if len(given) > 1:
        shown = [f"{label} in {_few(maps.tree, places)}" for label, places in given.items()]
        issues.append(Issue("label_conflict", "; ".join(shown)))
    if copies:
        copy = _chosen(copies)
        subject, clip, path = copy.names.subject, copy.names.clip, copy.path
        issues += _unsafe(maps.tree, copy)
    else:
        subject, clip = (safe_name(rows[0].cells[column]) for column in ("subject", "clip"))
        subject, clip = subject or "unknown", clip or "unnamed"
        path = maps.tree.root / f"{maps.spelled(subject)}_{clip} {_SUFFIX}"
        issues.append(Issue("source_missing", f"no map {path.name!r}"))
    return clip_of(name, maps.spelled(subject), clip, path, next(iter(given), ""), issues)


def _class(row: Row) -> str:
    return _CLASSES.get(row.cells["label"].lower(), "")


def _odd_clip(name: str, path: Path) -> Clip:
    stem = safe_name(path.stem.encode(errors="replace").decode()) or "unnamed"
    detail = f"{path.name[:80]!r}: the name names no clip, expected `<subject>_<clip> .png`, e.g. 'sub01_EP02_01f .png'"
    return clip_of(name, "unknown", stem, path.parent, "", (Issue("bad_map", detail),))


def _unsafe(tree: Tree, copy: Copy) -> tuple[Issue, ...]:
    return () if copy.size is not None else (Issue("unsafe_path", f"{tree.shown(copy.path)} leaves the root"),)


def _few(tree: Tree, places: Sequence[str | Path]) -> str:
    first = tree.shown(places[0]) if isinstance(places[0], Path) else places[0]
    return first + (f" and {len(places) - 1} more" if len(places) > 1 else "")


def _copy_notes(maps: Maps, keys: Iterable[Key]) -> list[Note]:
    """Notes on copies of the nested layout that differ or are where they should not be."""
    differing, untested, leaked, foreign = [], [], [], []
    for copies in (maps.copies[key] for key in keys if maps.nested and key in maps.copies):
        shown = f"{maps.spelled(copies[0].names.subject)}/{copies[0].names.clip}"
        differing += [shown] if len({copy.size for copy in copies} - {None}) > 1 else []
        untested += [] if any(copy.own and copy.test for copy in copies) else [shown]
        leaked += [shown] if any(copy.own and not copy.test for copy in copies) else []
        foreign += [shown] if any(copy.test and not copy.own for copy in copies) else []
    return [
        *note_count(
            "copies", "clips have copies of different sizes in bytes; that in their own u_test is read", differing
        ),
        *note_count("copies", "clips are missing in the u_test of their own subject; another copy is read", untested),
        *note_count("copies", "clips are in the u_train of their own subject", leaked),
        *note_count("copies", "clips are in the u_test of another subject", foreign),
    ]
