"""Recipes of SA-AT, paper 002: the student and its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from mer_features.systems.common.recipe import Recipe

#: CIFAR-style residual networks of 6n + 2 layers; the paper's are 38, 50 and 110.
Residual = Literal["resnet8", "resnet14", "resnet20", "resnet26", "resnet32", "resnet38", "resnet50", "resnet110"]

_STEM = (
    "`cifar`: full resolution, as the paper's family has it; `strided`: a stride of 2 and a 2 x 2 pooling first, "
    "16 times cheaper (ours, for CPUs)."
)
_SCALE = (
    "Images in [0, 1] minus the training set's mean per channel (`mean`, ours), or by ImageNet's mean and standard "
    "deviation."
)
_FLIP = "Mirror half of the training images at random (ours)."
_INIT = "Standard deviation of the normal distribution all weights start from."


class SAATRecipe(Recipe):
    """SA-AT (paper 002): a student on style-aggregated apex faces, its attention drawn to a macro teacher's."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ResNet": {"images": "faces", "micro_training": False},
        "ResNet&SA": {"micro_training": False},
        "ResNet&AT": {"images": "faces"},
        "SA-AT": {},
        "beta 0": {"beta": 0},
    }

    images: Literal["style", "faces"] = Field(
        "style", description="`style`: style-aggregated apexes (SA); `faces`: apexes as recorded."
    )
    micro_training: bool = Field(
        True, description="`false`: the teacher itself is tested on micro-expressions, nothing is trained on them."
    )
    student: Residual = Field("resnet38", description="Student network; the paper does not say which.")
    stem: Literal["cifar", "strided"] = Field("cifar", description=_STEM)
    size: int = Field(256, ge=16, le=1024, description="Side to which images are resized, pixels.")
    scale: Literal["mean", "imagenet"] = Field("mean", description=_SCALE)
    beta: float | None = Field(
        None,
        ge=0,
        description="β of Eq. 4, which the paper does not print; none: 1 with `at_form: norm`, 1000 with "
        "`mean_square`. 0: no attention transfer and no teacher.",
    )
    at_form: Literal["norm", "mean_square"] = Field(
        "norm",
        description="Distance of attention maps: the Euclidean norm (Eq. 4), or the mean over map elements of the "
        "squared difference, as the cited authors of attention transfer have it.",
    )
    at_p: Literal[1, 2] = Field(1, description="Attention maps sum moduli (1, Eq. 2) or squares (2) over channels.")
    flip: bool = Field(True, description=_FLIP)
    init_std: float = Field(0.02, gt=0, description=_INIT)
    learning_rate: float = Field(1e-4, gt=0, description="Learning rate of Adam (the paper names no optimiser).")
    batch_size: int = Field(16, ge=1, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Epochs; the paper prints none. The last one's weights are used.")

    @property
    def weight(self) -> float:
        """β."""
        if self.beta is not None:
            return self.beta
        return 1.0 if self.at_form == "norm" else 1000.0

    @property
    def pretraining(self) -> str | None:
        """The teacher, unless the student learns alone."""
        return "sa_at" if self.weight > 0 or not self.micro_training else None

    @property
    def styled(self) -> bool:
        """Whether apexes are style-aggregated."""
        return self.images == "style"


class SAATTeacherRecipe(Recipe):
    """Teacher of SA-AT: an expression classifier on single faces of a macro-expression database."""

    network: Literal[Residual, "alexnet", "vgg16"] = Field(
        "resnet110", description="Network; the paper's Table 2 compares five. Attention transfer needs a ResNet."
    )
    stem: Literal["cifar", "strided"] = Field("cifar", description=_STEM)
    size: int = Field(256, ge=16, le=1024, description="Side to which images are resized, pixels.")
    scale: Literal["mean", "imagenet"] = Field("mean", description=_SCALE)
    flip: bool = Field(True, description=_FLIP)
    init_std: float = Field(0.02, gt=0, description=_INIT)
    learning_rate: float = Field(1e-4, gt=0, description="Learning rate of Adam (the paper names no optimiser).")
    batch_size: int = Field(64, ge=1, description="Images per step.")
    epochs: int = Field(100, ge=1, description="Epochs; the paper prints none.")
    held_out: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the macro subjects that choose the best epoch (by UF1) and are not trained on; 0: all "
        "are trained on and the last epoch is kept.",
    )
