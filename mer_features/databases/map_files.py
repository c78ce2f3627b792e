"""Files of published flow maps: both layouts, the names of the maps, and the copies of each clip.

See ``docs/databases/flow_maps.md``. Names and sizes are listed and no file is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mer_features.databases.adapter import note_count
from mer_features.databases.exclusion import LeftOut
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Note, Published
from mer_features.databases.options import FlowMapsDatabase
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
#: Name of a folder or text of a cell -> class.
CLASSES = {"0": "negative", "1": "positive", "2": "surprise"} | {
    word: word for word in ("negative", "positive", "surprise")
}
SUFFIX = ".png"
#: The published names have a blank before the dot.
_NAME = re.compile(r"([^_]+)_(.*\S)\s*\.png", re.IGNORECASE | re.DOTALL)
_SPLITS = ("u_train", "u_test")
#: Number of folders that the search for a layout lists, and number of levels below the root that it descends.
_SEARCH_LIMIT = 500
_SEARCH_DEPTH = 4

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
    """All maps of a folder: copies of each clip, double files, and files whose names name no clip.

    Neither notes nor sources name the folders and files of a subject that is left out.
    """

    tree: Tree
    nested: bool
    options: FlowMapsDatabase
    left_out: LeftOut
    copies: dict[Key, list[Copy]] = field(default_factory=dict)
    doubles: dict[Key, list[Copy]] = field(default_factory=dict)
    odd: dict[str, Path] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)  # held-out subjects that are left out; their folders are not read
    _subjects: dict[str, str] = field(default_factory=dict)  # key -> first spelling

    def add(self, copy: Copy) -> None:
        """Add one file."""
        self.copies.setdefault(copy.names.key, []).append(copy)
        self._subjects.setdefault(copy.names.key[0], copy.names.subject)

    def separate_doubles(self) -> None:
        """Keep one file of a clip in each folder; move other spellings, e.g. without the blank, to ``doubles``."""
        for key, copies in self.copies.items():
            kept: dict[Path, Copy] = {}
            for copy in sorted(copies, key=lambda item: item.size is None):  # links that leave the root last
                kept.setdefault(copy.folder, copy)
            if len(kept) < len(copies):
                self.copies[key] = [copy for copy in copies if kept[copy.folder] is copy]
                self.doubles[key] = [copy for copy in copies if kept[copy.folder] is not copy]

    def note_others(self, folder: Path, names: Iterable[str], links: Iterable[str]) -> None:
        """Note files that are no maps, but not the table of labels, and links that leave the root."""
        table = self.tree.root / self.options.labels if self.options.labels else None
        self.tree.note_foreign(
            folder, [name for name in names if folder / name != table and self.may_name(folder / name)]
        )
        for name in links:
            if self.may_name(folder / name):
                shown = self.tree.shown(folder / name)
                self.notes.append(Note("layout", f"{shown} leaves the root and is not followed"))

    def may_name(self, path: Path) -> bool:
        """Whether a message may name a path: no folder or file of it is that of a subject who is left out."""
        if not self.left_out:
            return True
        for name in path.relative_to(self.tree.root).parts:
            names = names_in(name)
            if safe_name(name) in self.left_out or (names and names.subject in self.left_out):
                return False
        return True

    def spelled(self, subject: str) -> str:
        """The subject in the usual spelling of the part, ``s1`` -> ``s01``, or else as in its first file."""
        subject = self._subjects.get(unpadded(subject), subject)
        part = PARTS.get(self.options.part or "")
        match = part.subject.fullmatch(subject) if part else None
        return part.spelling.format(int(match[1])) if part and match else subject


# Names


def key_of(subject: str, clip: str) -> Key:
    """Key under which the spellings of a clip are equal."""
    return unpadded(subject), clip.casefold()


@lru_cache(maxsize=4096)
def names_in(name: str) -> Names | None:
    """Subject and clip in the name of a file; ``None`` if it has another form."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return None
    match = _NAME.fullmatch(name)
    subject, clip = (safe_name(match[1]), safe_name(match[2])) if match else ("", "")
    return Names(subject, clip, key_of(subject, clip)) if subject and clip else None


def part_of(subject: str) -> str:
    """Part that a subject belongs to by its name; "" if it belongs to none."""
    return next((name for name, part in PARTS.items() if part.subject.fullmatch(subject)), "")


def chosen(copies: Sequence[Copy]) -> Copy:
    """The copy that is read: that of the clip's own subject in ``u_test``, else the first."""
    inside = [copy for copy in copies if copy.size is not None] or copies
    return next((copy for copy in inside if copy.own and copy.test), inside[0])


# Layouts


