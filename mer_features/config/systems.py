"""Sections of training: systems, pre-trainings, and what no result depends on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mer_features.config.section import Section
from mer_features.systems import recipes


class System(Section):
    """A recognition system trained under one or more protocols."""

    system: str = Field(description="Name of the system, e.g. `fr`.")
    protocols: tuple[str, ...] = Field(description="Protocols to run it under.", min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), description="One complete run per seed.", min_length=1)
    folds_per_job: int = Field(70, ge=1, description="Folds trained in one job, one after the other.")
    embedding: bool = Field(
        True, description="Train one more model on half of the subjects, for pictures of its features (t-SNE)."
    )
    shuffle_labels: bool = Field(
        False, description="Control: train on labels shuffled within the training folds; must fall to chance."
    )
    ablation: str | None = Field(
        None, description="A row of the paper's ablation tables by name, e.g. `FR-fc`; sets the recipe keys it changes."
    )
    pretrained: str | None = Field(
        None, description="Entry of `pretraining` to start from, for recipes that need one (docs/systems)."
    )
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="Keys of the system's recipe that differ from its paper's values."
    )

    @property
    def full_recipe(self) -> recipes.Recipe:
        """The recipe with every default, the ablation and the changed keys filled in."""
        return recipes.recipe(self.system, self.recipe, self.ablation)

    @model_validator(mode="after")
    def _recipe_is_known(self) -> System:
        needed = self.full_recipe.pretraining
        if needed and not self.pretrained:
            raise ValueError(f"pretrained: this recipe of {self.system!r} needs a pre-training of task {needed!r}")
        if self.pretrained and not needed:
            raise ValueError(f"pretrained: this recipe of {self.system!r} uses no pre-training")
        return self


class Pretraining(Section):
    """What a system learns from macro-expression data before any micro-expression is seen; shared by all folds."""

    task: str = Field(description="Name of the pre-training task.")
    protocol: str | None = Field(None, description="Labelled clips to learn from: all clips of this protocol.")
    databases: tuple[str, ...] = Field(
        (), description="Unlabelled video to learn from: every frame of these databases' clips."
    )
    pretrained: str | None = Field(None, description="Entry of `pretraining` that this one builds on.")
    seed: int = Field(0, ge=0, description="Source of the task's random choices.")
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="Keys of the task's recipe that differ from its paper's values."
    )

    @property
    def full_recipe(self) -> recipes.Recipe:
        """The recipe with every default and the changed keys filled in."""
        return recipes.pretraining_recipe(self.task, self.recipe)

    @model_validator(mode="after")
    def _has_material(self) -> Pretraining:
        if bool(self.protocol) == bool(self.databases):
            raise ValueError("give either `protocol` (labelled clips) or `databases` (unlabelled video)")
        if (self.full_recipe.pretraining is None) != (self.pretrained is None):
            raise ValueError(f"pretrained: expected an entry of task {self.full_recipe.pretraining or 'none'}")
        return self


class Resources(Section):
    """What cannot change a result: never part of a stage's parameters."""

    stage_threads: int = Field(1, ge=1, description="Processes a stage job uses for its clips.")
    train_threads: int = Field(1, ge=1, description="CPU threads of a training job.")
    stage_mem_mb: int = Field(1500, ge=150, description="Memory asked for by a stage job for each of its processes.")
    train_mem_mb: int = Field(2500, ge=150, description="Memory asked for by a training job.")
    device: Literal["cpu", "gpu", "auto"] = Field("cpu", description="Where training runs.")
    devices: int = Field(1, ge=1, description="GPUs of a pre-training; the folds of a system train on one each.")
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = Field(
        "32-true", description="Arithmetic of training; half precision on GPUs changes results by rounding."
    )
    checkpoint_s: float = Field(300, ge=0, description="Least seconds between two checkpoints of a training.")
    keep_weights: bool = Field(False, description="Keep every fold's trained weights (41 MB a fold for FR).")
