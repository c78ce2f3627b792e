"""Recipes of EIDNet, paper 000: MicroNet with its two phases, and MacroNet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mer_features.systems.common.recipe import Recipe

#: Fewest pixels a side: the discriminator halves the embeddings' maps twice.
_LEAST_SIZE = {"small": 64, "alexnet": 160}


class Disentangling(Recipe):
    """Keys of phase I, which MicroNet and MacroNet have in common."""

    backbone: Literal["resnet18", "resnet34", "resnet101", "alexnet", "small"] = Field(
        "resnet18",
        description="Encoder; the paper tried the first four. `small` (ours, for CPUs): 14 layers, 16 to 64 channels.",
    )
    imagenet_weights: Path | None = Field(
        None,
        description="File of torchvision's ImageNet weights of the backbone, from which the paper starts; none: "
        "random. Nothing is downloaded.",
    )
    size: int = Field(
        224,
        ge=64,
        le=1024,
        multiple_of=32,
        description="Side of the network's images, pixels; at least 128, of AlexNet 160, of small 64.",
    )
    augment: bool = Field(
        True,
        description="Rotate by up to 10 degrees, cut out 70 to 100 % of the area and mirror at random, the neutral "
        "and the expression face of a pair alike (the paper says nothing).",
    )
    distance: Literal["mean_square", "norm"] = Field(
        "mean_square",
        description="L_sim and L_rec: mean squared error (ours), or the Euclidean norm as printed, which of an image "
        "dwarfs the other losses.",
    )
    reconstruction_weight: float = Field(0.1, ge=0, description="λ of L_rec (Eq. 4).")
    similarity_weight: float = Field(0.1, ge=0, description="λ of L_sim (Eq. 4).")
    encoder_rate: float = Field(1e-4, gt=0, description="Learning rate of the encoder.")
    classifier_rate: float = Field(1e-4, gt=0, description="Learning rate of the classifier.")
    decoder_rate: float = Field(1e-5, gt=0, description="Learning rate of the decoder.")
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay of Adam (the paper names no optimiser).")
    half_period: int = Field(
        15, ge=1, description="Epochs in which a cosine takes the learning rates to 0; then they rise again."
    )
    batch_size: int = Field(32, ge=2, description="Pairs, in phase II triplets, per step.")
    epochs: int = Field(30, ge=1, description="Epochs of phase I.")

    @model_validator(mode="after")
    def _maps_are_large_enough(self) -> Self:
        least = _LEAST_SIZE.get(self.backbone, 128)
        if self.size < least:
            raise ValueError(f"size: {self.backbone} needs {least} pixels or more, found {self.size}")
        if self.backbone == "small" and self.imagenet_weights is not None:
            raise ValueError("imagenet_weights: there are none of the small backbone")
        return self


class EIDNetRecipe(Disentangling):
    """EIDNet (paper 000): expression and identity disentangled, then tuned against a macro-expression network."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Phase I": {"phases": "I"},
        "Phase I + Phase II": {},
        "no triplet": {"triplet_weight": 0},
        "no adversary": {"adversarial_weight": 0},
        "no LIR": {"lir_weight": 0},
    }

    phases: Literal["I", "I+II"] = Field("I+II", description="Disentangling alone, or tuned against MacroNet as well.")
    triplet_weight: float = Field(1e-3, ge=0, description="λ of L_tri (Eq. 10).")
    adversarial_weight: float = Field(1e-3, ge=0, description="λ of L_adv (Eq. 10); 0: no discriminator.")
    lir_weight: float = Field(1e-3, ge=0, description="λ of L_LIR (Eq. 10).")
    margin: float = Field(1.0, ge=0, description="m of L_tri (Eq. 5), which the paper does not print.")
    triplet_on: Literal["pooled", "map"] = Field(
        "pooled", description="Triplet distances between globally pooled embeddings (ours), or whole maps."
    )
    tuning_rate: float = Field(5e-6, gt=0, description="Learning rate of encoder and classifier in phase II.")
    discriminator_rate: float = Field(1e-5, gt=0, description="Learning rate of the discriminator.")
    tuning_epochs: int = Field(30, ge=1, description="Epochs of phase II.")

    @property
    def pretraining(self) -> str | None:
        """MacroNet, for phase II."""
        return "eidnet" if self.phases == "I+II" else None


class MacroNetRecipe(Disentangling):
    """MacroNet of EIDNet: phase I on a macro-expression database."""

    frames: int = Field(
        3, ge=1, le=31, description="Expression frames of a clip: the keyframes nearest to the apex (CK+: the last)."
    )
    held_out: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the macro subjects that MacroNet is measured on instead of trained on (ours).",
    )
