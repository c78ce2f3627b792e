"""Sections of the configuration for style aggregation; free of torch, so that a config is checked fast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mer_features.config.section import Section

StyleMethod = Literal["none", "statistical", "cyclegan", "clahe", "histogram"]
FitOn = Literal["external", "all", "fold"]


class Style(Section):
    """Style aggregation of onset and apex crops."""

    method: StyleMethod = Field(
        "none",
        description="`none` switches the stage off. `statistical`: colour and spectrum statistics brought to the mean "
        "of reference styles, no training. `cyclegan`: the generators that `train_style` trains, as SAN does. `clahe`, "
        "`histogram`: plain peers for comparison.",
    )
    fit_on: FitOn = Field(
        "external",
        description="Whose faces reference styles or generators come from. `external`: the macro-expression databases "
        "named in `databases`; `all`: every database of the run, held-out subjects included (transductive, and the "
        "report says so); `fold`: the training subjects of each fold, rendered anew by the training of that fold, "
        "so that no /style is stored.",
    )
    databases: tuple[str, ...] = Field((), description="With `fit_on: external`, the databases to fit on.")
    model: Path | None = Field(
        None,
        description="A result of an earlier fit instead of a new one: reference styles (`fitted.json`) for "
        "`statistical` and `histogram`, generators (`model.pt`) for `cyclegan`.",
    )
    clusters: int = Field(3, ge=1, le=16, description="Hidden styles, the k of k-means.")

    @property
    def fits(self) -> bool:
        """Whether the method learns from faces."""
        return self.method in ("statistical", "cyclegan", "histogram")

    @property
    def per_fold(self) -> bool:
        """Whether every fold fits its own, in its training, so that nothing is stored."""
        return self.fits and self.fit_on == "fold"

    @property
    def stored(self) -> bool:
        """Whether the stage runs and its result is in the feature file."""
        return self.method != "none" and not self.per_fold

    @model_validator(mode="after")
    def _knows_what_to_fit_on(self) -> Style:
        if not self.fits:
            return self
        # Given generators still need faces to be tried on, and reference styles should they bend them.
        without = self.model is None or self.method == "cyclegan"
        if self.fit_on == "external" and not self.databases and without:
            raise ValueError(
                "databases: `fit_on: external` wants the macro-expression databases to fit on; or give reference "
                "styles as `model`, or choose `fit_on: all`, which sees the held-out subjects"
            )
        if self.fit_on != "external" and self.databases:
            raise ValueError(f"databases: goes with `fit_on: external`, found `fit_on: {self.fit_on}`")
        if self.fit_on == "fold" and (self.model is not None or self.method == "cyclegan"):
            raise ValueError(
                "fit_on: `fold` fits anew for every fold, so it goes without `model`; generators are not trained per "
                "fold, choose `statistical` or `histogram`"
            )
        return self


class TrainStyle(Section):
    """Training of the generators of `style: {method: cyclegan}`; defaults are SAN's."""

    size: int = Field(128, ge=24, le=1024, multiple_of=4, description="Side of the training pictures, pixels.")
    width: int = Field(64, ge=4, le=256, description="Channels of the first layer of every network.")
    blocks: int = Field(6, ge=0, le=16, description="Residual blocks of a generator.")
    batch_size: int = Field(32, ge=1, description="Pictures of each style per step.")
    epochs: int = Field(100, ge=1, description="Epochs at the full learning rate.")
    decay_epochs: int = Field(100, ge=0, description="Epochs over which it then falls to 0.")
    learning_rate: float = Field(2e-4, gt=0, description="Learning rate of Adam (β 0.5, 0.999).")
    cycle_weight: float = Field(10.0, ge=0, description="Weight of the cycle loss.")
    identity_weight: float = Field(0.1, ge=0, description="Weight of the identity loss, times `cycle_weight`.")
    geometry_weight: float = Field(
        10.0,
        ge=0,
        description="Weight of the geometry guard (ours): directions of Sobel gradients, where they are strong, are "
        "the input's. 0 leaves it out, as SAN does.",
    )
    pool: int = Field(50, ge=0, description="Past fakes that a discriminator is shown again.")
    generators: Literal["pair", "all_pairs"] = Field(
        "pair",
        description="`pair`: generators between the smallest and the largest cluster, as SAN; `all_pairs`: between "
        "all, and all their outputs are averaged (ours).",
    )
    feature_width: int = Field(64, ge=4, le=64, description="Channels of the feature network (64: ResNet-18).")
    feature_size: int = Field(224, ge=32, le=512, description="Side of its pictures, pixels.")
    feature_epochs: int = Field(2, ge=1, description="Epochs of telling original, grey, light and sketch apart.")
    feature_batch_size: int = Field(32, ge=2, description="Pictures per step of that training.")
    feature_learning_rate: float = Field(0.01, gt=0, description="Learning rate of its SGD.")
    feature_weights: Path | None = Field(
        None,
        description="A file of torchvision's `resnet18` weights to start the feature network from, e.g. ImageNet's; "
        "none: from random weights. Nothing is downloaded.",
    )
    checkpoint_steps: int = Field(200, ge=1, description="Steps between checkpoints and sample sheets.")
