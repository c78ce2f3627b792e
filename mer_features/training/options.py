"""Sections of the configuration for training: systems, pre-trainings, resources, style generators and magnifier.

This module does not import torch, so a configuration is checked quickly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mer_features.core import fingerprint
from mer_features.core.section import Section, Seed
from mer_features.systems import registry
from mer_features.systems.common.recipe import FlowRecipe

#: Modules of the style aggregation that is fitted in each fold.
_FOLD_STYLE = ("mer_features.training.style.folds", "mer_features.stages.style.fitted")


#: What a run was measured on, if all or some of its databases are embedded ones; otherwise the databases are named.
SYNTHETIC = ("synthetic", "partly synthetic")
#: How the report names what a run on published flow maps was measured on, before the names of the databases.
PUBLISHED_MAPS = "published flow maps"


class System(Section):
    """A recognition system trained under one or more protocols."""

    system: str = Field(description="Name of the system, e.g. `fr`.")
    protocols: tuple[str, ...] = Field(description="Protocols to run it under.", min_length=1)
    seeds: tuple[Seed, ...] = Field((0, 1, 2), description="One complete run per seed.", min_length=1)
    folds_per_job: int = Field(70, ge=1, description="Folds trained in one job, one after the other.")
    embedding: bool = Field(
        True,
        description="Train one more model on a random half of the subjects (with `folds: transfer`, on the source), "
        "for pictures of its features (t-SNE).",
    )
    shuffle_labels: bool = Field(
        False,
        description="Control: train on labels that are shuffled within the training folds; scores must be at chance.",
    )
    ablation: str | None = Field(
        None, description="A row of the paper's ablation tables by name, e.g. `FR-fc`; sets the recipe keys it changes."
    )
    pretrained: str | None = Field(
        None, description="Entry of `pretraining` to start from, for recipes that need one (docs/systems)."
    )
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="Keys of the system's recipe that differ from the defaults."
    )

    @property
    def full_recipe(self) -> registry.Recipe:
        """The recipe with every default, the ablation and the changed keys filled in."""
        return registry.recipe(self.system, self.recipe, self.ablation)

    def reading(self, groups: Collection[str]) -> System:
        """The system for feature files that all have these groups, with the source of its flow settled.

        Raises
        ------
        ValueError
            If its recipe reads a group that is not among them; names the group.
        """
        recipe = self.full_recipe.reading(groups)
        if not isinstance(recipe, FlowRecipe):
            return self
        return self.model_copy(update={"recipe": {**self.recipe, "source": recipe.source}})

    def code(self, *more: str, style: bool, scripts: tuple[Path, ...] = ()) -> str:
        """Fingerprint of the code that trains the system.

        Parameters
        ----------
        more
            Further modules of the computation.
        style
            Whether style aggregation is fitted in each fold. Only then its code is part of the fingerprint.
        scripts
            As in :func:`mer_features.core.fingerprint.of`.
        """
        roots = (registry.module_name(self.system), "mer_features.training.loop", *more)
        return fingerprint.of(*roots, without=() if style else _FOLD_STYLE, scripts=scripts)

    @field_validator("seeds", "protocols")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"found {', '.join(map(str, value))}; each may be given once")
        return value

    @model_validator(mode="after")
    def _recipe_is_known(self) -> System:
        needed = self.full_recipe.pretraining
        if needed and not self.pretrained:
            raise ValueError(f"pretrained: this recipe of {self.system!r} needs a pre-training of task {needed!r}")
        if self.pretrained and not needed:
            raise ValueError(f"pretrained: this recipe of {self.system!r} uses no pre-training")
        return self


class Pretraining(Section):
    """Pre-training of a system on macro-expression data, without micro-expressions; shared by all folds."""

    task: str = Field(description="Name of the pre-training task.")
    protocol: str | None = Field(None, description="Labelled clips to learn from: all clips of this protocol.")
    databases: tuple[str, ...] = Field(
        (), description="Unlabelled video to learn from: all frames of all clips of these databases."
    )
    pretrained: str | None = Field(None, description="Entry of `pretraining` that this one builds on.")
    seed: Seed = Field(0, description="Source of the task's random choices.")
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="Keys of the task's recipe that differ from the defaults."
    )

    @property
    def full_recipe(self) -> registry.Recipe:
        """The recipe with every default and the changed keys filled in."""
        return registry.pretraining_recipe(self.task, self.recipe)

    def code(self, scripts: tuple[Path, ...] = ()) -> str:
        """Fingerprint of the code of the task; ``scripts`` as in :func:`mer_features.core.fingerprint.of`."""
        roots = (registry.module_name(self.task), "mer_features.training.pretraining")
        return fingerprint.of(*roots, without=_FOLD_STYLE, scripts=scripts)

    @model_validator(mode="after")
    def _has_material(self) -> Pretraining:
        if bool(self.protocol) == bool(self.databases):
            raise ValueError("give either `protocol` (labelled clips) or `databases` (unlabelled video)")
        if (self.full_recipe.pretraining is None) != (self.pretrained is None):
            raise ValueError(f"pretrained: expected an entry of task {self.full_recipe.pretraining or 'none'}")
        return self


def used_pretrainings(systems: Mapping[str, System], pretraining: Mapping[str, Pretraining]) -> list[str]:
    """Names of the pre-trainings that systems need, each after the one that it builds on."""
    names: dict[str, None] = {}
    for system in systems.values():
        chain: list[str] = []
        name = system.pretrained
        while name is not None:
            chain.insert(0, name)
            name = pretraining[name].pretrained
        names |= dict.fromkeys(chain)
    return list(names)


class Resources(Section):
    """Resources of the jobs; they do not change a result and are not part of any stage's parameters."""

    stage_threads: int = Field(1, ge=1, description="Processes of a stage job.")
    train_threads: int = Field(1, ge=1, description="CPU threads of a training job.")
    stage_mem_mb: int = Field(1500, ge=150, description="Memory that a stage job requests per process.")
    train_mem_mb: int = Field(2500, ge=150, description="Memory that a training job requests.")
    device: Literal["cpu", "gpu", "auto"] = Field("cpu", description="Device of training.")
    devices: int = Field(1, ge=1, description="GPUs of a pre-training; each fold of a system uses one.")
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = Field(
        "32-true", description="Arithmetic of training; half precision on GPUs changes results by rounding."
    )
    checkpoint_s: float = Field(300, ge=0, description="Shortest time between two checkpoints of a training, seconds.")
    keep_weights: bool = Field(False, description="Keep every fold's trained weights (41 MB per fold for FR).")


