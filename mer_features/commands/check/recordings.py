"""Check of one database of recordings: counts of recordings, events and issues, next to the published counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mer_features.core import quality
from mer_features.core.jobs import counted
from mer_features.core.quality import CODES, Status
from mer_features.databases.films import LEFT_OUT
from mer_features.databases.listing import DatabaseError, RecordedListing
from mer_features.databases.recordings import compare, counts

_SHOWN = 8


@dataclass
class RecordingsCheck:
    """Results of the check of one database of recordings.

    ``counts`` and ``published`` have the keys of :func:`mer_features.databases.recordings.counts`. ``minutes`` is the
    length of the recordings whose ends and frame rate are known. ``issues`` lists those of recordings and of events.
    """

    name: str
    root: str
    error: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    edition: str = ""  # that the published counts belong to
    published: dict[str, int] = field(default_factory=dict)
    minutes: float = 0.0
    states: dict[str, int] = field(default_factory=dict)  # of the recordings
    differences: list[str] = field(default_factory=list)
    chosen: bool = False  # whether an option of the configuration explains them all
    left_out: list[str] = field(default_factory=list)
    issues: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Problems to resolve before a run, one line each."""
        if self.error:
            return [self.error]
        rejected = self.states[Status.REJECTED]
        lines = [f"{rejected} of {counted(self.counts['recordings'], 'recording')} rejected"] if rejected else []
        if self.edition:
            return [*lines, *(["; ".join(self.differences)] if self.differences and not self.chosen else [])]
        return [*lines, *self.left_out]

    def as_dict(self) -> dict[str, Any]:
        """The results as plain values, ready for JSON."""
        return asdict(self) | {"problems": self.problems}


def check_recordings(name: str, root: str, listing: RecordedListing | DatabaseError) -> RecordingsCheck:
    """Check one database of recordings.

    Parameters
    ----------
    name
        Name of the database in the configuration.
    root
        Its root folder.
    listing
        What it holds, or the reason why it cannot be read.
    """
    if isinstance(listing, DatabaseError):
        return RecordingsCheck(name, root, error=str(listing))
    comparison = compare(listing)
    states = Counter(quality.status(recording.issues) for recording in listing.recordings)
    rows = [(item.recording_id, item.issues) for item in listing.recordings]
    rows += [(event.event_id, event.issues) for event in listing.events]
    return RecordingsCheck(
        name,
        root,
        counts=counts(listing),
        edition=comparison.edition if comparison else "",
        published=comparison.published if comparison else {},
        differences=comparison.lines if comparison else [],
        chosen=comparison.chosen if comparison else False,
        minutes=sum(recording.minutes or 0.0 for recording in listing.recordings),
        states={str(state): states[state] for state in Status},
        left_out=[note.detail for note in listing.notes if note.kind == LEFT_OUT],
        issues=[{"of": of, "code": i.code, "detail": i.detail} for of, issues in rows for i in issues],
        notes=[{"kind": note.kind, "detail": note.detail} for note in listing.notes],
    )


def lines(result: RecordingsCheck) -> Iterator[str]:
    """The result as lines of text for a terminal."""
    yield f"recordings {result.name}: {result.root}"
    if result.error:
        yield f"  error       {result.error}"
        return
    published = f"   published ({result.edition})" if result.edition else ""
    yield f"  {'counts':14}{'found':>7}{published}"
    for what, count in result.counts.items():
        expected = result.published.get(what)
        differs = "" if expected in (None, count) else "   differs"
        yield f"  {what:14}{count:>7}" + ("" if expected is None else f"{expected:>12}{differs}")
    yield f"  {'minutes':14}{result.minutes:>7.0f}"
    yield f"  {'states':14}" + ", ".join(f"{number} {state}" for state, number in result.states.items())
    yield from (f"  {line}" for line in result.differences)
    yield from _issues(result.issues)
    if result.notes:
        yield "  notes"
        yield from (f"    {note['kind']}: {note['detail']}" for note in result.notes)


def _issues(issues: list[dict[str, str]]) -> Iterator[str]:
    groups: dict[str, list[Mapping[str, str]]] = {}
    for issue in issues:
        groups.setdefault(issue["code"], []).append(issue)
    for code, rows in groups.items():
        yield f"  {CODES[code].severity}: {code}, {counted(len(rows), 'time')} ({CODES[code].meaning})"
        yield from (f"    {row['of']}: {row['detail']}".removesuffix(": ") for row in rows[:_SHOWN])
        if len(rows) > _SHOWN:
            yield f"    ... and {len(rows) - _SHOWN} more (--json lists all)"
