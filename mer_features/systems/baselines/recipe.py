"""Recipes of the baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mer_features.systems.common.recipe import Recipe


class SvmRecipe(Recipe):
    """A linear support vector machine on a handcrafted descriptor of the feature file."""

    descriptor: Literal["lbp_top", "bi_woof"] = Field("lbp_top", description="Name of the descriptor.")
    C: float = Field(1.0, gt=0, description="Weight of the slack (ours: the challenge only says that it is an SVM).")


class FlowCnnRecipe(Recipe):
    """Keys that all recipes of small flow networks share."""

    resize: Literal["bilinear", "area"] = Field(
        "bilinear",
        description="How planes are resized to 28 x 28: bilinear samples, or area means, which are less noisy.",
    )
    scale: Literal["minmax", "symmetric"] = Field(
        "minmax",
        description="`minmax`: each plane is scaled to [0, 1], like an 8-bit flow image; `symmetric`: each plane is "
        "divided by its largest magnitude, so that no motion stays 0.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(32, ge=1, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Number of epochs.")


class OffApexNetRecipe(FlowCnnRecipe):
    """OFF-ApexNet (Gan et al. 2019); the 100 epochs are our choice."""


class StstNetRecipe(FlowCnnRecipe):
    """STSTNet (Liong et al. 2019); its public code trains 500 epochs in Matlab and 800 in Python."""

    batch_norm: bool = Field(
        True, description="Batch normalisation, as in its code: 1,683 parameters, otherwise 1,651."
    )
    learning_rate: float = Field(5e-5, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(256, ge=2, description="Clips per step.")
    epochs: int = Field(500, ge=1, description="Number of epochs.")


class DualInceptionRecipe(FlowCnnRecipe):
    """Dual-Inception (Zhou et al. 2019), the trunk of FR. The apex is the middle frame: `apex: {policy: midpoint}`."""

    batch_size: int = Field(3, ge=1, description="Clips per step.")
    epochs: int = Field(
        40, ge=1, description="Number of epochs; the last one is used, none is chosen on held-out subjects."
    )


class LinearRecipe(Recipe):
    """A linear classifier; its score shows whether a task is trivial."""

    feature: Literal["flow", "pixel_difference", "onset_face"] = Field("flow", description="Input of the classifier.")
    size: int = Field(28, ge=4, le=64, description="Side to which each plane is resized.")
    components: int = Field(32, ge=1, description="Principal components kept before the classifier.")
    C: float = Field(1.0, gt=0, description="Inverse regularisation.")
