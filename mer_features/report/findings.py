"""What was excluded, corrected or flagged, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mer_features.core import quality
from mer_features.core.quality import CODES, Issue, Status
from mer_features.protocols import FoldTable
from mer_features.report.data import Database


@dataclass(frozen=True)
class CodeRow:
    """One kind of problem and how many clips have it."""

    code: str
    severity: Status
    meaning: str
    clips: int


@dataclass(frozen=True)
class ClipLine:
    """One clip with something wrong."""

    clip_id: str
    status: Status
    issues: Sequence[Issue]


@dataclass(frozen=True)
class Findings:
    """State of all clips of one database."""

    database: str
    total: int
    counts: Mapping[str, int]  # clips by state
    codes: Sequence[CodeRow]
    clips: Sequence[ClipLine]
    lost: Sequence[str]  # listed, but neither used nor rejected: must not happen


@dataclass(frozen=True)
class LeftOut:
    """Usable clips that a protocol's label map leaves out."""

    protocol: str
    kept: int
    left: int
    words: Sequence[tuple[str, str, int]]  # database, emotion, clips


def of_database(database: Database) -> Findings:
    """States, codes and clips of one database, the worst first."""
    issues = {clip.clip_id: clip.issues for clip in database.used}
    issues |= {clip.clip_id: quality.loads(clip.quality_text) for clip in database.rejected}
    states = {clip_id: quality.status(found) for clip_id, found in issues.items()}
    counts = Counter(str(state) for state in states.values())
    lines = [ClipLine(clip_id, states[clip_id], found) for clip_id, found in issues.items() if found]
    order = [Status.REJECTED, Status.WARNED]
    return Findings(
        database=database.name,
        total=len(database.listed),
        counts={str(state): counts[str(state)] for state in Status},
        codes=_codes(issues),
        clips=sorted(lines, key=lambda line: (order.index(line.status), line.clip_id)),
        lost=sorted({clip.clip_id for clip in database.listed} - set(issues)),
    )


def _codes(issues: Mapping[str, Sequence[Issue]]) -> list[CodeRow]:
    clips = Counter(code for found in issues.values() for code in {issue.code for issue in found})
    rows = [CodeRow(code, item.severity, item.meaning, clips[code]) for code, item in CODES.items() if clips[code]]
    return sorted(rows, key=lambda row: (row.severity is not Status.REJECTED, -row.clips))


def left_out(protocol: str, table: FoldTable, databases: Sequence[Database]) -> LeftOut:
    """Clips of a protocol's databases that are usable but in none of its classes."""
    kept = {(row.database, row.clip_id) for row in table.rows}
    names = {row.database for row in table.rows}
    words = Counter(
        (database.name, clip.emotion or "(none)")
        for database in databases
        if database.name in names
        for clip in database.used
        if (database.name, clip.clip_id) not in kept
    )
    return LeftOut(protocol, len(kept), words.total(), [(*key, count) for key, count in sorted(words.items())])
