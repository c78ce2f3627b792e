"""SA-AT: style-aggregated apex faces and attention transfer.

"Cross-database micro-expression recognition: a style aggregated and attention transfer approach". A residual teacher
learns expressions on macro-expression faces (:mod:`mer_features.systems.sa_at.teacher`); a shallower student learns
micro-expressions on single style-aggregated apex faces, its attention maps drawn to the teacher's. What the paper
leaves open is a key of the recipe, or is said where it happens.

Shapes: N clips, K classes, S x S pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems.common import engine, inputs, macro
from mer_features.systems.common.backbones import Output
from mer_features.systems.common.contract import Arrays, Examples, Setup
from mer_features.systems.sa_at.network import Recogniser, attention, transfer
from mer_features.systems.sa_at.recipe import SAATRecipe
from mer_features.systems.sa_at.teacher import flipped, pretrain, pretraining_prepare, pretraining_variables

__all__ = ["build", "prepare", "pretrain", "pretraining_prepare", "pretraining_variables", "variables"]


def variables(recipe: SAATRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return (f"{recipe.images}/apex",)


def prepare(recipe: SAATRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``image``: the whole apex face of one clip, (3, S, S) uint8."""
    return {"image": inputs.rgb(clip[f"{recipe.images}/apex"], recipe.size)}


# ---------------------------------------------------------------- teacher


class Teacher(macro.Frozen):
    """The pre-trained network of a file, with the names of its classes."""

    def __init__(self, path: Path) -> None:
        weights, about = macro.read(path, "sa_at")
        self.name: str = about["network"]
        self.classes: tuple[str, ...] = tuple(about["classes"])
        network = Recogniser(self.name, len(self.classes), stem=about["stem"], scale=about["scale"], std=1.0)
        network.load_state_dict(weights)
        super().__init__(network)


def teacher(recipe: SAATRecipe, setup: Setup) -> Teacher | None:
    """The teacher a recipe asks for.

    Raises
    ------
    ValueError
        If attention is to come from a network without the three stages of a ResNet.
    """
    if recipe.pretraining is None:
        return None
    assert setup.pretrained is not None  # the training loop sees to it
    found = Teacher(setup.pretrained)
    if recipe.micro_training and not found.name.startswith("resnet"):
        raise ValueError(f"{setup.pretrained}: attention transfer needs a ResNet teacher, found {found.name}")
    return found


# ---------------------------------------------------------------- student


class Student(engine.Network):
    """The student with its two losses; without a teacher it has cross-entropy alone."""

    def __init__(self, recipe: SAATRecipe, classes: int, guide: Teacher | None) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.teacher = recipe, guide
        self.net = Recogniser(recipe.student, classes, stem=recipe.stem, scale=recipe.scale, std=recipe.init_std)

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last one of a single clip is left out, as batch norm cannot learn from it."""
        found = engine.Batches(examples, self.recipe.batch_size, fewest=2)
        self.net.measure(found.features["image"])
        return found

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Eq. 4 for images (N, 3, S, S) uint8 and labels (N,): cross-entropy + β/2 times the attention's distance."""
        seen = flipped(batch["image"]) if self.recipe.flip else batch["image"]
        output: Output = self.net(seen)
        classification = F.cross_entropy(output.logits, batch["label"])
        if self.teacher is None:
            return {"loss": classification, "classification": classification}
        attended = transfer(output, self.teacher(seen), self.recipe.at_form, self.recipe.at_p)
        total = classification + self.recipe.weight / 2 * attended
        return {"loss": total, "classification": classification, "attention": attended}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the student alone."""
        return torch.optim.Adam(self.net.parameters(), self.recipe.learning_rate)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self.net(batch["image"]).logits, dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """What the student's last layer sees."""
        return {"features": self.net(batch["image"]).features}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """The face, and over it the attention maps of the student's and the teacher's stages."""
        with torch.no_grad():
            found = {"image": shown(batch["image"]), **maps("student", self.net, batch, self.recipe.at_p)}
            if self.teacher is not None:
                found |= maps("teacher", self.teacher, batch, self.recipe.at_p)
        return found


class Direct(engine.Network):
    """The teacher itself, applied to micro-expressions: "AT off" of the paper's Table 3."""

    def __init__(self, recipe: SAATRecipe, names: Sequence[str], guide: Teacher) -> None:
        super().__init__(0)
        self.recipe, self.teacher = recipe, guide
        self.chosen = macro.counterparts(names, guide.classes)
        if not names or -1 in self.chosen:
            raise ValueError(
                f"the teacher knows {', '.join(guide.classes)}; applied without training it cannot tell "
                f"{', '.join(names) or 'classes without names'}"
            )

    def scores(self, batch: engine.Batch) -> Tensor:
        """The teacher's probabilities (N, K) among the classes of the protocol."""
        return F.softmax(self.teacher(batch["image"]).logits[:, self.chosen], dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """What the teacher's last layer sees."""
        return {"features": self.teacher(batch["image"]).features}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """The face, and over it the attention maps of the teacher's stages."""
        return {"image": shown(batch["image"]), **maps("teacher", self.teacher, batch, self.recipe.at_p)}


class Untrained(engine.TorchSystem):
    """A system that has nothing to learn from micro-expressions."""

    def fit(self, examples: Examples) -> None:
        """Nothing."""


# ---------------------------------------------------------------- pictures


def shown(faces: Tensor) -> np.ndarray:
    """Images (N, 3, S, S) uint8 as pictures (N, S, S, 3)."""
    return faces.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def maps(whose: str, network: Recogniser | Teacher, batch: engine.Batch, p: int) -> dict[str, np.ndarray]:
    """Attention maps of every stage, each scaled to its own range, over the faces (N, S, S, 3)."""
    faces = shown(batch["image"])
    return {
        f"{whose}_stage_{number}": inputs.overlays(faces, np.stack([_spread(heat) for heat in attention(stage, p)]))
        for number, stage in enumerate(network(batch["image"]).maps, start=1)
    }


def _spread(heat: Tensor) -> np.ndarray:
    low, high = heat.min(), heat.max()
    return ((heat - low) / (high - low).clamp_min(torch.finfo(heat.dtype).tiny)).cpu().numpy()


def build(recipe: SAATRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained student for ``classes`` classes, or the teacher as it is.

    Raises
    ------
    ValueError
        If the teacher's file does not fit the recipe or, applied directly, the classes.
    """
    guide = teacher(recipe, setup)
    if recipe.micro_training:
        return engine.TorchSystem(lambda: Student(recipe, classes, guide), setup)
    assert guide is not None
    return Untrained(lambda: Direct(recipe, setup.class_names, guide), setup)
