"""The fold table, which is the result of a protocol and the input of training, and its TSV file."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

from mer_features.core.files import write_text

Subject = tuple[str, str]  # (database, subject), since two databases may use the same names of subjects

#: Database and subject of the faces of a pre-training in a plot of features.
COMPANION = "macro"

#: The fold of clips that are used for training and never tested.
TRAIN_ONLY = "train-only"
_EXCEPT = f"{TRAIN_ONLY}, not "


def train_only_except(fold: str) -> str:
    """Fold of clips that are never tested and are used for training in all folds but this one."""
    return _EXCEPT + fold


@dataclass(frozen=True)
class FoldRow:
    """One clip of a protocol: its class and the fold in which it is tested, or that it is only used for training.

    A clip without a class is a spot: a method found it in a recording. It is recognised in the fold of its subject, and
    never used for training.
    """

    clip_id: str
    database: str
    subject: str
    emotion: str  # the owner's word
    label: str  # the class; "" for a spot
    fold: str

    @property
    def owner(self) -> Subject:
        """The person in the clip; unique over databases."""
        return self.database, self.subject

    @property
    def train_only(self) -> bool:
        """Whether the clip is never tested."""
        return self.fold.startswith(TRAIN_ONLY)


@dataclass(frozen=True)
class FoldTable:
    """All clips of a protocol, ordered by database (as the protocol lists them), subject and clip.

    ``classes`` are in alphabetical order, which is the order in confusion matrices and of probability columns.
    ``left_out`` counts the clips that the protocol leaves out, by the owner's emotion word.
    """

    rows: tuple[FoldRow, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({row.label for row in self.rows if row.label}))

    @property
    def folds(self) -> tuple[str, ...]:
        """Names of the folds, in the order of their first clips."""
        return tuple(dict.fromkeys(row.fold for row in self.rows if not row.train_only))

    @property
    def tested(self) -> tuple[FoldRow, ...]:
        """The clips with a class that are tested in a fold: all, unless the protocol trains on whole databases."""
        return tuple(row for row in self.rows if row.label and not row.train_only)

    @property
    def annotated(self) -> FoldTable:
        """The table without spots."""
        return FoldTable(tuple(row for row in self.rows if row.label), self.left_out)

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of clips of each class and of ``subjects``, by database; spots are not counted."""
        result: dict[str, dict[str, int]] = {}
        annotated = [row for row in self.rows if row.label]
        for database in dict.fromkeys(row.database for row in annotated):
            rows = [row for row in annotated if row.database == database]
            labels = Counter(row.label for row in rows)
            result[database] = {name: labels[name] for name in self.classes}
            result[database]["subjects"] = len({row.subject for row in rows})
        return result


def trains(rows: Sequence[FoldRow], fold: str) -> list[bool]:
    """Whether each clip is used for training in a fold.

    Those are the clips that the fold does not test, without spots. If a protocol has clips that are only used for
    training, it trains on no others: the target of a cross-database protocol is never trained on.
    """
    if any(row.train_only for row in rows):
        return [row.train_only and row.fold != train_only_except(fold) for row in rows]
    return [bool(row.label) and row.fold != fold for row in rows]


_COLUMNS = tuple(item.name for item in fields(FoldRow))


def write(path: Path | str, table: FoldTable) -> None:
    """Write a fold table atomically as TSV; the same table gives the same bytes."""
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
        If the file is not a fold table; the message names the file and the line.
    """
    with Path(path).open(newline="", encoding="utf-8") as handle:
        lines = list(csv.reader(handle, delimiter="\t"))
    if not lines or tuple(lines[0]) != _COLUMNS:
        header = lines[0] if lines else "an empty file"
        raise ValueError(f"{path}: not a fold table; found {header}, expected the columns {', '.join(_COLUMNS)}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(_COLUMNS):
            raise ValueError(f"{path}:{number}: {len(line)} cells, expected {len(_COLUMNS)}")
    return FoldTable(tuple(FoldRow(*line) for line in lines[1:]))


def fold_names(path: Path | str) -> list[str]:
    """Names of the folds of a stored table, in the order of their first clips."""
    return list(read(path).folds)
