"""Metrics of a classification run: predictions are pooled over all folds, then metrics are averaged over classes.

A confusion matrix has shape (..., K, K); rows are the ground truth, columns the predictions. An average of metrics per
fold would give other (higher) values, because most subjects do not have all classes; it is not used here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mer_features.core.files import write_text


@dataclass(frozen=True)
class Prediction:
    """Prediction of one run for one held-out clip."""

    clip_id: str
    database: str
    subject: str
    fold: str
    seed: int
    truth: str
    prediction: str
    probabilities: tuple[float, ...]  # in the order of the classes


_COLUMNS = ("clip_id", "database", "subject", "fold", "seed", "truth", "prediction")


def write_predictions(path: Path | str, predictions: Iterable[Prediction], classes: Sequence[str]) -> None:
    """Write predictions atomically as TSV, with one column ``p_<class>`` per class."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerow([*_COLUMNS, *(f"p_{name}" for name in classes)])
    for item in predictions:
        numbers = [f"{value:.6g}" for value in item.probabilities]
        writer.writerow([getattr(item, column) for column in _COLUMNS] + numbers)
    write_text(path, out.getvalue())


def read_predictions(path: Path | str) -> tuple[tuple[Prediction, ...], tuple[str, ...]]:
    """Predictions and classes from a file that :func:`write_predictions` wrote.

    Raises
    ------
    ValueError
        If the file is not a table of predictions or a cell cannot be read; the message names the file.
    """
    with Path(path).open(newline="", encoding="utf-8") as handle:
        lines = list(csv.reader(handle, delimiter="\t"))
    n = len(_COLUMNS)
    if not lines or tuple(lines[0][:n]) != _COLUMNS or not all(name[:2] == "p_" for name in lines[0][n:]):
        raise ValueError(f"{path}: not a table of predictions; expected {', '.join(_COLUMNS)}, p_<class> ...")
    classes = tuple(name[2:] for name in lines[0][n:])
    try:
        rows = tuple(_parse(line) for line in lines[1:])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return rows, classes


def _parse(line: Sequence[str]) -> Prediction:
    clip_id, database, subject, fold, seed, truth, prediction, *numbers = line
    return Prediction(clip_id, database, subject, fold, int(seed), truth, prediction, tuple(map(float, numbers)))


def pool(predictions: Iterable[Prediction], classes: Sequence[str]) -> np.ndarray:
    """Confusion matrix over all predictions, whatever their fold.

    Returns
    -------
    ndarray, shape (K, K), int64
        Number of clips by ground truth (row) and prediction (column).

    Raises
    ------
    ValueError
        For a class that is not in ``classes``.
    """
    index = {name: number for number, name in enumerate(classes)}
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for item in predictions:
        confusion[_cell(item, index)] += 1
    return confusion


def _cell(item: Prediction, index: Mapping[str, int]) -> tuple[int, int]:
    """Row and column of a prediction in a confusion matrix; ``index`` numbers the classes."""
    if unknown := {item.truth, item.prediction} - index.keys():
        raise ValueError(f"clip {item.clip_id!r}: {min(unknown)!r} is not a class; classes: {', '.join(index)}")
    return index[item.truth], index[item.prediction]


