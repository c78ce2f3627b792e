"""Recipes of MA2MI (paper 003): fine-tuning, its two pre-trainings, and the autoencoder that one of them uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mer_features.systems.common.recipe import FacesRecipe

#: Pixels per place of the encoders' feature maps, by backbone.
_STRIDES = {"resnet18": 32, "small": 16}
#: Pixels per place of a latent.
FACTOR = 8


class Branches(FacesRecipe):
    """Keys of MIACNet and its optimiser, shared by fine-tuning and pre-trainings."""

    backbone: Literal["resnet18", "small"] = Field(
        "resnet18", description="Backbone of both encoders. `small` (ours, for CPUs): 14 layers, 16 to 64 channels."
    )
    imagenet_weights: Path | None = Field(
        None,
        description="File of torchvision's ImageNet weights of ResNet-18, from which both encoders start (ours: the "
        "paper does not say); none: random initial weights. Nothing is downloaded.",
    )
    size: int = Field(256, ge=32, le=1024, multiple_of=32, description="Side of the faces, pixels.")
    fusion: Literal["concat", "sum", "product"] = Field(
        "concat",
        description="How action and position features are combined before pooling (ours: the paper only draws it). "
        "None of the three has parameters.",
    )
    position: Literal["independent", "reconstruction", "none"] = Field(
        "independent",
        description="Position encoder: `independent` learns from L_pos only; `reconstruction` learns from L_rec "
        "without L_pos (Table 4, second row); `none` leaves it out (Table 4, first row).",
    )
    learning_rate: float = Field(4e-4, gt=0, description="Learning rate of AdamW in the first epoch.")
    decay: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Factor on the learning rate after each epoch; the paper prints an exponential decay without the "
        "factor, which is ours.",
    )
    epochs: int = Field(80, ge=1, description="Number of epochs; the weights of the last one are used.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW (ours: the paper does not give it).")

    @model_validator(mode="after")
    def _maps_are_large_enough(self) -> Self:
        if self.size < 2 * _STRIDES[self.backbone]:
            raise ValueError(f"size: {self.backbone} needs {2 * _STRIDES[self.backbone]} pixels, found {self.size}")
        if self.backbone == "small" and self.imagenet_weights is not None:
            raise ValueError("imagenet_weights: the small backbone has none")
        return self


class MA2MIRecipe(Branches):
    """MA2MI (paper 003): an action and a position encoder, pre-trained by predicting future frames of macro video."""

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "MA2MI": {},
        # Table 1
        "without pre-training": {"pretrain": "none"},
        "macro recognition": {"pretrain": "recognition"},
        "pixel space": {"pretrain": "pixel"},
        # Table 2; Table 3 varies the databases of the pre-training
        "reconstruction kept, position": {"reconstruction": True, "tuned": "position"},
        "reconstruction kept, action": {"reconstruction": True, "tuned": "action"},
        "reconstruction kept, both": {"reconstruction": True},
        "position": {"tuned": "position"},
        "action": {"tuned": "action"},
        # Table 4; the pre-training needs the same `position`
        "no position encoder": {"position": "none"},
        "no L_pos": {"position": "reconstruction"},
    }

    pretrain: Literal["latent", "pixel", "recognition", "none"] = Field(
        "latent",
        description="Pre-training: prediction of future frames in the latent space of the autoencoder or in pixels, "
        "macro-expression recognition, or none (Table 1).",
    )
    tuned: Literal["both", "action", "position"] = Field(
        "both", description="Encoders that are tuned; the head is always tuned (Table 2)."
    )
    reconstruction: bool = Field(
        False,
        description="Use L_rec, the prediction of the apex from the onset, in addition to cross-entropy (Table 2). It "
        "reaches DiT and every encoder that is tuned.",
    )
    reconstruction_form: Literal["mean", "norm"] = Field(
        "mean",
        description="L_rec beside cross-entropy: `mean`, the mean absolute difference (ours), or `norm`, the 1-norm "
        "as printed, which is thousands of times larger than the cross-entropy.",
    )
    augment: bool = Field(
        True,
        description="Random crop, mirroring and rotation, the same for onset and apex and without a change of scale. "
        "The paper gives no amounts: 15/224 of the side, half of the clips, 3 degrees, as in the authors' MMNet.",
    )
    decay: float = Field(
        1.0, gt=0, le=1, description="Factor on the learning rate after each epoch; the paper prints no decay here."
    )
    weight_decay: float = Field(0.1, ge=0, description="Weight decay of AdamW.")
    batch_size: int = Field(16, ge=2, description="Clips per step.")

    @property
    def idle(self) -> frozenset[str]:
        """The form of a loss that is not used."""
        return frozenset() if self.reconstruction else frozenset({"reconstruction_form"})

    @model_validator(mode="after")
    def _parts_exist(self) -> Self:
        if self.position == "none" and self.tuned == "position":
            raise ValueError("tuned: found position, but there is no position encoder")
        if self.reconstruction and self.pretrain not in ("latent", "pixel"):
            raise ValueError(f"reconstruction: needs pretrain: latent or pixel, found {self.pretrain}")
        return self

    @property
    def pretraining(self) -> str | None:
        """Task of the pre-training; None without one."""
        return {"latent": "ma2mi", "pixel": "ma2mi", "recognition": "ma2mi_recognition", "none": None}[self.pretrain]


class FutureFrameRecipe(Branches):
    """Pre-training of MA2MI: a DiT predicts frame t + δ from frame t and MIACNet's condition."""

    space: Literal["latent", "pixel"] = Field(
        "latent", description="Frames as latents of an autoencoder, or as pixels (Table 1)."
    )
    delta: tuple[int, int] = Field(
        (3, 8), description="Smallest and largest δ, frames; δ is drawn from this range, ends included (Figure 4)."
    )
    dit_width: int = Field(768, ge=8, multiple_of=4, description="Width of DiT; 768 is DiT-B.")
    dit_depth: int = Field(12, ge=1, description="Number of blocks of DiT.")
    dit_heads: int = Field(12, ge=1, description="Number of attention heads of DiT.")
    patch: int | None = Field(
        None,
        ge=1,
        description="Side of DiT's patches, in places or pixels. None: 2 for latents, 8 for pixels (ours).",
    )
    residual: bool = Field(False, description="Add DiT's output to frame t, instead of using the output as Ẑ.")
    reconstruction_form: Literal["norm", "mean"] = Field(
        "norm",
        description="L_rec: `norm`, the 1-norm as printed, or `mean`, the mean absolute difference. Only their scale "
        "differs, and it changes no weight: AdamW divides by it, and no weight learns from L_rec and L_pos together.",
    )
    equivariance: Literal["mean_square", "norm"] = Field(
        "mean_square",
        description="L_3: mean squared error (ours), or the Euclidean norm, as printed, which is so much larger than "
        "L_1 and L_2 that they are not learned (docs/systems/ma2mi.md).",
    )
    batch_size: int = Field(32, ge=2, description="Pairs per step, one per clip, on all devices together.")

    @property
    def filled(self) -> Mapping[str, Any]:
        """The side of a patch, which depends on the space."""
        return {"patch": self.patch_side}

    @property
    def patch_side(self) -> int:
        """Side of a patch, in places or pixels."""
        return self.patch or (2 if self.space == "latent" else 8)

    @property
    def grid(self) -> int:
        """Side of DiT's input, in places or pixels."""
        return self.size // FACTOR if self.space == "latent" else self.size

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        low, high = self.delta
        if not 1 <= low <= high:
            raise ValueError(f"delta: expected 1 ≤ smallest ≤ largest, found {low}, {high}")
        if self.grid % self.patch_side:
            raise ValueError(f"patch: {self.patch_side} does not divide {self.grid}")
        if self.dit_width % self.dit_heads:
            raise ValueError(f"dit_heads: {self.dit_heads} does not divide the width {self.dit_width}")
        return self

    @property
    def pretraining(self) -> str | None:
        """Task of the autoencoder, which latents need."""
        return "autoencoder" if self.space == "latent" else None


