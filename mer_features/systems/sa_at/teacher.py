"""Teacher of SA-AT: an expression classifier on the apex faces of a macro-expression database (Eq. 3).

It is trained without micro-expressions, once for all folds. Shapes: N clips, K macro classes, S x S pixels.
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
    """Copy of images (N, 3, H, W), each mirrored left to right with probability 1/2."""
    coin = torch.rand(len(faces)) < 0.5
    return torch.where(coin.to(faces.device)[:, None, None, None], faces.flip(3), faces)


class Network(engine.Network):
    """Training of the teacher."""

    def __init__(self, recipe: SAATTeacherRecipe, classes: int) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        self.net = Recogniser(recipe.network, classes, stem=recipe.stem, scale=recipe.scale, std=recipe.init_std)

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last batch of one image is left out."""
        batches = engine.Batches(examples, self.recipe.batch_size, fewest=2)
        self.net.measure(batches.features["image"])
        return batches

    def training_step(self, batch: engine.Batch) -> Tensor:
        """Softmax cross-entropy (Eq. 3)."""
        images = flipped(batch["image"]) if self.recipe.flip else batch["image"]
        return F.cross_entropy(self.net(images).logits, batch["label"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), self.recipe.learning_rate)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self.net(batch["image"]).logits, dim=1)


class Best(Callback):
    """Keeps the weights of the best epoch on held-out subjects: highest UF1, then lowest cross-entropy.

    The choice and the weights are part of the checkpoints, so that a resumed training ends with the same weights.
    """

    def __init__(self, held_out: Examples) -> None:
        self._held_out = held_out
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}
        self.confusion: list[list[int]] = []
        self._rank = (-1.0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"epoch": self.epoch, "weights": self.weights, "confusion": self.confusion, "rank": self._rank}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.epoch, self.weights = state_dict["epoch"], state_dict["weights"]
        self.confusion, self._rank = state_dict["confusion"], tuple(state_dict["rank"])

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Evaluate the network on the held-out clips and keep its weights if they are the best so far."""
        labels = self._held_out.labels
        probabilities = engine.answers(module, self._held_out.features, lambda batch: {"": module.scores(batch)})[""]
        confusion = macro.confusion(probabilities, labels)
        cross_entropy = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()
        rank = (float(metrics.uf1(confusion)), -float(cross_entropy))
        if rank > self._rank:
            self.epoch, self._rank, self.confusion = trainer.current_epoch + 1, rank, confusion.tolist()
            self.weights = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def pretrain(recipe: SAATTeacherRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train the teacher and write its weights.

    Parameters
    ----------
    recipe
        Settings of network and training.
    material
        Labelled macro clips, prepared by :func:`pretraining_prepare`.
    setup
        Seed, device and folder of the checkpoint.
    output
        File of the weights; it also names the network and its classes.

    Returns
    -------
    dict
        ``classes``, ``clips`` (number of training clips) and ``losses`` by epoch. With held-out subjects also
        ``held_out``: the number of their clips, the best epoch, and WAR, UAR and UF1 on them. These scores are too
        high, because the same subjects chose the epoch.
    """
    assert material.examples is not None  # the task needs labelled clips
    parts = macro.part(material.examples, recipe.held_out, setup.seed)
    torch.set_num_threads(setup.execution.threads)
    best = None if parts.held_out is None else Best(parts.held_out)
    with engine.seeded(setup.seed):
        network = Network(recipe, len(material.classes))
        batches = network.batches(parts.trained)
        losses = engine.run(network, batches, recipe.epochs, setup, callbacks=[] if best is None else [best])
    if best is not None:
        network.load_state_dict(best.weights)
    keys = {name: getattr(recipe, name) for name in ("network", "stem", "scale", "size")}
    about = {"task": "sa_at", "classes": list(material.classes), **keys}
    macro.write(output, network.net.state_dict(), about)
    summary: dict[str, object] = {"classes": list(material.classes), "clips": len(parts.trained), "losses": losses}
    if best is not None:
        summary["held_out"] = macro.held_out_scores(np.array(best.confusion)) | {"epoch": best.epoch}
    return summary
