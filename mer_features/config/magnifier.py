"""What can be set on the training of the learned magnifier: section `train_magnifier` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from mer_features.config.section import Section


class MagnifierTraining(Section):
    """Training of the learned magnifier, by `mer-features train-magnifier` or the rule of that name."""

    folder: Path | None = Field(
        None, description="Photographs to cut training samples from; default: those that come with scikit-image."
    )
    steps: int = Field(12_000, ge=1, description="Training steps; the shipped weights took 2,800.")
    batch: int = Field(2, ge=1, description="Samples a step; the paper takes 4.")
    size_px: int = Field(64, ge=32, le=512, multiple_of=4, description="Side of a sample; the paper takes 384.")
    face_share: float = Field(
        0.5, ge=0, le=1, description="Share of samples that are faces of the embedded database moved by action units."
    )
    rate: float = Field(
        5e-4, gt=0, le=0.01, description="Learning rate of Adam between its rise and its fall; the paper takes 1e-4."
    )
    warmup_steps: int = Field(100, ge=0, description="Steps over which the learning rate rises.")
    decay_share: float = Field(
        0.3, ge=0, le=1, description="Last share of the steps, over which the learning rate falls to zero."
    )
    code_weight: float = Field(0.1, ge=0, description="Weight λ of the three losses on texture and shape codes.")
    g_kernel: Literal[3, 7] = Field(
        3, description="Side of the manipulator's first convolution: 3 in the paper, 7 in its published program."
    )
    seed: int | None = Field(None, ge=0, description="Default: the global seed.")
