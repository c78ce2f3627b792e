"""What systems with a teacher on macro-expressions share: its file, its held-out subjects, a network nobody changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mer_features.protocols import metrics
from mer_features.protocols.folds import balanced_folds
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Examples, Material, Setup

#: Name under which a file of weights holds its description, JSON as bytes: files hold tensors and nothing else.
_ABOUT = "about.json"

N = TypeVar("N", bound=engine.Network)


class Frozen:
    """A network that is asked and never changed.

    It is not a ``nn.Module``, so that the network that holds it neither trains it, nor switches its mode, nor writes it
    into its checkpoints. Answers carry no gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> Any:
        """The network's answer, on the images' device."""
        with torch.no_grad():
            return self.network.to(images.device)(images)


def write(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a teacher: named tensors and a description of JSON values."""
    text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype=np.uint8).copy()
    engine.write_weights(path, {**weights, _ABOUT: torch.from_numpy(text)})


def read(path: Path, task: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a file of :func:`write`.

    Raises
    ------
    ValueError
        If the file cannot be read or is of another task.
    """
    weights = engine.read_weights(path)
    about = json.loads(weights.pop(_ABOUT).numpy().tobytes()) if _ABOUT in weights else {}
    if about.get("task") != task:
        raise ValueError(f"{path}: found weights of {about.get('task', 'no task')}, expected of pre-training {task}")
    return weights, about


class Parts(NamedTuple):
    """Macro clips that train and those of other subjects that do not."""

    trained: Examples
    held_out: Examples | None


def part(examples: Examples, share: float, seed: int) -> Parts:
    """Hold out about a share of the subjects, balanced by clips and classes; none with a share of 0.

    Raises
    ------
    ValueError
        If there is but one subject to part.
    """
    if share == 0:
        return Parts(examples, None)
    owners = [("macro", str(number)) for number in examples.subjects]
    if len(set(owners)) < 2:
        raise ValueError("one subject cannot be parted into trained and held-out ones; give more, or held_out: 0")
    folds = min(round(1 / share), len(set(owners)))
    side = balanced_folds(owners, [str(label) for label in examples.labels], folds, seed)
    outside = np.array([side[owner] == 0 for owner in owners])
    return Parts(examples.take(np.flatnonzero(~outside)), examples.take(np.flatnonzero(outside)))


def learn(make: Callable[[], N], material: Material, held_out: float, setup: Setup) -> tuple[N, dict[str, object]]:
    """Train a classifier of macro clips and measure it on subjects it has not seen.

    Parameters
    ----------
    make
        Builds the network; called when the seed is set.
    material
        Labelled macro clips.
    held_out
        Share of the subjects that are not trained on.
    setup
        Seed, device, folder of the checkpoint.

    Returns
    -------
    network, dict
        The dict has ``classes``, ``clips`` trained, ``losses`` by epoch, and with held-out subjects ``held_out``: their
        clips and the figures on them.
    """
    assert material.examples is not None  # the task is on labelled clips
    parts = part(material.examples, held_out, setup.seed)
    torch.set_num_threads(setup.execution.threads)
    with engine.seeded(setup.seed):
        network = make()
        losses = engine.run(network, network.batches(parts.trained), network.epochs, setup)
    said: dict[str, object] = {"classes": list(material.classes), "clips": len(parts.trained), "losses": losses}
    if parts.held_out is not None:
        answers = engine.answers(network, parts.held_out.features, lambda batch: {"": network.scores(batch)})
        said["held_out"] = figures(confusion(answers[""], parts.held_out.labels))
    return network, said


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Confusion matrix (K, K) int64, rows truth, of probabilities (N, K)."""
    found = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(found, (labels, probabilities.argmax(axis=1)), 1)
    return found


def figures(confusion: np.ndarray) -> dict[str, object]:
    """What a report says of a teacher on held-out subjects: their clips, confusion matrix, WAR (accuracy), UAR, UF1."""
    measured = {"war": metrics.accuracy, "uar": metrics.uar, "uf1": metrics.uf1}
    return {
        "clips": int(confusion.sum()),
        "confusion": confusion.tolist(),
        **{name: float(of(confusion)) for name, of in measured.items()},
    }


def counterparts(wanted: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Position in ``classes`` of every wanted name, -1 for one that is not there."""
    return [classes.index(name) if name in classes else -1 for name in wanted]
