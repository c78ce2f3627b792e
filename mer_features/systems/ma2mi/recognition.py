"""Pre-training task `ma2mi_recognition`: MIACNet recognises macro-expressions (Table 1, "MAER").

What MA2MI is compared with. Labelled clips, onset and apex, cross-entropy, the augmentation of fine-tuning.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems.common import engine, macro
from mer_features.systems.common.contract import Arrays, Examples, Material, Setup
from mer_features.systems.ma2mi import network as ma2mi_images
from mer_features.systems.ma2mi.network import Classifier, MIACNet
from mer_features.systems.ma2mi.pretraining import decaying
from mer_features.systems.ma2mi.recipe import MacroRecognitionRecipe


def pretraining_variables(recipe: MacroRecognitionRecipe) -> tuple[str, ...]:  # noqa: ARG001  # always the same
    """Names of the feature-file variables of a macro clip that :func:`pretraining_prepare` reads."""
    return ma2mi_images.VARIABLES


def pretraining_prepare(recipe: MacroRecognitionRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``first`` and ``second`` (3, S, S) uint8: onset and apex of one macro clip."""
    return ma2mi_images.prepare(clip, recipe.size)


class Network(engine.Network):
    """MIACNet and a layer on its condition, K classes."""

    def __init__(self, recipe: MacroRecognitionRecipe, classes: int) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        self.net = MIACNet(recipe)
        self.head = Classifier(self.net.width, classes)

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last one of a single clip is left out, as batch norm cannot learn from it."""
        return engine.Batches(examples, self.recipe.batch_size, fewest=2)

    def logits(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, K) of images (N, 3, S, S) in [-1, 1]."""
        return self.head(self.net.condition(self.net(first, second)))

    def training_step(self, batch: engine.Batch) -> Tensor:
        """Cross-entropy."""
        pair = ma2mi_images.views(self.recipe.augment, batch["first"], batch["second"])
        return F.cross_entropy(self.logits(*pair), batch["label"])

    def configure_optimizers(self) -> dict[str, object]:
        """As the other pre-training."""
        return decaying(self.parameters(), self.recipe)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        pair = (ma2mi_images.scaled(batch[name]) for name in ("first", "second"))
        return F.softmax(self.logits(*pair), dim=1)


def pretrain(recipe: MacroRecognitionRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train MIACNet on labelled macro clips and write it.

    Parameters
    ----------
    recipe
        Network and training.
    material
        Clips of :func:`pretraining_prepare`.
    setup
        Seed, device, folder of the checkpoint.
    output
        File of the weights.

    Returns
    -------
    dict
        ``classes``, ``clips`` trained, ``losses`` by epoch, and with held-out subjects ``held_out``: their clips and
        the figures on them.
    """
    network, said = macro.learn(lambda: Network(recipe, len(material.classes)), material, recipe.held_out, setup)
    keys = recipe.model_dump(mode="json", exclude={"imagenet_weights"})
    about = {"task": "ma2mi_recognition", "classes": list(material.classes), "recipe": keys}
    macro.write(output, {f"model.net.{name}": value for name, value in network.net.state_dict().items()}, about)
    return said
