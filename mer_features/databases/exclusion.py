"""Subjects that are left out of a database: those that the configuration excludes, and those that were forgotten.

``results/forgotten.json`` keeps forgotten subjects out of the next run. It holds digests and not names. The names of
subjects are short, so anyone with a list of candidate names can find out which subjects are meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from mer_features.core.clips import Clip
from mer_features.core.files import write_text
from mer_features.core.jobs import counted
from mer_features.core.recordings import Recording
from mer_features.databases.folders import unpadded
from mer_features.databases.listing import DatabaseError, Note

NAME = "forgotten.json"

Item = TypeVar("Item", Clip, Recording)


def remember(results: Path, database: str, subject: str) -> None:
    """Leave a subject of a database out of all later runs on this folder of results."""
    digests = _digests(results) | {_digest(database, subject), _spelled_digest(database, subject)}
    write_text(results / NAME, json.dumps(sorted(digests), indent=1) + "\n")


class LeftOut:
    """The subjects of a database that are left out: ``subject in left_out``; false if no subject is left out.

    Parameters
    ----------
    database
        Name of the database.
    excluded
        Subjects that the configuration excludes.
    results
        The folder that holds the list of forgotten subjects.
    any_spelling
        Whether ``p01``, ``P1`` and ``p1`` are one subject. For adapters that name a subject as its files do, so that
        the name depends on which files there are.

    Raises
    ------
    DatabaseError
        If the list of forgotten subjects is damaged: forgotten subjects would be used again without notice.
    """

    def __init__(
        self,
        database: str,
        excluded: Iterable[str] = (),
        results: Path = Path("results"),
        *,
        any_spelling: bool = False,
    ) -> None:
        self.database = database
        self.excluded = tuple(dict.fromkeys(excluded))
        self.key: Callable[[str], str] = unpadded if any_spelling else str
        self._any_spelling = any_spelling
        self._keys = {self.key(name) for name in self.excluded}
        self._forgotten = _digests(results)

    def __bool__(self) -> bool:
        return bool(self._keys or self._forgotten)

    def __contains__(self, subject: str) -> bool:
        if self.key(subject) in self._keys or _digest(self.database, subject) in self._forgotten:
            return True
        return self._any_spelling and _spelled_digest(self.database, subject) in self._forgotten


def without(
    clips: Iterable[Item], left_out: LeftOut, people: Iterable[str] = ()
) -> tuple[tuple[Item, ...], tuple[Note, ...]]:
    """The clips, or recordings, of all other subjects, and notes on how many subjects are left out.

    Parameters
    ----------
    clips
        All clips, or recordings, of the database.
    left_out
        Subjects to leave out.
    people
        Further subjects of the database, without clips.
    """
    listed, key = tuple(clips), left_out.key
    subjects = {clip.subject for clip in listed}.union(people)
    gone = {subject for subject in subjects if subject in left_out}
    count, known = len({key(subject) for subject in gone}), {key(subject) for subject in subjects}
    notes = [Note("excluded", f"{counted(count, 'subject')} left out as requested", count)] if gone else []
    notes += [
        Note("excluded", f"exclude_subjects: {name!r} is not a subject of {left_out.database}")
        for name in left_out.excluded
        if key(name) not in known
    ]
    return tuple(clip for clip in listed if clip.subject not in gone), tuple(notes)


def _digest(database: str, subject: str) -> str:
    return hashlib.sha256(f"{database}\0{subject}".encode()).hexdigest()


def _spelled_digest(database: str, subject: str) -> str:
    """Digest that all spellings of a subject share; no subject's name has a NUL, so it equals no other digest."""
    return _digest(database, f"\0{unpadded(subject)}")


def _digests(results: Path) -> set[str]:
    path = results / NAME
    if not path.exists():
        return set()
    try:
        digests = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(digests, list) or not all(isinstance(item, str) for item in digests):
            raise ValueError("expected a list of digests")
        return set(digests)
    except ValueError as error:
        raise DatabaseError(f"{path}: the list of forgotten subjects cannot be read ({error})") from error
