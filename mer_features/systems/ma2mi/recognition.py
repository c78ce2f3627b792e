"""Pre-training task `ma2mi_recognition`: MIACNet recognises macro-expressions (Table 1, "MAER").

The paper compares MA2MI with this pre-training. It uses onset and apex of labelled clips, cross-entropy and the
augmentation of fine-tuning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems.common import engine, macro
from mer_features.systems.common.contract import Arrays, Examples, Material, Setup
from mer_features.systems.ma2mi.network import VARIABLES, Classifier, MIACNet, prepare_faces, scaled, views
from mer_features.systems.ma2mi.pretraining import decaying
from mer_features.systems.ma2mi.recipe import MacroRecognitionRecipe

#: Start of the names of MIACNet's weights in the file, as in the file of the other pre-training.
_PREFIX = "model.net."


def pretraining_variables(recipe: MacroRecognitionRecipe) -> tuple[str, ...]:  # noqa: ARG001  # always the same
    """Names of the feature-file variables of a macro clip that :func:`pretraining_prepare` reads."""
    return VARIABLES


def pretraining_prepare(recipe: MacroRecognitionRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``first`` and ``second`` (3, S, S) uint8: onset and apex of one macro clip."""
    return prepare_faces(clip, recipe.size)


class Network(engine.Network):
    """MIACNet and a linear classifier of its condition; K classes."""

    def __init__(self, recipe: MacroRecognitionRecipe, classes: int) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        self.net = MIACNet(recipe)
        self.head = Classifier(self.net.width, classes)

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last batch of one clip is left out, because batch norm cannot learn from it."""
        return engine.Batches(examples, self.recipe.batch_size, fewest=2)

    def logits(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits (N, K) of images (N, 3, S, S) in [-1, 1]."""
        return self.head(self.net.condition(self.net(first, second)))

    def training_step(self, batch: engine.Batch) -> Tensor:
        """Cross-entropy."""
        pair = views(self.recipe.augment, batch["first"], batch["second"])
        return F.cross_entropy(self.logits(*pair), batch["label"])

    def configure_optimizers(self) -> dict[str, object]:
        """AdamW and its schedule, as in the other pre-training."""
        return decaying(self.parameters(), self.recipe)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        pair = (scaled(batch[name]) for name in ("first", "second"))
        return F.softmax(self.logits(*pair), dim=1)


def pretrain(recipe: MacroRecognitionRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train MIACNet on labelled macro clips and write its weights.

    Parameters
    ----------
    recipe
        Settings of network and training.
    material
        Labelled macro clips, prepared by :func:`pretraining_prepare`.
    setup
        Seed, device and folder of the checkpoint.
    output
        File of the weights.

    Returns
    -------
    dict
        ``classes``, ``clips`` (number of training clips) and ``losses`` by epoch. With held-out subjects also
        ``held_out``: the number of their clips and the scores on them.
    """
    network, summary = macro.learn(lambda: Network(recipe, len(material.classes)), material, recipe.held_out, setup)
    keys = recipe.model_dump(mode="json", exclude={"imagenet_weights"})
    about = {"task": "ma2mi_recognition", "classes": list(material.classes), "recipe": keys}
    macro.write(output, {f"{_PREFIX}{name}": value for name, value in network.net.state_dict().items()}, about)
    return summary


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of MIACNet, and the recipe, from a file written by :func:`pretrain`.

    Raises
    ------
    ValueError
        If the file is missing or belongs to another task.
    """
    weights, about = macro.read(path, "ma2mi_recognition")
    return {name.removeprefix(_PREFIX): value for name, value in weights.items()}, about["recipe"]
