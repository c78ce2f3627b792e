"""Differences between systems under one protocol: a paired bootstrap over subjects.

The same draws of subjects are used for all systems. What makes a subject easy or hard for both systems of a pair
cancels in their difference, so its interval is usually narrower than those of the two scores suggest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from mer_features.protocols import metrics
from mer_features.protocols.metrics import METRICS, Prediction

#: Smaller differences are rounding errors of means over seeds.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedDifference:
    """Difference of one metric between two systems, first minus second, with its percentile interval; -1 to 1."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval is on one side of 0."""
        return self.low > _ROUNDING or self.high < -_ROUNDING

    def __neg__(self) -> PairedDifference:
        """The second system minus the first."""
        return PairedDifference(-self.value, -self.high, -self.low)


def difference(
    first: Sequence[Sequence[Prediction]],
    second: Sequence[Sequence[Prediction]],
    classes: Sequence[str],
    *,
    seed: int,
    samples: int = 2000,
    level: float = 0.95,
) -> dict[str, PairedDifference]:
    """Differences between two systems, metric -> first minus second; see :func:`differences`."""
    pairs = differences({"first": first, "second": second}, classes, seed=seed, samples=samples, level=level)
    return pairs["first", "second"]


def differences(
    systems: Mapping[str, Sequence[Sequence[Prediction]]],
    classes: Sequence[str],
    *,
    seed: int,
    samples: int = 2000,
    level: float = 0.95,
) -> dict[tuple[str, str], dict[str, PairedDifference]]:
    """Differences of the metrics between every two systems, with percentile intervals.

    The metric of a system is the mean over its seeds, as in :func:`mer_features.protocols.metrics.bootstrap`. Only the
    subjects are resampled: the intervals say how much a difference depends on who was recorded, not on the seeds.

    Parameters
    ----------
    systems
        Name of each system -> predictions of each of its seeds. All must predict the same clips; the numbers of seeds
        may differ.
    classes
        Order of the classes.
    seed
        Seed of the draws.
    samples
        Number of draws.
    level
        Share of draws inside an interval.

    Returns
    -------
    dict
        (first, second) -> metric -> difference, for every pair in the order of ``systems``.

    Raises
    ------
    ValueError
        If a system has no predictions, or if two differ in their clips or in the subject or class of a clip, or for a
        class that is not in ``classes``.
    """
    _check_clips(systems)
    scores, drawn = {}, {}
    for name, runs in systems.items():
        confusions = metrics.pool_subjects(runs, classes).sum(axis=1)
        scores[name] = {metric: float(of(confusions).mean()) for metric, of in METRICS.items()}
        drawn[name] = metrics.resample(runs, classes, seed=seed, samples=samples)
    return {
        (first, second): {
            metric: PairedDifference(
                scores[first][metric] - scores[second][metric],
                *metrics.interval(drawn[first][metric] - drawn[second][metric], level),
            )
            for metric in METRICS
        }
        for first, second in combinations(systems, 2)
    }


def _check_clips(systems: Mapping[str, Sequence[Sequence[Prediction]]]) -> None:
    """Refuse runs that do not predict the same clips, each once, of the same subjects and classes."""
    known: dict[tuple[str, str], tuple[str, str]] = {}
    for name, runs in systems.items():
        if not runs or not all(runs):
            raise ValueError(f"{name}: no predictions")
        for run in runs:
            clips = {(item.database, item.clip_id): (item.subject, item.truth) for item in run}
            if len(clips) < len(run):
                raise ValueError(f"{name}: {len(run)} predictions of {len(clips)} clips with one seed")
            known = known or clips
            if apart := known.keys() ^ clips.keys():
                raise ValueError(
                    f"{name}: not the clips of {next(iter(systems))}; {len(apart)} are only in one of them, "
                    f"e.g. {'/'.join(min(apart))}"
                )
            for clip, found in clips.items():
                if found != known[clip]:
                    raise ValueError(
                        f"{name}: clip {'/'.join(clip)} has subject and class {found}, but {known[clip]} in "
                        f"{next(iter(systems))}"
                    )
