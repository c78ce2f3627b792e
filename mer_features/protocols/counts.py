"""Published counts of a protocol, compared with the counts found, and the clips that explain a difference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mer_features.protocols.presets import PRESETS, Counts, Preset

if TYPE_CHECKING:  # the configuration checks itself against the presets of this package
    from mer_features.protocols.options import Protocol

#: Published numbers: protocol -> role of the database -> class (clips) or "subjects" (subjects with clips) -> number.
EXPECTED_COUNTS: dict[str, Counts] = {name: preset.counts for name, preset in PRESETS.items()}


class CountsError(ValueError):
    """The clips of a protocol are not the published ones; the message lists the differences and possible reasons."""


@dataclass(frozen=True)
class Difference:
    """A count that differs from the published one; ``found`` or ``expected`` is 0 if only one side has the database."""

    database: str
    what: str  # a class or "subjects"
    expected: int
    found: int

    def __str__(self) -> str:
        return f"{self.database} {self.what}: expected {self.expected}, found {self.found}"


def published(protocol: Protocol) -> dict[str, Mapping[str, int]]:
    """Published counts by the configured names of the databases; empty for a protocol that is not a preset."""
    if not protocol.preset:
        return {}
    expected = EXPECTED_COUNTS[protocol.preset]
    return {name: expected[role] for role, name in zip(protocol.roles, protocol.databases, strict=True)}


def compare(protocol: str, counts: Mapping[str, Mapping[str, int]]) -> tuple[Difference, ...]:
    """Differences between the counts of a table and the published counts; empty if all are equal.

    Parameters
    ----------
    protocol
        A key of :data:`EXPECTED_COUNTS`.
    counts
        Database -> class or ``subjects`` -> number, as returned by :meth:`FoldTable.counts`, but with the databases
        named by their roles as in :data:`EXPECTED_COUNTS`.
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
    """Key of a clip that does not depend on the spelling: equal for ``sub04/EP12_01f`` and ``4/EP12_01F``.

    The number is enough to identify a subject in each database that has a preset. A clip of SMIC repeats its subject:
    ``s3/s3_ne_01`` is ``s03/s03_ne_01``.
    """
    subject, _, name = clip_id.casefold().partition("/")
    digits = re.sub(r"\D", "", subject)
    return (str(int(digits)) if digits else subject), re.sub(r"^s0+(?=[0-9]+_)", "s", name)


@dataclass(frozen=True)
class ListedClip:
    """A clip of the databases, for the explanation of differing counts."""

    role: str
    clip_id: str
    label: str  # its class; "" if the protocol leaves it out
    usable: bool  # False if a stage rejected it


def explain(preset: Preset, listed: Iterable[ListedClip], differences: Sequence[Difference]) -> list[str]:
    """Known reasons for differing counts, one line per clip, for the databases whose counts differ."""
    roles = {item.database for item in differences}
    clips = [item for item in listed if item.role in roles]
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
