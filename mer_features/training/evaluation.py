"""Scores of a system under a protocol, from the predictions of all folds and seeds; and t-SNE of its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

from mer_features.protocols import metrics
from mer_features.protocols.metrics import Prediction
from mer_features.protocols.table import COMPANION, FoldRow, FoldTable
from mer_features.protocols.table import read as read_protocol
from mer_features.training.options import System


def evaluate(
    prediction_tsvs: Sequence[Path],
    protocol_tsv: Path,
    system: System,
    *,
    setting: Mapping[str, Any],
    names: tuple[str, str],
    measured_on: str,
    seed: int,
) -> dict[str, Any]:
    """All scores of a system under a protocol, for ``metrics.json``.

    Parameters
    ----------
    prediction_tsvs
        Predictions of all batches of folds and all seeds.
    protocol_tsv
        Table of the protocol.
    system
        The trained system.
    setting
        What its results depend on, to tell whether a printed result is comparable; it is stored with the scores.
    names
        Names of the protocol and of the run.
    measured_on
        ``synthetic`` or the names of the databases; it is stored with the scores.
    seed
        Seed of the bootstrap.

    Returns
    -------
    dict
        Description of the run (``protocol``, ``run``, ``system``, ``recipe`` with all defaults, ``setting``,
        ``ablation``, ``shuffled``, ``classes``, ``databases``, ``measured_on``) and the scores of
        :func:`mer_features.protocols.metrics.summarise`.

    Raises
    ------
    ValueError
        If the prediction of a clip is missing, occurs twice or belongs to another protocol.
    """
    table = read_protocol(protocol_tsv)
    runs = read_runs(prediction_tsvs, table)
    header = {
        "protocol": names[0],
        "run": names[1],
        "system": system.system,
        "recipe": system.full_recipe.model_dump(mode="json"),
        "setting": setting,
        "ablation": system.ablation,
        "shuffled": system.shuffle_labels,
        "classes": list(table.classes),
        "databases": table.counts(),
        "measured_on": measured_on,
    }
    return header | metrics.summarise(runs, table.classes, seed=seed)


def read_runs(prediction_tsvs: Sequence[Path], table: FoldTable) -> dict[int, list[Prediction]]:
    """Predictions of a system by seed, complete and in the order of the protocol.

    Raises
    ------
    ValueError
        If the prediction of a clip is missing, occurs twice or belongs to another protocol.
    """
    return _read_runs(prediction_tsvs, table, table.tested)


def read_spots(prediction_tsvs: Sequence[Path], table: FoldTable) -> dict[int, list[Prediction]]:
    """Predictions for spots by seed, as :func:`read_runs`; their ground truth is empty."""
    return _read_runs(prediction_tsvs, table, [row for row in table.rows if not row.label])


def _read_runs(paths: Sequence[Path], table: FoldTable, wanted: Sequence[FoldRow]) -> dict[int, list[Prediction]]:
    known = {(row.database, row.clip_id): row.label for row in table.rows if not row.train_only}
    rows = {(row.database, row.clip_id): row for row in wanted}
    runs: dict[int, dict[tuple[str, str], Prediction]] = {}
    for path in paths:
        predictions, classes = metrics.read_predictions(path)
        if classes != table.classes:
            raise ValueError(f"{path}: classes {classes}, but the protocol has {table.classes}")
        for item in predictions:
            key = (item.database, item.clip_id)
            if known.get(key) != item.truth:
                raise ValueError(f"{path}: clip {item.clip_id!r} is not in the protocol as {item.truth!r}")
            run = runs.setdefault(item.seed, {})
            if key not in rows:
                continue
            if key in run:
                raise ValueError(f"{path}: clip {item.clip_id!r} is predicted twice with seed {item.seed}")
            run[key] = item
    if not runs:
        raise ValueError("no predictions")
    for seed, run in runs.items():
        if missing := rows.keys() - run.keys():
            raise ValueError(f"seed {seed}: {len(missing)} clips without a prediction, e.g. {min(missing)}")
    return {seed: [runs[seed][key] for key in rows] for seed in sorted(runs)}


def project(paths: Sequence[Path], *, seed: int) -> dict[str, Any]:
    """t-SNE of the features of one model's held-out clips, for ``embedding.json``.

    Parameters
    ----------
    paths
        Files of :func:`mer_features.training.half.embed_half` or :func:`mer_features.training.train_folds`. Of all the
        models in them, the one with the most held-out clips is shown; models are never mixed.
    seed
        Seed of t-SNE.

    Returns
    -------
    dict
        ``layers``: name -> N pairs (x, y) without unit; ``labels`` and ``subjects`` (``database/subject``), N each;
        ``clips`` (N); ``note``: how the values were made. Empty for a system without features.
    """
    models = [model for path in paths for model in _models(path)]
    shown = max(models, key=lambda model: len(model["clip_id"]), default=None)
    if shown is None:
        return {}
    clips = shown["clip_id"]
    layers = {name: tsne(values, seed).tolist() for name, values in shown.items() if values.ndim == 2}
    owners = zip(shown["database"], shown["subject"], strict=True)
    fold = str(shown["fold"][0])
    owned = (shown["database"] != COMPANION) | (shown["subject"] != COMPANION)
    held_out = _counted(clips[owned], shown["database"][owned])
    count = int((~owned).sum())
    companions = f" and {count} faces of its pre-training (`{COMPANION}`)" if count else ""
    return {
        "layers": layers,
        "labels": shown["label"].tolist(),
        "subjects": [f"{database}/{subject}" for database, subject in owners],
        "clips": clips.tolist(),
        "note": f"t-SNE of {held_out} of fold {fold!r}, held out from the one model that made these "
        f"features{companions}; distances between clusters and their sizes have no meaning.",
    }


def _counted(clips: np.ndarray, databases: np.ndarray) -> str:
    """Number of clips, and of their frames if a clip has several rows, in words."""
    distinct = len(set(zip(databases.tolist(), clips.tolist(), strict=True)))
    return f"{len(clips)} frames of {distinct} clips" if distinct < len(clips) else f"the {distinct} clips"


def _models(path: Path) -> list[dict[str, np.ndarray]]:
    """Columns of the clips of each fold; an empty list without features."""
    with np.load(path, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files if stored[name].ndim > 0}
    if not any(values.ndim == 2 for values in columns.values()):
        return []
    folds = dict.fromkeys(columns["fold"].tolist())
    return [{name: values[columns["fold"] == fold] for name, values in columns.items()} for fold in folds]


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE (N, 2) float32 of standardised features (N, width); the perplexity is at most 30 and (N - 1) / 3."""
    if len(features) < 4:
        return np.zeros((len(features), 2), dtype=np.float32)  # too few clips for t-SNE
    spread = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(standard.astype(np.float32))
