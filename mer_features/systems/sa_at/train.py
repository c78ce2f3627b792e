"""SA-AT: style-aggregated apex faces and attention transfer.

"Cross-database micro-expression recognition: a style aggregated and attention transfer approach". A residual teacher
learns expressions on macro-expression faces (:mod:`mer_features.systems.sa_at.teacher`). A shallower student learns
micro-expressions on single style-aggregated apex faces, and a loss makes its attention maps similar to the teacher's.
Details that the paper does not specify are keys of the recipe or are commented in the code.

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
    """Load the teacher that a recipe needs; None if it needs none.

    Raises
    ------
    ValueError
        If there is no file of a teacher, it cannot be read, or the teacher of an attention transfer is not a ResNet
        with three stages.
    """
    if recipe.pretraining is None:
        return None
    loaded = Teacher(setup.pretraining_file)
    if recipe.micro_training and not loaded.name.startswith("resnet"):
        raise ValueError(f"{setup.pretrained}: attention transfer needs a ResNet teacher, found {loaded.name}")
    return loaded


# ---------------------------------------------------------------- student


class Student(engine.Network):
    """The student with its two losses; without a teacher only cross-entropy is used."""

    def __init__(self, recipe: SAATRecipe, classes: int, guide: Teacher | None) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.teacher = recipe, guide
        self.net = Recogniser(recipe.student, classes, stem=recipe.stem, scale=recipe.scale, std=recipe.init_std)

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last batch of one clip is left out, because batch norm cannot learn from it."""
        batches = engine.Batches(examples, self.recipe.batch_size, fewest=2)
        self.net.measure(batches.features["image"])
        return batches

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Eq. 4 for images (N, 3, S, S) uint8 and labels (N,): cross-entropy + β/2 times the distance of attention."""
        images = flipped(batch["image"]) if self.recipe.flip else batch["image"]
        output: Output = self.net(images)
        classification = F.cross_entropy(output.logits, batch["label"])
        if self.teacher is None:
            return {"loss": classification, "classification": classification}
        distance = transfer(output, self.teacher(images), self.recipe.at_form, self.recipe.at_p)
        total = classification + self.recipe.weight / 2 * distance
        return {"loss": total, "classification": classification, "attention": distance}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the weights of the student."""
        return torch.optim.Adam(self.net.parameters(), self.recipe.learning_rate)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self.net(batch["image"]).logits, dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """``features``: input of the student's last layer."""
        return {"features": self.net(batch["image"]).features}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """The face, and the attention maps of the stages of student and teacher overlaid on it."""
        with torch.no_grad():
            images = {"image": shown(batch["image"]), **maps("student", self.net, batch, self.recipe.at_p)}
            if self.teacher is not None:
                images |= maps("teacher", self.teacher, batch, self.recipe.at_p)
        return images


class Direct(engine.Network):
    """The teacher itself, applied to micro-expressions ("AT off" in Table 3 of the paper)."""

    def __init__(self, recipe: SAATRecipe, names: Sequence[str], guide: Teacher) -> None:
        super().__init__(0)
        self.recipe, self.teacher = recipe, guide
        self.chosen = macro.counterparts(names, guide.classes)
        if not names or -1 in self.chosen:
            raise ValueError(
                f"the teacher has classes {', '.join(guide.classes)}; without training on micro-expressions it cannot "
                f"recognise {', '.join(names) or 'classes without names'}"
            )

    def scores(self, batch: engine.Batch) -> Tensor:
        """The teacher's probabilities (N, K) among the classes of the protocol."""
        return F.softmax(self.teacher(batch["image"]).logits[:, self.chosen], dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """``features``: input of the teacher's last layer."""
        return {"features": self.teacher(batch["image"]).features}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """The face, and the attention maps of the teacher's stages overlaid on it."""
        return {"image": shown(batch["image"]), **maps("teacher", self.teacher, batch, self.recipe.at_p)}


class Untrained(engine.TorchSystem):
    """A system that is not trained on micro-expressions."""

    def fit(self, examples: Examples) -> None:
        """Do nothing."""


# ---------------------------------------------------------------- images


def shown(faces: Tensor) -> np.ndarray:
    """Images (N, 3, S, S) uint8 with channels last, (N, S, S, 3)."""
    return faces.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def maps(whose: str, network: Recogniser | Teacher, batch: engine.Batch, p: int) -> dict[str, np.ndarray]:
    """Attention maps of each stage, scaled to their own range and overlaid on the faces (N, S, S, 3) uint8."""
    faces = shown(batch["image"])
    return {
        f"{whose}_stage_{number}": inputs.overlays(faces, np.stack([_unit_range(heat) for heat in attention(stage, p)]))
        for number, stage in enumerate(network(batch["image"]).maps, start=1)
    }


def _unit_range(heat: Tensor) -> np.ndarray:
    low, high = heat.min(), heat.max()
    return ((heat - low) / (high - low).clamp_min(torch.finfo(heat.dtype).tiny)).cpu().numpy()


def build(recipe: SAATRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained student for ``classes`` classes, or the teacher itself.

    Raises
    ------
    ValueError
        If the file of the teacher does not fit the recipe or, for the teacher itself, the classes.
    """
    guide = teacher(recipe, setup)
    if guide is not None and not recipe.micro_training:
        return Untrained(lambda: Direct(recipe, setup.class_names, guide), setup)
    return engine.TorchSystem(lambda: Student(recipe, classes, guide), setup)
