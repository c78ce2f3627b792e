"""Applies a configured protocol to clip tables, which gives a fold table."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mer_features.core.clips import Clip
from mer_features.protocols import counts, folds, labels
from mer_features.protocols.counts import CountsError, ListedClip, clip_key
from mer_features.protocols.presets import PRESETS, Preset
from mer_features.protocols.table import FoldRow, FoldTable, trains

if TYPE_CHECKING:  # the configuration checks itself against the presets of this package
    from mer_features.protocols.options import Protocol

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Rule:
    """How a protocol selects and labels the clips of one database."""

    words: Mapping[str, str]  # emotion word -> class
    without: Mapping[tuple[str, str], str]  # clip -> reason why it is left out
    edition: Mapping[tuple[str, str], str]  # clip -> emotion word in the edition that the published list is based on

    def word(self, clip: Clip) -> str:
        """The owner's emotion word in the edition that the published list is based on."""
        return self.edition.get(clip_key(clip.clip_id), clip.emotion)

    def label(self, clip: Clip) -> str:
        """The class of the clip; "" if the clip is left out."""
        return "" if clip_key(clip.clip_id) in self.without else self.words.get(self.word(clip).lower(), "")


def build(name: str, clips: Iterable[Clip], protocol: Protocol, seed: int, *, listed: Iterable[Clip] = ()) -> FoldTable:
    """Apply a protocol to clip tables.

    Parameters
    ----------
    name
        Name of the protocol, for messages.
    clips
        Usable clips with their labels, of the protocol's databases; clips of other databases are ignored.
    protocol
        A preset with its databases, or databases, label map and kind of folds.
    seed
        Seed of the random choices of numbered folds; other kinds of folds are not random.
    listed
        All clips of the databases, including unusable ones, to explain a wrong count.

    Raises
    ------
    CountsError
        If the counts of a preset differ from the published counts and ``accept_counts`` is not set; the message lists
        the differences by database and class and the known reasons.
    ValueError
        If a clip is listed twice, no clip or no clip of a class is left, there are fewer subjects than folds, or the
        training clips of a fold lack a class.
    """
    try:
        table, rules = _build(list(clips), protocol, seed)
        if protocol.preset:
            _check_counts(table, rules, protocol, list(listed))
        return table
    except CountsError as error:
        if not protocol.accept_counts:
            raise CountsError(f"protocol {name!r}: {error}") from None
        log.warning("protocol %r is NOT the published one; do not compare its results with a paper: %s", name, error)
        return table
    except ValueError as error:
        raise ValueError(f"protocol {name!r}: {error}") from None


def _build(clips: Sequence[Clip], protocol: Protocol, seed: int) -> tuple[FoldTable, Mapping[str, _Rule]]:
    rules = _rules(protocol)
    candidates = [clip for clip in clips if clip.database in rules]
    _refuse_duplicates(candidates)
    labelled = [(clip, rules[clip.database].label(clip)) for clip in candidates]
    used = sorted((pair for pair in labelled if pair[1]), key=lambda pair: _order(pair[0], protocol.databases))
    if not used:
        emotions = ", ".join(sorted({clip.emotion for clip in candidates})) or "none"
        accepted = ", ".join(sorted({word for rule in rules.values() for word in rule.words}))
        raise ValueError(f"no clip left of {len(candidates)}; emotions found: {emotions}; accepted: {accepted}")
    owners = [(clip.database, clip.subject) for clip, _ in used]
    names = folds.assign(owners, [label for _, label in used], protocol, seed)
    rows = tuple(
        FoldRow(clip.clip_id, *owner, rules[clip.database].word(clip), label, names[owner])
        for (clip, label), owner in zip(used, owners, strict=True)
    )
    rows += _spots(clips, protocol)
    if protocol.spots:
        _refuse_shared_recordings(rows, clips)
    left_out = Counter(clip.emotion for clip, label in labelled if not label)
    table = FoldTable(rows, dict(sorted(left_out.items())))
    _refuse_empty_classes(table, sorted({label for rule in rules.values() for label in rule.words.values()}))
    _log_editions(candidates, rules)
    return table, rules


def _spots(clips: Sequence[Clip], protocol: Protocol) -> tuple[FoldRow, ...]:
    """Rows of the spotted clips, each in the fold that holds out its subject."""
    spots = [clip for clip in clips if clip.database in protocol.spots]
    _refuse_duplicates(spots)
    return tuple(
        FoldRow(
            clip.clip_id, clip.database, clip.subject, clip.emotion, "",
            folds.of_subject(protocol.spots[clip.database], clip.subject),
        )
        for clip in sorted(spots, key=lambda clip: _order(clip, list(protocol.spots)))
    )  # fmt: skip


