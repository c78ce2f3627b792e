"""What an adapter gives: clips, and what is worth saying of the database as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mer_features.core.clips import Clip


class DatabaseError(ValueError):
    """A database that cannot be read at all; the message says what was expected and where."""


@dataclass(frozen=True)
class Note:
    """Something about the database that belongs to no clip, e.g. a folder that no row of the sheet names."""

    kind: str
    detail: str
    count: int = 1  # how many folders, files or rows it speaks of


@dataclass(frozen=True)
class Published:
    """What a release is known to hold, to be set beside what is found.

    ``emotions`` counts clips by the owners' word in lower case; it is empty where only the total is known.
    ``subjects`` is 0 where their number is not known.
    """

    edition: str  # e.g. "sheet of 2014"
    clips: int
    subjects: int = 0
    emotions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """Clips in the order of the sheet, notes, and the editions of what was read that are known."""

    clips: tuple[Clip, ...]
    notes: tuple[Note, ...] = ()
    published: tuple[Published, ...] = ()
