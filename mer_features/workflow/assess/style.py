"""Effect of style aggregation: differences between databases in colour and spectrum, and changes of geometry.

A linear probe predicts the database of a face from its colours and its spectrum, before and after aggregation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mer_features.features import open_features
from mer_features.stages import flow
from mer_features.stages.faces import landmarks
from mer_features.stages.flow import light
from mer_features.stages.style import geometry, lab
from mer_features.synthetic import read_truth
from mer_features.workflow.assess.stages import flow_errors, mask_in_crop, truth_flow_in_crop

#: Rings of the spectrum for the probe, and number of cross-validation folds, which keep subjects together.
RINGS, FOLDS = 8, 5


def signature(image: np.ndarray) -> np.ndarray:
    """Mean L, a, b, mean chroma and the log mean amplitude of L's Fourier spectrum in eight rings: (12,), float64.

    The mean chroma, the mean of √(a² + b²), is 0 for a grey image alone; the means of a and b can be 0 for any image.
    The values of the spectrum differ from those that the statistical method sets: they are rings of the FFT over the
    whole band, not four means of logarithms of a cosine spectrum.

    Parameters
    ----------
    image : ndarray, shape (H, W, 1) or (H, W, 3), uint8
    """
    planes = lab.planes(image)
    means = np.zeros(4)
    means[: len(planes)] = planes.mean(axis=(1, 2))
    means[3] = np.hypot(*planes[1:]).mean() if len(planes) == 3 else 0.0
    spectrum = np.abs(np.fft.fft2(planes[0]))
    radius = np.hypot(np.fft.fftfreq(spectrum.shape[0])[:, None], np.fft.fftfreq(spectrum.shape[1]))
    edges = np.geomspace(1 / min(spectrum.shape), 0.5, RINGS + 1)
    ring = np.digitize(radius, edges)
    rings = [spectrum[ring == number].mean() if (ring == number).any() else 0.0 for number in range(1, RINGS + 1)]
    return np.concatenate([means, np.log(np.array(rings) + 1e-6)])


def accuracy(signatures: np.ndarray, databases: Sequence[str], subjects: Sequence[str]) -> float:
    """Balanced accuracy of a linear probe that predicts the database of a face, on subjects outside its training set.

    Parameters
    ----------
    signatures : ndarray, shape (N, 12)
        Values of :func:`signature`.
    databases, subjects
        Database and subject of each face; at least two databases with two subjects each.

    Returns
    -------
    float
        1 if the probe is always right; 1 divided by the number of databases is chance level.
    """
    truth = np.asarray(databases)
    people = np.array([f"{name}/{subject}" for name, subject in zip(databases, subjects, strict=True)])
    fewest = min(len(set(people[truth == name])) for name in set(databases))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, class_weight="balanced"))
    folds = StratifiedGroupKFold(min(FOLDS, fewest))
    predicted = cross_val_predict(probe, signatures, truth, groups=people, cv=folds)
    return float(np.mean([np.mean(predicted[truth == name] == name) for name in sorted(set(databases))]))


def colour_distance(signatures: np.ndarray, databases: Sequence[str]) -> float:
    """Mean distance between the mean colours of two databases, in Lab units."""
    truth = np.asarray(databases)
    centres: Mapping[str, np.ndarray] = {
        name: signatures[truth == name, :3].mean(axis=0) for name in sorted(set(databases))
    }
    return float(np.mean([np.linalg.norm(one - other) for one, other in combinations(centres.values(), 2)]))


#: Clips per database for the comparison of colours, and for flow, which takes some seconds per clip.
COLOUR_CLIPS, FLOW_CLIPS = 60, 6


def measure(caches: Mapping[str, Path], truths: Mapping[str, Path], *, threads: int = 1) -> dict[str, Any]:
    """Compare the groups ``faces`` and ``style`` of feature files.

    Parameters
    ----------
    caches
        Feature file of each database, with the group ``style``.
    truths
        Folder of each embedded database; their true flow is known.
    threads
        Worker processes; the result does not depend on it.

    Returns
    -------
    dict
        JSON values. ``gap``: :func:`accuracy` with its ``chance`` level, and ``colour`` distance, before and after
        aggregation; None with one database or too few subjects. ``databases``: by name, the number of ``clips`` and
        medians over them of ``displacement_px`` (between onset and aggregated onset), ``landmarks_px`` (mean distance
        of the 68 landmarks on both) and ``motion_px`` (between the flow from onset to apex before and after
        aggregation; NaN for still images, in which nothing moves); with ground truth also ``epe_before_px`` and
        ``epe_after_px``, the end-point errors of these flows inside the face.
    """
    chosen = [(name, path, row) for name, path in caches.items() for row in _evenly_spaced(path, FLOW_CLIPS)]
    pool = joblib.Parallel(n_jobs=threads, batch_size=1)
    results = pool(joblib.delayed(_clip)(path, row, truths.get(name)) for name, path, row in chosen)
    by_name: dict[str, list[dict[str, float]]] = {name: [] for name in caches}
    for (name, _, _), values in zip(chosen, results, strict=True):
        by_name[name].append(values)
    return {
        "gap": _gap(caches),
        "databases": {name: _medians(values) for name, values in by_name.items()},
    }


def _evenly_spaced(path: Path, most: int) -> list[int]:
    with open_features(path) as features:
        count = len(features.clips)
    return sorted(set(np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()))


@dataclass(frozen=True)
class _Side:
    """Crops of one clip, before or after aggregation."""

    onset: np.ndarray
    apex: np.ndarray

    def motion(self) -> np.ndarray:
        """Flow from onset to apex, after changes of lighting are removed."""
        return flow.estimate(self.onset, light.match(self.onset, self.apex))


def _clip(path: Path, row: int, truth_root: Path | None) -> dict[str, float]:
    """Measure one clip."""
    cv2.setNumThreads(1)  # parallel over clips
    with open_features(path) as features:
        before, after = (
            _Side(*(features[f"{group}/{name}"][row] for name in ("onset", "apex"))) for group in ("faces", "style")
        )
        points, transform = features["faces/landmarks"][row], features["faces/transform"][row]
        clip_id, moves = features.clips[row].clip_id, features.clips[row].n_frames > 1
    values = {
        "displacement_px": geometry.median_length(geometry.displacement(before.onset, after.onset)),
        "motion_px": float("nan"),
    }
    if np.isfinite(points).all():
        values["landmarks_px"] = _landmark_drift(before.onset, after.onset, points)
    if not moves:
        return values
    motions = before.motion(), after.motion()
    values["motion_px"] = geometry.median_length(motions[1] - motions[0])
    if truth_root is not None:
        truth = read_truth(truth_root, clip_id)
        expected, _ = truth_flow_in_crop(truth.flow, transform, before.onset.shape[0])
        mask = mask_in_crop(truth.face_mask, transform, before.onset.shape[0])
        for name, field in zip(("epe_before_px", "epe_after_px"), motions, strict=True):
            values[name] = flow_errors(field, expected, mask)["epe"]
    return values


def _landmark_drift(image: np.ndarray, rendering: np.ndarray, points: np.ndarray) -> float:
    """Mean distance between the landmarks of an image and of its rendering, from the same box, pixels."""
    low, high = points.min(axis=0), points.max(axis=0)
    box = np.array([*low, *(high - low)])
    return float(np.linalg.norm(landmarks.find(image, box) - landmarks.find(rendering, box), axis=1).mean())


def _medians(values: Sequence[Mapping[str, float]]) -> dict[str, float | int]:
    names = dict.fromkeys(name for item in values for name in item)
    medians = {name: float(np.median([item[name] for item in values if name in item])) for name in names}
    return medians | {"clips": len(values)}


def _gap(caches: Mapping[str, Path]) -> dict[str, Any] | None:
    people = [_subjects(path) for path in caches.values()]
    if len(caches) < 2 or min(len(set(subjects)) for subjects in people) < 2:
        return None
    databases = [name for name, subjects in zip(caches, people, strict=True) for _ in subjects]
    subjects = [subject for group in people for subject in group]
    before, after = (
        np.concatenate([_signatures(path, group) for path in caches.values()]) for group in ("faces", "style")
    )
    return {
        "accuracy": [accuracy(item, databases, subjects) for item in (before, after)],
        "chance": 1 / len(caches),
        "colour": [colour_distance(item, databases) for item in (before, after)],
        "clips": len(databases),
    }


def _subjects(path: Path) -> list[str]:
    """Subjects of the clips for the comparison of colours."""
    with open_features(path) as features:
        return [features.clips[row].subject for row in _evenly_spaced(path, COLOUR_CLIPS)]


def _signatures(path: Path, group: str) -> np.ndarray:
    with open_features(path) as features:
        return np.stack([signature(features[f"{group}/onset"][row]) for row in _evenly_spaced(path, COLOUR_CLIPS)])
