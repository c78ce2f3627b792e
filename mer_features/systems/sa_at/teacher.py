"""Teacher of SA-AT: an expression classifier on the apex faces of a macro-expression database (Eq. 3).

It holds no micro-expression and is trained once for all folds. Shapes: N clips, K macro classes, S x S pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from mer_features.protocols import metrics
from mer_features.systems.common import engine, inputs, macro
from mer_features.systems.common.contract import Arrays, Examples, Material, Setup
from mer_features.systems.sa_at.network import Recogniser
from mer_features.systems.sa_at.recipe import SAATTeacherRecipe


def pretraining_variables(recipe: SAATTeacherRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a macro clip that :func:`pretraining_prepare` reads."""
    return ("faces/apex",)


def pretraining_prepare(recipe: SAATTeacherRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``image``: the whole apex face of one macro clip, (3, S, S) uint8."""
    return {"image": inputs.rgb(clip["faces/apex"], recipe.size)}


def flipped(faces: Tensor) -> Tensor:
    """Images (N, 3, H, W), each mirrored left to right with probability 1/2; the ones given stay as they are."""
    coin = torch.rand(len(faces)) < 0.5
    return torch.where(coin.to(faces.device)[:, None, None, None], faces.flip(3), faces)


class Network(engine.Network):
    """The teacher under training."""

    def __init__(self, recipe: SAATTeacherRecipe, classes: int) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        self.net = Recogniser(recipe.network, classes, stem=recipe.stem, scale=recipe.scale, std=recipe.init_std)

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last one of a single image is left out."""
        found = engine.Batches(examples, self.recipe.batch_size, fewest=2)
        self.net.measure(found.features["image"])
        return found

    def training_step(self, batch: engine.Batch) -> Tensor:
        """Eq. 3: softmax cross-entropy."""
        seen = flipped(batch["image"]) if self.recipe.flip else batch["image"]
        return F.cross_entropy(self.net(seen).logits, batch["label"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), self.recipe.learning_rate)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self.net(batch["image"]).logits, dim=1)


class Best(Callback):
    """Keeps the weights of the epoch that does best on held-out subjects: highest UF1, then lowest cross-entropy.

    The choice and the weights are part of checkpoints, so that a resumed training ends with the same ones.
    """

    def __init__(self, held_out: Examples) -> None:
        self._held_out = held_out
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}
        self.confusion: list[list[int]] = []
        self._rank = (-1.0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"epoch": self.epoch, "weights": self.weights, "confusion": self.confusion, "rank": self._rank}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.epoch, self.weights = state_dict["epoch"], state_dict["weights"]
        self.confusion, self._rank = state_dict["confusion"], tuple(state_dict["rank"])

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Ask the network about the held-out clips and keep it if it is the best so far."""
        labels = self._held_out.labels
        probabilities = engine.answers(module, self._held_out.features, lambda batch: {"": module.scores(batch)})[""]
        confusion = macro.confusion(probabilities, labels)
        surprise = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()
        rank = (float(metrics.uf1(confusion)), -float(surprise))
        if rank > self._rank:
            self.epoch, self._rank, self.confusion = trainer.current_epoch + 1, rank, confusion.tolist()
            self.weights = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def pretrain(recipe: SAATTeacherRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train the teacher and write it.

    Parameters
    ----------
    recipe
        Network and training.
    material
        Labelled macro clips of :func:`pretraining_prepare`.
    setup
        Seed, device, folder of the checkpoint.
    output
        File of the weights; it names the network and its classes.

    Returns
    -------
    dict
        ``classes``, ``clips`` trained, ``losses`` by epoch, and with held-out subjects ``held_out``: their clips, the
        epoch they chose, and WAR, UAR and UF1 on them, which are too good by that choice.
    """
    assert material.examples is not None  # the task is on labelled clips
    parts = macro.part(material.examples, recipe.held_out, setup.seed)
    torch.set_num_threads(setup.execution.threads)
    best = None if parts.held_out is None else Best(parts.held_out)
    with engine.seeded(setup.seed):
        network = Network(recipe, len(material.classes))
        batches = network.batches(parts.trained)
        losses = engine.run(network, batches, recipe.epochs, setup, callbacks=[] if best is None else [best])
    if best is not None:
        network.load_state_dict(best.weights)
    kept = {name: getattr(recipe, name) for name in ("network", "stem", "scale", "size")}
    about = {"task": "sa_at", "classes": list(material.classes), **kept}
    macro.write(output, network.net.state_dict(), about)
    said: dict[str, object] = {"classes": list(material.classes), "clips": len(parts.trained), "losses": losses}
    return (
        said
        if best is None
        else said | {"held_out": macro.held_out_scores(np.array(best.confusion)) | {"epoch": best.epoch}}
    )