class TrainStyle(Section):
    """Training of the generators of `style: {method: cyclegan}`; the defaults are those of SAN."""

    size: int = Field(128, ge=24, le=1024, multiple_of=4, description="Side of the training images, pixels.")
    width: int = Field(64, ge=4, le=256, description="Channels of the first layer of every network.")
    blocks: int = Field(6, ge=0, le=16, description="Residual blocks of a generator.")
    batch_size: int = Field(32, ge=1, description="Images of each style per step.")
    epochs: int = Field(100, ge=1, description="Epochs at the full learning rate.")
    decay_epochs: int = Field(100, ge=0, description="Further epochs in which the learning rate falls to 0.")
    learning_rate: float = Field(2e-4, gt=0, description="Learning rate of Adam (β 0.5, 0.999).")
    cycle_weight: float = Field(10.0, ge=0, description="Weight of the cycle loss.")
    identity_weight: float = Field(0.1, ge=0, description="Weight of the identity loss, times `cycle_weight`.")
    geometry_weight: float = Field(
        10.0,
        ge=0,
        description="Weight of the geometry guard (ours), which keeps the directions of strong Sobel gradients of the "
        "input. 0: without it, as in SAN.",
    )
    pool: int = Field(50, ge=0, description="Number of past fakes that are shown to a discriminator again.")
    generators: Literal["pair", "all_pairs"] = Field(
        "pair",
        description="`pair`: generators between the smallest and the largest cluster, as in SAN; `all_pairs` (ours): "
        "generators between all clusters, whose outputs are averaged.",
    )
    feature_width: int = Field(64, ge=4, le=64, description="Channels of the feature network (64: ResNet-18).")
    feature_size: int = Field(224, ge=32, le=512, description="Side of the images of the feature network, pixels.")
    feature_epochs: int = Field(
        2, ge=1, description="Epochs of the feature network, which classifies original, grey, light and sketch."
    )
    feature_batch_size: int = Field(32, ge=2, description="Images per step of the feature network.")
    feature_learning_rate: float = Field(0.01, gt=0, description="Learning rate of SGD for the feature network.")
    feature_weights: Path | None = Field(
        None,
        description="File of torchvision's `resnet18` weights for the feature network, e.g. ImageNet's; none: random "
        "initial weights. Nothing is downloaded.",
    )
    checkpoint_steps: int = Field(200, ge=1, description="Steps between checkpoints and sample sheets.")


