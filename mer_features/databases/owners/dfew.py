"""Adapter for DFEW, a database of macro-expressions in films.

The videos are ``Clip/original/00001.mp4``; the faces cut from them are ``Clip/clip_224x224/00001/1.jpg`` (one copy has
folders ``part_1``, ``part_2``, ... in between), and ``Clip/clip_224x224_16f/00001/1.jpg`` are sixteen frames of each.
The labels are in ``EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv`` to ``set_5.csv``, with the header
``video_name,label``. The five sets are the owners' folds; all of them hold the same clips. Clips without a single label
are not in any set; ``unlabelled`` lists them too. The owners do not identify the people in the clips. Sources: the
owners' ReadMe and public loaders.
"""

from __future__ import annotations

from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter, sheets
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Listing, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.sheets import Column
from mer_features.databases.table import safe_name

VARIANTS = ("clip_224x224", "clip_224x224_16f", "original")

#: Number in the column ``label`` -> emotion word.
EMOTIONS = {"1": "happy", "2": "sad", "3": "neutral", "4": "angry", "5": "surprise", "6": "disgust", "7": "fear"}
PUBLISHED = (Published("owners' ReadMe, single-labelled clips", 11697),)
#: Numbers of all clips, with and without a single label: videos, and those in which a face was found.
ALL = {
    "clip_224x224": Published("owners' ReadMe, clips with a face", 15906),
    "clip_224x224_16f": Published("owners' ReadMe, clips with a face", 15906),
    "original": Published("owners' ReadMe, videos", 16372),
}

_SPLITS = ("train(single-labeled)", "test(single-labeled)")
_COLUMNS = {"video": Column(("video_name",)), "label": Column(("label",))}


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """The clips with a single label, ordered by number, or all clips; each clip is its own subject.

    Parameters
    ----------
    root
        The folder that holds ``Clip`` and ``EmoLabel_DataSplit``.
    options
        ``variant``: one of :data:`VARIANTS`, the folder in ``Clip`` to read. ``sheet``: a table with the header
        ``video_name,label`` to read instead of all sets. ``unlabelled``: list also the clips on disk that no table
        names, with an empty emotion.

    Raises
    ------
    DatabaseError
        If the folder of the variant or the tables are missing, or a table has other columns.
    """
    tree = Tree(root)
    chosen = adapter.variant(name, options, VARIANTS)
    top = adapter.descend(tree, "Clip", chosen)
    tables = [root / options.sheet] if options.sheet else _tables(tree)
    sources = _sources(tree, top)
    labels: dict[str, dict[str, str]] = {}
    for table in tables:
        for row in sheets.read(table, _COLUMNS).rows:
            labels.setdefault(_key(row.cells["video"]), {}).setdefault(row.cells["label"], table.name)
    without = sorted(sources.keys() - labels.keys())
    keys = sorted([*labels, *without]) if options.unlabelled else sorted(labels)
    clips = tuple(_clip(name, tree, sources.get(key, top / key), key, labels.get(key, {})) for key in keys)
    kind, what = ("layout", "are listed without one") if options.unlabelled else ("unlisted_folder", "are not listed")
    names = [sources[key].name for key in without]
    notes = adapter.note_count(kind, f"clips of {chosen} have no single label and {what}", names)
    published = (ALL[chosen],) if options.unlabelled else () if options.sheet else PUBLISHED
    return Listing(clips, (adapter.NO_SUBJECTS, *notes), published)


def _tables(tree: Tree) -> list[Path]:
    tables = []
    for split in _SPLITS:
        folder, missing = adapter.source(tree, tree.root, "EmoLabel_DataSplit", split)
        files = [] if missing else tree.entries(folder).files
        tables += [folder / file for file in files if file.lower().endswith(".csv")]
    if not tables:
        expected = f"EmoLabel_DataSplit/{_SPLITS[0]}/set_1.csv"
        raise DatabaseError(f"{tree.root}: expected label tables like {expected}; found {tree.contents()}")
    return tables


def _key(video: str) -> str:
    """A clip's number as five digits, however it is padded and whatever suffix it has."""
    stem = video.rsplit(".", 1)[0]
    return f"{int(stem):05d}" if stem.isascii() and stem.isdigit() else safe_name(stem) or "unnamed"


def _sources(tree: Tree, top: Path) -> dict[str, Path]:
    """Clip folders or video files by number, including links that leave the root."""
    sources = {}
    parts = [name for name in tree.entries(top).folders if name.lower().startswith("part_")]
    for folder in (top, *(top / name for name in parts)):
        here = tree.entries(folder)
        names = [*here.folders, *here.leaving, *(file for file in here.files if file.lower().endswith(".mp4"))]
        sources.update({_key(name): folder / name for name in names if name not in parts})
    return sources


def _clip(name: str, tree: Tree, source: Path, key: str, labels: dict[str, str]) -> Clip:
    """One clip; ``labels`` maps each label that a table gives it to the first such table, and may be empty."""
    issues = []
    if not tree.inside(source):
        issues.append(Issue("unsafe_path", tree.shown(source)))
    elif not source.exists():
        issues.append(Issue("source_missing", tree.shown(source)))
    emotion = ""
    if labels:
        (label, table), *others = labels.items()
        for other, where in others:
            issues.append(Issue("bad_cell", f"label {other!r} in {where}, {label!r} in {table}; the latter was used"))
        if label not in EMOTIONS:
            issues.append(Issue("bad_cell" if label else "empty_cell", f"{table}: label {label!r}"))
        emotion = EMOTIONS.get(label, "")
    return adapter.clip_of(name, key, key, source, emotion, issues)
