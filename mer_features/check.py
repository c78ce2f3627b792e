"""Looks at the databases of a configuration before any work: what is found, what is missing, what is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mer_features import databases, protocols, quality
from mer_features.clips import Clip
from mer_features.config import Config, SyntheticDatabase
from mer_features.databases import DatabaseError
from mer_features.quality import Status


@dataclass
class DatabaseCheck:
    """What a look at one database found."""

    name: str
    root: str
    error: str = ""
    note: str = ""
    clips: int = 0
    subjects: int = 0
    states: dict[str, int] = field(default_factory=dict)
    emotions: dict[str, int] = field(default_factory=dict)
    issues: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether a run would start: the database can be read and has a clip that is not rejected."""
        return not self.error and (bool(self.note) or self.clips > self.states.get(Status.REJECTED, 0))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for machines."""
        return asdict(self) | {"usable": self.usable}


@dataclass
class ProtocolCheck:
    """What a protocol would come out as, were every listed clip usable."""

    name: str
    error: str = ""
    note: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    folds: int = 0

    @property
    def usable(self) -> bool:
        """Whether training would start."""
        return not self.error

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for machines."""
        return asdict(self) | {"usable": self.usable}


@dataclass
class Check:
    """Every database and protocol of a configuration."""

    databases: list[DatabaseCheck]
    protocols: list[ProtocolCheck]

    @property
    def clean(self) -> bool:
        """Whether a run would start and nothing at all is odd."""
        return all(item.usable and not item.issues for item in self.databases) and all(
            item.usable for item in self.protocols
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for machines."""
        return {
            "databases": [item.as_dict() for item in self.databases],
            "protocols": [item.as_dict() for item in self.protocols],
        }


def check(config: Config) -> Check:
    """Check every database and protocol of a configuration; reads sheets and folder listings, no pixels."""
    clips: dict[str, tuple[Clip, ...]] = {}
    found = [_check(config, name, clips) for name in config.databases]
    return Check(found, [_check_protocol(config, name, clips) for name in config.protocols])


def _check_protocol(config: Config, name: str, clips: Mapping[str, tuple[Clip, ...]]) -> ProtocolCheck:
    protocol = config.protocols[name]
    if missing := [database for database in protocol.databases if database not in clips]:
        return ProtocolCheck(name, note=f"cannot be told before {', '.join(missing)} can be read")
    listed = [clip for database in protocol.databases for clip in clips[database]]
    usable = [clip for clip in listed if quality.status(clip.issues) is not Status.REJECTED]
    try:
        table = protocols.build(name, usable, protocol, config.seed, listed=listed)
    except ValueError as error:
        return ProtocolCheck(name, error=str(error))
    return ProtocolCheck(name, counts=table.counts(), folds=len(table.folds))


def _check(config: Config, name: str, clips_of: dict[str, tuple[Clip, ...]]) -> DatabaseCheck:
    root = config.database_root(name)
    result = DatabaseCheck(name, str(root))
    if isinstance(config.databases[name], SyntheticDatabase) and not (root / databases.SHEET).exists():
        result.note = "embedded database, not rendered yet: the workflow renders it"
        return result
    try:
        listing = databases.read(config, name)
    except DatabaseError as error:
        result.error = str(error)
        return result
    clips = clips_of[name] = listing.clips
    result.notes = [{"kind": note.kind, "detail": note.detail} for note in listing.notes]
    result.clips = len(clips)
    result.subjects = len({clip.subject for clip in clips})
    result.states = {str(state): n for state, n in Counter(quality.status(c.issues) for c in clips).items()}
    result.emotions = dict(Counter(clip.emotion or "(none)" for clip in clips).most_common())
    result.issues = [
        {"clip": clip.clip_id, "code": issue.code, "detail": issue.detail} for clip in clips for issue in clip.issues
    ]
    return result
