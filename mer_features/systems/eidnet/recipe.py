"""Recipes of EIDNet (paper 000): MicroNet with its two phases, and MacroNet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mer_features.systems.common.recipe import FacesRecipe

#: Smallest image side in pixels, by backbone; the discriminator halves the feature maps twice.
_LEAST_SIZE = {"small": 64, "alexnet": 160}


#: Keys that only phase II reads.
_PHASE_2 = frozenset(
    {
        "triplet_weight", "adversarial_weight", "lir_weight", "margin", "triplet_on", "discriminator_norm",
        "tuning_rate", "discriminator_rate", "tuning_epochs",
    }
)  # fmt: skip


class Disentangling(FacesRecipe):
    """Keys of phase I, shared by MicroNet and MacroNet."""

    backbone: Literal["resnet18", "resnet34", "resnet101", "alexnet", "small"] = Field(
        "resnet18",
        description="Encoder; the paper tests the first four. `small` (ours, for CPUs): 14 layers, 16 to 64 channels.",
    )
    imagenet_weights: Path | None = Field(
        None,
        description="File of torchvision's ImageNet weights of the backbone, from which training starts (ours: the "
        "paper does not say how the networks are initialised); none: random initial weights. Nothing is downloaded.",
    )
    size: int = Field(
        224,
        ge=64,
        le=1024,
        multiple_of=32,
        description="Side of the network's images, pixels (ours); at least 128 (AlexNet 160, small 64).",
    )
    augment: bool = Field(
        True,
        description="Random rotation by up to 10 degrees, crop of 70 to 100 % of the area and mirroring, the same for "
        "the neutral and the expression face of a pair (ours: the paper does not say).",
    )
    distance: Literal["mean_square", "norm"] = Field(
        "mean_square",
        description="Form of L_sim and L_rec: mean squared error (ours), or the Euclidean norm, as Eq. 1 and 2 print "
        "it. The norm of an image is so large that the network does not learn to classify (docs/systems/eidnet.md).",
    )
    reconstruction_weight: float = Field(0.1, ge=0, description="λ of L_rec (Eq. 4).")
    similarity_weight: float = Field(0.1, ge=0, description="λ of L_sim (Eq. 4).")
    encoder_rate: float = Field(1e-4, gt=0, description="Learning rate of the encoder.")
    classifier_rate: float = Field(1e-4, gt=0, description="Learning rate of the classifier.")
    decoder_rate: float = Field(1e-5, gt=0, description="Learning rate of the decoder.")
    weight_decay: float = Field(
        1e-4, ge=0, description="Weight decay of Adam (ours: the paper does not name the optimiser)."
    )
    half_period: int = Field(
        15, ge=1, description="Epochs in which the learning rates fall to 0 along a cosine; then they rise again."
    )
    batch_size: int = Field(32, ge=2, description="Pairs per step; in phase II, triplets per step (ours).")
    epochs: int = Field(30, ge=1, description="Number of epochs of phase I.")

    @model_validator(mode="after")
    def _maps_are_large_enough(self) -> Self:
        least = _LEAST_SIZE.get(self.backbone, 128)
        if self.size < least:
            raise ValueError(f"size: {self.backbone} needs {least} pixels or more, found {self.size}")
        if self.backbone == "small" and self.imagenet_weights is not None:
            raise ValueError("imagenet_weights: the small backbone has none")
        return self


class EIDNetRecipe(Disentangling):
    """EIDNet (paper 000): expression-identity disentanglement, then tuning against a macro-expression network."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Phase I": {"phases": "I"},
        "Phase I + Phase II": {},
        "no triplet": {"triplet_weight": 0},
        "no adversary": {"adversarial_weight": 0},
        "no LIR": {"lir_weight": 0},
        "literal": {"distance": "norm"},
    }

    reads_keyframes: ClassVar[bool] = True

    phases: Literal["I", "I+II"] = Field("I+II", description="Disentangling only, or also tuning against MacroNet.")
    triplet_weight: float = Field(1e-3, ge=0, description="λ of L_tri (Eq. 10).")
    adversarial_weight: float = Field(1e-3, ge=0, description="λ of L_adv (Eq. 10); 0: without discriminator.")
    lir_weight: float = Field(1e-3, ge=0, description="λ of L_LIR (Eq. 10).")
    margin: float = Field(1.0, ge=0, description="m of L_tri (Eq. 5; ours: the paper does not give it).")
    triplet_on: Literal["map", "pooled"] = Field(
        "map", description="Triplet distances between whole embeddings, as Eq. 5 prints it, or globally pooled ones."
    )
    discriminator_norm: Literal["none", "batch"] = Field(
        "none",
        description="`none`: the discriminator has convolutions and a linear layer, as the paper says; `batch`: also "
        "batch norms, which hide from it whether macro or micro embeddings are larger.",
    )
    tuning_rate: float = Field(5e-6, gt=0, description="Learning rate of encoder and classifier in phase II.")
    discriminator_rate: float = Field(1e-5, gt=0, description="Learning rate of the discriminator.")
    tuning_epochs: int = Field(30, ge=1, description="Number of epochs of phase II.")

    @property
    def idle(self) -> frozenset[str]:
        """Keys of phase II, where it does not run."""
        return _PHASE_2 if self.phases == "I" else frozenset()

    @property
    def pretraining(self) -> str | None:
        """Task of MacroNet, which phase II needs."""
        return "eidnet" if self.phases == "I+II" else None


class MacroNetRecipe(Disentangling):
    """MacroNet of EIDNet: phase I on a macro-expression database."""

    frames: int = Field(
        3,
        ge=1,
        le=31,
        description="Expression frames per clip: the keyframes nearest to the apex (CK+: the last ones; ours).",
    )
    held_out: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of the macro subjects that are held out to test MacroNet (ours); phase II does not use "
        "them. 0: MacroNet learns from all clips and is not tested, as in the paper.",
    )
