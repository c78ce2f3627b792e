"""Fits of style aggregation: reference styles and a pooled histogram learned from faces, stored in a JSON file."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from mer_features.core.files import write_text
from mer_features.stages.style import statistics
from mer_features.stages.style.peers import levels_of
from mer_features.stages.style.statistics import Statistics

FORMAT = "mer-features style 1"
#: Decimal places of stored numbers, far more precise than a grey level.
_DECIMALS = 7


@dataclass(frozen=True)
class Source:
    """The faces that a fit used; stored in the attributes of everything computed with the fit."""

    fit_on: str
    databases: tuple[str, ...] = ()
    crops: int = 0


@dataclass(frozen=True)
class Fitted:
    """A fit.

    Attributes
    ----------
    method
        Method that is applied: ``statistical``, ``histogram`` or ``cyclegan``. If generators were configured but
        deform faces, it is ``statistical``, and ``refused`` gives the reason.
    source
        The faces that were used.
    references
        Reference styles, that of the largest cluster first.
    members
        Number of crops in the cluster of each reference style.
    histogram : ndarray, shape (4, 256), float64
        Pooled frequencies of the levels 0..255: of R, G, B over colour crops, and of luma over all crops.
    weights, weights_sha256
        File of the generators and its SHA-256; empty without generators.
    refused
        Reason why the generators are not used; empty if they are used or none were configured.
    displacement_px
        Displacement in pixels that the acceptance test measured for the generators; NaN without generators.
    """

    method: str
    source: Source
    references: tuple[Statistics, ...]
    members: tuple[int, ...]
    histogram: np.ndarray
    weights: str = ""
    weights_sha256: str = ""
    refused: str = ""
    displacement_px: float = float("nan")

    @property
    def digest(self) -> str:
        """SHA-256 of the fitted model: of the generators' file, or of the statistics."""
        return self.weights_sha256 if self.method == "cyclegan" else hashlib.sha256(dumps(self).encode()).hexdigest()


def fit(crops: Iterable[np.ndarray], *, method: str, clusters: int, seed: int, source: Source) -> Fitted:
    """Find reference styles by k-means clustering of style statistics, and pool the histograms.

    Parameters
    ----------
    crops : iterable of ndarray, shape (H, W, 1) or (H, W, 3), uint8
        Onset crops of equal size, read once. Their order does not matter.
    method
        Value of :attr:`Fitted.method`.
    clusters
        Number of clusters k; fewer if there are fewer distinct crops.
    seed
        Random seed of k-means.
    source
        Origin of the crops; their number is filled in.

    Returns
    -------
    Fitted
        The reference of a cluster is the median of its crops' statistics; for chroma, only over colour crops.

    Raises
    ------
    ValueError
        If there are no crops or they differ in size.
    """
    measured, counts, sizes = [], np.zeros((4, 256)), set()
    for crop in crops:
        sizes.add(crop.shape[:2])
        measured.append(statistics.measure(crop))
        counts += levels_of(crop)
    if len(sizes) != 1:
        raise ValueError(f"style: found crop sizes {sorted(sizes) or 'none'}, expected exactly one size")
    measured.sort(key=lambda item: tuple(item.vector()))
    labels = _clusters(np.stack([item.vector() for item in measured]), clusters, seed)
    groups = [[item for item, label in zip(measured, labels, strict=True) if label == each] for each in set(labels)]
    groups.sort(key=lambda group: (-len(group), tuple(group[0].vector())))
    totals = counts.sum(axis=1, keepdims=True)
    return Fitted(
        method=method,
        source=Source(source.fit_on, source.databases, len(measured)),
        references=tuple(_reference(group) for group in groups),
        members=tuple(len(group) for group in groups),
        histogram=np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0).round(_DECIMALS),
    )


def _clusters(vectors: np.ndarray, clusters: int, seed: int) -> list[int]:
    """Cluster of every row; each statistic is divided by its standard deviation."""
    spread = vectors.std(axis=0)
    scaled = (vectors - vectors.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    distinct = len(np.unique(scaled, axis=0))
    # One thread: with several threads, the last bits of sums depend on their number.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(min(clusters, distinct), n_init=10, random_state=seed).fit(scaled)
    result: list[int] = model.labels_.tolist()
    return result


def _reference(group: list[Statistics]) -> Statistics:
    coloured = [item for item in group if item.channels == 3]
    combined = statistics.combine(coloured or group, np.median, lightness_of=group)
    return Statistics(**{name: value.round(_DECIMALS) for name, value in vars(combined).items()})


def dumps(fitted: Fitted) -> str:
    """A fit as JSON; equal fits give equal text."""
    tree = asdict(fitted) | {"format": FORMAT}
    return json.dumps(tree, indent=1, sort_keys=True, default=lambda array: array.tolist()) + "\n"


def write(path: Path | str, fitted: Fitted) -> None:
    """Write a fit, atomically."""
    write_text(path, dumps(fitted))


def read(path: Path | str) -> Fitted:
    """Read a fit from its file.

    Raises
    ------
    ValueError
        If the file is not a fit.
    """
    try:
        return loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a fit of style aggregation ({error}); run the fit again") from error


def loads(text: str) -> Fitted:
    """Read a fit from the output of :func:`dumps`."""
    tree = json.loads(text)
    if tree.pop("format") != FORMAT:
        raise ValueError(f"format is not {FORMAT!r}")
    source = tree.pop("source")
    references = tuple(_statistics(item) for item in tree.pop("references"))
    histogram = np.array(tree.pop("histogram"), np.float64).reshape(4, 256)
    members = tuple(tree.pop("members"))
    origin = Source(source["fit_on"], tuple(source["databases"]), source["crops"])
    return Fitted(source=origin, references=references, histogram=histogram, members=members, **tree)


def _statistics(tree: Mapping[str, Any]) -> Statistics:
    return Statistics(**{field.name: np.array(tree[field.name], np.float64) for field in fields(Statistics)})