class MagnifierTraining(Section):
    """Training of the learned magnifier, with `mer-features train-magnifier` or the rule of that name."""

    start: Path | None = Field(
        None, description="Initial weights of this network (.safetensors); default: random weights."
    )
    folder: Path | None = Field(
        None, description="Folder of photographs for the training samples; default: those of scikit-image."
    )
    steps: int = Field(
        12_000, ge=1, description="Training steps; the shipped weights took four runs of 2,800 to 24,000."
    )
    batch: int = Field(2, ge=1, description="Samples per step; the paper uses 4.")
    size_px: int = Field(64, ge=32, le=512, multiple_of=4, description="Side of a sample, pixels; the paper uses 384.")
    face_share: float = Field(
        0.5, ge=0, le=1, description="Share of samples that are faces of the embedded database moved by action units."
    )
    objects: tuple[int, int] = Field(
        (7, 15),
        description="Smallest and largest number of objects in a sample without a face. The paper's numbers are for "
        "images of 384 px and give crowded images at 64 px. The first stage of the shipped weights was trained with "
        "them, the second stage with 0 to 4.",
    )
    object_radius: tuple[float, float] = Field(
        (0.06, 0.3), description="Smallest and largest radius of an object, as a share of the sample's side."
    )
    rate: float = Field(
        5e-4, gt=0, le=0.01, description="Learning rate of Adam between its rise and its fall; the paper uses 1e-4."
    )
    warmup_steps: int = Field(100, ge=0, description="Steps over which the learning rate rises.")
    decay_share: float = Field(
        0.3, ge=0, le=1, description="Share of the steps at the end, over which the learning rate falls to zero."
    )
    detail: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Extra weight of pixels with low contrast in the image losses: the weight of a pixel is the local "
        "gradient of the image to the power of minus this value. With 0, as in the paper, all pixels have equal "
        "weight, and skin is learned last.",
    )
    small_motion: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Extra weight of samples with small motion in the loss on the change: the weight is the largest "
        "motion that magnification adds to the power of minus this value. With 0, as in the paper, all samples have "
        "equal weight.",
    )
    lamp: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Lighting: largest change of the slope and the curvature of brightness across a moved frame in "
        "other colours, as a fraction. In the paper, brightness changes uniformly.",
    )
    code_weight: float = Field(0.1, ge=0, description="Weight λ of the three losses on texture and shape codes.")
    g_kernel: Literal[3, 7] = Field(
        3,
        description="Side of the manipulator's first convolution: 3 in the paper, 7 in its published code. With "
        "`start` it must be that of the weights.",
    )
    seed: Seed | None = Field(None, description="Default: the global seed.")

    @field_validator("objects", "object_radius")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1]:
            raise ValueError(f"expected 0 <= smallest <= largest, found {value[0]:g} and {value[1]:g}")
        return value

    @field_validator("object_radius")
    @classmethod
    def _is_a_size(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] == 0:
            raise ValueError("the smallest radius must be above 0")
        return value
