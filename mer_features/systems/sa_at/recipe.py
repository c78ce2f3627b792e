"""Recipes of SA-AT (paper 002): the student and its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mer_features.systems.common.recipe import Recipe

#: CIFAR-style residual networks of 6n + 2 layers; the paper uses 38, 50 and 110.
Residual = Literal["resnet8", "resnet14", "resnet20", "resnet26", "resnet32", "resnet38", "resnet50", "resnet110"]

_STEM = (
    "`cifar`: full resolution, as in the CIFAR networks of the paper; `strided`: a stride of 2 and 2 x 2 pooling "
    "first, about 16 times less computation and memory (ours)."
)
_SCALE = (
    "Normalisation of images in [0, 1]: subtract the training set's mean per channel (`mean`, ours), or use ImageNet's "
    "mean and standard deviation."
)
_FLIP = "Mirror half of the training images at random (ours)."
_INIT = "Standard deviation of the normal distribution of the initial weights."


class SAATRecipe(Recipe):
    """SA-AT (paper 002): a student on style-aggregated apex faces with attention transfer from a macro teacher."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ResNet": {"images": "faces", "micro_training": False},
        "ResNet&SA": {"micro_training": False},
        "ResNet&AT": {"images": "faces"},
        "SA-AT": {},
        "beta 0": {"beta": 0},
    }

    images: Literal["style", "faces"] = Field(
        "style", description="`style`: style-aggregated apex faces (SA); `faces`: apex faces as recorded."
    )
    micro_training: bool = Field(
        True, description="`false`: the teacher itself is tested on micro-expressions, without training on them."
    )
    student: Residual = Field("resnet38", description="Student network; the paper does not say which.")
    stem: Literal["cifar", "strided"] = Field("cifar", description=_STEM)
    size: int = Field(256, ge=16, le=1024, description="Side to which images are resized, pixels.")
    scale: Literal["mean", "imagenet"] = Field("mean", description=_SCALE)
    beta: float | None = Field(
        None,
        ge=0,
        description="β of Eq. 4, which the paper does not give. None: 1 with `at_form: norm`, 1000 with "
        "`mean_square`. 0: no attention transfer and no teacher.",
    )
    at_form: Literal["norm", "mean_square"] = Field(
        "norm",
        description="Distance of attention maps: the Euclidean norm (Eq. 4), or the mean squared difference over the "
        "map elements, as in the cited work on attention transfer.",
    )
    at_p: Literal[1, 2] = Field(
        1, description="Attention maps sum absolute values (1, Eq. 2) or squares (2) over the channels."
    )
    flip: bool = Field(True, description=_FLIP)
    init_std: float = Field(0.02, gt=0, description=_INIT)
    learning_rate: float = Field(
        1e-4, gt=0, description="Learning rate of Adam (the paper does not name the optimiser)."
    )
    batch_size: int = Field(16, ge=1, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Number of epochs (ours); the weights of the last one are used.")

    @property
    def weight(self) -> float:
        """β of Eq. 4."""
        if self.beta is not None:
            return self.beta
        return 1.0 if self.at_form == "norm" else 1000.0

    @property
    def pretraining(self) -> str | None:
        """Task of the teacher, unless the student is trained without one."""
        return "sa_at" if self.weight > 0 or not self.micro_training else None

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of the apex faces."""
        return (self.images,)

    @property
    def idle(self) -> frozenset[str]:
        """Keys of the student, where the teacher itself is tested."""
        student = {"student", "beta", "at_form", "at_p", "flip", "init_std", "learning_rate", "batch_size", "epochs"}
        return frozenset() if self.micro_training else frozenset(student)

    @property
    def filled(self) -> Mapping[str, Any]:
        """β, which depends on the form of the distance."""
        return {"beta": self.weight}


class SAATTeacherRecipe(Recipe):
    """Teacher of SA-AT: a classifier of single faces of a macro-expression database, of still images or of clips."""

    images: Literal["faces", "style"] = Field(
        "faces",
        description="`faces`: faces as recorded; `style`: style-aggregated faces. The paper aggregates the "
        "micro-expression samples; whether the teacher's images too, it does not say.",
    )
    frames: int = Field(
        1,
        ge=1,
        le=31,
        description="Faces per macro clip (ours). 1: the apex, for still images and clips; more: the keyframes nearest "
        "to the apex (CK+: the last ones), each an example of its own.",
    )
    network: Literal[Residual, "alexnet", "vgg16"] = Field(
        "resnet110", description="Network; Table 2 of the paper compares five. Attention transfer needs a ResNet."
    )
    stem: Literal["cifar", "strided"] = Field("cifar", description=_STEM)
    size: int = Field(256, ge=16, le=1024, description="Side to which images are resized, pixels.")
    scale: Literal["mean", "imagenet"] = Field("mean", description=_SCALE)
    flip: bool = Field(True, description=_FLIP)
    init_std: float = Field(0.02, gt=0, description=_INIT)
    learning_rate: float = Field(
        1e-4, gt=0, description="Learning rate of Adam (the paper does not name the optimiser)."
    )
    batch_size: int = Field(64, ge=1, description="Images per step.")
    epochs: int = Field(100, ge=1, description="Number of epochs (ours: the paper does not give it).")
    held_out: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the macro subjects that are held out to choose the best epoch (by UF1). 0: none is held "
        "out, and the last epoch is used.",
    )

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of the faces."""
        return (self.images,)

    @property
    def compares_frames(self) -> bool:
        """Whether it reads several faces of a clip."""
        return self.frames > 1

    @model_validator(mode="after")
    def _keyframes_are_as_recorded(self) -> Self:
        if self.images == "style" and self.frames > 1:
            raise ValueError(f"frames: /style has the apex alone; expected 1 with `images: style`, found {self.frames}")
        return self
