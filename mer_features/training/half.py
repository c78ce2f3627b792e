"""One model trained on half of the subjects, to show its features and its heat maps on the other half.

If the protocol trains on whole databases and tests on others, the model is trained and shown in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mer_features.core.files import atomic_path, write_text
from mer_features.protocols.table import COMPANION, TRAIN_ONLY, FoldRow, FoldTable
from mer_features.protocols.table import read as read_protocol
from mer_features.stages.style import fitted
from mer_features.systems.common.contract import Companions, Execution, Setup
from mer_features.training.data import Clips, Sources, split
from mer_features.training.folds import FoldClips, derived_seed
from mer_features.training.loop import inputs_of, settled, train_fold, write_embeddings
from mer_features.training.options import System

_HELD_OUT, _TRAINED, _TARGET = "held-out half", "trained half", "target"
#: Draws of the half before giving up; a draw is repeated until every class is in both halves.
_DRAWS = 1000
#: Largest number of frames per class whose features are kept (Figure 4 of the EIDNet paper).
_FRAMES = 200
#: Number of persons per class whose clips are shown as images.
_SHOWN = 2
_NAMED = ("clip_id", "label")


def half(table: FoldTable, seed: int) -> FoldTable:
    """The same clips with a random half of the subjects in one fold, the held-out fold.

    The halves are equal by number of subjects, not of clips, as in Figure 4 of the FR paper (34 of 68 subjects). The
    draw is repeated until each half has every class. If some clips are only used for training, no half is drawn: the
    tested clips are held out, so that source and target are not mixed.

    Parameters
    ----------
    table
        Clips of a protocol.
    seed
        Seed of the draw.

    Raises
    ------
    ValueError
        If no half with every class was found, for example because only one subject has a class.
    """
    if any(row.train_only for row in table.rows):
        whole = (replace(row, fold=TRAIN_ONLY if row.train_only else _TARGET) for row in table.rows)
        return FoldTable(tuple(whole))
    subjects = sorted({row.owner for row in table.rows})
    random = np.random.default_rng(seed)
    for _ in range(_DRAWS):
        trained = {subjects[place] for place in random.permutation(len(subjects))[: len(subjects) // 2]}
        sides = [_TRAINED if row.owner in trained else _HELD_OUT for row in table.rows]
        if len({(side, row.label) for side, row in zip(sides, table.rows, strict=True)}) == 2 * len(table.classes):
            rows = (replace(row, fold=side) for row, side in zip(table.rows, sides, strict=True))
            return FoldTable(tuple(rows))
    raise ValueError(
        f"{len(subjects)} subjects: found no half of them with clips of every class ({', '.join(table.classes)}) in "
        f"both halves after {_DRAWS} draws; set `embedding: false` at the system"
    )


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

    The models of a leave-one-subject-out run cannot be used: each one holds out only a few clips, and features of
    different models are not comparable. For a system that reads single frames, the features are those of at most 200
    random frames per class.

    Parameters
    ----------
    sources, system, execution
        As in :func:`mer_features.training.train_folds`.
    seed
        Seed of the choice of the half, of the frames and of the model.
    files
        Output files.
    """
    system = settled(system, sources)
    table = half(read_protocol(sources.protocol_tsv).annotated, seed)
    fold = _TARGET if _TARGET in table.folds else _HELD_OUT
    clips = FoldClips(sources, table, inputs_of(system), seed)
    style = clips.style(fold)
    train, test = split(clips.of(fold, style), fold)
    setup = Setup(derived_seed(seed, fold), execution, sources.pretrained, class_names=table.classes)
    model = train_fold(train, system, len(table.classes), setup)
    frames = model.embed_frames(test.features)
    shown = _random_frames(test, frames, seed) if frames else (test, model.embed(test.features))
    parts: list[tuple[Clips, Mapping[str, np.ndarray]]] = [shown]
    if (companions := model.companions()) is not None:
        parts.append((_companion_clips(companions, fold), companions.features))
    write_embeddings(files.embeddings, parts, seed)
    with atomic_path(files.weights) as temporary:
        model.save(temporary)
    pictured = test.take(_shown(test))
    _write_pictures(files.pictures, pictured, model.explain(pictured.features))
    record = {
        "system": system.model_dump(mode="json"),
        "classes": list(table.classes),
        "caches": {name: str(path) for name, path in sources.caches.items()},
        "pretrained": None if sources.pretrained is None else str(sources.pretrained),
        "held_out": [[row.database, row.clip_id, row.label] for row in test.rows],
        "style": None if style is None else fitted.dumps(style),
    }
    write_text(files.model, json.dumps(record, indent=1))


def _random_frames(test: Clips, frames: Mapping[str, np.ndarray], seed: int) -> tuple[Clips, dict[str, np.ndarray]]:
    """One row per frame, at most :data:`_FRAMES` random ones of each class, and their features (M, width)."""
    random = np.random.default_rng(seed)
    count = next(iter(frames.values())).shape[1]
    chosen: list[np.ndarray] = []
    for label in np.unique(test.labels):
        every = np.flatnonzero(np.repeat(test.labels == label, count))  # clip x count + frame
        chosen.append(random.permutation(every)[:_FRAMES])
    places = np.sort(np.concatenate(chosen))
    rows = tuple(test.rows[place // count] for place in places)
    features = {name: values.reshape(-1, values.shape[2])[places] for name, values in frames.items()}
    return Clips(rows, {}, test.labels[places // count], ()), features


def _companion_clips(companions: Companions, fold: str) -> Clips:
    """Rows for faces of a pre-training; database and class distinguish them from the held-out clips."""
    rows = tuple(
        FoldRow(f"{number}", COMPANION, COMPANION, label, f"{label} ({COMPANION})", fold)
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
