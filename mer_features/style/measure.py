"""What style aggregation did to feature files: how much style is left, how much geometry and motion moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np

from mer_features import flow, light
from mer_features.assess import flow_errors, mask_in_crop, truth_flow_in_crop
from mer_features.cache import open_features
from mer_features.databases.synthetic import read_truth
from mer_features.faces import landmarks
from mer_features.style import gap, geometry

#: Clips a database whose colours are compared, and whose flow is computed, which takes some seconds a clip.
COLOUR_CLIPS, FLOW_CLIPS = 60, 6


def measure(caches: Mapping[str, Path], truths: Mapping[str, Path], *, threads: int = 1) -> dict[str, Any]:
    """Compare the groups ``faces`` and ``style`` of feature files.

    Parameters
    ----------
    caches
        Feature file of every database, with the group ``style``.
    truths
        Folder of every embedded database, whose true flow is known.
    threads
        Worker processes; the result does not depend on it.

    Returns
    -------
    dict
        JSON values. ``gap``: accuracy of :func:`mer_features.style.gap.accuracy` and ``colour`` distance before and
        after, or ``None`` with one database or too few subjects. ``databases``: by name the medians over some clips of
        ``displacement_px`` (between onset and aggregated onset), ``landmarks_px`` (mean distance of 68 landmarks found
        on both), ``motion_px`` (between the flow from onset to apex before and after aggregation), and, with a truth,
        ``epe_before_px`` and ``epe_after_px``, the end-point errors of these flows inside the face; ``clips``.
    """
    chosen = [(name, path, row) for name, path in caches.items() for row in _spread(path, FLOW_CLIPS)]
    pool = joblib.Parallel(n_jobs=threads, batch_size=1)
    found = pool(joblib.delayed(_clip)(path, row, truths.get(name)) for name, path, row in chosen)
    by_name: dict[str, list[dict[str, float]]] = {name: [] for name in caches}
    for (name, _, _), values in zip(chosen, found, strict=True):
        by_name[name].append(values)
    return {
        "gap": _gap(caches),
        "databases": {name: _medians(values) for name, values in by_name.items()},
    }


def _spread(path: Path, wanted: int) -> list[int]:
    with open_features(path) as features:
        count = len(features.clips)
    return sorted(set(np.linspace(0, count - 1, min(wanted, count)).round().astype(int).tolist()))


@dataclass(frozen=True)
class _Side:
    """Crops of one clip before or after."""

    onset: np.ndarray
    apex: np.ndarray

    def motion(self) -> np.ndarray:
        """Flow from onset to apex, a change of the lamp removed."""
        return flow.estimate(self.onset, light.match(self.onset, self.apex))


def _clip(path: Path, row: int, truth_root: Path | None) -> dict[str, float]:
    """One clip in one worker."""
    cv2.setNumThreads(1)  # parallel over clips
    with open_features(path) as features:
        before, after = (
            _Side(*(features[f"{group}/{name}"][row] for name in ("onset", "apex"))) for group in ("faces", "style")
        )
        points, transform = features["faces/landmarks"][row], features["faces/transform"][row]
        clip_id = features.clips[row].clip_id
    moved = before.motion(), after.motion()
    found = {
        "displacement_px": geometry.median_length(geometry.displacement(before.onset, after.onset)),
        "motion_px": geometry.median_length(moved[1] - moved[0]),
    }
    if np.isfinite(points).all():
        found["landmarks_px"] = _landmark_drift(before.onset, after.onset, points)
    if truth_root is not None:
        truth = read_truth(truth_root, clip_id)
        expected, _ = truth_flow_in_crop(truth.flow, transform, before.onset.shape[0])
        mask = mask_in_crop(truth.face_mask, transform, before.onset.shape[0])
        for name, field in zip(("epe_before_px", "epe_after_px"), moved, strict=True):
            found[name] = flow_errors(field, expected, mask)["epe"]
    return found


def _landmark_drift(image: np.ndarray, rendering: np.ndarray, points: np.ndarray) -> float:
    """Mean distance of the landmarks found on an image and on its rendering, from the same box, pixels."""
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
    subjects = [subject for found in people for subject in found]
    before, after = (
        np.concatenate([_signatures(path, group) for path in caches.values()]) for group in ("faces", "style")
    )
    return {
        "accuracy": [gap.accuracy(item, databases, subjects) for item in (before, after)],
        "colour": [gap.colour_distance(item, databases) for item in (before, after)],
        "clips": len(databases),
    }


def _subjects(path: Path) -> list[str]:
    """Subjects of the clips of a database whose colours are compared."""
    with open_features(path) as features:
        return [features.clips[row].subject for row in _spread(path, COLOUR_CLIPS)]


def _signatures(path: Path, group: str) -> np.ndarray:
    with open_features(path) as features:
        return np.stack([gap.signature(features[f"{group}/onset"][row]) for row in _spread(path, COLOUR_CLIPS)])
