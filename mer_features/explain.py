"""Pictures of what a system learned: its features of held-out clips in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

from mer_features import config, protocols, training
from mer_features.protocols import FoldTable
from mer_features.training import Execution

_HELD_OUT, _TRAINED = "held-out half", "trained half"


def half(table: FoldTable, seed: int) -> FoldTable:
    """The same clips with half of the subjects, balanced by clips and classes, in the one fold to be held out."""
    owners = [row.owner for row in table.rows]
    side = protocols.balanced_folds(owners, [row.label for row in table.rows], 2, seed)
    rows = (replace(row, fold=(_TRAINED, _HELD_OUT)[side[row.owner]]) for row in table.rows)
    return FoldTable(tuple(rows))


def embed_half(
    caches: Mapping[str, Path],
    protocol_tsv: Path,
    system: config.System,
    *,
    seed: int,
    output: Path,
    execution: Execution = Execution(),  # noqa: B008  # frozen
) -> None:
    """Train one model on half of the subjects and write its features of the other half.

    This is how the FR paper makes its Figure 4 (34 of 68 subjects): the models of a leave-one-subject-out run hold
    out a handful of clips each, and their features do not share a space.

    Parameters
    ----------
    caches, protocol_tsv, system, execution
        As of :func:`mer_features.training.train_folds`.
    seed
        Chooses the half and initialises the model.
    output
        The npz, as :func:`mer_features.training.write_embeddings` describes it.
    """
    table = half(protocols.read(protocol_tsv), seed)
    train, test = training.split(training.load_clips(caches, table, system), _HELD_OUT)
    derived = training.derived_seed(seed, _HELD_OUT)
    model = training.train_fold(train, system, len(table.classes), derived, execution)
    training.write_embeddings(output, [(test, model.embed(test.features))], seed)


def project(paths: Sequence[Path], *, seed: int) -> dict[str, Any]:
    """Features of one model's held-out clips in the plane, for ``embedding.json``.

    Parameters
    ----------
    paths
        Files of :func:`embed_half` or :func:`mer_features.training.train_folds`. Of all the models in them, the one
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
    return {
        "layers": layers,
        "labels": shown["label"].tolist(),
        "subjects": [f"{database}/{subject}" for database, subject in owners],
        "clips": clips.tolist(),
        "note": f"t-SNE of the {len(clips)} clips of fold {fold!r}, held out from the one model that made "
        "these features; distances between clusters and their sizes mean nothing.",
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
