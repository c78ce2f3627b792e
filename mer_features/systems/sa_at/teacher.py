"""Teacher of SA-AT: an expression classifier on the apex faces of a macro-expression database (Eq. 3).

It is trained without micro-expressions, once for all folds. Shapes: N clips, K macro classes, S x S pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
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


def _rank(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Highest UF1 first, then lowest cross-entropy."""
    cross_entropy = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()
    return float(metrics.uf1(macro.confusion(probabilities, labels))), -float(cross_entropy)


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
    classes = len(material.classes)
    network, summary = macro.learn(lambda: Network(recipe, classes), material, recipe.held_out, setup, _rank)
    keys = {name: getattr(recipe, name) for name in ("network", "stem", "scale", "size")}
    about = {"task": "sa_at", "classes": list(material.classes), **keys}
    macro.write(output, network.net.state_dict(), about)
    return summary
