"""What can be set on the training of the learned magnifier: section `train_magnifier` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from mer_features.config.section import Section


class MagnifierTraining(Section):
    """Training of the learned magnifier, by `mer-features train-magnifier` or the rule of that name."""

    start: Path | None = Field(
        None, description="Weights to go on from, of this network (.safetensors); default: drawn at random."
    )
    folder: Path | None = Field(
        None, description="Photographs to cut training samples from; default: those that come with scikit-image."
    )
    steps: int = Field(
        12_000, ge=1, description="Training steps; the shipped weights took four runs of 2,800 to 24,000."
    )
    batch: int = Field(2, ge=1, description="Samples a step; the paper takes 4.")
    size_px: int = Field(64, ge=32, le=512, multiple_of=4, description="Side of a sample; the paper takes 384.")
    face_share: float = Field(
        0.5, ge=0, le=1, description="Share of samples that are faces of the embedded database moved by action units."
    )
    objects: tuple[int, int] = Field(
        (7, 15),
        description="Least and most objects over the background of a sample that is no face. The paper's numbers are "
        "for pictures of 384 px: in 64 px they make for crowds, which the first stage of the shipped weights learned "
        "from; the second took 0 to 4.",
    )
    object_radius: tuple[float, float] = Field(
        (0.06, 0.3), description="Least and largest radius of an object, as a share of the sample's side."
    )
    rate: float = Field(
        5e-4, gt=0, le=0.01, description="Learning rate of Adam between its rise and its fall; the paper takes 1e-4."
    )
    warmup_steps: int = Field(100, ge=0, description="Steps over which the learning rate rises.")
    decay_share: float = Field(
        0.3, ge=0, le=1, description="Last share of the steps, over which the learning rate falls to zero."
    )
    detail: float = Field(
        0.0,
        ge=0,
        le=2,
        description="How much more pixels count in the losses on pictures where there is little contrast: a pixel's "
        "weight is the slope of the picture around it to the power of minus this. The paper's 0 counts all alike; "
        "skin is then learned last.",
    )
    small_motion: float = Field(
        0.0,
        ge=0,
        le=2,
        description="How much more the change of a sample counts if it moves little: its weight is the largest motion "
        "that magnification adds to the power of minus this. The paper's 0 counts all alike.",
    )
    lamp: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Largest change of the light's slope and curvature across a moved frame in other colours, as a "
        "fraction; the paper's frames change everywhere alike.",
    )
    code_weight: float = Field(0.1, ge=0, description="Weight λ of the three losses on texture and shape codes.")
    g_kernel: Literal[3, 7] = Field(
        3,
        description="Side of the manipulator's first convolution: 3 in the paper, 7 in its published program; with "
        "`start` as there.",
    )
    seed: int | None = Field(None, ge=0, description="Default: the global seed.")

    @field_validator("objects", "object_radius")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1]:
            raise ValueError(f"expected the least and the most, neither negative, found {value[0]:g} and {value[1]:g}")
        return value

    @field_validator("object_radius")
    @classmethod
    def _is_a_size(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] == 0:
            raise ValueError("the least radius must be above 0")
        return value
