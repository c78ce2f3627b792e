"""Folders below the root of a database.

Folders are found whatever their case, and each is listed once. No link is followed out of the root. Only names of
existing entries are joined to a path. A name from a sheet is compared with them, so ``..``, an absolute path or a name
with a separator matches nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer_features.core.clips import IMAGE_SUFFIXES, Clip
from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.databases.listing import Note

#: Number of folders that a search by name may list: enough for any release, and a wrong root is reported in a second.
_SEARCH_LIMIT = 2000
_NAMES_SHOWN = 20


def unpadded(name: str) -> str:
    """Key under which padded and unpadded numbers are equal: ``Sub01``, ``sub1`` -> ``sub1``."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", name.strip().casefold())


def plain(name: str) -> str:
    """Key under which spellings of a folder's name are equal: ``CASME2-RAW``, ``casme2_raw`` -> ``casme2raw``."""
    return re.sub(r"[\W_]+", "", name).casefold()


def escapes(name: str) -> bool:
    """Whether a name from a sheet is a path and not the name of one folder."""
    return name.strip() in {".", ".."} or re.search(r"[/\\\0]", name) is not None


@dataclass
class Entries:
    """Names of the entries of one folder; hidden entries and lock files of open documents are ``ignored``."""

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)  # symbolic links out of the root
    ignored: list[str] = field(default_factory=list)
    error: str = ""


@dataclass
class Pictures:
    """Names of the entries of a folder whose pictures are clips; ``sizes`` has the size of each picture in bytes."""

    folders: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    leaving: list[str] = field(default_factory=list)  # symbolic links out of the root
    others: list[str] = field(default_factory=list)  # hidden entries as well


