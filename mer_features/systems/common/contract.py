"""Interfaces of recognition systems and pre-training tasks, and the data they receive.

N clips, K classes. Every named array has one row per clip. This module does not import torch.
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

#: Named arrays of clips, each (N, ...).
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Execution:
    """Settings that do not change a result, except for the rounding on another device."""

    device: str = "cpu"  # cpu, gpu or auto
    devices: int = 1  # for a pre-training; folds run on one
    precision: str = "32-true"  # in Lightning's names, e.g. bf16-mixed
    threads: int = 1
    workers: int = 0  # processes that draw the magnifier's samples; 0: the training process draws them
    checkpoint_s: float = 300  # seconds of training between two checkpoints
    keep_weights: bool = False  # of every fold; 41 MB per fold for FR


@dataclass(frozen=True)
class Setup:
    """Settings with which a system is built.

    Attributes
    ----------
    seed
        Seed of every random choice, 0 to 2³² - 1.
    execution
        Device, threads, precision.
    pretrained
        File of the pre-training that the recipe needs.
    state
        Folder for the checkpoint from which a killed training resumes; None: no checkpoint is written.
    class_names
        Names of the classes in the order of the labels. Some systems match them with the classes of a pre-training.
    """

    seed: int = 0
    execution: Execution = field(default_factory=Execution)
    pretrained: Path | None = None
    state: Path | None = None
    class_names: tuple[str, ...] = ()

    @property
    def pretraining_file(self) -> Path:
        """The file of the pre-training.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.pretrained is None:
            raise ValueError("the recipe needs the file of a pre-training, and none was given")
        return self.pretrained


@dataclass(frozen=True)
class Examples:
    """Labelled training clips.

    Attributes
    ----------
    features
        Output of ``prepare`` for every clip, stacked: name -> (N, ...).
    labels : ndarray, shape (N,), int64
        Class of each clip, as its position in the list of classes.
    subjects : ndarray, shape (N,), int64
        One number per person, for splits that keep all clips of a person together.
    """

    features: Arrays
    labels: np.ndarray
    subjects: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Sequence[int] | np.ndarray) -> Examples:
        """Copy these rows."""
        index = np.asarray(chosen, dtype=np.int64)
        features = {name: values[index] for name, values in self.features.items()}
        return Examples(features, self.labels[index], self.subjects[index])


@dataclass(frozen=True)
class Companions:
    """Features of clips of a pre-training, drawn in the same plot as the features of the system's clips.

    Attributes
    ----------
    features
        Features of the layers named by ``System.embed``, each (M, width).
    labels
        Class name of each of the M clips.
    """

    features: Arrays
    labels: tuple[str, ...]


class System(Protocol):
    """A recognition system."""

    def fit(self, examples: Examples) -> None:
        """Train on these clips."""

    def predict(self, features: Arrays) -> np.ndarray:
        """Class probabilities (N, K), float32; the result for a clip does not depend on the other clips."""

    def embed(self, features: Arrays) -> dict[str, np.ndarray]:
        """Named features (N, width) of the clips, for plots; may be empty."""

    def companions(self) -> Companions | None:
        """Further clips for a plot of the features; None if there are none."""

    def explain(self, features: Arrays) -> dict[str, np.ndarray]:
        """Named images (N, H, W, 3) uint8 of what the system attended to or generated; may be empty."""

    def losses(self) -> list[dict[str, float]]:
        """Mean of each loss in each epoch of the last ``fit``; may be empty."""

    def save(self, path: Path) -> None:
        """Write the learned parameters."""

    def load(self, path: Path) -> None:
        """Load a file written by :meth:`save`; nothing in the file is executed."""


class Plain:
    """Base of systems without learned features and without epochs, such as a classifier on descriptors."""

    def embed(self, features: Arrays) -> dict[str, np.ndarray]:  # noqa: ARG002
        """No features."""
        return {}

    def companions(self) -> Companions | None:
        """No further clips."""
        return None

    def explain(self, features: Arrays) -> dict[str, np.ndarray]:  # noqa: ARG002
        """No images."""
        return {}

    def losses(self) -> list[dict[str, float]]:
        """No losses."""
        return []


class SystemModule(Protocol):
    """Functions that the module of every recognition system defines."""

    def variables(self, recipe: Recipe) -> tuple[str, ...]:
        """Variables of the feature file that ``prepare`` reads, named as in :class:`mer_features.features.Features`."""

    def prepare(self, recipe: Recipe, clip: Arrays) -> dict[str, np.ndarray]:
        """Named inputs of one clip, from its feature-file variables alone; the shapes are the same for all clips."""

    def build(self, recipe: Recipe, classes: int, setup: Setup) -> System:
        """An untrained system, or one that starts from ``setup.pretrained``."""


@dataclass(frozen=True)
class Material:
    """Training data of a pre-training task: either labelled clips or the frames of unlabelled clips.

    Attributes
    ----------
    examples
        Labelled clips, prepared by the task's ``pretraining_prepare``.
    classes
        Names of the classes, sorted; empty without labels.
    sequences
        Face crops of every frame of every clip.
    """

    examples: Examples | None = None
    classes: tuple[str, ...] = ()
    sequences: Sequences | None = None

    @property
    def labelled(self) -> Examples:
        """The labelled clips.

        Raises
        ------
        ValueError
            If there are none.
        """
        if self.examples is None:
            raise ValueError("the pre-training needs labelled clips; give it a `protocol` instead of `databases`")
        return self.examples


class PretrainingModule(Protocol):
    """Functions that the module of every pre-training task defines.

    A task on labelled clips also defines ``pretraining_variables`` and ``pretraining_prepare``, which work like
    ``variables`` and ``prepare`` of a system. A task on unlabelled frames defines neither.
    """

    def pretrain(self, recipe: Recipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
        """Train, write the weights to ``output`` and return a summary for the report: JSON values, including losses."""