def find(tree: Tree, options: FlowMapsDatabase, left_out: LeftOut) -> Maps:
    """All maps below the root, in the layout that is there.

    Raises
    ------
    DatabaseError
        If neither layout or both are there. The message says what was found, and in which folder below there are maps.
    """
    here = tree.pictures(tree.root, SUFFIX)
    flat = _flat(here.sizes, here.leaving)
    tops = _nested_tops(tree)
    if flat and tops:
        folder = tree.shown(_held_out(tops[0], tree)[0])
        raise DatabaseError(
            f"{tree.root}: expected one layout and found both, maps side by side (e.g. {flat[0]!r}) and maps in "
            f"folders of held-out subjects (e.g. {folder!r}); move one of them away, or set `root` to a folder that "
            "holds only one"
        )
    if not flat and not tops:
        raise DatabaseError(
            f"{tree.root}: expected maps `<subject>_<clip> .png`, or folders `<subject>/u_test/<class>` with maps; "
            f"found there: {tree.contents()}{_hint(tree)}"
        )
    maps = Maps(tree, nested=not flat, options=options, left_out=left_out)
    if flat:
        beside = [name for name in here.folders if maps.may_name(tree.root / name)]
        maps.notes += note_count("layout", "folders beside the maps are not read", beside)
        _add(maps, tree.root)
        return maps
    maps.notes += [Note("layout", f"{tree.shown(top)} is there too and was not read") for top in tops[1:]]
    if tops[0] != tree.root:
        maps.note_others(tree.root, here.sizes, ())
    _add_nested(maps, tops[0])
    return maps


def _flat(*groups: Iterable[str]) -> list[str]:
    """The names that have the form of a map's name."""
    return sorted(name for names in groups for name in names if _NAME.fullmatch(name))


def _nested_tops(tree: Tree) -> list[Path]:
    """The root, or else the folders in it, in which a folder of a held-out subject has ``u_train`` or ``u_test``."""
    below = [tree.root / name for name in tree.pictures(tree.root, SUFFIX).folders]
    for tops in ([tree.root], below[:_SEARCH_LIMIT]):
        found = [top for top in tops if _held_out(top, tree)]
        if found:
            return found
    return []


def _held_out(top: Path, tree: Tree) -> list[Path]:
    """The first folder of a held-out subject among the first folders of ``top``; none if there is none."""
    folders = (top / name for name in tree.pictures(top, SUFFIX).folders[:_SEARCH_LIMIT])
    first = next((folder for folder in folders if _has_splits(tree.pictures(folder, SUFFIX).folders)), None)
    return [first] if first else []


def _has_splits(names: Iterable[str]) -> bool:
    return any(name.lower() in _SPLITS for name in names)


def _hint(tree: Tree) -> str:
    """In which folder further below there are maps, for the message that the root has none."""
    found = list(dict.fromkeys(_below(tree)))
    if not found:
        return ""
    return f"; there are maps in {' and in '.join(map(str, found[:3]))}: set `root` to {'one' if found[1:] else 'that'}"


def _below(tree: Tree) -> Iterator[Path]:
    """Folders with maps in one of the layouts, from the root downwards.

    If the root is a folder within the nested layout, it is the folder above that layout's subjects.
    """
    level, listed = [tree.root], 0
    for _ in range(_SEARCH_DEPTH + 1):
        deeper = []
        for folder in level:
            here = tree.pictures(folder, SUFFIX)
            listed += 1
            if _has_splits(here.folders):
                yield folder.absolute().parent
            elif _flat(here.sizes):
                classed = folder.name.lower() in CLASSES and folder.absolute().parent.name.lower() in _SPLITS
                yield folder.absolute().parents[2] if classed else folder.absolute()
            elif listed < _SEARCH_LIMIT:
                deeper += [folder / name for name in here.folders]
        level = deeper[: _SEARCH_LIMIT - listed]


def _add_nested(maps: Maps, top: Path) -> None:
    """Add the maps of all held-out subjects."""
    unread: list[Path] = []
    for subject in _inner(maps, top):
        if maps.left_out and safe_name(subject.name) in maps.left_out:
            maps.skipped.add(safe_name(subject.name))
            continue
        for split in _inner(maps, subject):
            if split.name.lower() not in _SPLITS:
                unread.append(split)
                continue
            for folder in _inner(maps, split):
                if folder.name.lower() in CLASSES:
                    _add(maps, folder, held_out=subject.name, test=split.name.lower() == "u_test")
                else:
                    unread.append(folder)
    shown = [maps.tree.shown(folder) for folder in unread if maps.may_name(folder)]
    maps.notes += note_count("layout", "folders are not read (expected u_train and u_test with 0, 1 and 2)", shown)


def _inner(maps: Maps, folder: Path) -> list[Path]:
    """Sub-folders; anything else in the folder is noted."""
    here = maps.tree.pictures(folder, SUFFIX)
    maps.note_others(folder, [*here.others, *here.sizes], here.leaving)
    return [folder / name for name in here.folders]


def _add(maps: Maps, folder: Path, *, held_out: str = "", test: bool = False) -> None:
    """Add the maps in one folder and note what else it holds."""
    here = maps.tree.pictures(folder, SUFFIX)
    links: dict[str, int | None] = {name: None for name in here.leaving if name.lower().endswith(SUFFIX)}
    maps.note_others(folder, here.others, [name for name in here.leaving if name not in links])
    label = CLASSES[folder.name.lower()] if maps.nested else ""
    owner = unpadded(safe_name(held_out))
    for name, size in sorted((links | here.sizes).items()):
        names = names_in(name)
        if names is None:
            maps.odd.setdefault(name, folder / name)
        else:
            maps.add(Copy(folder, name, size, names, label, own=names.key[0] == owner, test=test))


# Notes


def copy_notes(maps: Maps, keys: Iterable[Key]) -> list[Note]:
    """Notes on copies of the nested layout that differ or are where they should not be."""
    differing, untested, leaked, foreign = [], [], [], []
    for copies in (maps.copies[key] for key in keys if maps.nested and key in maps.copies):
        if copies[0].names.subject in maps.left_out:
            continue
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
