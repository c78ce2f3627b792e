"""Recipes of the baselines."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field

from mer_features.systems.common.recipe import (
    INITIALISATION,
    INITIALISATION_TORCH,
    FlowRecipe,
    Initialisation,
    PlanesRecipe,
    Recipe,
)


class SvmRecipe(Recipe):
    """A linear support vector machine on a handcrafted descriptor of the feature file."""

    descriptor: Literal["lbp_top", "bi_woof"] = Field("lbp_top", description="Name of the descriptor.")
    C: float = Field(1.0, gt=0, description="Weight of the slack (ours: the challenge only says that it is an SVM).")

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of the descriptors."""
        return ("descriptors",)


class FlowCnnRecipe(PlanesRecipe):
    """Keys that all recipes of small flow networks share."""

    initialisation: Initialisation = INITIALISATION
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(32, ge=1, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Number of epochs.")


class OffApexNetRecipe(FlowCnnRecipe):
    """OFF-ApexNet (Gan et al. 2019); the 100 epochs are our choice."""


class StstNetRecipe(FlowCnnRecipe):
    """STSTNet (Liong et al. 2019) as its authors' Python code trains it, on pictures as OpenCV reads them."""

    initialisation: Initialisation = INITIALISATION_TORCH
    scale: Literal["minmax", "symmetric", "bytes"] = Field(
        "bytes", description="As in the other recipes; with this learning rate the scale decides how far training gets."
    )
    order: Literal["u_v_strain", "strain_v_u"] = Field(
        "strain_v_u", description="Order of the planes; `strain_v_u` is the order in which OpenCV reads the maps."
    )
    batch_norm: bool = Field(
        True, description="Batch normalisation, as in its code: 1,683 parameters, otherwise 1,651."
    )
    learning_rate: float = Field(5e-5, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(256, ge=2, description="Clips per step.")
    epochs: int = Field(800, ge=1, description="Number of epochs; the authors' Matlab code trains 500.")


class DualInceptionRecipe(FlowCnnRecipe):
    """Dual-Inception (Zhou et al. 2019), the trunk of FR. The apex is the middle frame: `apex: {policy: midpoint}`."""

    batch_size: int = Field(3, ge=1, description="Clips per step.")
    epochs: int = Field(
        40, ge=1, description="Number of epochs; the last one is used, none is chosen on held-out subjects."
    )


class LinearRecipe(FlowRecipe):
    """A linear classifier; its score shows whether a task is trivial."""

    feature: Literal["flow", "pixel_difference", "onset_face"] = Field(
        "flow",
        description="Input of the classifier. From published maps, whose zero is unknown, the median of each plane is "
        "subtracted from flow.",
    )
    size: int = Field(28, ge=4, le=64, description="Side to which each plane is resized.")
    components: int = Field(32, ge=1, description="Principal components kept before the classifier.")
    C: float = Field(1.0, gt=0, description="Inverse regularisation.")

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of the input."""
        return super().groups if self.feature == "flow" else ("faces",)

    def reading(self, groups: Collection[str]) -> Self:
        """The recipe with its source settled, if it reads flow."""
        return super().reading(groups) if self.feature == "flow" else Recipe.reading(self, groups)
