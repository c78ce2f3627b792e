"""The loop all systems share: folds in, predictions out, with held-out subjects out of reach.

Nothing here imports torch; a system is found by its name and brings its own libraries.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import quote

import numpy as np

from mer_features import config, metrics, protocols
from mer_features.cache import ClipRow, Features, open_features
from mer_features.files import atomic_path
from mer_features.metrics import Prediction
from mer_features.protocols import FoldRow, FoldTable
from mer_features.systems import recipes

log = logging.getLogger(__name__)

#: What identifies a recording, whatever its name: no training clip may share one of these with a held-out clip.
_IDENTITY = ("faces/onset", "faces/apex")


class LeakError(ValueError):
    """A held-out subject or recording stands among the training clips."""


class System(Protocol):
    """What every recognition system offers; N clips, K classes."""

    def fit(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Learn from training clips (N, ...) and their classes (N,) int64."""

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K)."""

    def embed(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Named features (N, width) of clips, for pictures."""

    def save(self, path: Path) -> None:
        """Write what was learned."""

    def load(self, path: Path) -> None:
        """Take what :meth:`save` wrote; executes nothing from the file."""


class SystemModule(Protocol):
    """What every file ``systems/<name>.py`` defines."""

    def variables(self, recipe: recipes.Recipe) -> tuple[str, ...]:
        """Cache variables that ``prepare`` reads, as :class:`mer_features.cache.Features` names them."""

    def prepare(self, recipe: recipes.Recipe, clip: Mapping[str, np.ndarray]) -> np.ndarray:
        """Input of one clip from its cache variables, float32, of one shape for all clips."""

    def build(self, recipe: recipes.Recipe, classes: int, *, seed: int, device: str, threads: int) -> System:
        """An untrained system."""


@dataclass(frozen=True)
class Execution:
    """What cannot change a result, but for the rounding of another device's arithmetic."""

    device: str = "cpu"  # cpu, gpu or auto
    threads: int = 1
    keep_weights: bool = False  # 41 MB a fold for FR


@dataclass(frozen=True)
class Clips:
    """Clips of a protocol with their inputs, row by row."""

    rows: tuple[FoldRow, ...]
    features: np.ndarray  # (N, ...) float32
    labels: np.ndarray  # (N,) int64, positions in the classes
    identities: tuple[frozenset[str], ...]  # digests of the source frames and of the crops

    def take(self, chosen: Sequence[int]) -> Clips:
        """These rows alone, in memory of their own."""
        index = np.asarray(chosen, dtype=np.int64)
        rows, identities = zip(*((self.rows[i], self.identities[i]) for i in index), strict=True)
        return Clips(rows, self.features[index], self.labels[index], identities)


def module_of(system: str) -> SystemModule:
    """The file of a system by its name; raises ``ValueError`` for an unknown one."""
    if system not in recipes.RECIPES:
        raise ValueError(f"unknown system {system!r}; known: {', '.join(recipes.RECIPES)}")
    return cast(SystemModule, importlib.import_module(f"mer_features.systems.{system}"))


def load_clips(caches: Mapping[str, Path], table: FoldTable, system: config.System) -> Clips:
    """Inputs of all clips of a protocol.

    Parameters
    ----------
    caches
        Cache file of every database.
    table
        The protocol.
    system
        Whose inputs to make.

    Raises
    ------
    ValueError
        If a database has no cache or a cache lacks a clip: the protocol was built from other files.
    """
    module, recipe = module_of(system.system), recipes.recipe(system.system, system.recipe)
    names = module.variables(recipe)
    features, identities = [], []
    for clip, arrays in _read(caches, table.rows, (*names, *_IDENTITY)):
        features.append(module.prepare(recipe, {name: arrays[name] for name in names}))
        pixels = {hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in _IDENTITY}
        identities.append(frozenset(pixels | ({clip.source_sha256} - {""})))
    labels = np.array([table.classes.index(row.label) for row in table.rows], dtype=np.int64)
    return Clips(table.rows, np.stack(features), labels, tuple(identities))


def _read(
    caches: Mapping[str, Path], rows: Sequence[FoldRow], variables: Sequence[str]
) -> Iterator[tuple[ClipRow, dict[str, np.ndarray]]]:
    """Each row's clip and variables, read one clip at a time."""
    opened: dict[str, Features] = {}
    try:
        for row in rows:
            if row.database not in opened:
                if row.database not in caches:
                    raise ValueError(f"no cache for database {row.database!r}; given: {', '.join(caches) or 'none'}")
                opened[row.database] = open_features(caches[row.database])
            file = opened[row.database]
            try:
                index = file.index(row.clip_id)
            except KeyError:
                raise ValueError(f"{file.path}: no clip {row.clip_id!r}, which the protocol lists") from None
            yield file.clips[index], {name: np.asarray(file[name][index]) for name in variables}
    finally:
        for file in opened.values():
            file.close()


def split(clips: Clips, fold: str) -> tuple[Clips, Clips]:
    """Training and held-out clips of a fold, which share no memory, subject or recording.

    Raises
    ------
    LeakError
        If a person or a recording, by whatever name, stands on both sides.
    ValueError
        If the fold does not exist or leaves nothing to train with.
    """
    inside = [i for i, row in enumerate(clips.rows) if row.fold == fold != protocols.TRAIN_ONLY]
    outside = [i for i, row in enumerate(clips.rows) if row.fold != fold]
    if not inside or not outside:
        raise ValueError(f"fold {fold!r} holds {len(inside)} of {len(clips.rows)} clips; nothing to train or to test")
    train, test = clips.take(outside), clips.take(inside)
    _refuse_leaks(fold, train, test)
    return train, test


