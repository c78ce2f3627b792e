"""From clip tables to a fold table: the rule that a configured protocol is."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mer_features.core.clips import Clip
from mer_features.protocols import counts, folds, labels
from mer_features.protocols.counts import CountsError, Found, clip_key
from mer_features.protocols.presets import PRESETS, Preset
from mer_features.protocols.table import FoldRow, FoldTable

if TYPE_CHECKING:  # the configuration checks itself against the presets of this package
    from mer_features.protocols.options import Protocol

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Rule:
    """What a protocol asks of the clips of one database."""

    words: Mapping[str, str]  # emotion word -> class
    without: Mapping[tuple[str, str], str]  # clip -> why it is left out
    edition: Mapping[tuple[str, str], str]  # clip -> its word in the edition the list was made from

    def word(self, clip: Clip) -> str:
        """The owner's word, in the edition of the list."""
        return self.edition.get(clip_key(clip.clip_id), clip.emotion)

    def label(self, clip: Clip) -> str:
        """The clip's class, "" if it does not take part."""
        return "" if clip_key(clip.clip_id) in self.without else self.words.get(self.word(clip).lower(), "")


def build(name: str, clips: Iterable[Clip], protocol: Protocol, seed: int, *, listed: Iterable[Clip] = ()) -> FoldTable:
    """Apply a protocol to clip tables.

    Parameters
    ----------
    name
        Name of the protocol, for messages.
    clips
        Usable clips with their labels, of the protocol's databases and perhaps others.
    protocol
        A preset with its databases, or databases, label map and kind of folds.
    seed
        Source of the random choices of numbered folds; the others have none.
    listed
        All clips of the databases, unusable ones included, so that a wrong count can be explained.

    Raises
    ------
    CountsError
        If the clips of a preset are not as many as were published and ``accept_counts`` is not set; the message
        lists the differences by database and class and what is known of the clips behind them.
    ValueError
        If a clip is listed twice, no clip or no clip of a class is left, there are fewer subjects than folds, or a
        fold's training clips lack a class.
    """
    try:
        table, rules = _build(list(clips), protocol, seed)
        if protocol.preset:
            _check_counts(table, rules, protocol, list(listed))
        return table
    except CountsError as error:
        if not protocol.accept_counts:
            raise CountsError(f"protocol {name!r}: {error}") from None
        log.warning("protocol %r is NOT the published one and its figures compare with no paper's; %s", name, error)
        return table
    except ValueError as error:
        raise ValueError(f"protocol {name!r}: {error}") from None


def _build(clips: Sequence[Clip], protocol: Protocol, seed: int) -> tuple[FoldTable, Mapping[str, _Rule]]:
    rules = _rules(protocol)
    found = [clip for clip in clips if clip.database in rules]
    _refuse_duplicates(found)
    labelled = [(clip, rules[clip.database].label(clip)) for clip in found]
    taken = sorted((pair for pair in labelled if pair[1]), key=lambda pair: _order(pair[0], protocol.databases))
    if not taken:
        seen = ", ".join(sorted({clip.emotion for clip in found})) or "none"
        accepted = ", ".join(sorted({word for rule in rules.values() for word in rule.words}))
        raise ValueError(f"no clip left of {len(found)}; emotions found: {seen}; accepted: {accepted}")
    owners = [(clip.database, clip.subject) for clip, _ in taken]
    names = folds.assign(owners, [label for _, label in taken], protocol, seed)
    rows = tuple(
        FoldRow(clip.clip_id, *owner, rules[clip.database].word(clip), label, names[owner])
        for (clip, label), owner in zip(taken, owners, strict=True)
    )
    left_out = Counter(clip.emotion for clip, label in labelled if not label)
    table = FoldTable(rows, dict(sorted(left_out.items())))
    _refuse_empty_classes(table, sorted({label for rule in rules.values() for label in rule.words.values()}))
    _tell_editions(found, rules)
    return table, rules


def _rules(protocol: Protocol) -> dict[str, _Rule]:
    """Rule of each configured database."""
    if not protocol.preset:
        return dict.fromkeys(protocol.databases, _Rule(labels.configured(protocol.labels), {}, {}))
    preset = PRESETS[protocol.preset]
    return {database: _rule(preset, role) for database, role in _roles(protocol).items()}


def _rule(preset: Preset, role: str) -> _Rule:
    without = {clip_key(clip): why for clip, why in preset.without.get(role, {}).items()}
    edition = {clip_key(clip): word for clip, word in preset.words.get(role, {}).items()}
    return _Rule(labels.words(preset.labels[role]), without, edition)


def _roles(protocol: Protocol) -> dict[str, str]:
    """Configured database -> the part it plays in the preset."""
    return dict(zip(protocol.databases, protocol.roles, strict=True))


def _order(clip: Clip, databases: Sequence[str]) -> tuple[int, list[tuple[str, int]], str]:
    """By database as listed, then subject with numbers as numbers (s2 before s11), then clip."""
    parts = [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", clip.subject)]
    return databases.index(clip.database), parts, clip.clip_id


def _refuse_duplicates(clips: Sequence[Clip]) -> None:
    seen = Counter((clip.database, clip.clip_id) for clip in clips)
    if twice := [f"{database}/{clip_id}" for (database, clip_id), n in seen.items() if n > 1]:
        raise ValueError(f"clips listed twice: {', '.join(twice)}")


def _refuse_empty_classes(table: FoldTable, classes: Sequence[str]) -> None:
    if empty := [label for label in classes if label not in table.classes]:
        raise ValueError(f"no clip of class {', '.join(empty)}")
    everywhere = Counter(row.label for row in table.rows)
    for fold in table.folds:
        here = Counter(row.label for row in table.rows if row.fold == fold)
        if missing := [label for label in classes if here[label] == everywhere[label]]:
            raise ValueError(
                f"every clip of class {', '.join(missing)} is tested in fold {fold!r}, so that none is left to train it"
            )


def _tell_editions(clips: Sequence[Clip], rules: Mapping[str, _Rule]) -> None:
    for clip in clips:
        word = rules[clip.database].word(clip)
        if word.lower() != clip.emotion.lower():
            log.info(
                "%s/%s is %r in this sheet and %r in the edition the protocol was made from, which is taken",
                clip.database, clip.clip_id, clip.emotion, word,
            )  # fmt: skip


def _check_counts(table: FoldTable, rules: Mapping[str, _Rule], protocol: Protocol, listed: Sequence[Clip]) -> None:
    """Raise :class:`CountsError` unless the table holds as many clips as were published."""
    assert protocol.preset is not None
    preset, roles = PRESETS[protocol.preset], _roles(protocol)
    here = {roles[database]: numbers for database, numbers in table.counts().items()}
    differences = counts.compare(protocol.preset, here)
    if not differences:
        return
    usable = {(row.database, row.clip_id): row.label for row in table.rows}
    found = [Found(roles[database], clip_id, label, True) for (database, clip_id), label in usable.items()]
    for clip in listed:
        if clip.database in rules and (clip.database, clip.clip_id) not in usable:
            found.append(Found(roles[clip.database], clip.clip_id, rules[clip.database].label(clip), False))
    names = {role: f"{database} ({role})" for database, role in roles.items()}
    lines = [str(replace(item, database=names[item.database])) for item in differences]
    lines += counts.explain(preset, found, differences)
    raise CountsError(
        f"the clips are not those of {protocol.preset!r}, {preset.title}.\n  "
        + "\n  ".join(lines)
        + "\n  Mend the database, or set `accept_counts: true` in the protocol to go on with other clips."
    )