def _refuse_shared_recordings(rows: Sequence[FoldRow], clips: Sequence[Clip]) -> None:
    """A recording belongs to one fold, whatever its clips and its subject are called in two databases."""
    sources = {(clip.database, clip.clip_id): os.path.realpath(clip.source) for clip in clips}
    first: dict[str, FoldRow] = {}
    for row in rows:
        source = sources[row.database, row.clip_id]
        other = first.setdefault(source, row)
        if other.fold != row.fold:
            raise ValueError(
                f"{other.database}/{other.clip_id} and {row.database}/{row.clip_id} are of the same recording, "
                f"{source}, but belong to the folds {other.fold!r} and {row.fold!r}, so one would be trained on while "
                "the other is tested; does `spots` name the database of the same people?"
            )


def _rules(protocol: Protocol) -> dict[str, _Rule]:
    """Configured database -> its rule."""
    if not protocol.preset:
        return dict.fromkeys(protocol.databases, _Rule(labels.configured(protocol.labels), {}, {}))
    preset = PRESETS[protocol.preset]
    return {database: _rule(preset, role) for database, role in _roles(protocol).items()}


def _rule(preset: Preset, role: str) -> _Rule:
    without = {clip_key(clip): why for clip, why in preset.without.get(role, {}).items()}
    edition = {clip_key(clip): word for clip, word in preset.words.get(role, {}).items()}
    return _Rule(labels.words(preset.labels[role]), without, edition)


def _roles(protocol: Protocol) -> dict[str, str]:
    """Configured database -> its role in the preset."""
    return dict(zip(protocol.databases, protocol.roles, strict=True))


def _order(clip: Clip, databases: Sequence[str]) -> tuple[int, list[tuple[str, int]], str]:
    """Sort key: database in the configured order, then subject in numerical order (s2 before s11), then clip."""
    parts = [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", clip.subject)]
    return databases.index(clip.database), parts, clip.clip_id


def _refuse_duplicates(clips: Sequence[Clip]) -> None:
    occurrences = Counter((clip.database, clip.clip_id) for clip in clips)
    if duplicates := [f"{database}/{clip_id}" for (database, clip_id), n in occurrences.items() if n > 1]:
        raise ValueError(f"clips listed twice: {', '.join(duplicates)}")


def _refuse_empty_classes(table: FoldTable, classes: Sequence[str]) -> None:
    if empty := [label for label in classes if label not in table.classes]:
        raise ValueError(f"no clip of class {', '.join(empty)}")
    for fold in table.folds:
        trained = {row.label for row, used in zip(table.rows, trains(table.rows, fold), strict=True) if used}
        if missing := [label for label in classes if label not in trained]:
            raise ValueError(
                f"every clip of class {', '.join(missing)} is tested in fold {fold!r} or left out of it, so none is "
                "left for its training"
            )


def _log_editions(clips: Sequence[Clip], rules: Mapping[str, _Rule]) -> None:
    for clip in clips:
        word = rules[clip.database].word(clip)
        if word.lower() != clip.emotion.lower():
            log.info(
                "%s/%s is %r in this sheet and %r in the edition that the protocol is based on, which is used",
                clip.database, clip.clip_id, clip.emotion, word,
            )  # fmt: skip


def _check_counts(table: FoldTable, rules: Mapping[str, _Rule], protocol: Protocol, listed: Sequence[Clip]) -> None:
    """Raise :class:`CountsError` unless the counts of the table are the published ones."""
    assert protocol.preset is not None
    preset, roles = PRESETS[protocol.preset], _roles(protocol)
    numbers_by_role = {roles[database]: numbers for database, numbers in table.counts().items()}
    differences = counts.compare(protocol.preset, numbers_by_role)
    if not differences:
        return
    usable = {(row.database, row.clip_id): row.label for row in table.rows}
    known = [ListedClip(roles[database], clip_id, label, True) for (database, clip_id), label in usable.items()]
    for clip in listed:
        if clip.database in rules and (clip.database, clip.clip_id) not in usable:
            known.append(ListedClip(roles[clip.database], clip.clip_id, rules[clip.database].label(clip), False))
    names = {role: f"{database} ({role})" for database, role in roles.items()}
    lines = [str(replace(item, database=names[item.database])) for item in differences]
    lines += counts.explain(preset, known, differences)
    raise CountsError(
        f"the clips are not those of {protocol.preset!r}, {preset.title}.\n  "
        + "\n  ".join(lines)
        + "\n  Fix the database, or set `accept_counts: true` in the protocol to continue with these clips."
    )
