"""Clips that were excluded, corrected or used with warnings, and the reasons."""

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
    """One kind of issue and the number of clips that have it."""

    code: str
    severity: Status
    meaning: str
    clips: int


@dataclass(frozen=True)
class ClipLine:
    """One clip with at least one issue."""

    clip_id: str
    status: Status
    issues: Sequence[Issue]


@dataclass(frozen=True)
class Findings:
    """States of all clips of one database."""

    database: str
    total: int
    counts: Mapping[str, int]  # clips by state
    codes: Sequence[CodeRow]
    clips: Sequence[ClipLine]
    lost: Sequence[str]  # listed but neither used nor rejected; empty unless files are out of date or there is a bug


@dataclass(frozen=True)
class LeftOut:
    """Usable clips that a protocol leaves out because of its label map."""

    protocol: str
    kept: int
    left: int
    words: Sequence[tuple[str, str, int]]  # database, emotion, clips


def of_database(database: Database) -> Findings:
    """States, issue codes and clips of one database; rejected clips come first."""
    issues = {clip.clip_id: clip.issues for clip in database.used}
    issues |= {clip.clip_id: quality.loads(clip.quality_text) for clip in database.rejected}
    states = {clip_id: quality.status(clip_issues) for clip_id, clip_issues in issues.items()}
    counts = Counter(str(state) for state in states.values())
    lines = [ClipLine(clip_id, states[clip_id], clip_issues) for clip_id, clip_issues in issues.items() if clip_issues]
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
    clips = Counter(code for clip_issues in issues.values() for code in {issue.code for issue in clip_issues})
    rows = [CodeRow(code, item.severity, item.meaning, clips[code]) for code, item in CODES.items() if clips[code]]
    return sorted(rows, key=lambda row: (row.severity is not Status.REJECTED, -row.clips))


def left_out(protocol: str, table: FoldTable, databases: Sequence[Database]) -> LeftOut:
    """Usable clips of a protocol's databases that belong to none of its classes."""
    included = {(row.database, row.clip_id) for row in table.rows}
    names = {row.database for row in table.rows}
    words = Counter(
        (database.name, clip.emotion or "(none)")
        for database in databases
        if database.name in names
        for clip in database.used
        if (database.name, clip.clip_id) not in included
    )
    return LeftOut(protocol, len(included), words.total(), [(*key, count) for key, count in sorted(words.items())])
