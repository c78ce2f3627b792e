"""What a recognition system and a pre-training task offer, and what they are given. Free of torch.

N clips, K classes. Every named array has one row per clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mer_features.systems.common.recipe import Recipe

if TYPE_CHECKING:
    from mer_features.features.sequences import Sequences

#: Inputs of clips by name, each (N, ...).
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Execution:
    """What cannot change a result, but for the rounding of another device's arithmetic."""

    device: str = "cpu"  # cpu, gpu or auto
    devices: int = 1  # of a pre-training; folds run on one
    precision: str = "32-true"  # as Lightning names it, e.g. bf16-mixed
    threads: int = 1
    workers: int = 0  # processes that make samples, of the magnifier; 0: none beside the training itself
    checkpoint_s: float = 300  # seconds of training between two checkpoints
    keep_weights: bool = False  # every fold's; 41 MB per fold for FR


@dataclass(frozen=True)
class Setup:
    """How a system is made.

    Attributes
    ----------
    seed
        Of every random choice, 0 .. 2³² - 1.
    execution
        Device, threads, precision.
    pretrained
        The file of the pre-training that the recipe asks for.
    state
        Folder for the checkpoint of a training under way, from which a killed one goes on; None keeps none.
    class_names
        Names of the classes in the order of the labels, for systems that match them with those of a pre-training.
    """

    seed: int = 0
    execution: Execution = field(default_factory=Execution)
    pretrained: Path | None = None
    state: Path | None = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Examples:
    """Clips to learn from.

    Attributes
    ----------
    features
        What ``prepare`` made of every clip, stacked: name -> (N, ...).
    labels : ndarray, shape (N,), int64
        Positions of the clips' classes.
    subjects : ndarray, shape (N,), int64
        A number for every person, for splits that keep persons together.
    """

    features: Arrays
    labels: np.ndarray
    subjects: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Sequence[int] | np.ndarray) -> Examples:
        """These rows alone, in memory of their own."""
        index = np.asarray(chosen, dtype=np.int64)
        features = {name: values[index] for name, values in self.features.items()}
        return Examples(features, self.labels[index], self.subjects[index])


@dataclass(frozen=True)
class Companions:
    """Features of clips of a pre-training, to be pictured beside those of a system's clips.

    Attributes
    ----------
    features
        The layers that ``System.embed`` names, each (M, width).
    labels
        Class of every clip, M names.
    """

    features: Arrays
    labels: tuple[str, ...]


class System(Protocol):
    """A recognition system."""

    def fit(self, examples: Examples) -> None:
        """Learn from training clips."""

    def predict(self, features: Arrays) -> np.ndarray:
        """Class probabilities (N, K), float32, whatever clips come together."""

    def embed(self, features: Arrays) -> dict[str, np.ndarray]:
        """Named features (N, width) of clips, for pictures; may be empty."""

    def companions(self) -> Companions | None:
        """What a picture of the features shows beside the clips; None for nothing."""

    def explain(self, features: Arrays) -> dict[str, np.ndarray]:
        """Named pictures (N, H, W, 3) uint8 of what the system looked at or made; may be empty."""

    def losses(self) -> list[dict[str, float]]:
        """Mean of every loss in every epoch of the last ``fit``; may be empty."""

    def save(self, path: Path) -> None:
        """Write what was learned."""

    def load(self, path: Path) -> None:
        """Take what :meth:`save` wrote; executes nothing from the file."""


class Plain:
    """Base of systems that learn no features to show and have no epochs: a classifier on descriptors."""

    def embed(self, features: Arrays) -> dict[str, np.ndarray]:  # noqa: ARG002
        """Nothing."""
        return {}

    def companions(self) -> Companions | None:
        """Nothing."""
        return None

    def explain(self, features: Arrays) -> dict[str, np.ndarray]:  # noqa: ARG002
        """Nothing."""
        return {}

    def losses(self) -> list[dict[str, float]]:
        """Nothing."""
        return []


class SystemModule(Protocol):
    """What every file ``systems/<name>.py`` of a recognition system defines."""

    def variables(self, recipe: Recipe) -> tuple[str, ...]:
        """Cache variables that ``prepare`` reads, as :class:`mer_features.features.Features` names them."""

    def prepare(self, recipe: Recipe, clip: Arrays) -> dict[str, np.ndarray]:
        """Named inputs of one clip from its cache variables, of the same shapes for all clips; sees no other clip."""

    def build(self, recipe: Recipe, classes: int, setup: Setup) -> System:
        """An untrained system, or one that starts from ``setup.pretrained``."""


@dataclass(frozen=True)
class Material:
    """What a pre-training task learns from: labelled clips or the frames of unlabelled ones, never both.

    Attributes
    ----------
    examples
        Labelled clips, prepared by the task's own ``prepare``.
    classes
        Names of their classes, sorted; empty without labels.
    sequences
        Face crops of every frame of every clip.
    """

    examples: Examples | None = None
    classes: tuple[str, ...] = ()
    sequences: Sequences | None = None


class PretrainingModule(Protocol):
    """What every file ``systems/<name>.py`` of a pre-training task defines.

    ``variables`` and ``prepare`` are as a system's, for labelled clips, under the names ``pretraining_variables`` and
    ``pretraining_prepare``; a task on unlabelled frames has neither.
    """

    def pretrain(self, recipe: Recipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
        """Learn, write the weights to ``output``, and say what a report should: JSON values, losses among them."""
