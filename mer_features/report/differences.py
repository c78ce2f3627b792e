"""Differences between the runs of a protocol, and which of their intervals exclude 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from mer_features.core.jobs import counted
from mer_features.protocols.comparison import PairedDifference
from mer_features.report.data import METRICS, Comparison, Kind, Run

#: With fewer subjects, intervals of the bootstrap are clearly too narrow: of simulated pairs of equally good systems
#: with 5 subjects, 82 % of the intervals contained 0 instead of 95 %; with 8 subjects 86 %, from 10 on at least 91 %.
FEW_SUBJECTS = 10


@dataclass(frozen=True)
class Gap:
    """A difference in points (hundredths) with its interval, as text."""

    value: str
    low: str
    high: str
    certain: bool  # whether the interval excludes 0


@dataclass(frozen=True)
class Other:
    """The best system against another run."""

    name: str
    kind: Kind
    gaps: Sequence[Gap]  # in the order of ``METRICS``

    @property
    def muted(self) -> bool:
        """Whether the run is a control or a yardstick."""
        return self.kind is not Kind.SYSTEM


@dataclass(frozen=True)
class Row:
    """One row of the matrix: UF1 of this run minus that of every later run; empty cells before."""

    name: str
    muted: bool
    gaps: Sequence[Gap | None]


@dataclass(frozen=True)
class Differences:
    """All differences under a protocol."""

    best: str  # the system with the highest UF1
    others: Sequence[Other]
    columns: Sequence[tuple[str, bool]]  # name of a run, and whether it is muted
    rows: Sequence[Row]
    sentences: Sequence[str]
    samples: int
    level: float


def build(comparison: Comparison | None, runs: Sequence[Run]) -> Differences | None:
    """The section for one protocol.

    Parameters
    ----------
    comparison
        Differences between the runs; None if they were not computed.
    runs
        Runs in the order of the tables: by kind, then by UF1 from high to low.

    Returns
    -------
    Differences or None
        None without a comparison, or if it has other runs than those of the report.
    """
    if comparison is None or {run.name for run in runs} != set(comparison.runs):
        return None
    best, rest = runs[0], runs[1:]
    return Differences(
        best=best.name,
        others=[
            Other(run.name, run.kind, [_gap(comparison.pairs[best.name, run.name][metric]) for metric in METRICS])
            for run in rest
        ],
        columns=[(run.name, run.kind is not Kind.SYSTEM) for run in rest],
        rows=[
            Row(
                run.name,
                run.kind is not Kind.SYSTEM,
                [None] * number + [_gap(comparison.pairs[run.name, later.name]["uf1"]) for later in runs[number + 1 :]],
            )
            for number, run in enumerate(runs[:-1])
        ],
        sentences=_sentences(comparison, runs),
        samples=comparison.samples,
        level=comparison.level,
    )


def _gap(found: PairedDifference) -> Gap:
    value, low, high = (_points(number) for number in (found.value, found.low, found.high))
    return Gap(value if value[0] == "−" or value == "0.0" else f"+{value}", low, high, found.excludes_zero)


def _points(value: float) -> str:
    """A difference in points, e.g. ``−4.2``."""
    text = f"{100 * value:.1f}".replace("-", "−")
    return "0.0" if text == "−0.0" else text


def _sentences(comparison: Comparison, runs: Sequence[Run]) -> list[str]:
    """How many pairs differ, and which runs are better than the best system or not distinguishable from it."""
    names = [run.name for run in runs]
    systems = [run.name for run in runs if run.kind is Kind.SYSTEM]
    sentences = []
    if len(names) > 2:
        without = f"; without controls and yardsticks, in {_share(comparison, systems)}"
        count = f"The interval of the difference in UF1 excludes 0 in {_share(comparison, names)}"
        sentences.append(f"{count}{without if 1 < len(systems) < len(names) else ''}.")
    best, *others = names
    gaps = {name: comparison.pairs[best, name]["uf1"] for name in others}
    alike = [name for name, found in gaps.items() if not found.excludes_zero]
    better = [name for name, found in gaps.items() if found.excludes_zero and found.value < 0]
    sentences.append(
        f"Not distinguishable by UF1 from {best}, the best system: {', '.join(alike)}."
        if alike
        else f"Every other run is distinguishable by UF1 from {best}, the best system."
    )
    if better:
        sentences.append(f"Higher in UF1 than {best}, although only a yardstick or control: {', '.join(better)}.")
    if comparison.subjects < FEW_SUBJECTS:
        sentences.append(
            f"With only {counted(comparison.subjects, 'subject')}, these intervals are too narrow, and some "
            "differences in bold may be due to chance."
        )
    return sentences


def _share(comparison: Comparison, names: Sequence[str]) -> str:
    pairs = [comparison.pairs[pair]["uf1"].excludes_zero for pair in combinations(names, 2)]
    return f"{sum(pairs)} of {counted(len(pairs), 'pair')}"
