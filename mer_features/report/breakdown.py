"""Breakdowns of a protocol's clips: wrong predictions by subject and run, and groups of clips by action units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer_features.core import action_units
from mer_features.report.data import Kind, Run


@dataclass(frozen=True)
class Wrong:
    """Number of wrong predictions of one run on one subject's clips."""

    mean: float  # mean over seeds
    share: float  # mean as a fraction of the subject's clips

    @property
    def text(self) -> str:
        """The mean with one decimal, or without decimals if it is a whole number."""
        return f"{self.mean:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Row:
    """One subject."""

    database: str
    subject: str
    clips: int
    wrong: Sequence[Wrong]  # one per run


@dataclass(frozen=True)
class Subjects:
    """Errors of all subjects of a protocol; subjects with the most errors come first."""

    runs: Sequence[str]
    rows: Sequence[Row]


def build(runs: Sequence[Run]) -> Subjects:
    """Errors by subject of the runs under one protocol, which all predict the same clips."""
    errors = [_by_subject(run) for run in runs]
    rows = [_row(owner, clips, [of_run[owner][1] for of_run in errors]) for owner, (clips, _) in errors[0].items()]
    competing = [index for index, run in enumerate(runs) if run.kind is Kind.SYSTEM]
    return Subjects([run.name for run in runs], sorted(rows, key=lambda row: _order(row, competing)))


def _by_subject(run: Run) -> dict[tuple[str, str], tuple[int, float]]:
    """Number of clips and mean number of wrong predictions, by database and subject."""
    entries: Sequence[Sequence[Mapping[str, Any]]] = [seed["per_subject"] for seed in run.seeds]
    return {
        (item["database"], item["subject"]): (item["n"], sum(seed[index]["wrong"] for seed in entries) / len(entries))
        for index, item in enumerate(entries[0])
    }


def _row(owner: tuple[str, str], clips: int, wrong: Sequence[float]) -> Row:
    return Row(*owner, clips, [Wrong(mean, mean / clips) for mean in wrong])


def _order(row: Row, runs: Sequence[int]) -> tuple[float, str, str]:
    """Sort key: the subject with the most errors over these runs first, then by name."""
    return -sum(row.wrong[run].share for run in runs), row.database, row.subject


# Groups of clips by their sets of action units

#: Groups of clips without action units, and of clips whose set is too rare for a group of its own.
NONE, OTHER = "no unit", "other sets"


def grouped(texts: Sequence[str], most: int = 8) -> list[str]:
    """Assign every clip to a group by its set of action units, e.g. ``4+7``.

    Sides and intensities are ignored. Units marked as uncertain are not counted.

    Parameters
    ----------
    texts
        Action units of N clips, as annotated by the owners of the database.
    most
        Maximum number of sets that form a group of their own. The most frequent sets are chosen (of equally frequent
        ones, those that occur first), and only sets with at least two clips.

    Returns
    -------
    list of str
        N names: a set, :data:`OTHER`, or :data:`NONE` for a clip without units.
    """
    sets = [tuple(sorted({unit.number for unit in action_units.parse(text).units})) for text in texts]
    counts = Counter(numbers for numbers in sets if numbers)
    named = {numbers for numbers, count in counts.most_common(most) if count > 1}
    return [_name(numbers) if numbers in named or not numbers else OTHER for numbers in sets]


def _name(numbers: tuple[int, ...]) -> str:
    return "+".join(map(str, numbers)) or NONE
