"""Check of one protocol: counts of the clips that it would use, next to the published counts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mer_features import protocols
from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.core.jobs import counted
from mer_features.core.quality import Status
from mer_features.databases.options import FlowMapsDatabase
from mer_features.protocols import FoldRow, FoldTable
from mer_features.protocols.table import train_only_except
from mer_features.workflow.config import Config

#: Lines about shared recordings among the problems of a protocol.
_LEAKS_SHOWN = 8

Used = tuple[FoldRow, Clip]


@dataclass
class ProtocolCheck:
    """Counts of one protocol, assuming that every clip not rejected so far can be used.

    ``leaks`` are clips of different subjects, in different folds, that have the same recording or flow map. Training
    refuses such folds.
    """

    name: str
    preset: str = ""
    error: str = ""  # the reason why training would not start
    note: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # database -> class or "subjects" -> number
    published: dict[str, Mapping[str, int]] = field(default_factory=dict)  # the same; empty without a preset
    folds: int = 0
    leaks: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether training would start, and no fold would be refused."""
        return not self.error and not self.leaks

    @property
    def problems(self) -> list[str]:
        """Problems to resolve before a run, one line each."""
        lines = [*([self.error.splitlines()[0]] if self.error else []), *self.leaks[:_LEAKS_SHOWN]]
        more = len(self.leaks) - _LEAKS_SHOWN
        return (
            [*lines, f"{counted(more, 'more case')} of a shared recording or map (--json lists all)"]
            if more > 0
            else lines
        )

    def as_dict(self) -> dict[str, Any]:
        """The results as plain values, ready for JSON."""
        return asdict(self) | {"usable": self.usable, "problems": self.problems}


def check_protocol(config: Config, name: str, clips: Mapping[str, tuple[Clip, ...]]) -> ProtocolCheck:
    """Check one protocol.

    Parameters
    ----------
    config
        The configuration.
    name
        Name of the protocol in the configuration.
    clips
        Clips of each database that could be read.
    """
    protocol = config.protocols[name]
    result = ProtocolCheck(name, protocol.preset or "", published=protocols.published(protocol))
    if missing := [database for database in protocol.databases if database not in clips]:
        result.note = f"not checked, because these databases could not be read: {', '.join(missing)}"
        return result
    listed = [clip for database in protocol.databases for clip in clips[database]]
    usable = [clip for clip in listed if quality.status(clip.issues) is not Status.REJECTED]
    try:
        table = protocols.build(name, usable, protocol.model_copy(update={"accept_counts": True}), config.seed)
        result.counts, result.folds = table.counts(), len(table.folds)
        result.leaks = _leaks(config, table, usable)
        if result.published and result.counts != result.published:
            protocols.build(name, usable, protocol, config.seed, listed=listed)
            result.note = "differs from the published list; accepted because of `accept_counts: true`"
    except ValueError as error:
        result.error = str(error).removeprefix(f"protocol {name!r}: ")
    return result


def _leaks(config: Config, table: FoldTable, clips: Iterable[Clip]) -> list[str]:
    """What clips of different subjects and folds have in common, one line for each case, with what to do about it."""
    known = {(clip.database, clip.clip_id): clip for clip in clips}
    files: dict[tuple[str, int | None, int | None], list[Used]] = {}
    pictures: dict[str, list[Used]] = {}
    for row in table.rows:
        clip = known[row.database, row.clip_id]
        files.setdefault((os.path.realpath(clip.source), clip.first, clip.last), []).append((row, clip))
        for issue in clip.issues:
            if issue.code == "same_picture":
                pictures.setdefault(issue.detail, []).append((row, clip))
    repeated: dict[tuple[str, ...], list[list[Used]]] = {}  # databases -> files that all of them read
    lines = []
    for group in files.values():
        databases = tuple(dict.fromkeys(row.database for row, _ in group))
        if len(databases) > 1:
            repeated.setdefault(databases, []).append(group)
        elif _leaks_out(group, table):
            lines.append(f"{_named(group)} have the same recording, {group[0][1].source}; {_REMEDY}")
    for group in pictures.values():
        links = len({os.path.realpath(clip.source) for _, clip in group}) == 1  # to one file, which is told above
        if _leaks_out(group, table) and not links:
            lines.append(f"{_named(group)} have the same picture; {_REMEDY}")
    shared = [
        _repeated(config, databases, leaking)
        for databases, groups in repeated.items()
        if (leaking := [group for group in groups if _leaks_out(group, table)])
    ]
    return [*shared, *lines]


_REMEDY = "training refuses this, so remove a row from the table or use `exclude_subjects`"


def _leaks_out(group: Sequence[Used], table: FoldTable) -> bool:
    """Whether some of these clips would be trained on while another one is tested."""
    rows = [row for row, _ in group]
    tested = {row.fold for row in rows if not row.train_only}
    if any(row.train_only for row in table.rows):  # a transfer trains on nothing else
        return any(row.train_only and row.fold != train_only_except(fold) for fold in tested for row in rows)
    return len(tested) > 1  # all clips of a subject are in one fold


def _named(group: Sequence[Used]) -> str:
    """Two clips of different folds, and how many more there are."""
    first = group[0][0]
    other = next(row for row, _ in group if row.fold != first.fold)
    more = f" and {len(group) - 2} more" if len(group) > 2 else ""
    comma = "," if more else " and"
    return f"{first.database}/{first.clip_id}{comma} {other.database}/{other.clip_id}{more}"


def _repeated(config: Config, databases: Sequence[str], groups: Sequence[Sequence[Used]]) -> str:
    """Line about databases of the configuration that read the same files."""
    if all(isinstance(config.databases[name], FlowMapsDatabase) for name in databases):
        remedy = "set `part`, to another database of the composite for each (docs/databases/flow_maps.md)"
    else:
        example = _named(groups[0])
        remedy = f"leave all but one of them out of the protocol, or remove the shared clips, e.g. {example}"
    names = f"{', '.join(databases[:-1])} and {databases[-1]}"
    return f"{names} read the same {counted(len(groups), 'file')}; training refuses this, so {remedy}"