def pool_subjects(runs: Sequence[Sequence[Prediction]], classes: Sequence[str]) -> np.ndarray:
    """Confusion matrix of every run and subject.

    Returns
    -------
    ndarray, shape (R, S, K, K), int64
        Number of clips by run, subject, ground truth and prediction. Subjects (database, subject) are sorted by name.

    Raises
    ------
    ValueError
        For a class that is not in ``classes``.
    """
    index = {name: number for number, name in enumerate(classes)}
    subjects = sorted({(item.database, item.subject) for run in runs for item in run})
    row = {subject: number for number, subject in enumerate(subjects)}
    confusions = np.zeros((len(runs), len(subjects), len(classes), len(classes)), dtype=np.int64)
    for number, run in enumerate(runs):
        for item in run:
            confusions[number, row[item.database, item.subject], *_cell(item, index)] += 1
    return confusions


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def _parts(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correct predictions, clips by ground truth and clips by prediction of each class, (..., K) each, float64."""
    confusion = np.asarray(confusion, dtype=np.float64)
    return np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1), confusion.sum(axis=-2)


def f1(confusion: np.ndarray) -> np.ndarray:
    """F1 of each class, 2 TP / (2 TP + FP + FN), shape (..., K); 0 for a class without clips and predictions."""
    hits, truth, predicted = _parts(confusion)
    return _ratio(2 * hits, truth + predicted)


def recall(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class, TP / n, shape (..., K); 0 for a class without clips."""
    hits, truth, _ = _parts(confusion)
    return _ratio(hits, truth)


def uf1(confusion: np.ndarray) -> np.ndarray:
    """Unweighted F1: mean over all K classes (MEGC 2019; FR section 6.2).

    A class without clips counts as 0 in the mean. Equals scikit-learn's ``f1_score(average="macro", labels=...)``
    on the concatenated predictions.

    Returns
    -------
    ndarray, shape (...)
        0 to 1; of shape () for one matrix.
    """
    return f1(confusion).mean(axis=-1)


def uar(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average recall: mean over the classes that have clips (MEGC 2019; FR section 6.2).

    The recall of a class without clips is undefined, so the class is left out. Equals scikit-learn's
    ``balanced_accuracy_score`` on the concatenated predictions.

    Returns
    -------
    ndarray, shape (...)
        0 to 1; of shape () for one matrix.
    """
    _, truth, _ = _parts(confusion)
    return _ratio(recall(confusion).sum(axis=-1), (truth > 0).sum(axis=-1))


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of clips that are predicted correctly, shape (...); 0 if there are no clips."""
    hits, truth, _ = _parts(confusion)
    return _ratio(hits.sum(axis=-1), truth.sum(axis=-1))


METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"uf1": uf1, "uar": uar, "accuracy": accuracy}


def per_class(confusion: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Clips ``n``, correct predictions ``tp``, ``f1``, ``recall`` and ``precision`` of each class of one matrix."""
    hits, truth, predicted = _parts(confusion)
    columns = zip(hits, truth, f1(confusion), recall(confusion), _ratio(hits, predicted), strict=True)
    return {
        name: {"n": int(n), "tp": int(tp), "f1": float(score), "recall": float(share), "precision": float(precision)}
        for name, (tp, n, score, share, precision) in zip(classes, columns, strict=True)
    }


def scores(confusion: np.ndarray) -> dict[str, Any]:
    """A confusion matrix as nested lists, with its ``uf1``, ``uar`` and ``accuracy``."""
    return {"confusion": confusion.tolist()} | {name: float(of(confusion)) for name, of in METRICS.items()}


def per_database(predictions: Sequence[Prediction], classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """:func:`scores` of the predictions of each database."""
    names = dict.fromkeys(item.database for item in predictions)
    return {name: scores(pool((item for item in predictions if item.database == name), classes)) for name in names}


def per_fold(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Number of clips and accuracy of each fold; other metrics are not meaningful for one fold."""
    hits: dict[str, list[bool]] = {}
    for item in predictions:
        hits.setdefault(item.fold, []).append(item.truth == item.prediction)
    return [{"fold": fold, "n": len(good), "accuracy": sum(good) / len(good)} for fold, good in hits.items()]


def per_subject(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Number of clips ``n`` and of wrong predictions ``wrong`` of each subject (``database``, ``subject``)."""
    wrong: dict[tuple[str, str], list[bool]] = {}
    for item in predictions:
        wrong.setdefault((item.database, item.subject), []).append(item.truth != item.prediction)
    return [
        {"database": database, "subject": subject, "n": len(missed), "wrong": sum(missed)}
        for (database, subject), missed in wrong.items()
    ]


def resample(
    runs: Sequence[Sequence[Prediction]], classes: Sequence[str], *, seed: int, samples: int = 2000
) -> dict[str, np.ndarray]:
    """Metrics in resampled sets of subjects, averaged over the runs.

    Clips of one subject are not independent, so whole subjects (database, subject) are drawn with replacement. Each
    draw is used for all runs. Two calls with the same seed and the same subjects use the same draws.

    Parameters
    ----------
    runs
        Predictions of each run (seed); all runs must have the same subjects.
    classes
        Order of the classes.
    seed
        Seed of the draws.
    samples
        Number of draws B.

    Returns
    -------
    dict
        Metric -> ndarray, shape (B,), 0 to 1.

    Raises
    ------
    ValueError
        For a class that is not in ``classes``.
    """
    confusions = pool_subjects(runs, classes)
    count = confusions.shape[1]
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=samples)
    drawn = np.einsum("bs,rsij->brij", draws, confusions)
    return {name: of(drawn).mean(axis=1) for name, of in METRICS.items()}


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentiles (low, high) between which the middle ``level`` of the values, shape (B,), lies."""
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def bootstrap(
    runs: Sequence[Sequence[Prediction]],
    classes: Sequence[str],
    *,
    seed: int,
    samples: int = 2000,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the metrics under resampling of subjects.

    Parameters
    ----------
    runs, classes, seed, samples
        As for :func:`resample`.
    level
        Share of draws inside the interval.

    Returns
    -------
    dict
        Metric -> (low, high).
    """
    values = resample(runs, classes, seed=seed, samples=samples)
    return {name: interval(of_metric, level) for name, of_metric in values.items()}


def summarise(runs: Mapping[int, Sequence[Prediction]], classes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """All results of a system under a protocol.

    Parameters
    ----------
    runs
        Seed -> its predictions over all folds.
    classes
        Order of the classes.
    seed
        Seed of the bootstrap draws.

    Returns
    -------
    dict
        ``seeds``: for each run, the confusion matrix, its metrics and their ``intervals`` (:func:`bootstrap`),
        ``per_class``, ``per_database``, ``per_fold`` and ``per_subject``. ``uf1``, ``uar``, ``accuracy``: ``mean`` and
        ``std`` (n - 1; 0 for one run) over the runs and the ``interval`` (:func:`bootstrap`) for all runs together.
        ``by_database``: the same three for the predictions of each database. ``chance``: the UAR of random guessing,
        1 / K.
    """
    seeds = []
    for number, run in runs.items():
        confusion = pool(run, classes)
        entry = {"seed": number} | scores(confusion) | {"per_class": per_class(confusion, classes)}
        own = {name: list(edges) for name, edges in bootstrap([run], classes, seed=seed).items()}
        entry |= {"intervals": own, "per_subject": per_subject(run)}
        seeds.append(entry | {"per_database": per_database(run, classes), "per_fold": per_fold(run)})
    databases = {
        name: _over_seeds(
            [[item for item in run if item.database == name] for run in runs.values()],
            [entry["per_database"][name] for entry in seeds],
            classes,
            seed,
        )
        for name in seeds[0]["per_database"]
    }
    whole = _over_seeds(list(runs.values()), seeds, classes, seed)
    return {"seeds": seeds, "chance": 1 / len(classes), "by_database": databases} | whole


def _over_seeds(
    runs: Sequence[Sequence[Prediction]], values: Sequence[Mapping[str, Any]], classes: Sequence[str], seed: int
) -> dict[str, Any]:
    """Mean and standard deviation over seeds of each metric, and its interval over subjects."""
    intervals = bootstrap(runs, classes, seed=seed)
    summary = {}
    for name in METRICS:
        numbers = np.array([item[name] for item in values])
        spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
        summary[name] = {"mean": float(numbers.mean()), "std": spread, "interval": list(intervals[name])}
    return summary
