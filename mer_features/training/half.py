"""One model trained on half of the subjects, to show its features and its heat maps on the other half."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mer_features.core.files import atomic_path, write_text
from mer_features.protocols.folds import balanced_folds
from mer_features.protocols.table import FoldRow, FoldTable
from mer_features.protocols.table import read as read_protocol
from mer_features.stages.style import fitted
from mer_features.systems.common.contract import Companions, Execution, Setup
from mer_features.training.data import Clips, Sources, split
from mer_features.training.evaluation import COMPANION
from mer_features.training.folds import FoldClips, derived_seed
from mer_features.training.loop import inputs_of, settled, train_fold, write_embeddings
from mer_features.training.options import System

_HELD_OUT, _TRAINED = "held-out half", "trained half"
#: Number of persons per class whose clips are shown as images.
_SHOWN = 2
_NAMED = ("clip_id", "label")


def half(table: FoldTable, seed: int) -> FoldTable:
    """The same clips with half of the subjects, balanced by clips and classes, in one held-out fold."""
    owners = [row.owner for row in table.rows]
    side = balanced_folds(owners, [row.label for row in table.rows], 2, seed)
    rows = (replace(row, fold=(_TRAINED, _HELD_OUT)[side[row.owner]]) for row in table.rows)
    return FoldTable(tuple(rows))


@dataclass(frozen=True)
class HalfFiles:
    """What :func:`embed_half` writes."""

    embeddings: Path  # npz, as :func:`mer_features.training.write_embeddings` describes it
    weights: Path
    pictures: Path  # npz: `clip_id` (n,), `label` (n,) and named images (n, H, W, 3) uint8
    model: Path  # JSON: what is needed to load the weights again


def embed_half(
    sources: Sources,
    system: System,
    *,
    seed: int,
    files: HalfFiles,
    execution: Execution = Execution(),  # noqa: B008  # frozen
) -> None:
    """Train one model on half of the subjects; write it, and its features and explanations of the other half.

    Figure 4 of the FR paper is made in this way (34 of 68 subjects). The models of a leave-one-subject-out run cannot
    be used: each one holds out only a few clips, and features of different models are not comparable.

    Parameters
    ----------
    sources, system, execution
        As in :func:`mer_features.training.train_folds`.
    seed
        Seed of the choice of the half and of the model.
    files
        Output files.
    """
    system = settled(system, sources)
    table = half(read_protocol(sources.protocol_tsv), seed)
    clips = FoldClips(sources, table, inputs_of(system), seed)
    style = clips.style(_HELD_OUT)
    train, test = split(clips.of(_HELD_OUT, style), _HELD_OUT)
    setup = Setup(derived_seed(seed, _HELD_OUT), execution, sources.pretrained, class_names=table.classes)
    model = train_fold(train, system, len(table.classes), setup)
    parts: list[tuple[Clips, Mapping[str, np.ndarray]]] = [(test, model.embed(test.features))]
    if (companions := model.companions()) is not None:
        parts.append((_companion_clips(companions), companions.features))
    write_embeddings(files.embeddings, parts, seed)
    with atomic_path(files.weights) as temporary:
        model.save(temporary)
    shown = test.take(_shown(test))
    _write_pictures(files.pictures, shown, model.explain(shown.features))
    record = {
        "system": system.model_dump(mode="json"),
        "classes": list(table.classes),
        "caches": {name: str(path) for name, path in sources.caches.items()},
        "pretrained": None if sources.pretrained is None else str(sources.pretrained),
        "held_out": [[row.database, row.clip_id, row.label] for row in test.rows],
        "style": None if style is None else fitted.dumps(style),
    }
    write_text(files.model, json.dumps(record, indent=1))


def _companion_clips(companions: Companions) -> Clips:
    """Rows for clips of a pre-training; database and class distinguish them from the held-out clips."""
    rows = tuple(
        FoldRow(f"{number}", COMPANION, COMPANION, label, f"{label} ({COMPANION})", _HELD_OUT)
        for number, label in enumerate(companions.labels)
    )
    return Clips(rows, {}, np.zeros(len(rows), dtype=np.int64), ())


def _shown(test: Clips) -> list[int]:
    """The first clips of each class, from different persons."""
    chosen: list[int] = []
    for label in sorted({row.label for row in test.rows}):
        owners: set[tuple[str, str]] = set()
        for place, row in enumerate(test.rows):
            if row.label == label and row.owner not in owners and len(owners) < _SHOWN:
                owners.add(row.owner)
                chosen.append(place)
    return chosen


def _write_pictures(path: Path, clips: Clips, pictures: Mapping[str, np.ndarray]) -> None:
    columns: dict[str, Any] = {name: np.array([getattr(row, name) for row in clips.rows]) for name in _NAMED}
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **columns, **pictures)
