"""Networks pre-trained on macro-expressions: their files, their held-out subjects, and their use as frozen networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mer_features.protocols import metrics
from mer_features.systems.common import engine, selection
from mer_features.systems.common.contract import Examples, Material, Setup

#: Name of the entry that describes the weights in their file. Files hold only tensors, so it is JSON in bytes.
_ABOUT = "about.json"

N = TypeVar("N", bound=engine.Network)


class Frozen:
    """A network that is only evaluated and never changed.

    It is not an ``nn.Module``. So the network that contains it does not train it, does not switch its mode and does not
    write it into checkpoints. Its outputs carry no gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> Any:
        """Output of the network, on the device of the images."""
        with torch.no_grad():
            return self.network.to(images.device)(images)


def write(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a pre-trained network: named tensors and a description of JSON values."""
    text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype=np.uint8).copy()
    engine.write_weights(path, {**weights, _ABOUT: torch.from_numpy(text)})


def read(path: Path, task: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a file written by :func:`write`.

    Raises
    ------
    ValueError
        If the file cannot be read or belongs to another task.
    """
    weights = engine.read_weights(path)
    about = json.loads(weights.pop(_ABOUT).numpy().tobytes()) if _ABOUT in weights else {}
    if about.get("task") != task:
        raise ValueError(f"{path}: found weights of {about.get('task', 'no task')}, expected of pre-training {task}")
    return weights, about


class Parts(NamedTuple):
    """Macro clips for training, and held-out macro clips of other subjects."""

    trained: Examples
    held_out: Examples | None


def part(examples: Examples, share: float, seed: int) -> Parts:
    """Hold out about this share of the subjects, balanced by clips and classes; with a share of 0, none.

    Equal arguments give equal parts.

    Raises
    ------
    ValueError
        If there is only one subject.
    """
    if share == 0:
        return Parts(examples, None)
    return Parts(*selection.hold_out(examples, share, seed, "macro"))


def learn(
    make: Callable[[], N],
    material: Material,
    held_out: float,
    setup: Setup,
    rank: selection.Rank | None = None,
) -> tuple[N, dict[str, object]]:
    """Train a classifier of macro clips and test it on held-out subjects.

    Parameters
    ----------
    make
        Builds the network; called after the seed is set.
    material
        Labelled macro clips.
    held_out
        Share of the subjects that are held out from training.
    setup
        Seed, device, folder of the checkpoint.
    rank
        Ranks the epochs on the held-out clips; the network ends with the weights of the best one. None: with those of
        the last one.

    Returns
    -------
    network, dict
        The dict has ``classes``, ``clips`` (number of training clips) and ``losses`` by epoch. With held-out subjects
        it also has ``held_out``: the scores of :func:`held_out_scores` and, with a ``rank``, the best ``epoch``.

    Raises
    ------
    ValueError
        If the material has no labels, or subjects are to be held out and there is only one.
    """
    parts = part(material.labelled, held_out, setup.seed)
    best = None if parts.held_out is None or rank is None else selection.BestEpoch(parts.held_out, rank)
    torch.set_num_threads(setup.execution.threads)
    with engine.seeded(setup.seed):
        network = make()
        batches = network.batches(parts.trained)
        losses = engine.run(network, batches, network.epochs, setup, callbacks=[] if best is None else [best])
    summary: dict[str, object] = {"classes": list(material.classes), "clips": len(parts.trained), "losses": losses}
    if parts.held_out is not None:
        outputs = engine.answers(network, parts.held_out.features, lambda batch: {"": network.scores(batch)})
        scores = held_out_scores(confusion(outputs[""], parts.held_out.labels))
        summary["held_out"] = scores if best is None else scores | {"epoch": best.epoch}
    return network, summary


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Confusion matrix (K, K) int64 of probabilities (N, K); rows are the true classes, columns the predicted ones."""
    counts = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def held_out_scores(confusion: np.ndarray) -> dict[str, object]:
    """Scores of a network on held-out subjects: number of clips, confusion matrix, WAR (accuracy), UAR and UF1."""
    scores = {"war": metrics.accuracy, "uar": metrics.uar, "uf1": metrics.uf1}
    return {
        "clips": int(confusion.sum()),
        "confusion": confusion.tolist(),
        **{name: float(score(confusion)) for name, score in scores.items()},
    }


def counterparts(wanted: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Position in ``classes`` of each wanted name; -1 if it is missing."""
    return [classes.index(name) if name in classes else -1 for name in wanted]
