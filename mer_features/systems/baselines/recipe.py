"""Recipes of the baselines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mer_features.stages.options import Descriptor
from mer_features.systems.common.recipe import (
    INITIALISATION,
    FacesRecipe,
    FlowRecipe,
    Initialisation,
    PlanesRecipe,
    Recipe,
)


class SvmRecipe(Recipe):
    """A linear support vector machine on a handcrafted descriptor of the feature file."""

    descriptor: Descriptor = Field(
        "lbp_top", description="Name of the descriptor; the feature file needs it (`descriptors.methods`)."
    )
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


class ImageNetFlowRecipe(FlowRecipe):
    """AlexNet, GoogLeNet or VGG-16 on flow, as the authors of STSTNet compare with (Liong et al. 2019).

    The papers at hand say only that flow is the input of these networks. Everything else is our choice.
    """

    network: Literal["alexnet", "googlenet", "vgg16"] = Field("alexnet", description="Network of torchvision.")
    imagenet_weights: Path | None = Field(
        None,
        description="File of torchvision's ImageNet weights of the network, e.g. `alexnet-owt-7be5be79.pth`; none: "
        "random initial weights. Nothing is downloaded.",
    )
    size: int = Field(
        224,
        ge=64,
        le=512,
        description="Side to which u, v and strain are resized, pixels; networks trained on ImageNet expect 224. "
        "Computation grows with the area: 112 takes a quarter of it.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate.")
    batch_size: int = Field(32, ge=2, description="Clips per step.")
    epochs: int = Field(30, ge=1, description="Number of epochs; the last one is used.")


class CapsuleNetRecipe(FacesRecipe):
    """CapsuleNet (Quang et al. 2019); the defaults are those of its published code, except for the margins."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published code": {"present_margin": 0.99, "absent_margin": 0.01},
    }

    imagenet_weights: Path | None = Field(
        None,
        description="File of torchvision's ResNet-18 weights from which training starts, as in the paper; none: random "
        "initial weights. Nothing is downloaded.",
    )
    size: int = Field(
        224,
        ge=136,
        le=512,
        multiple_of=8,
        description="Side of the network's images, pixels. 224 gives 1152 primary capsules, 136 gives 32.",
    )
    routings: int = Field(3, ge=1, description="Iterations of dynamic routing.")
    present_margin: float = Field(
        0.9,
        gt=0,
        le=1,
        description="m+: the loss of the right class is 0 above this length (from Sabour et al. 2017; the published "
        "code has 0.99).",
    )
    absent_margin: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="m-: the loss of a wrong class is 0 below this length (from Sabour et al. 2017; the published code "
        "has 0.01).",
    )
    absent_weight: float = Field(0.5, gt=0, description="λ: weight of the loss of wrong classes.")
    augment: bool = Field(
        True,
        description="Random rotation by up to 8 degrees, mirroring, change of colour by up to 20 % and a crop of 14/15 "
        "of the side, in training alone.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate in the first epoch.")
    decay: float = Field(0.9, gt=0, le=1, description="Factor of the learning rate after each epoch.")
    batch_size: int = Field(32, ge=2, description="Clips per step.")
    epochs: int = Field(
        30,
        ge=1,
        description="Number of epochs; the last one is used. (The published code keeps the epoch that is best on the "
        "tested subject.)",
    )

    @property
    def compares_frames(self) -> bool:
        """False: it reads the apex alone."""
        return False

    @model_validator(mode="after")
    def _margins_are_ordered(self) -> Self:
        if self.absent_margin >= self.present_margin:
            raise ValueError(
                f"absent_margin: found {self.absent_margin}, expected less than present_margin, {self.present_margin}"
            )
        return self


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
