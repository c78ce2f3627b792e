"""Teacher of SA-AT: an expression classifier on single faces of a macro-expression database (Eq. 3).

It is trained without micro-expressions, once for all folds. Shapes: N faces, F faces per macro clip, K macro classes,
S x S pixels.
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

_KEYFRAMES = "faces/keyframes"


def pretraining_variables(recipe: SAATTeacherRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a macro clip that :func:`pretraining_prepare` reads."""
    return (f"{recipe.images}/apex",) if recipe.frames == 1 else (_KEYFRAMES, inputs.NUMBERS, inputs.APEX)


def pretraining_prepare(recipe: SAATTeacherRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``image``: the whole face at the apex of one macro clip or at the F frames nearest to it, (F, 3, S, S) uint8.

    Raises
    ------
    ValueError
        If the feature file has fewer keyframes than the recipe needs.
    """
    if recipe.frames == 1:
        faces = clip[f"{recipe.images}/apex"][None]
    else:
        faces = clip[_KEYFRAMES][inputs.nearest_keyframes(clip, recipe.frames)]
    return {"image": np.stack([inputs.rgb(face, recipe.size) for face in faces])}


def single_faces(examples: Examples) -> Examples:
    """Macro clips with images (M, F, 3, S, S) as N = M F examples of one face (N, 3, S, S), of the same subjects."""
    images = examples.features["image"]
    faces = images.shape[1]
    labels, subjects = (np.repeat(values, faces) for values in (examples.labels, examples.subjects))
    return Examples({"image": images.reshape(-1, *images.shape[2:])}, labels, subjects)


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
        ``classes``, ``clips`` (number of faces trained on) and ``losses`` by epoch. With held-out subjects also
        ``held_out``: the number of their faces, the best epoch, and WAR, UAR and UF1 on them. These scores are too
        high, because the same subjects chose the epoch.

    Raises
    ------
    ValueError
        If there are no labelled clips, or there is only one subject and some are to be held out.
    """
    faces = Material(single_faces(material.labelled), material.classes)
    classes = len(material.classes)
    network, summary = macro.learn(lambda: Network(recipe, classes), faces, recipe.held_out, setup, _rank)
    keys = {name: getattr(recipe, name) for name in ("network", "stem", "scale", "size", "images", "frames")}
    macro.write(output, network.net.state_dict(), {"task": "sa_at", "classes": list(material.classes), **keys})
    return summary
