"""Recipe of the linear yardstick."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mer_features.systems.recipes.base import Recipe


class LinearRecipe(Recipe):
    """A linear classifier, the yardstick that tells whether a task is trivial."""

    feature: Literal["flow", "pixel_difference", "onset_face"] = Field("flow", description="What the classifier sees.")
    size: int = Field(28, ge=4, le=64, description="Side to which each plane is resized.")
    components: int = Field(32, ge=1, description="Principal components kept before the classifier.")
    C: float = Field(1.0, gt=0, description="Inverse regularisation.")
