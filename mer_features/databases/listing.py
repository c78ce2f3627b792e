"""What an adapter gives: clips, and what is worth saying of the database as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from mer_features.clips import Clip


class DatabaseError(ValueError):
    """A database that cannot be read at all; the message says what was expected and where."""


@dataclass(frozen=True)
class Note:
    """Something about the database that belongs to no clip, e.g. a folder that no row of the sheet names."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Listing:
    """Clips in the order of the sheet, and notes."""

    clips: tuple[Clip, ...]
    notes: tuple[Note, ...] = ()
