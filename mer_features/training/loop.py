"""Training and testing of all systems, fold by fold; a system never receives the held-out subjects of its fold.

This module does not import torch. A system is found by its name and imports its own libraries.
"""

from __future__ import annotations

import csv
import gc
import hashlib
import importlib
import io
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from mer_features.core import fingerprint
from mer_features.core.files import atomic_path, write_text
from mer_features.core.jobs import track
from mer_features.protocols import metrics
from mer_features.protocols.metrics import Prediction
from mer_features.protocols.table import read as read_protocol
from mer_features.stages.options import Style
from mer_features.systems import registry
from mer_features.systems.common.contract import Execution, Setup, System, SystemModule
from mer_features.training.data import Clips, Inputs, Sources, common_groups, split
from mer_features.training.folds import FoldClips, derived_seed
from mer_features.training.options import System as SystemOptions
from mer_features.training.state import State

log = logging.getLogger(__name__)


def module_of(system: str) -> SystemModule:
    """Import the module of a system by its name; raises ``ValueError`` for an unknown name."""
    return cast(SystemModule, importlib.import_module(registry.module_name(system)))


def inputs_of(system: SystemOptions) -> Inputs:
    """Variables that a system reads from each clip, and how it prepares them."""
    module, recipe = module_of(system.system), system.full_recipe
    return Inputs(module.variables(recipe), lambda clip: module.prepare(recipe, clip))


def settled(system: SystemOptions, sources: Sources) -> SystemOptions:
    """The system with the source of its inputs settled by what the feature files have.

    Raises
    ------
    ValueError
        If it needs a group that a feature file lacks; names the system, the group and the files.
    """
    try:
        return system.reading(common_groups(sources))
    except ValueError as error:
        files = ", ".join(map(str, sources.caches.values()))
        raise ValueError(f"system {system.system!r}: {error} ({files})") from None


def build(system: SystemOptions, classes: int, setup: Setup) -> System:
    """Build an untrained system.

    Raises
    ------
    ValueError
        If its recipe needs a pre-training and there is none.
    """
    recipe = system.full_recipe
    if recipe.pretraining and setup.pretrained is None:
        raise ValueError(f"system {system.system!r} needs the file of a pre-training {recipe.pretraining!r}")
    return module_of(system.system).build(recipe, classes, setup)


def train_fold(train: Clips, system: SystemOptions, classes: int, setup: Setup) -> System:
    """Train a system on these clips; it has no access to other clips.

    With ``system.shuffle_labels`` the labels are first permuted among the clips, with the seed of the setup.
    """
    examples = train.examples()
    if system.shuffle_labels:
        shuffled = np.random.default_rng(setup.seed).permutation(examples.labels)
        examples = type(examples)(examples.features, shuffled, examples.subjects)
    model = build(system, classes, setup)
    model.fit(examples)
    return model


@dataclass(frozen=True)
class _FoldResult:
    """Result of one fold; the held-out clips are in the order of the protocol."""

    test: Clips
    probabilities: np.ndarray  # (N, K)
    embedded: dict[str, np.ndarray]  # name -> (N, width)
    losses: list[dict[str, float]]


def train_folds(
    sources: Sources,
    system: SystemOptions,
    *,
    folds: Sequence[str],
    seed: int,
    output_dir: Path,
    execution: Execution = Execution(),  # noqa: B008  # frozen
) -> None:
    """Train and test folds one after the other; a killed run resumes with the next fold.

    Writes, atomically, ``predictions.tsv``, ``embeddings.npz`` (:func:`write_embeddings`),
    ``losses.csv`` (one line per fold and epoch) and the folder ``weights``, with ``<fold>.pt`` if weights are kept.

    Parameters
    ----------
    sources
        Feature files, protocol, pre-training, and the style aggregation if it is fitted in each fold.
    system
        System and recipe, and whether labels are shuffled.
    folds
        Names of the folds to run.
    seed
        Seed of the run.
    output_dir
        Output folder. Its folder ``unfinished`` holds the state of a killed run.
    execution
        Device and threads, and whether weights are kept.

    Raises
    ------
    LeakError
        If a held-out person or recording is among the training clips of a fold.
    ValueError
        If a fold does not exist, a clip is not in its feature file, a feature file lacks a group that the system
        reads, or the pre-training is missing.
    """
    system = settled(system, sources)
    table = read_protocol(sources.protocol_tsv)
    clips = FoldClips(sources, table, inputs_of(system), seed)
    setup = Setup(seed, execution, sources.pretrained, class_names=table.classes)
    state = State(output_dir / "unfinished", _key(clips.plain, system, setup, sources.style))
    results = [
        _fold(fold, clips, system, table.classes, setup, state) for fold in track(folds, len(folds), output_dir.name)
    ]
    predictions = [item for result in results for item in _predictions(result, table.classes, seed)]
    metrics.write_predictions(output_dir / "predictions.tsv", predictions, table.classes)
    write_embeddings(output_dir / "embeddings.npz", [(result.test, result.embedded) for result in results], seed)
    write_text(output_dir / "losses.csv", _losses_csv(zip(folds, results, strict=True)))
    _keep_weights(state, folds, output_dir / "weights", keep=execution.keep_weights)
    state.remove()


