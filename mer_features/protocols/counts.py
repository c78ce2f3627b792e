"""Published counts: what a protocol must hold, what it does hold, and which clips explain the difference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mer_features.protocols.presets import PRESETS, Counts, Preset

if TYPE_CHECKING:  # the configuration checks itself against the presets of this package
    from mer_features.protocols.options import Protocol

#: Published clips per class and subjects with clips: protocol -> role of the database -> what is counted -> number.
EXPECTED_COUNTS: dict[str, Counts] = {name: preset.counts for name, preset in PRESETS.items()}


class CountsError(ValueError):
    """A protocol whose clips are not those it was published with; the message says where and why."""


@dataclass(frozen=True)
class Difference:
    """A count that is not the published one; ``found`` or ``expected`` is 0 for a database only one side has."""

    database: str
    what: str  # a class or "subjects"
    expected: int
    found: int

    def __str__(self) -> str:
        return f"{self.database} {self.what}: expected {self.expected}, found {self.found}"


def published(protocol: Protocol) -> dict[str, Mapping[str, int]]:
    """Counts of a preset by the names its databases have in a configuration; empty for a protocol of one's own."""
    if not protocol.preset:
        return {}
    expected = EXPECTED_COUNTS[protocol.preset]
    return {name: expected[role] for role, name in zip(protocol.roles, protocol.databases, strict=True)}


def compare(protocol: str, counts: Mapping[str, Mapping[str, int]]) -> tuple[Difference, ...]:
    """Differences between a table's counts and the published ones; empty if the list is the published one.

    Parameters
    ----------
    protocol
        A key of :data:`EXPECTED_COUNTS`.
    counts
        Database -> class or ``subjects`` -> number, as of :meth:`FoldTable.counts`, the databases named as in
        :data:`EXPECTED_COUNTS`.
    """
    expected = EXPECTED_COUNTS[protocol]
    differences = []
    for database in dict.fromkeys([*expected, *counts]):
        want, have = expected.get(database, {}), counts.get(database, {})
        for what in dict.fromkeys([*want, *have]):
            if want.get(what, 0) != have.get(what, 0):
                differences.append(Difference(database, what, want.get(what, 0), have.get(what, 0)))
    return tuple(differences)


def clip_key(clip_id: str) -> tuple[str, str]:
    """What identifies a clip whichever way its subject is written: ``sub04/EP12_01f`` and ``4/EP12_01F`` are one.

    Subjects differ by their number in every database that has a preset.
    """
    subject, _, name = clip_id.casefold().partition("/")
    digits = re.sub(r"\D", "", subject)
    return (str(int(digits)) if digits else subject), name


@dataclass(frozen=True)
class Found:
    """A clip as the check sees it: which role's, its class ("" if the protocol does not take it), whether usable."""

    role: str
    clip_id: str
    label: str
    usable: bool


def explain(preset: Preset, found: Iterable[Found], differences: Sequence[Difference]) -> list[str]:
    """What is known of the clips behind differing counts, one line per clip, of the databases that differ only."""
    roles = {item.database for item in differences}
    clips = [item for item in found if item.role in roles]
    lines = [
        f"{item.role} {item.clip_id} ({item.label}) is listed, but a stage rejected it: see the report"
        for item in clips
        if item.label and not item.usable
    ]
    labels = {(item.role, clip_key(item.clip_id)): item.label for item in clips}
    for remark in preset.remarks:
        if remark.role not in roles:
            continue
        label = labels.get((remark.role, clip_key(remark.clip)))
        if (label or "") != remark.label:
            state = "is not listed" if label is None else f"is {label or 'left out'} here"
            lines.append(
                f"{remark.role} {remark.clip} {state}, {remark.label or 'not'} in the published list: {remark.text}"
            )
    return lines
