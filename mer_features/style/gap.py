"""The style gap: how well databases are told apart by colour and spectrum alone, with a linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mer_features.style import lab

#: Rings of the spectrum that the probe sees, and its cross-validation folds, of whole subjects.
RINGS, FOLDS = 8, 5


def signature(image: np.ndarray) -> np.ndarray:
    """Mean L, a, b and the log mean amplitude of L's Fourier spectrum in eight rings: (11,), float64.

    Other numbers than the statistical method sets: rings of the FFT over the whole band, not four means of logarithms
    of a cosine spectrum.

    Parameters
    ----------
    image : ndarray, shape (H, W, 1) or (H, W, 3), uint8
    """
    planes = lab.planes(image)
    means = np.zeros(3)
    means[: len(planes)] = planes.mean(axis=(1, 2))
    spectrum = np.abs(np.fft.fft2(planes[0]))
    radius = np.hypot(np.fft.fftfreq(spectrum.shape[0])[:, None], np.fft.fftfreq(spectrum.shape[1]))
    edges = np.geomspace(1 / min(spectrum.shape), 0.5, RINGS + 1)
    ring = np.digitize(radius, edges)
    rings = [spectrum[ring == number].mean() if (ring == number).any() else 0.0 for number in range(1, RINGS + 1)]
    return np.concatenate([means, np.log(np.array(rings) + 1e-6)])


def accuracy(signatures: np.ndarray, databases: Sequence[str], subjects: Sequence[str]) -> float:
    """Balanced accuracy of a linear probe that names the database of a face, on subjects it was not fitted on.

    Parameters
    ----------
    signatures : ndarray, shape (N, 11)
        Of :func:`signature`.
    databases, subjects
        Of each face; at least two databases with two subjects each.

    Returns
    -------
    float
        1: always told apart; one over the number of databases: not at all.
    """
    truth = np.asarray(databases)
    people = np.array([f"{name}/{subject}" for name, subject in zip(databases, subjects, strict=True)])
    fewest = min(len(set(people[truth == name])) for name in set(databases))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, class_weight="balanced"))
    folds = StratifiedGroupKFold(min(FOLDS, fewest))
    found = cross_val_predict(probe, signatures, truth, groups=people, cv=folds)
    return float(np.mean([np.mean(found[truth == name] == name) for name in sorted(set(databases))]))


def colour_distance(signatures: np.ndarray, databases: Sequence[str]) -> float:
    """Mean distance between the mean colours of two databases, units of Lab."""
    truth = np.asarray(databases)
    centres: Mapping[str, np.ndarray] = {
        name: signatures[truth == name, :3].mean(axis=0) for name in sorted(set(databases))
    }
    return float(np.mean([np.linalg.norm(one - other) for one, other in combinations(centres.values(), 2)]))
