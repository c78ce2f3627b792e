"""Protocols: which clips take part, in which class, and in whose test fold.

A protocol is a rule over clip tables. Its outcome is a :class:`FoldTable`, stored as a TSV in which every clip
appears once, with the name of the fold that tests it; all clips of the other folds train that fold.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

import numpy as np

from mer_features.clips import Clip
from mer_features.config import Protocol
from mer_features.files import write_text

Subject = tuple[str, str]  # (database, subject): names of subjects repeat between databases

#: Label maps by name: class -> the owners' emotion words, lower case.
LABEL_MAPS: dict[str, dict[str, tuple[str, ...]]] = {
    # MEGC 2019, composite database evaluation. SMIC's sheets hold the classes themselves.
    "megc2019": {
        "negative": ("negative", "disgust", "repression", "anger", "contempt", "fear", "sadness"),
        "positive": ("positive", "happiness"),
        "surprise": ("surprise",),
    },
}

#: Published clips per class and subjects with clips: protocol -> database -> what is counted -> number.
#: `megc2019`: the challenge's list of 442 clips (FR paper, Table 9).
EXPECTED_COUNTS: dict[str, dict[str, dict[str, int]]] = {
    "megc2019": {
        "smic": {"negative": 70, "positive": 51, "surprise": 43, "subjects": 16},
        "casme2": {"negative": 88, "positive": 32, "surprise": 25, "subjects": 24},
        "samm": {"negative": 92, "positive": 26, "surprise": 15, "subjects": 28},
    },
}


@dataclass(frozen=True)
class FoldRow:
    """One clip of a protocol: its class and the fold in which it is tested."""

    clip_id: str
    database: str
    subject: str
    emotion: str  # the owner's word
    label: str  # the class
    fold: str

    @property
    def owner(self) -> Subject:
        """The person in the clip; unique over databases."""
        return self.database, self.subject


@dataclass(frozen=True)
class FoldTable:
    """All clips of a protocol, ordered by database, subject and clip.

    ``classes`` are in alphabetical order, which is the order of every confusion matrix and probability column.
    ``left_out`` counts the clips that the label map does not take, by the owner's word.
    """

    rows: tuple[FoldRow, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({row.label for row in self.rows}))

    @property
    def folds(self) -> tuple[str, ...]:
        """Names of the folds in the order of their first clip."""
        return tuple(dict.fromkeys(row.fold for row in self.rows))

    def counts(self) -> dict[str, dict[str, int]]:
        """Per database the clips of each class and the number of ``subjects``, as in :data:`EXPECTED_COUNTS`."""
        result: dict[str, dict[str, int]] = {}
        for database in dict.fromkeys(row.database for row in self.rows):
            rows = [row for row in self.rows if row.database == database]
            labels = Counter(row.label for row in rows)
            result[database] = {name: labels[name] for name in self.classes}
            result[database]["subjects"] = len({row.subject for row in rows})
        return result


def build(name: str, clips: Iterable[Clip], protocol: Protocol, seed: int) -> FoldTable:
    """Apply a protocol to clip tables.

    Parameters
    ----------
    name
        Name of the protocol, for messages.
    clips
        Usable clips with their labels, of the protocol's databases and perhaps others.
    protocol
        Databases, label map and kind of folds.
    seed
        Source of the random choices of numbered folds; leave-one-subject-out has none.

    Raises
    ------
    ValueError
        If the label map is unknown or ambiguous, a clip is listed twice, no clip or no clip of a class is left,
        there are fewer subjects than folds, or a fold's training clips lack a class.
    """
    words = _words(name, protocol)
    found = [clip for clip in clips if clip.database in protocol.databases]
    _refuse_duplicates(name, found)
    taken = sorted(
        ((clip, words[clip.emotion.lower()]) for clip in found if clip.emotion.lower() in words),
        key=lambda item: (item[0].database, item[0].subject, item[0].clip_id),
    )
    if not taken:
        seen = ", ".join(sorted({clip.emotion for clip in found})) or "none"
        raise ValueError(
            f"protocol {name!r}: no clip left of {len(found)}; emotions found: {seen}; "
            f"accepted: {', '.join(sorted(words))}"
        )
    folds = _folds(name, taken, protocol, seed)
    rows = tuple(
        FoldRow(clip.clip_id, clip.database, clip.subject, clip.emotion, label, folds[clip.database, clip.subject])
        for clip, label in taken
    )
    left_out = Counter(clip.emotion for clip in found if clip.emotion.lower() not in words)
    table = FoldTable(rows, dict(sorted(left_out.items())))
    _refuse_empty_classes(name, table, sorted(set(words.values())))
    return table


def _words(name: str, protocol: Protocol) -> dict[str, str]:
    """Emotion word in lower case -> class."""
    labels = protocol.labels
    if isinstance(labels, str):
        if labels not in LABEL_MAPS:
            raise ValueError(
                f"protocol {name!r}: unknown label map {labels!r}; known: {', '.join(LABEL_MAPS)}, or write out "
                f"class: [emotion, ...]"
            )
        labels = LABEL_MAPS[labels]
    pairs = [(word.lower(), label) for label, words in labels.items() for word in words]
    if twice := [word for word, n in Counter(word for word, _ in pairs).items() if n > 1]:
        raise ValueError(f"protocol {name!r}: emotions listed more than once: {', '.join(twice)}")
    if len(labels) < 2:
        raise ValueError(f"protocol {name!r}: at least two classes are needed, found {len(labels)}")
    return dict(pairs)


def _refuse_duplicates(name: str, clips: Sequence[Clip]) -> None:
    seen = Counter((clip.database, clip.clip_id) for clip in clips)
    if twice := [f"{database}/{clip_id}" for (database, clip_id), n in seen.items() if n > 1]:
        raise ValueError(f"protocol {name!r}: clips listed twice: {', '.join(twice)}")


def _refuse_empty_classes(name: str, table: FoldTable, classes: Sequence[str]) -> None:
    if empty := [label for label in classes if label not in table.classes]:
        raise ValueError(f"protocol {name!r}: no clip of class {', '.join(empty)}")
    everywhere = Counter(row.label for row in table.rows)
    for fold in table.folds:
        here = Counter(row.label for row in table.rows if row.fold == fold)
        if missing := [label for label in classes if here[label] == everywhere[label]]:
            raise ValueError(
                f"protocol {name!r}: every clip of class {', '.join(missing)} is tested in fold {fold!r}, so that "
                "none is left to train it"
            )


def _folds(name: str, taken: Sequence[tuple[Clip, str]], protocol: Protocol, seed: int) -> dict[Subject, str]:
    """Fold of every subject."""
    subjects = dict.fromkeys((clip.database, clip.subject) for clip, _ in taken)
    if protocol.folds == "loso":
        return {(database, subject): f"{database}/{subject}" for database, subject in subjects}
    if len(subjects) < protocol.folds:
        raise ValueError(f"protocol {name!r}: {protocol.folds} folds of only {len(subjects)} subjects")
    owners = [(clip.database, clip.subject) for clip, _ in taken]
    numbers = balanced_folds(owners, [label for _, label in taken], protocol.folds, seed)
    width = len(str(protocol.folds))
    return {owner: f"fold{number + 1:0{width}d}" for owner, number in numbers.items()}


def balanced_folds(owners: Sequence[Subject], labels: Sequence[str], folds: int, seed: int) -> dict[Subject, int]:
    """Spread whole subjects over folds so that clips and classes are balanced.

    Greedy: subjects by falling number of clips, equals in an order drawn from ``seed``, each to the fold where the
    sum over classes of (clips in the fold)² / (clips of the class), and the same for all clips, grows least. The
    outcome depends on nothing but the arguments, so that a stored table can be rebuilt with any library version.

    Parameters
    ----------
    owners, labels
        Subject and class of every clip, n each.
    folds
        Number of folds; at most the number of subjects.
    seed
        Decides between equals.

    Returns
    -------
    dict
        Subject -> fold, 0 .. ``folds`` - 1; no fold is empty.
    """
    subjects = sorted(set(owners))
    classes = sorted(set(labels))
    counts = np.zeros((len(subjects), len(classes)), dtype=np.int64)
    np.add.at(counts, ([subjects.index(owner) for owner in owners], [classes.index(label) for label in labels]), 1)
    counts = np.column_stack([counts, counts.sum(axis=1)])  # (subjects, classes + 1), the last for all clips
    drawn = np.random.default_rng(seed).permutation(len(subjects))
    order = drawn[np.argsort(-counts[drawn, -1], kind="stable")]
    weight = 1.0 / counts.sum(axis=0)
    filled = np.zeros((folds, counts.shape[1]), dtype=np.int64)
    result: dict[Subject, int] = {}
    for index in order:
        growth = ((filled + counts[index]) ** 2 - filled**2) @ weight
        chosen = int(np.argmin(growth))
        filled[chosen] += counts[index]
        result[subjects[index]] = chosen
    return result


@dataclass(frozen=True)
class Difference:
    """A count that is not the published one; ``found`` or ``expected`` is 0 for a database only one side has."""

    database: str
    what: str  # a class or "subjects"
    expected: int
    found: int

    def __str__(self) -> str:
        return f"{self.database} {self.what}: expected {self.expected}, found {self.found}"


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


_COLUMNS = tuple(item.name for item in fields(FoldRow))


def write(path: Path | str, table: FoldTable) -> None:
    """Write a fold table as TSV, atomically; the same table gives the same bytes."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(astuple(row) for row in table.rows)
    write_text(path, out.getvalue())


def read(path: Path | str) -> FoldTable:
    """Read a fold table that :func:`write` wrote (``left_out`` is not stored).

    Raises
    ------
    ValueError
        If the file is no fold table; names file and line.
    """
    with Path(path).open(newline="", encoding="utf-8") as handle:
        lines = list(csv.reader(handle, delimiter="\t"))
    if not lines or tuple(lines[0]) != _COLUMNS:
        found = lines[0] if lines else "an empty file"
        raise ValueError(f"{path}: not a fold table; found {found}, expected the columns {', '.join(_COLUMNS)}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(_COLUMNS):
            raise ValueError(f"{path}:{number}: {len(line)} cells, expected {len(_COLUMNS)}")
    return FoldTable(tuple(FoldRow(*line) for line in lines[1:]))


def fold_names(path: Path | str) -> list[str]:
    """Names of the folds of a stored table, in its order."""
    return list(read(path).folds)
