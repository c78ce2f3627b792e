"""Training of the generators: features, clusters, a CycleGAN for each pair of styles; it goes on after a kill."""

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

from mer_features.core import tensors
from mer_features.core.files import atomic_path, write_text
from mer_features.core.jobs import track
from mer_features.stages.style import generators
from mer_features.systems.common.contract import Execution
from mer_features.training.options import TrainStyle
from mer_features.training.style import features
from mer_features.training.style.cyclegan import CycleGAN

log = logging.getLogger(__name__)


class Loop(Protocol):
    """A training that proceeds by numbered steps and whose state can be stored."""

    steps: int

    def step(self, number: int) -> dict[str, float]:
        """Do one step; its losses by name."""

    def state(self) -> dict[str, Any]:
        """Everything that a further step depends on."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state."""

    def samples(self) -> np.ndarray:
        """Pictures (R, C, H, W, 3), uint8, to look at."""


@dataclass(frozen=True)
class Place:
    """Where a training keeps its checkpoint, losses and sample sheets, how often, and what it is a training of."""

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

    A training that was killed goes on from its last checkpoint beside ``output`` if recipe, seed and crops are the
    same, and ends at the same bits as one that was not, on the same device and number of threads.

    Parameters
    ----------
    output
        The model, for :func:`mer_features.stages.style.generators.load`. Checkpoints (``*.pt``), losses (``*.csv``)
        and sample
        sheets (``samples/*.png``) go to the folder of the same name with the ending ``.training``.
    crops : ndarray, shape (N, H, W, 3), uint8
        Face crops; their order does not matter.
    recipe
        The section ``train_style``.
    clusters
        Hidden styles, k.
    seed
        Source of every random choice.
    execution
        Device and CPU threads.

    Raises
    ------
    ValueError
        If the crops make fewer than two styles.
    """
    folder = output.with_suffix(".training")
    # A digest decides the order, so that shards and file names do not.
    crops = crops[np.argsort([hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops])]
    identity = _identity(crops, recipe, clusters, seed)
    with tensors.deterministic(execution.threads):
        place = tensors.device(execution.device)
        classifier = features.RenderingClassifier(crops, recipe, seed=seed, device=place)
        run(classifier, Place(folder, "features", recipe.checkpoint_steps, identity))
        styles = features.clusters(classifier.features(), clusters, seed)
        log.info("hidden styles of %s crops", ", ".join(str(len(members)) for members in styles))
        made = _generators(crops, styles, recipe, seed, place, Place(folder, "", recipe.checkpoint_steps, identity))
    facts = {
        "width": recipe.width, "blocks": recipe.blocks, "recipe": recipe.model_dump(mode="json"), "seed": seed,
        "clusters": [len(members) for members in styles], "crops": len(crops), "identity": identity,
    }  # fmt: skip
    generators.save(output, made, facts)


def _generators(
    crops: np.ndarray, styles: list[np.ndarray], recipe: TrainStyle, seed: int, device: str, place: Place
) -> list[Any]:
    """Both generators of every pair of styles."""
    small = torch.from_numpy(np.stack([_resized(crop, recipe.size) for crop in crops]))
    made: list[Any] = []
    for first, second in generators.pairs_of(len(styles), recipe.generators):
        gan = CycleGAN(small[styles[first]], small[styles[second]], recipe, seed=seed, device=device)
        run(gan, replace(place, name=f"generators-{first}-{second}"))
        made += [gan.networks["ab"], gan.networks["ba"]]
    return made


def run(loop: Loop, place: Place) -> None:
    """Do the steps of a loop that are still to do, with a checkpoint every so many and after the last."""
    start, rows = _resume(loop, place)
    for number in track(range(start, loop.steps), loop.steps - start, place.name):
        rows.append({"step": number, **loop.step(number)})
        done = number + 1
        if done % place.every == 0 or done == loop.steps:
            # The losses first: those beyond the checkpoint are dropped when it is taken up again.
            _write_losses(place.losses, rows)
            write_sheet(place.folder / "samples" / f"{place.name}-{done:07d}.png", loop.samples())
            with atomic_path(place.checkpoint) as temporary:
                torch.save({"identity": place.identity, "steps": done, "state": loop.state()}, temporary)


def _resume(loop: Loop, place: Place) -> tuple[int, list[dict[str, Any]]]:
    """Steps already done, their losses; a checkpoint of another training is not taken up."""
    if not place.checkpoint.exists():
        return 0, []
    stored = tensors.read(place.checkpoint)
    if stored["identity"] != place.identity:
        log.warning("%s is of another recipe or other crops: trained again", place.checkpoint)
        return 0, []
    loop.restore(stored["state"])
    log.info("%s: goes on after step %d of %d", place.name, stored["steps"], loop.steps)
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
    """Write pictures (R, C, H, W, 3), uint8 RGB, as one PNG of R rows, atomically."""
    rows = [np.concatenate(list(row), axis=1) for row in pictures]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(np.concatenate(rows)[..., ::-1]))
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _identity(crops: np.ndarray, recipe: TrainStyle, clusters: int, seed: int) -> str:
    """What makes two trainings the same; how often they are stored does not."""
    keys = recipe.model_dump(mode="json", exclude={"checkpoint_steps"})
    digest = hashlib.sha256(json.dumps([keys, clusters, seed], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(crops).tobytes())
    return digest.hexdigest()


def _resized(crop: np.ndarray, side: int) -> np.ndarray:
    return crop if crop.shape[0] == side else cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
