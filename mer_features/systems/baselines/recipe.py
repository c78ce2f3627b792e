"""Recipes of the baselines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from mer_features.systems.common.recipe import (
    INITIALISATION,
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
    """OFF-ApexNet (Gan et al. 2019)."""

    epochs: int = Field(
        40, ge=1, description="Number of epochs (ours: chosen on training subjects, docs/systems/baselines.md)."
    )


class StstNetRecipe(FlowCnnRecipe):
    """STSTNet (Liong et al. 2019)."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Its Python code reads the maps with OpenCV, whose channels come as blue, green, red, and does not scale them.
        "published code": {"scale": "bytes", "order": "strain_v_u", "learning_rate": 5e-5, "epochs": 800},
    }

    order: Literal["u_v_strain", "strain_v_u"] = Field(
        "u_v_strain", description="Order of the planes; the published code reads `strain_v_u`."
    )
    batch_norm: bool = Field(
        True, description="Batch normalisation, as in its code: 1,683 parameters, otherwise 1,651."
    )
    learning_rate: float = Field(
        5e-4,
        gt=0,
        description="Adam's learning rate (ours, as the epochs: chosen on training subjects, "
        "docs/systems/baselines.md; the published code has 5e-5).",
    )
    batch_size: int = Field(256, ge=2, description="Clips per step.")
    epochs: int = Field(
        60, ge=1, description="Number of epochs (the published code trains 500 in Matlab and 800 in Python)."
    )


class DualInceptionRecipe(FlowCnnRecipe):
    """Dual-Inception (Zhou et al. 2019), the trunk of FR. The apex is the middle frame: `apex: {policy: midpoint}`."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published code": {"initialisation": "keras", "learning_rate": 1e-4, "batch_size": 3, "epochs": 40},
    }

    learning_rate: float = Field(
        1e-3,
        gt=0,
        description="Adam's learning rate (ours, as the epochs: chosen on training subjects, "
        "docs/systems/baselines.md; the published code has 1e-4, batches of 3 and 40 epochs).",
    )
    epochs: int = Field(
        20, ge=1, description="Number of epochs; the last one is used, none is chosen on held-out subjects."
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

    @property
    def compares_frames(self) -> bool:
        """Whether it reads the difference between apex and onset."""
        return self.feature == "pixel_difference"

    def reading(self, groups: Collection[str]) -> Self:
        """The recipe with its source settled, if it reads flow."""
        return super().reading(groups) if self.feature == "flow" else Recipe.reading(self, groups)
