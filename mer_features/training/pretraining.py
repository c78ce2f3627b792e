"""Pre-training on macro-expression databases; it runs once for all folds, seeds and protocols."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mer_features.core import fingerprint
from mer_features.core.files import write_text
from mer_features.features.sequences import Sequences
from mer_features.protocols.table import read as read_protocol
from mer_features.systems import registry
from mer_features.systems.common.contract import Execution, Material, PretrainingModule, Setup
from mer_features.training.data import Inputs, Sources, common_groups, load_clips
from mer_features.training.options import Pretraining
from mer_features.training.state import State

log = logging.getLogger(__name__)


def module_of(task: str) -> PretrainingModule:
    """Import the module of a pre-training task by its name; raises ``ValueError`` for an unknown name."""
    return cast(PretrainingModule, importlib.import_module(registry.module_name(task)))


def pretrain(
    task: Pretraining,
    *,
    caches: Mapping[str, Path],
    protocol_tsv: Path | None,
    faces: Sequence[Path],
    output_dir: Path,
    execution: Execution = Execution(),  # noqa: B008  # frozen
    start: Path | None = None,
) -> None:
    """Run one pre-training task, or resume a killed one from its checkpoint.

    Writes ``weights.pt`` and ``summary.json`` (the task, its recipe and the summary that the task returns).

    Parameters
    ----------
    task
        Task, recipe and seed.
    caches, protocol_tsv
        Labelled clips: the feature file of each database, and the protocol. All clips of the protocol are used, in all
        folds. ``protocol_tsv`` is None for a task on unlabelled frames.
    faces
        Unlabelled frames: stage files of the faces stage.
    output_dir
        Output folder. Its folder ``unfinished`` holds the state of a killed run.
    execution
        Device, number of devices, threads.
    start
        File of the pre-training that this one builds on.
    """
    started = time.perf_counter()
    recipe = task.full_recipe
    material = _labelled(task, caches, protocol_tsv) if protocol_tsv else Material(sequences=Sequences(faces))
    files = [*caches.values(), *faces, *([protocol_tsv] if protocol_tsv else []), *([start] if start else [])]
    state = State(output_dir / "unfinished", _key(task, files, execution))
    setup = Setup(task.seed, execution, start, state.current("run"))
    summary = module_of(task.task).pretrain(recipe, material, setup, output_dir / "weights.pt")
    databases = sorted({*caches, *(path.parent.name for path in faces)} | _earlier_databases(start))
    header = {"task": task.task, "recipe": recipe.model_dump(mode="json"), "seed": task.seed, "databases": databases}
    write_text(output_dir / "summary.json", json.dumps(header | summary, indent=1))
    state.remove()
    log.info("%s: %.1f s", task.task, time.perf_counter() - started)


def _earlier_databases(start: Path | None) -> set[str]:
    """Databases of the pre-training that this one builds on, as its summary lists them."""
    path = start.with_name("summary.json") if start else None
    summary = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}
    return set(summary.get("databases", ()))


def _key(task: Pretraining, files: Sequence[Path], execution: Execution) -> str:
    """Digest of everything that the result depends on; input files, which may be large, count by size and time."""
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    code, weights = task.code(), fingerprint.of_files(task.full_recipe)
    content = (task.model_dump(mode="json"), code, weights, execution.precision, stats)
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _labelled(task: Pretraining, caches: Mapping[str, Path], protocol_tsv: Path) -> Material:
    module: Any = module_of(task.task)
    try:
        recipe = task.full_recipe.reading(common_groups(Sources(caches, protocol_tsv)))
    except ValueError as error:
        raise ValueError(f"pre-training {task.task!r}: {error} ({', '.join(map(str, caches.values()))})") from None
    inputs = Inputs(module.pretraining_variables(recipe), lambda clip: module.pretraining_prepare(recipe, clip))
    table = read_protocol(protocol_tsv)
    return Material(load_clips(caches, table, inputs).examples(), table.classes)
