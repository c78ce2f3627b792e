"""Adapter for FERV39k, a database of macro-expressions in videos of 22 kinds of scenes.

Frames are in ``2_ClipsforFaceCrop/Action/Sad/0010/*.jpg``: scene, emotion, clip. The tables
``4_setups/All_scenes/train_All.csv`` and ``test_All.csv`` have no header and one space between the two columns, as in
``Action/Sad/0010 Sad``. The owners do not identify the people in the clips. Source: public loaders.
"""

from __future__ import annotations

from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Listing, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.table import safe_name

FACES = "2_ClipsforFaceCrop"
TABLES = ("train_All.csv", "test_All.csv")
EMOTIONS = frozenset({"angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"})
PUBLISHED = (Published("owners' paper", 38935),)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """The clips of the tables, in the order of the lines; each clip is its own subject.

    Parameters
    ----------
    root
        The folder that holds ``2_ClipsforFaceCrop`` and ``4_setups``.
    options
        ``sheet``: a table to read instead of ``train_All.csv`` and ``test_All.csv``.

    Raises
    ------
    DatabaseError
        If the folder of faces or both tables are missing, or a table has another format.
    """
    adapter.refuse(name, options, "variant")
    tree = Tree(root)
    top = adapter.descend(tree, FACES)
    tables = [root / options.sheet] if options.sheet else _tables(tree)
    clips = tuple(_clip(name, tree, top, *row) for table in tables for row in _rows(table))
    notes = adapter.note_unlisted(clips, _folders(tree, top), top, "clips are not in any table")
    return Listing(clips, (adapter.NO_SUBJECTS, *notes), () if options.sheet else PUBLISHED)


def _tables(tree: Tree) -> list[Path]:
    folder = adapter.descend(tree, "4_setups", "All_scenes")
    tables = [folder / table for table in TABLES if table in tree.entries(folder).files]
    if not tables:
        raise DatabaseError(f"{folder}: expected the tables {' and '.join(TABLES)}; found neither")
    return tables


def _rows(table: Path) -> list[tuple[str, str]]:
    """Path and emotion of each line; a missing emotion is an empty text."""
    try:
        lines = [line.split() for line in table.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatabaseError(f"{table}: the table cannot be read ({error})") from error
    if not lines or lines[0][0].count("/") != 2:
        start = " ".join(lines[0]) if lines else "nothing"
        raise DatabaseError(f"{table}: expected lines like 'Action/Sad/0010 Sad'; found {start}")
    return [(cells[0], cells[1] if len(cells) > 1 else "") for cells in lines]


def _folders(tree: Tree, top: Path) -> list[Path]:
    """All clip folders."""
    return [
        top / scene / emotion / clip
        for scene in tree.entries(top).folders
        for emotion in tree.entries(top / scene).folders
        for clip in tree.entries(top / scene / emotion).folders
    ]


def _clip(name: str, tree: Tree, top: Path, path: str, emotion: str) -> Clip:
    source, missing = adapter.source(tree, top, *path.split("/"))
    issues = list(missing)
    if emotion.lower() not in EMOTIONS:
        issues.append(Issue("bad_cell" if emotion else "empty_cell", f"{path}: emotion {emotion!r}"))
    return adapter.clip_of(name, safe_name(path) or "unnamed", source.name, source, emotion.lower(), issues)