def _refuse_leaks(fold: str, train: Clips, test: Clips) -> None:
    owners = {row.owner for row in test.rows}
    if shared := [row for row in train.rows if row.owner in owners]:
        names = ", ".join(f"{row.database}/{row.clip_id}" for row in shared)
        raise LeakError(f"fold {fold!r}: clips of a held-out subject would train it: {names}")
    held_out = {digest: row for row, digests in zip(test.rows, test.identities, strict=True) for digest in digests}
    for row, digests in zip(train.rows, train.identities, strict=True):
        for digest in digests & held_out.keys():
            twin = held_out[digest]
            raise LeakError(
                f"fold {fold!r}: {row.database}/{row.clip_id} would train it and shows the same frames as the "
                f"held-out {twin.database}/{twin.clip_id}"
            )


def derived_seed(seed: int, fold: str) -> int:
    """Seed of one fold, 0 .. 2³² - 1: the same whatever other folds run in the job or in which order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{fold}".encode(), digest_size=4).digest(), "big")


def train_fold(train: Clips, system: config.System, classes: int, seed: int, execution: Execution) -> System:
    """A system trained on these clips; all it can see is in the arguments.

    With ``system.shuffle_labels`` the classes are permuted among the clips first, by ``seed``.
    """
    labels = train.labels
    if system.shuffle_labels:
        labels = np.random.default_rng(seed).permutation(labels)
    recipe = recipes.recipe(system.system, system.recipe)
    made = module_of(system.system).build(
        recipe, classes, seed=seed, device=execution.device, threads=execution.threads
    )
    made.fit(train.features, labels)
    return made


def train_folds(
    caches: Mapping[str, Path],
    protocol_tsv: Path,
    system: config.System,
    *,
    folds: Sequence[str],
    seed: int,
    output_dir: Path,
    execution: Execution = Execution(),
) -> None:
    """Train and test folds one after the other.

    Writes, each file whole or not at all, ``predictions.tsv`` and ``embeddings.npz`` (:func:`write_embeddings`) of
    the held-out clips and the folder ``weights`` with ``<fold>.pt`` if they are kept.

    Parameters
    ----------
    caches
        Cache file of every database.
    protocol_tsv
        Table of the protocol (:func:`mer_features.protocols.read`).
    system
        System, recipe, and whether labels are shuffled.
    folds
        Names of the folds to run.
    seed
        Seed of the run.
    output_dir
        Where the files go.
    execution
        Device, threads, whether weights are kept.

    Raises
    ------
    LeakError
        If a held-out person or recording stands among a fold's training clips.
    ValueError
        If a fold does not exist or a clip is not in its cache.
    """
    table = protocols.read(protocol_tsv)
    clips = load_clips(caches, table, system)
    weights = output_dir / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    predictions: list[Prediction] = []
    embedded: list[tuple[Clips, dict[str, np.ndarray]]] = []
    for fold in folds:
        started = time.perf_counter()
        train, test = split(clips, fold)
        made = train_fold(train, system, len(table.classes), derived_seed(seed, fold), execution)
        found = _predictions(test, made.predict(test.features), table.classes, seed)
        embedded.append((test, made.embed(test.features)))
        if execution.keep_weights:
            with atomic_path(weights / f"{quote(fold, safe='')}.pt") as temporary:
                made.save(temporary)
        right = sum(item.truth == item.prediction for item in found)
        log.info(
            "fold %s, seed %d: %d clips trained, %d of %d right, %.1f s",
            fold, seed, len(train.rows), right, len(found), time.perf_counter() - started,
        )  # fmt: skip
        predictions.extend(found)
        # A trained network and its trainer hold each other: without this, every fold's optimiser stays in memory.
        del made
        gc.collect()
    metrics.write_predictions(output_dir / "predictions.tsv", predictions, table.classes)
    write_embeddings(output_dir / "embeddings.npz", embedded, seed)


def _predictions(test: Clips, probabilities: np.ndarray, classes: Sequence[str], seed: int) -> list[Prediction]:
    return [
        Prediction(
            row.clip_id, row.database, row.subject, row.fold, seed, row.label, classes[int(np.argmax(values))],
            tuple(map(float, values)),
        )
        for row, values in zip(test.rows, probabilities, strict=True)
    ]  # fmt: skip


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


def evaluate(
    prediction_tsvs: Sequence[Path],
    protocol_tsv: Path,
    system: config.System,
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
        ``classes``, ``databases``, ``measured_on``) and the figures of :func:`mer_features.metrics.summarise`.

    Raises
    ------
    ValueError
        If a clip's prediction is missing, given twice, or of another protocol.
    """
    table = protocols.read(protocol_tsv)
    runs = _runs(prediction_tsvs, table)
    recipe = recipes.recipe(system.system, system.recipe)
    header = {
        "protocol": names[0],
        "run": names[1],
        "system": system.system,
        "recipe": recipe.model_dump(mode="json"),
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
