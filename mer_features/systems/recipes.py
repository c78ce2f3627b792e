"""Typed recipes of all systems, the papers' values as defaults; free of torch, so that a config is checked fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """Base of every recipe: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FRRecipe(Recipe):
    """FR, Feature Refinement (paper 001); defaults are its printed CDE recipe, section 4 of the paper."""

    refine: Literal["attention", "fc", "none"] = Field(
        "attention",
        description="Class-specific attention (FR), ReLU layers (FR-fc) or none (Basic Inception).",
    )
    fusion: Literal["sum", "concat"] = Field("sum", description="How the class-specific features are joined.")
    variant: Literal["text", "table7"] = Field(
        "text",
        description="`text`: two streams as described; `table7`: the trunk its parameter table implies.",
    )
    resize: Literal["bilinear", "area"] = Field(
        "bilinear",
        description="How flow comes to 28 x 28: bilinear samples as the paper says, or means over areas, less noisy.",
    )
    scale: Literal["minmax", "symmetric"] = Field(
        "minmax",
        description="Input planes, which the paper leaves open: `minmax` maps each to [0, 1] by itself, as 8-bit flow "
        "images are; `symmetric` divides by the largest magnitude, so that no motion stays 0.",
    )
    attention_scale: Literal["1", "d"] = Field(
        "1",
        description="`d` multiplies the softmax attention by its width, 1024, so that z* has the size of z.",
    )
    loss_weight: float = Field(0.85, ge=0, description="λ of Eq. 8, weight of the proposal loss.")
    optimiser: Literal["sgd", "adam"] = Field("sgd", description="Optimiser.")
    learning_rate: float = Field(0.001, gt=0, description="Learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="SGD momentum.")
    batch_size: int = Field(32, ge=1, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Epochs; the paper prints none.")


class LinearRecipe(Recipe):
    """A linear classifier, the yardstick that tells whether a task is trivial."""

    feature: Literal["flow", "pixel_difference", "onset_face"] = Field("flow", description="What the classifier sees.")
    size: int = Field(28, ge=4, le=64, description="Side to which each plane is resized.")
    components: int = Field(32, ge=1, description="Principal components kept before the classifier.")
    C: float = Field(1.0, gt=0, description="Inverse regularisation.")


#: System name -> its recipe. A new system is a file `systems/<name>.py` and one entry here.
RECIPES: dict[str, type[Recipe]] = {"fr": FRRecipe, "linear": LinearRecipe}


def recipe(system: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a system with some keys changed.

    Raises
    ------
    ValueError
        For an unknown system; pydantic's ``ValidationError`` (a ``ValueError``) for a wrong key.
    """
    if system not in RECIPES:
        raise ValueError(f"unknown system {system!r}; known: {', '.join(RECIPES)}")
    return RECIPES[system].model_validate(dict(overrides or {}))
