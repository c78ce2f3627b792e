"""What an adapter returns: clips, or recordings and events, and notes on the database as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mer_features.core.clips import Clip
from mer_features.core.recordings import Blink, Event, Recording


class DatabaseError(ValueError):
    """The database cannot be read at all; the message says what was expected and where."""


@dataclass(frozen=True)
class Note:
    """A fact about the database that does not belong to a clip, e.g. a folder that no row of the sheet names."""

    kind: str
    detail: str
    count: int = 1  # number of folders, files or rows that the note is about


@dataclass(frozen=True)
class Published:
    """Published counts of a release, for comparison with the counts of a listing.

    ``emotions`` counts clips by the owners' word in lower case; it is empty if only the total is known. ``subjects`` is
    0 if the number of subjects is not known.
    """

    edition: str  # e.g. "sheet of 2014"
    clips: int
    subjects: int = 0
    emotions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """Clips in the order of the sheet, notes, and the published counts of each known edition.

    ``people`` are subjects that have files, also those without a clip.
    """

    clips: tuple[Clip, ...]
    notes: tuple[Note, ...] = ()
    published: tuple[Published, ...] = ()
    people: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PublishedRecordings:
    """Published counts of a database of recordings.

    ``recordings`` is ``None`` if it is not known how many there are; ``annotated`` counts those with an event, and
    ``subjects`` the people in those.
    """

    edition: str  # e.g. "SAMM_LongVideos_V2_Release"
    recordings: int | None
    annotated: int
    subjects: int
    micro: int
    macro: int


@dataclass(frozen=True)
class RecordedListing:
    """Recordings, also those without an event, in the order of their folders; events and blinks as in the sheet."""

    recordings: tuple[Recording, ...]
    events: tuple[Event, ...] = ()
    blinks: tuple[Blink, ...] = ()
    notes: tuple[Note, ...] = ()
    published: tuple[PublishedRecordings, ...] = ()
