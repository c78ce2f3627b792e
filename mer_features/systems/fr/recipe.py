"""Recipe of FR, paper 001."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from mer_features.systems.common.recipe import INITIALISATION, Initialisation, PlanesRecipe


class FRRecipe(PlanesRecipe):
    """FR, Feature Refinement (paper 001).

    The recipe that the paper prints does not learn (docs/systems/fr.md). The defaults for training were chosen on
    training subjects that were set aside; the ablation `literal` is the printed recipe.
    """

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Basic Inception": {"refine": "none"},
        "FR-fc": {"refine": "fc"},
        "FR-concat": {"fusion": "concat"},
        "Table 7": {"variant": "table7"},
        "literal": {
            "attention_scale": 1, "initialisation": "keras", "optimiser": "sgd", "learning_rate": 0.001,
            "momentum": 0.0, "epochs": 100,
        },
    }  # fmt: skip

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
    attention_scale: Literal[1, "d"] = Field(
        "d",
        description="`d` multiplies the softmax attention by its width, 1024, so that z* has the size of z (ours); `1` "
        "is Eq. 3 as printed.",
    )
    loss_weight: float = Field(0.85, ge=0, description="λ of Eq. 8, the weight of the proposal loss.")
    optimiser: Literal["adam", "sgd"] = Field(
        "adam", description="Optimiser (ours). The paper prints a learning rate and, for some databases, a momentum."
    )
    learning_rate: float = Field(
        0.001, gt=0, description="Learning rate; the paper prints 0.001 (CDE) and 0.0005 (CDMER, single databases)."
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of `optimiser: sgd`; the other has none.")
    batch_size: int = Field(32, ge=1, description="Clips per step.")
    epochs: int = Field(20, ge=1, description="Number of epochs (ours: the paper does not give it).")

    @field_validator("attention_scale", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return 1 if value == "1" else value

    @property
    def idle(self) -> frozenset[str]:
        """Keys of the refinement, where the recipe has none or another one; momentum without SGD."""
        refinement = {
            "attention": frozenset[str](),
            "fc": frozenset({"attention_scale"}),
            "none": frozenset({"attention_scale", "fusion", "loss_weight"}),
        }
        return refinement[self.refine] | (frozenset() if self.optimiser == "sgd" else frozenset({"momentum"}))

    @model_validator(mode="after")
    def _momentum_is_used(self) -> Self:
        if self.momentum and self.optimiser != "sgd":
            raise ValueError(f"momentum: found {self.momentum}; only `optimiser: sgd` uses it")
        return self