class MacroRecognitionRecipe(Branches):
    """The usual pre-training, which the paper compares with: MIACNet recognises macro-expressions."""

    position: Literal["independent", "none"] = Field(
        "independent", description="With or without a position encoder. All encoders are trained by cross-entropy."
    )
    augment: bool = Field(True, description="As in fine-tuning.")
    batch_size: int = Field(32, ge=2, description="Clips per step.")
    held_out: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the macro subjects that are held out to test the network (ours).",
    )


class AutoencoderRecipe(FacesRecipe):
    """Autoencoder of frames with latents of 1/8 of the side and four channels: Stable Diffusion's, or a small one."""

    kind: Literal["small", "stable_diffusion"] = Field(
        "small",
        description="`stable_diffusion`: the autoencoder of the paper, from a file; needs the extra `diffusion`. "
        "`small` (ours): a small autoencoder, trained on the given video.",
    )
    weights: Path | None = Field(
        None,
        description="File of Stable Diffusion's f8 KL autoencoder, safetensors or a torch `state_dict`. Nothing is "
        "downloaded.",
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="SHA-256 that the file must have; none: any. The report gives it."
    )
    size: int = Field(256, ge=32, le=1024, multiple_of=32, description="Side of the frames, pixels.")
    width: int = Field(32, ge=8, multiple_of=8, description="Channels of the small autoencoder at full resolution.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of Adam for the small autoencoder.")
    batch_size: int = Field(32, ge=1, description="Frames per step, one per clip.")
    epochs: int = Field(40, ge=1, description="Number of epochs of the small autoencoder; each has one frame per clip.")

    @property
    def idle(self) -> frozenset[str]:
        """Keys of the small autoencoder, where the user's is taken."""
        small = {"size", "width", "learning_rate", "batch_size", "epochs"}
        return frozenset({"sha256", *(small if self.kind == "stable_diffusion" else ())})  # a checksum only refuses

    @model_validator(mode="after")
    def _file_is_given(self) -> Self:
        if (self.kind == "stable_diffusion") != (self.weights is not None):
            raise ValueError("weights: expected with `kind: stable_diffusion`, and only with it")
        if self.sha256 and self.weights is None:
            raise ValueError("sha256: expected only together with `weights`")
        return self