def _key(clips: Clips, system: SystemOptions, setup: Setup, style: Style | None) -> str:
    """Digest of everything that the result of a fold depends on."""
    digest = hashlib.sha256()
    plain = {
        "system": system.model_dump(mode="json"),
        "seed": setup.seed,
        "precision": setup.execution.precision,
        "code": system.code(style=style is not None),
        "files": fingerprint.of_files(system.full_recipe),
    }
    if style is not None:
        plain["style"] = style.model_dump(mode="json")
    digest.update(json.dumps(plain, sort_keys=True).encode())
    digest.update(repr(clips.rows).encode())
    for name, values in clips.features.items():
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    if setup.pretrained is not None:
        digest.update(setup.pretrained.read_bytes())
    return digest.hexdigest()


def _fold(
    fold: str, clips: FoldClips, system: SystemOptions, classes: Sequence[str], setup: Setup, state: State
) -> _FoldResult:
    """Train and test one fold, or load its result from a killed run."""
    train, test = split(clips.of(fold), fold)
    stored = state.load(fold)
    if stored is not None:
        losses = json.loads(str(stored.pop("losses")))
        return _FoldResult(test, stored.pop("probabilities"), stored, losses)
    started = time.perf_counter()
    seeded = replace(setup, seed=derived_seed(setup.seed, fold), state=state.current(fold))
    model = train_fold(train, system, len(classes), seeded)
    result = _FoldResult(test, model.predict(test.features), model.embed(test.features), model.losses())
    if setup.execution.keep_weights:
        with atomic_path(state.weights(fold)) as temporary:
            model.save(temporary)
    state.save(
        fold, {"probabilities": result.probabilities, "losses": np.array(json.dumps(result.losses)), **result.embedded}
    )
    correct, spots = int((result.probabilities.argmax(axis=1) == test.labels).sum()), int((test.labels < 0).sum())
    log.info(
        "fold %s, seed %d: trained on %d clips, %d of %d held-out clips correct, %.1f s%s",
        fold, setup.seed, len(train.rows), correct, len(test.rows) - spots, time.perf_counter() - started,
        f", {spots} spots recognised" if spots else "",
    )  # fmt: skip
    # A trained network and its trainer refer to each other. Without this, the optimiser of each fold stays in memory.
    del model
    gc.collect()
    return result


def _predictions(result: _FoldResult, classes: Sequence[str], seed: int) -> list[Prediction]:
    return [
        Prediction(
            row.clip_id, row.database, row.subject, row.fold, seed, row.label, classes[int(np.argmax(values))],
            tuple(map(float, values)),
        )
        for row, values in zip(result.test.rows, result.probabilities, strict=True)
    ]  # fmt: skip


def _losses_csv(folds: Any) -> str:
    """CSV with columns ``fold,epoch,loss,...``; terms that a fold does not have stay empty."""
    rows = [
        {"fold": name, "epoch": epoch, **means}
        for name, result in folds
        for epoch, means in enumerate(result.losses, start=1)
    ]
    out = io.StringIO()
    columns = dict.fromkeys(["fold", "epoch", *(name for row in rows for name in row)])
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _keep_weights(state: State, folds: Sequence[str], target: Path, *, keep: bool) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for fold in folds if keep else ():
        source = state.weights(fold)
        shutil.move(source, target / source.name)


def write_embeddings(path: Path, parts: Sequence[tuple[Clips, Mapping[str, np.ndarray]]], seed: int) -> None:
    """Write held-out clips and their features, atomically.

    The npz holds ``clip_id``, ``database``, ``subject``, ``label``, ``fold`` (N,) str, ``seed`` () and every feature
    (N, width) float32. Each fold has its own model, so features of different folds are not comparable.
    """
    rows = [row for clips, _ in parts for row in clips.rows]
    columns: dict[str, Any] = {
        name: np.array([getattr(row, name) for row in rows])
        for name in ("clip_id", "database", "subject", "label", "fold")
    }
    features = {name: np.concatenate([part[name] for _, part in parts]) for name in (parts[0][1] if parts else ())}
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, allow_pickle=False, seed=np.int64(seed), **columns, **features)
