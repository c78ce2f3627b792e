"""Looks at the databases of a configuration before any work: what is found, what is missing, what is odd."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from mer_features import databases, quality
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


def check(config: Config) -> list[DatabaseCheck]:
    """Check every database of a configuration; reads sheets and folder listings, no pixels."""
    return [_check(config, name) for name in config.databases]


def _check(config: Config, name: str) -> DatabaseCheck:
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
    clips = listing.clips
    result.notes = [{"kind": note.kind, "detail": note.detail} for note in listing.notes]
    result.clips = len(clips)
    result.subjects = len({clip.subject for clip in clips})
    result.states = {str(state): n for state, n in Counter(quality.status(c.issues) for c in clips).items()}
    result.emotions = dict(Counter(clip.emotion or "(none)" for clip in clips).most_common())
    result.issues = [
        {"clip": clip.clip_id, "code": issue.code, "detail": issue.detail} for clip in clips for issue in clip.issues
    ]
    return result
