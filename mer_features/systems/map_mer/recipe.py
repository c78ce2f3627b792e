"""Recipe of MAP-MER, paper 004."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mer_features.systems.common.recipe import Recipe

#: Width and blocks per stage of ResNet-18; the ImageNet weights need these.
_RESNET18 = (64, 2)


class MapMerRecipe(Recipe):
    """MAP-MER (paper 004).

    The defaults are the paper's settings for CASME II where it prints one, but not its Eq. 1 and 5: `awm` is that of
    the authors' code, and `wscl` is ours. The ablation `literal` has the printed forms. Where the paper prints nothing,
    the defaults are those of the authors' code.
    """

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sb": {"branches": 1, "awm": "none", "au_alignment": False},
        "sb + AU": {"branches": 1, "awm": "none"},
        "db": {"awm": "none", "au_alignment": False},
        "db + AU": {"awm": "none"},
        "db + AWM": {"au_alignment": False},
        "db + all w/o RR": {"region_replacing": 0.0},
        "db + all": {},
        "literal": {"awm": "paper", "wscl": "literal"},
    }

    # ---- input
    target: Literal["apex", "amplified"] = Field(
        "apex", description="Flow runs from onset and offset to this frame: `apex` for CASME II, otherwise `amplified`."
    )
    image_size: int = Field(
        224, ge=32, multiple_of=2, description="Side of the input planes, pixels; split into two halves."
    )
    threshold: float = Field(
        1.5,
        ge=0,
        description="Flow magnitudes below this multiple of the plane's mean become 0 (from the authors' code).",
    )

    # ---- network
    branches: Literal[1, 2] = Field(
        2, description="2: one branch for the eyes, one for the mouth; 1: one ResNet-18 on the whole face."
    )
    awm: Literal["code", "paper", "none"] = Field(
        "code",
        description="Area weighted module: that of the authors' `code`, with layer norms, dropout and a detached "
        "input; `paper`: Eq. 1 as printed; `none`.",
    )
    awm_width: int = Field(1024, ge=1, description="h, the hidden width of the area weighted module.")
    gate: Literal["softmax", "sigmoid"] = Field(
        "softmax",
        description="Gate of shuffle attention: `softmax` across the groups, as in the authors' code, or `sigmoid`, as "
        "in the module's own paper.",
    )
    width: int = Field(
        64, ge=8, multiple_of=8, description="Channels of the first stage; doubled at each further stage."
    )
    blocks: int = Field(2, ge=1, description="Residual blocks per stage; ResNet-18 has 2.")
    imagenet: Path | None = Field(
        None,
        description="File of torchvision's ResNet-18 weights from which training starts, as in the authors' code; the "
        "paper does not say how the network is initialised. None: random initial weights.",
    )

    # ---- losses
    au_alignment: bool = Field(True, description="Align features with action units (WSCL).")
    wscl: Literal["excluded_self", "literal", "code"] = Field(
        "excluded_self",
        description="Form of Eq. 5: a clip left out of all its own sums (ours), as printed (`literal`), or as in the "
        "authors' code.",
    )
    alignment_weight: float = Field(0.3, ge=0, le=1, description="λ of Eq. 8.")
    temperature: float = Field(0.1, gt=0, description="τ of Eq. 5 (from the authors' code).")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Label smoothing of the class loss (from the authors' code)."
    )
    combine: Literal["softmax", "logits"] = Field(
        "softmax",
        description="What is added over the two heads for the prediction: `softmax`, or `logits` as in the authors' "
        "code.",
    )

    # ---- training
    region_replacing: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of clips whose mouth half is replaced by that of another clip of the same class.",
    )
    flip: float = Field(0.5, ge=0, le=1, description="Share of clips that are mirrored.")
    erasing: float = Field(0.5, ge=0, le=1, description="Share of clips in which a rectangle is replaced by noise.")
    learning_rate: float = Field(0.003, gt=0, description="Learning rate of AdamW at every restart.")
    weight_decay: float = Field(1e-5, ge=0, description="Weight decay of AdamW (from the authors' code).")
    restart: int = Field(
        10, ge=1, description="T₀: epochs to the first restart; each cycle is twice as long as the one before."
    )
    batch_size: int = Field(128, ge=2, description="Clips per step.")
    epochs: int = Field(100, ge=1, description="Number of epochs.")
    select: Literal["last", "val"] = Field(
        "last", description="Epoch that is used: the last, or the best on training subjects that are set aside (`val`)."
    )
    val_share: float = Field(
        0.2, gt=0, le=0.5, description="Share of the training clips that `select: val` sets aside."
    )

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of the three planes."""
        return ("magnified", "flow")

    @property
    def idle(self) -> frozenset[str]:
        """Keys of parts that the recipe does without."""
        alignment = frozenset[str]() if self.au_alignment else frozenset({"wscl", "alignment_weight", "temperature"})
        area = frozenset({"awm_width"}) if self.awm == "none" else frozenset[str]()
        return alignment | area | (frozenset({"val_share"}) if self.select == "last" else frozenset())

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.branches == 1 and self.awm != "none":
            raise ValueError(f"awm: {self.awm!r} needs two branches; with `branches: 1` it must be 'none'")
        if self.imagenet is not None and (self.width, self.blocks) != _RESNET18:
            raise ValueError("imagenet: the weights need `width: 64, blocks: 2`")
        return self
