"""Subjects that are left out of a database: those that the configuration excludes, and those that were forgotten.

``results/forgotten.json`` keeps forgotten subjects out of the next run. It holds digests and not names. The names of
subjects are short, so anyone with a list of candidate names can find out which subjects are meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.files import write_text
from mer_features.core.jobs import counted
from mer_features.databases.listing import DatabaseError, Note

NAME = "forgotten.json"


def remember(results: Path, database: str, subject: str) -> None:
    """Leave a subject of a database out of all later runs on this folder of results."""
    digests = _digests(results) | {_digest(database, subject)}
    write_text(results / NAME, json.dumps(sorted(digests), indent=1) + "\n")


def without(
    clips: Iterable[Clip], database: str, excluded: Iterable[str], results: Path
) -> tuple[tuple[Clip, ...], tuple[Note, ...]]:
    """The clips of all other subjects, and notes on how many subjects are left out.

    Parameters
    ----------
    clips
        All clips of the database.
    database
        Its name.
    excluded
        Subjects that the configuration excludes.
    results
        The folder that holds the list of forgotten subjects.

    Raises
    ------
    DatabaseError
        If the list of forgotten subjects is damaged: forgotten subjects would be used again without notice.
    """
    listed = tuple(clips)
    subjects, names, forgotten = {clip.subject for clip in listed}, frozenset(excluded), _digests(results)
    gone = {subject for subject in subjects if subject in names or _digest(database, subject) in forgotten}
    notes = [Note("excluded", f"{counted(len(gone), 'subject')} left out as requested", len(gone))] if gone else []
    notes += [
        Note("excluded", f"exclude_subjects: {name!r} is not a subject of {database}") for name in names - subjects
    ]
    return tuple(clip for clip in listed if clip.subject not in gone), tuple(notes)


def _digest(database: str, subject: str) -> str:
    return hashlib.sha256(f"{database}\0{subject}".encode()).hexdigest()


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
