"""Training of the style generators: features, clusters, and a CycleGAN per pair of styles; a killed run resumes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

try:
    import torch
except ModuleNotFoundError as error:
    raise RuntimeError("training style generators needs PyTorch: pip install 'mer-features[train]'") from error

from mer_features.core import fingerprint, tensors
from mer_features.core.files import atomic_path, write_text
from mer_features.core.jobs import track
from mer_features.stages.style import generators
from mer_features.systems.common.contract import Execution
from mer_features.training.options import TrainStyle
from mer_features.training.style import features
from mer_features.training.style.cyclegan import CycleGAN

log = logging.getLogger(__name__)


class Loop(Protocol):
    """A training with numbered steps, whose state can be stored."""

    steps: int

    def step(self, number: int) -> dict[str, float]:
        """Do one step; returns its losses by name."""

    def state(self) -> dict[str, Any]:
        """State for the next step."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state."""

    def samples(self) -> np.ndarray:
        """Sample images (R, C, H, W, 3), uint8, for inspection."""


@dataclass(frozen=True)
class Place:
    """Folder and name of the checkpoint, losses and sample sheets of a training, their interval, and its identity."""

    folder: Path
    name: str
    every: int
    identity: str

    @property
    def checkpoint(self) -> Path:
        """State after the last multiple of ``every`` steps."""
        return self.folder / f"{self.name}.pt"

    @property
    def losses(self) -> Path:
        """Losses of every step up to the checkpoint."""
        return self.folder / f"{self.name}.csv"


def train(
    output: Path,
    crops: np.ndarray,
    recipe: TrainStyle,
    *,
    clusters: int,
    seed: int,
    execution: Execution = Execution(),  # noqa: B008  # frozen
) -> None:
    """Train generators between hidden styles of the crops and write them, atomically.

    A killed training resumes from its last checkpoint next to ``output`` if recipe, seed and crops are the same. On the
    same device with the same number of threads, it ends with the same bits as an uninterrupted one.

    Parameters
    ----------
    output
        The model, for :func:`mer_features.stages.style.generators.load`. Checkpoints (``*.pt``), losses (``*.csv``)
        and sample sheets (``samples/*.png``) go to the folder of the same name with the suffix ``.training``.
    crops : ndarray, shape (N, H, W, 3), uint8
        Face crops; their order does not matter.
    recipe
        The section ``train_style``.
    clusters
        Number of hidden styles, k.
    seed
        Seed of all random choices.
    execution
        Device and CPU threads.

    Raises
    ------
    ValueError
        If the crops have fewer than two styles.
    """
    folder = output.with_suffix(".training")
    # The crops are sorted by digest, so that the order of shards and files does not matter.
    crops = crops[np.argsort([hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops])]
    identity = _identity(crops, recipe, clusters, seed)
    with tensors.deterministic(execution.threads):
        place = tensors.device(execution.device)
        classifier = features.RenderingClassifier(crops, recipe, seed=seed, device=place)
        run(classifier, Place(folder, "features", recipe.checkpoint_steps, identity))
        styles = features.clusters(classifier.features(), clusters, seed)
        log.info("hidden styles of %s crops", ", ".join(str(len(members)) for members in styles))
        models = _generators(crops, styles, recipe, seed, place, Place(folder, "", recipe.checkpoint_steps, identity))
    facts = {
        "width": recipe.width, "blocks": recipe.blocks, "recipe": recipe.model_dump(mode="json"), "seed": seed,
        "clusters": [len(members) for members in styles], "crops": len(crops), "identity": identity,
    }  # fmt: skip
    generators.save(output, models, facts)


def _generators(
    crops: np.ndarray, styles: list[np.ndarray], recipe: TrainStyle, seed: int, device: str, place: Place
) -> list[Any]:
    """Both generators of every pair of styles."""
    small = torch.from_numpy(np.stack([_resized(crop, recipe.size) for crop in crops]))
    models: list[Any] = []
    for first, second in generators.pairs_of(len(styles), recipe.generators):
        gan = CycleGAN(small[styles[first]], small[styles[second]], recipe, seed=seed, device=device)
        run(gan, replace(place, name=f"generators-{first}-{second}"))
        models += [gan.networks["ab"], gan.networks["ba"]]
    return models


def run(loop: Loop, place: Place) -> None:
    """Do the remaining steps of a loop; write a checkpoint every ``place.every`` steps and after the last one."""
    start, rows = _resume(loop, place)
    for number in track(range(start, loop.steps), loop.steps - start, place.name):
        rows.append({"step": number, **loop.step(number)})
        finished = number + 1
        if finished % place.every == 0 or finished == loop.steps:
            # The losses are written first; on resuming, losses after the checkpoint are dropped.
            _write_losses(place.losses, rows)
            write_sheet(place.folder / "samples" / f"{place.name}-{finished:07d}.png", loop.samples())
            checkpoint = {"identity": place.identity, "steps": finished, "state": loop.state()}
            tensors.write(place.checkpoint, checkpoint)


def _resume(loop: Loop, place: Place) -> tuple[int, list[dict[str, Any]]]:
    """Number of finished steps, and their losses; a checkpoint of another training is ignored."""
    if not place.checkpoint.exists():
        return 0, []
    stored = tensors.read(place.checkpoint)
    if stored["identity"] != place.identity:
        log.warning("%s has another recipe, code or other crops; training starts again", place.checkpoint)
        return 0, []
    loop.restore(stored["state"])
    log.info("%s: resuming after step %d of %d", place.name, stored["steps"], loop.steps)
    with place.losses.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if int(row["step"]) < stored["steps"]]
    return stored["steps"], [dict(row) for row in rows]


def _write_losses(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_sheet(path: Path, pictures: np.ndarray) -> None:
    """Write images (R, C, H, W, 3), uint8 RGB, as one PNG with R rows, atomically."""
    rows = [np.concatenate(list(row), axis=1) for row in pictures]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(np.concatenate(rows)[..., ::-1]))
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _identity(crops: np.ndarray, recipe: TrainStyle, clusters: int, seed: int) -> str:
    """Digest that is equal for equal trainings; the interval of checkpoints does not count."""
    keys = recipe.model_dump(mode="json", exclude={"checkpoint_steps"})
    code = fingerprint.of("mer_features.training.style.training")
    decides = [keys, clusters, seed, code, fingerprint.of_files(recipe)]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(crops).tobytes())
    return digest.hexdigest()


def _resized(crop: np.ndarray, side: int) -> np.ndarray:
    return crop if crop.shape[0] == side else cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
