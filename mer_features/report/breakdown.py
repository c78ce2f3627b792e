"""Whose clips go wrong: errors by subject, one column a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer_features.core import action_units
from mer_features.report.data import Kind, Run


@dataclass(frozen=True)
class Wrong:
    """Wrong predictions of one run on one subject's clips."""

    mean: float  # over seeds
    share: float  # of the subject's clips

    @property
    def text(self) -> str:
        """The mean without needless decimals."""
        return f"{self.mean:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Row:
    """One subject."""

    database: str
    subject: str
    clips: int
    wrong: Sequence[Wrong]  # by run


@dataclass(frozen=True)
class Subjects:
    """Errors of all subjects of a protocol, those that the systems get wrong most often first."""

    runs: Sequence[str]
    rows: Sequence[Row]


def build(runs: Sequence[Run]) -> Subjects:
    """The table of runs under one protocol, which all predict the same clips."""
    found = [_by_subject(run) for run in runs]
    rows = [_row(owner, clips, [one[owner][1] for one in found]) for owner, (clips, _) in found[0].items()]
    competing = [place for place, run in enumerate(runs) if run.kind is Kind.SYSTEM]
    return Subjects([run.name for run in runs], sorted(rows, key=lambda row: _hardness(row, competing)))


def _by_subject(run: Run) -> dict[tuple[str, str], tuple[int, float]]:
    """Clips and mean wrong predictions by database and subject."""
    entries: Sequence[Sequence[Mapping[str, Any]]] = [seed["per_subject"] for seed in run.seeds]
    return {
        (item["database"], item["subject"]): (item["n"], sum(seed[place]["wrong"] for seed in entries) / len(entries))
        for place, item in enumerate(entries[0])
    }


def _row(owner: tuple[str, str], clips: int, wrong: Sequence[float]) -> Row:
    return Row(*owner, clips, [Wrong(mean, mean / clips) for mean in wrong])


def _hardness(row: Row, runs: Sequence[int]) -> tuple[float, str, str]:
    return -sum(row.wrong[run].share for run in runs), row.database, row.subject


# Clips grouped by their sets of action units, for pictures.

NONE, OTHER = "no unit", "other sets"


def grouped(texts: Sequence[str], most: int = 8) -> list[str]:
    """Group of every clip by its owner's text: the set of numbers, e.g. ``4+7``, for the most frequent sets.

    Sides and intensities drop out; units left open do not count.

    Parameters
    ----------
    texts
        Of N clips.
    most
        So many sets have a group of their own (of equally frequent ones those that come first), if they have two clips.

    Returns
    -------
    list of str
        N names: a set, :data:`OTHER`, or :data:`NONE` for a clip without units.
    """
    sets = [tuple(sorted({unit.number for unit in action_units.parse(text).units})) for text in texts]
    counts = Counter(numbers for numbers in sets if numbers)
    own = {numbers for numbers, count in counts.most_common(most) if count > 1}
    return [_name(numbers) if numbers in own or not numbers else OTHER for numbers in sets]


def _name(numbers: tuple[int, ...]) -> str:
    return "+".join(map(str, numbers)) or NONE
