"""Recipe of FR, paper 001."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from mer_features.systems.common.recipe import INITIALISATION, Initialisation, PlanesRecipe


class FRRecipe(PlanesRecipe):
    """FR, Feature Refinement (paper 001); the defaults are the CDE settings in section 4 of the paper."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Basic Inception": {"refine": "none"},
        "FR-fc": {"refine": "fc"},
        "FR-concat": {"fusion": "concat"},
        "Table 7": {"variant": "table7"},
    }

    refine: Literal["attention", "fc", "none"] = Field(
        "attention",
        description="Class-specific attention (FR), ReLU layers (FR-fc) or none (Basic Inception).",
    )
    fusion: Literal["sum", "concat"] = Field("sum", description="How the class-specific features are fused.")
    variant: Literal["text", "table7"] = Field(
        "text",
        description="`text`: two streams, as described; `table7`: the trunk that its parameter table implies.",
    )
    initialisation: Initialisation = INITIALISATION
    attention_scale: Literal["1", "d"] = Field(
        "1",
        description="`d` multiplies the softmax attention by its width, 1024, so that z* has the size of z.",
    )
    loss_weight: float = Field(0.85, ge=0, description="λ of Eq. 8, the weight of the proposal loss.")
    optimiser: Literal["sgd", "adam"] = Field("sgd", description="Optimiser.")
    learning_rate: float = Field(0.001, gt=0, description="Learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="SGD momentum.")
    batch_size: int = Field(32, ge=1, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Number of epochs (ours: the paper does not give it).")
