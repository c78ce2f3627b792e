"""The loop all systems share: folds in, predictions out, with held-out subjects out of reach.

Nothing here imports torch; a system is found by its name and brings its own libraries.
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
from mer_features.training.data import Clips, Inputs, Sources, split
from mer_features.training.folds import FoldClips, derived_seed
from mer_features.training.options import System as SystemOptions
from mer_features.training.state import State

log = logging.getLogger(__name__)


def module_of(system: str) -> SystemModule:
    """The file of a system by its name; raises ``ValueError`` for an unknown one."""
    return cast(SystemModule, importlib.import_module(registry.module_name(system)))


def inputs_of(system: SystemOptions) -> Inputs:
    """What a system reads of every clip."""
    module, recipe = module_of(system.system), system.full_recipe
    return Inputs(module.variables(recipe), lambda clip: module.prepare(recipe, clip))


def build(system: SystemOptions, classes: int, setup: Setup) -> System:
    """An untrained system.

    Raises
    ------
    ValueError
        If its recipe needs a pre-training and none is given.
    """
    recipe = system.full_recipe
    if recipe.pretraining and setup.pretrained is None:
        raise ValueError(f"system {system.system!r} needs the file of a pre-training {recipe.pretraining!r}")
    return module_of(system.system).build(recipe, classes, setup)


def train_fold(train: Clips, system: SystemOptions, classes: int, setup: Setup) -> System:
    """A system trained on these clips; all it can see is in the arguments.

    With ``system.shuffle_labels`` the classes are permuted among the clips first, by the setup's seed.
    """
    examples = train.examples()
    if system.shuffle_labels:
        shuffled = np.random.default_rng(setup.seed).permutation(examples.labels)
        examples = type(examples)(examples.features, shuffled, examples.subjects)
    made = build(system, classes, setup)
    made.fit(examples)
    return made


@dataclass(frozen=True)
class _Done:
    """One fold's outcome; the held-out clips in the order of the protocol."""

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
    """Train and test folds one after the other; a killed run goes on where it was.

    Writes, each file whole or not at all, ``predictions.tsv``, ``embeddings.npz`` (:func:`write_embeddings`),
    ``losses.csv`` (one line per fold and epoch) and the folder ``weights`` with ``<fold>.pt`` if they are kept.

    Parameters
    ----------
    sources
        Caches, protocol, pre-training, and the style aggregation if it is fitted in every fold.
    system
        System, recipe, and whether labels are shuffled.
    folds
        Names of the folds to run.
    seed
        Seed of the run.
    output_dir
        Where the files go. ``unfinished`` in it holds the state of a killed run.
    execution
        Device, threads, whether weights are kept.

    Raises
    ------
    LeakError
        If a held-out person or recording stands among a fold's training clips.
    ValueError
        If a fold does not exist, a clip is not in its cache or the pre-training is missing.
    """
    table = read_protocol(sources.protocol_tsv)
    clips = FoldClips(sources, table, inputs_of(system), seed)
    setup = Setup(seed, execution, sources.pretrained, class_names=table.classes)
    state = State(output_dir / "unfinished", _key(clips.plain, system, setup, sources.style))
    done = [
        _fold(fold, clips, system, table.classes, setup, state) for fold in track(folds, len(folds), output_dir.name)
    ]
    predictions = [item for fold in done for item in _predictions(fold, table.classes, seed)]
    metrics.write_predictions(output_dir / "predictions.tsv", predictions, table.classes)
    write_embeddings(output_dir / "embeddings.npz", [(fold.test, fold.embedded) for fold in done], seed)
    write_text(output_dir / "losses.csv", _losses_csv(zip(folds, done, strict=True)))
    _keep_weights(state, folds, output_dir / "weights", keep=execution.keep_weights)
    state.remove()


def _key(clips: Clips, system: SystemOptions, setup: Setup, style: Style | None) -> str:
    """Digest of all that the outcome of a fold depends on."""
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
) -> _Done:
    """One fold, or what a killed run left of it."""
    train, test = split(clips.of(fold), fold)
    stored = state.load(fold)
    if stored is not None:
        losses = json.loads(str(stored.pop("losses")))
        return _Done(test, stored.pop("probabilities"), stored, losses)
    started = time.perf_counter()
    seeded = replace(setup, seed=derived_seed(setup.seed, fold), state=state.current(fold))
    made = train_fold(train, system, len(classes), seeded)
    done = _Done(test, made.predict(test.features), made.embed(test.features), made.losses())
    if setup.execution.keep_weights:
        with atomic_path(state.weights(fold)) as temporary:
            made.save(temporary)
    state.save(
        fold, {"probabilities": done.probabilities, "losses": np.array(json.dumps(done.losses)), **done.embedded}
    )
    right = int((done.probabilities.argmax(axis=1) == test.labels).sum())
    log.info(
        "fold %s, seed %d: %d clips trained, %d of %d right, %.1f s",
        fold, setup.seed, len(train.rows), right, len(test.rows), time.perf_counter() - started,
    )  # fmt: skip
    # A trained network and its trainer hold each other: without this, every fold's optimiser stays in memory.
    del made
    gc.collect()
    return done


def _predictions(done: _Done, classes: Sequence[str], seed: int) -> list[Prediction]:
    return [
        Prediction(
            row.clip_id, row.database, row.subject, row.fold, seed, row.label, classes[int(np.argmax(values))],
            tuple(map(float, values)),
        )
        for row, values in zip(done.test.rows, done.probabilities, strict=True)
    ]  # fmt: skip


def _losses_csv(folds: Any) -> str:
    """Lines ``fold,epoch,loss,...``; terms that a fold lacks stay empty."""
    rows = [
        {"fold": name, "epoch": epoch, **means}
        for name, done in folds
        for epoch, means in enumerate(done.losses, start=1)
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
    (N, width) float32. Each fold has a model of its own: distances between clips of different folds mean nothing.
    """
    rows = [row for clips, _ in parts for row in clips.rows]
    columns: dict[str, Any] = {
        name: np.array([getattr(row, name) for row in rows])
        for name in ("clip_id", "database", "subject", "label", "fold")
    }
    features = {name: np.concatenate([part[name] for _, part in parts]) for name in (parts[0][1] if parts else ())}
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, allow_pickle=False, seed=np.int64(seed), **columns, **features)
