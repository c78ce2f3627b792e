"""From the predictions of all folds and seeds to the figures of a system under a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

from mer_features.protocols import metrics
from mer_features.protocols.metrics import Prediction
from mer_features.protocols.table import FoldTable
from mer_features.protocols.table import read as read_protocol
from mer_features.training.options import System

#: Database and subject of clips of a pre-training, pictured beside those of a system.
COMPANION = "macro"


def evaluate(
    prediction_tsvs: Sequence[Path],
    protocol_tsv: Path,
    system: System,
    *,
    names: tuple[str, str],
    measured_on: str,
    seed: int,
) -> dict[str, Any]:
    """Every figure of a system under a protocol, for ``metrics.json``.

    Parameters
    ----------
    prediction_tsvs
        Predictions of all batches of folds and all seeds.
    protocol_tsv
        Table of the protocol.
    system
        What was trained.
    names
        Of the protocol and of the run.
    measured_on
        ``synthetic`` or the names of the databases; travels with the figures.
    seed
        Source of the bootstrap's draws.

    Returns
    -------
    dict
        What identifies the run (``protocol``, ``run``, ``system``, ``recipe`` with all defaults, ``shuffled``,
        ``classes``, ``databases``, ``measured_on``) and the figures of
        :func:`mer_features.protocols.metrics.summarise`.

    Raises
    ------
    ValueError
        If a clip's prediction is missing, given twice, or of another protocol.
    """
    table = read_protocol(protocol_tsv)
    runs = _runs(prediction_tsvs, table)
    header = {
        "protocol": names[0],
        "run": names[1],
        "system": system.system,
        "recipe": system.full_recipe.model_dump(mode="json"),
        "ablation": system.ablation,
        "shuffled": system.shuffle_labels,
        "classes": list(table.classes),
        "databases": table.counts(),
        "measured_on": measured_on,
    }
    return header | metrics.summarise(runs, table.classes, seed=seed)


def _runs(paths: Sequence[Path], table: FoldTable) -> dict[int, list[Prediction]]:
    """Predictions by seed, each seed's in the order of the protocol and complete."""
    wanted = {(row.database, row.clip_id): row for row in table.tested}
    found: dict[int, dict[tuple[str, str], Prediction]] = {}
    for path in paths:
        predictions, classes = metrics.read_predictions(path)
        if classes != table.classes:
            raise ValueError(f"{path}: classes {classes}, but the protocol has {table.classes}")
        for item in predictions:
            key = (item.database, item.clip_id)
            if key not in wanted or item.truth != wanted[key].label:
                raise ValueError(f"{path}: clip {item.clip_id!r} is not in the protocol as {item.truth!r}")
            if key in found.setdefault(item.seed, {}):
                raise ValueError(f"{path}: clip {item.clip_id!r} is predicted twice with seed {item.seed}")
            found[item.seed][key] = item
    if not found:
        raise ValueError("no predictions")
    for seed, run in found.items():
        if missing := wanted.keys() - run.keys():
            raise ValueError(f"seed {seed}: {len(missing)} clips without a prediction, e.g. {min(missing)}")
    return {seed: [found[seed][key] for key in wanted] for seed in sorted(found)}


def project(paths: Sequence[Path], *, seed: int) -> dict[str, Any]:
    """Features of one model's held-out clips in the plane, for ``embedding.json``.

    Parameters
    ----------
    paths
        Files of :func:`mer_features.training.half.embed_half` or :func:`mer_features.training.train_folds`. Of all the
        models in them, the one
        with the most held-out clips is shown; models are never mixed.
    seed
        Of t-SNE.

    Returns
    -------
    dict
        ``layers``: name -> N pairs (x, y) without unit; ``labels`` and ``subjects`` (``database/subject``), N each;
        ``clips`` (N); ``note``: what was done. Empty for a system without features.
    """
    models = [model for path in paths for model in _models(path)]
    shown = max(models, key=lambda model: len(model["clip_id"]), default=None)
    if shown is None:
        return {}
    clips = shown["clip_id"]
    layers = {name: tsne(values, seed).tolist() for name, values in shown.items() if values.ndim == 2}
    owners = zip(shown["database"], shown["subject"], strict=True)
    fold = str(shown["fold"][0])
    beside = int((shown["database"] == COMPANION).sum())
    companions = f" and {beside} clips of its pre-training (`{COMPANION}`)" if beside else ""
    return {
        "layers": layers,
        "labels": shown["label"].tolist(),
        "subjects": [f"{database}/{subject}" for database, subject in owners],
        "clips": clips.tolist(),
        "note": f"t-SNE of the {len(clips) - beside} clips of fold {fold!r}, held out from the one model that made "
        f"these features{companions}; distances between clusters and their sizes mean nothing.",
    }


def _models(path: Path) -> list[dict[str, np.ndarray]]:
    """Columns of each fold's clips; none where there are no features."""
    with np.load(path, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files if stored[name].ndim > 0}
    if not any(values.ndim == 2 for values in columns.values()):
        return []
    folds = dict.fromkeys(columns["fold"].tolist())
    return [{name: values[columns["fold"] == fold] for name, values in columns.items()} for fold in folds]


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """Features (N, width) in the plane, (N, 2) float32: standardised, then t-SNE with perplexity 30 or (N - 1) / 3."""
    if len(features) < 4:
        return np.zeros((len(features), 2), dtype=np.float32)  # too few to have neighbourhoods
    spread = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(standard.astype(np.float32))