class Tree:
    """The folders of one database.

    Parameters
    ----------
    root
        Root folder. Nothing outside it is opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = root.resolve()
        self._entries: dict[Path, Entries] = {}
        self._index: dict[tuple[Path, Callable[[str], str]], dict[str, list[str]]] = {}
        self._frames: dict[Path, tuple[int, ...] | Issue] = {}
        self._foreign: dict[str, list[Path]] = {}
        self._notes: list[Note] = []

    def entries(self, folder: Path) -> Entries:
        """Entries of a folder, sorted by name, read once. A folder that cannot be listed is empty and gives a note."""
        if folder not in self._entries:
            self._entries[folder] = entries = self._scan(folder)
            if entries.error:
                self._notes.append(Note("layout", f"{self.shown(folder)} cannot be listed ({entries.error})"))
        return self._entries[folder]

    def _scan(self, folder: Path) -> Entries:
        result = Entries()
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda item: item.name):
                    if entry.name.startswith((".", "~$")):
                        result.ignored.append(entry.name)
                    elif entry.is_symlink() and not self.inside(Path(entry.path)):
                        result.leaving.append(entry.name)
                    elif entry.is_dir():
                        result.folders.append(entry.name)
                    else:
                        result.files.append(entry.name)
        except OSError as error:
            result.error = error.strerror or str(error)
        return result

    def pictures(self, folder: Path, suffix: str) -> Pictures:
        """Entries of a folder, sorted by name; pictures have ``suffix`` in any case. No file is opened.

        A folder that cannot be listed is empty and gives a note.
        """
        result = Pictures()
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda item: item.name):
                    self._sort_in(entry, suffix, result)
        except OSError as error:
            note = Note("layout", f"{self.shown(folder)} cannot be listed ({error.strerror})")
            self._notes += [] if note in self._notes else [note]
        return result

    def _sort_in(self, entry: os.DirEntry[str], suffix: str, result: Pictures) -> None:
        hidden = entry.name.startswith((".", "~$"))
        try:
            if entry.is_symlink() and not self.inside(Path(entry.path)):
                result.leaving.append(entry.name)
            elif entry.is_dir() and not hidden:
                result.folders.append(entry.name)
            elif entry.is_file() and not hidden and entry.name.lower().endswith(suffix):
                result.sizes[entry.name] = entry.stat().st_size
            else:
                result.others.append(entry.name)
        except OSError:  # a circular link, or a file that was removed meanwhile
            result.others.append(entry.name)

    def note_foreign(self, folder: Path, names: Iterable[str]) -> None:
        """Note entries of a folder as foreign files; entries of the same name become one note."""
        for name in names:
            self._foreign.setdefault(name, []).append(folder)

    def inside(self, path: Path) -> bool:
        """Whether a path is below the root after its symbolic links are resolved; a circular link is not."""
        try:
            return path.resolve().is_relative_to(self._real)
        except (OSError, RuntimeError, ValueError):  # circular links (RuntimeError before Python 3.13) or a NUL
            return False

    def shown(self, path: Path) -> str:
        """A path relative to the root, for messages; bytes of a name that are not UTF-8 are replaced."""
        return os.fsencode(path.relative_to(self.root).as_posix()).decode(errors="replace")

    def folder(self, parent: Path, name: str, key: Callable[[str], str] = str.casefold) -> Path:
        """The sub-folder of this name: the exact spelling if there is one, else the first that is equal under ``key``.

        Raises
        ------
        ClipRejectedError
            ``unsafe_path`` for a name that is a path or a symbolic link that leaves the root; ``source_missing``
            if the folder does not exist.
        """
        if (parent, key) not in self._index:
            index = self._index[parent, key] = {}
            for child in self.entries(parent).folders:
                index.setdefault(key(child), []).append(child)
        matches = self._index[parent, key].get(key(name), [])
        if matches:
            return parent / (name if name in matches else matches[0])
        if escapes(name) or any(key(link) == key(name) for link in self.entries(parent).leaving):
            raise ClipRejectedError("unsafe_path", f"{self.shown(parent)}: {name!r} leads out of the root")
        raise ClipRejectedError("source_missing", f"no folder {name!r} in {self.shown(parent)}")

    def frames(self, folder: Path) -> tuple[int, ...]:
        """Frame numbers of a clip's folder, ascending. The number is the last digit group of an image's name.

        The folder is listed once and no file is opened. Files that are not numbered images are noted as foreign files.

        Raises
        ------
        ClipRejectedError
            ``unsafe_path`` if an entry is a symbolic link that leaves the root, ``no_frames`` if the folder cannot be
            listed or has no numbered image, ``duplicate_frame`` if two files have the same number.
        """
        if folder not in self._frames:
            try:
                self._frames[folder] = self._numbers(folder)
            except ClipRejectedError as error:
                self._frames[folder] = error.issue
        numbers = self._frames[folder]
        if isinstance(numbers, Issue):
            raise ClipRejectedError(numbers.code, numbers.detail)
        return numbers

    def _numbers(self, folder: Path) -> tuple[int, ...]:
        names: dict[int, str] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda item: item.name):
                    if entry.is_symlink() and not self.inside(Path(entry.path)):
                        raise ClipRejectedError("unsafe_path", f"{self.shown(folder)}/{entry.name} leaves the root")
                    number = frame_number(entry.name) if entry.is_file() else None
                    if number is None:
                        self._foreign.setdefault(entry.name, []).append(folder)
                    elif number in names:
                        both = f"{names[number]} and {entry.name} in {self.shown(folder)}"
                        raise ClipRejectedError("duplicate_frame", f"{both} both claim frame number {number}")
                    else:
                        names[number] = entry.name
        except OSError as error:
            raise ClipRejectedError("no_frames", f"{self.shown(folder)}: {error.strerror}") from error
        if not names:
            raise ClipRejectedError("no_frames", f"no numbered image in {self.shown(folder)}")
        return tuple(sorted(names))

    def search(
        self, names: Sequence[str], subject: re.Pattern[str], *, depth: int = 3, takes_root: bool = False
    ) -> list[Path]:
        """Folders that have one of the names (compared by :func:`plain`) and contain the folder of a subject.

        Parameters
        ----------
        names
            Accepted names, the preferred one first.
        subject
            Whole name of a subject's folder; such folders are not searched.
        depth
            Number of levels below the root to search.
        takes_root
            Whether the root itself may hold the subjects whatever its name.

        Returns
        -------
        list of Path
            Sorted by depth, then by the order of ``names``; a root of another name comes last.
        """
        keys = [plain(name) for name in names]
        matches = []
        for level, folder in self._walk(subject, depth):
            name = plain(self._real.name if level == 0 else folder.name)
            if not (name in keys or (takes_root and level == 0)):
                continue
            here = self.entries(folder)
            if any(subject.fullmatch(child) for child in here.folders + here.leaving):
                matches.append((name not in keys, level, keys.index(name) if name in keys else 0, folder))
        return [folder for *_, folder in sorted(matches)]

    def _walk(self, subject: re.Pattern[str], depth: int) -> Iterator[tuple[int, Path]]:
        level, listed = [self.root], 0
        for number in range(depth + 1):
            below = []
            for folder in level:
                yield number, folder
                listed += 1
                children = [] if listed > _SEARCH_LIMIT or number == depth else self.entries(folder).folders
                below += [folder / name for name in children if not subject.fullmatch(name)]
            level = below

    def files(self, pattern: re.Pattern[str], subject: re.Pattern[str]) -> list[Path]:
        """Files in the root and in the folders directly below it whose whole name matches."""
        return [
            folder / name
            for _, folder in self._walk(subject, 1)
            for name in self.entries(folder).files
            if pattern.fullmatch(name)
        ]

    def contents(self) -> str:
        """What the root holds, for the message that the expected files are not there."""
        here = self.entries(self.root)
        names = [*(f"{name}/" for name in here.folders), *here.files]
        names += [f"{name} (a symbolic link that leaves the root and is not followed)" for name in here.leaving]
        return _shortened(names) or "nothing"

    def notes(self) -> tuple[Note, ...]:
        """Notes on foreign files (one per name), unreadable folders and links that leave the root."""
        notes = list(self._notes)
        for name, folders in sorted(self._foreign.items())[:_NAMES_SHOWN]:
            others = f" and in {len(folders) - 1} more folders" if len(folders) > 1 else ""
            notes.append(Note("foreign_file", f"{self.shown(folders[0] / name)}{others}", len(folders)))
        if more := sorted(self._foreign)[_NAMES_SHOWN:]:
            count = sum(len(self._foreign[name]) for name in more)
            notes.append(Note("foreign_file", f"{len(more)} more names of files that are not read", count))
        for folder, here in sorted(self._entries.items()):
            stray = [] if folder == self.root else here.files
            locks = [name for name in here.ignored if name.startswith("~$")]
            notes += [Note("foreign_file", self.shown(folder / name)) for name in stray + locks]
            notes += [
                Note("layout", f"{self.shown(folder / name)} leaves the root and is not followed")
                for name in here.leaving
            ]
        return tuple(notes)


def frame_number(name: str) -> int | None:
    """Frame number of an image file; ``None`` for a hidden file, another kind of file or a name without digits."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or name.startswith((".", "~")) or f".{suffix.lower()}" not in IMAGE_SUFFIXES:
        return None
    digits = re.findall(r"[0-9]+", stem)
    return int(digits[-1]) if digits else None


def off_disk(clip: Clip, numbers: Sequence[int]) -> tuple[Issue, ...]:
    """An issue for each annotated key frame that has no file; ``numbers`` are the frame numbers on disk."""
    issues = []
    for what in ("onset", "apex", "offset"):
        number = getattr(clip, what)
        if number is not None and number not in numbers:
            if what == "apex" and not _within(number, clip):
                continue  # the apex stage reports it as apex_outside
            nearest = min(numbers, key=lambda other: (abs(other - number), other))
            issues.append(Issue("frame_not_on_disk", f"{what} {number}, nearest is {nearest}"))
    return tuple(issues)


def _within(apex: int, clip: Clip) -> bool:
    return (clip.onset is None or clip.onset <= apex) and (clip.offset is None or apex <= clip.offset)


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
