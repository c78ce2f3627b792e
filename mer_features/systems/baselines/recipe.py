"""Recipes of the methods that the papers compare with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mer_features.systems.common.recipe import Recipe


class SvmRecipe(Recipe):
    """A linear support vector machine on a handcrafted descriptor of the cache."""

    descriptor: Literal["lbp_top", "bi_woof"] = Field("lbp_top", description="Which descriptor.")
    C: float = Field(1.0, gt=0, description="Weight of the slack; the challenge names an SVM and no settings (ours).")


class FlowCnnRecipe(Recipe):
    """What the recipes of small networks on flow planes have in common."""

    resize: Literal["bilinear", "area"] = Field(
        "bilinear", description="How planes come to 28 x 28: bilinear samples, or means over areas, less noisy."
    )
    scale: Literal["minmax", "symmetric"] = Field(
        "minmax",
        description="`minmax`: each plane to [0, 1] by itself, as 8-bit flow images are; `symmetric`: divided by its "
        "largest magnitude, so that no motion stays 0.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(32, ge=1, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Epochs.")


class OffApexNetRecipe(FlowCnnRecipe):
    """OFF-ApexNet (Gan et al. 2019); 100 epochs are ours."""


class StstNetRecipe(FlowCnnRecipe):
    """STSTNet (Liong et al. 2019); its public code trains 500 epochs in Matlab and 800 in Python."""

    batch_norm: bool = Field(True, description="Batch normalisation, as its code has it: 1,683 parameters, else 1,651.")
    learning_rate: float = Field(5e-5, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(256, ge=2, description="Clips per step.")
    epochs: int = Field(500, ge=1, description="Epochs.")


class DualInceptionRecipe(FlowCnnRecipe):
    """Dual-Inception (Zhou et al. 2019): FR's trunk. Its apex is the middle frame: `apex: {policy: midpoint}`."""

    batch_size: int = Field(3, ge=1, description="Clips per step.")
    epochs: int = Field(40, ge=1, description="Epochs; all are trained, none is chosen on held-out subjects.")


# Recipe of the linear yardstick.


class LinearRecipe(Recipe):
    """A linear classifier, the yardstick that tells whether a task is trivial."""

    feature: Literal["flow", "pixel_difference", "onset_face"] = Field("flow", description="What the classifier sees.")
    size: int = Field(28, ge=4, le=64, description="Side to which each plane is resized.")
    components: int = Field(32, ge=1, description="Principal components kept before the classifier.")
    C: float = Field(1.0, gt=0, description="Inverse regularisation.")
