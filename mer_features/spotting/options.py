"""Configuration sections of the spotters; all times are in seconds, all lengths in distances between the eyes."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mer_features.core.section import Section

#: Most combinations that may be tried in each fold.
COMBINATIONS = 500

Height = Annotated[float, Field(gt=0, le=0.5)]
Fraction = Annotated[float, Field(gt=0, lt=0.5)]


class RegionValues(Section):
    """Values that decide what the region spotter finds; with training, they are searched on training subjects."""

    noise_factor: float = Field(
        5.0,
        ge=1,
        le=100,
        description="An event must be at least this many times as large as the recording's own noise.",
    )
    micro_height: Height = Field(
        0.0035, description="Smallest motion of a micro-expression, in distances between the eyes."
    )
    macro_height: Height = Field(
        0.012, description="Smallest motion of a macro-expression, in distances between the eyes."
    )
    boundary: Fraction = Field(
        0.2,
        description="An event begins and ends near the moment at which this fraction of its height is reached; the "
        "foot of the rise is extrapolated from there.",
    )
    overlap: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Events of two regions are one if they share more than this fraction of the shorter one.",
    )
    micro_s: float = Field(
        0.5,
        gt=0,
        le=5,
        description="Longest micro-expression in seconds; with `kind_rule: rise`, its longest rise, 0.27 in CAS(ME)³.",
    )
    least_score: float = Field(
        0.2, ge=0, lt=1, description="Spots with a lower score are left out; 0 is the score at the threshold."
    )
    mouth_score: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The same for spots of the mouth alone, which speech looks like; 1 leaves all of them out.",
    )


class RegionGrid(Section):
    """Values of :class:`RegionValues` to be tried, at most 500 combinations."""

    noise_factor: tuple[float, ...] = Field((4.0, 7.0), min_length=1, description="Values of `noise_factor`.")
    micro_height: tuple[float, ...] = Field((0.0035, 0.005), min_length=1, description="Of `micro_height`.")
    macro_height: tuple[float, ...] = Field((0.008, 0.014), min_length=1, description="Of `macro_height`.")
    boundary: tuple[float, ...] = Field((0.15, 0.25), min_length=1, description="Of `boundary`.")
    overlap: tuple[float, ...] = Field((0.3,), min_length=1, description="Of `overlap`.")
    micro_s: tuple[float, ...] = Field((0.45, 0.55, 0.65), min_length=1, description="Of `micro_s`.")
    least_score: tuple[float, ...] = Field((0.0, 0.2, 0.4), min_length=1, description="Of `least_score`.")
    mouth_score: tuple[float, ...] = Field((0.0, 0.6, 1.0), min_length=1, description="Of `mouth_score`.")

    @model_validator(mode="after")
    def _are_few(self) -> RegionGrid:
        count = prod(len(values) for _, values in self)
        if count > COMBINATIONS:
            raise ValueError(f"{count} combinations of values to try; expected at most {COMBINATIONS}")
        self.combinations()  # every value is within its bounds
        return self

    def combinations(self) -> tuple[RegionValues, ...]:
        """All combinations, in a fixed order."""
        names = [name for name, _ in self]
        return tuple(
            RegionValues(**dict(zip(names, values, strict=True))) for values in product(*(values for _, values in self))
        )


class _Spotter(Section):
    shuffle_events: bool = Field(
        False,
        description="Move the events of the training recordings to random places before training: a check that the "
        "score then falls to that of a blind method.",
    )


class RegionSpotter(_Spotter):
    """Spots where the motion of a face region rises and falls; needs no training."""

    method: Literal["regions"] = "regions"
    tune: bool = Field(
        True, description="Search `grid` on the training subjects of each fold; `false`: use `values` as they are."
    )
    values: RegionValues = Field(RegionValues(), description="Values without training.")
    grid: RegionGrid = Field(RegionGrid(), description="Values to be tried on training subjects.")
    kind_rule: Literal["duration", "rise"] = Field(
        "duration",
        description="What makes a micro-expression: its duration, or the time from onset to apex as in CAS(ME)³.",
    )
    low_pass_hz: float = Field(5.0, gt=0.5, le=20, description="Faster motion is removed as noise.")
    micro_window_s: float = Field(
        1.5,
        ge=0.5,
        le=10,
        description="Window of the running median that is the rest of micro-expressions, in seconds.",
    )
    macro_window_s: float = Field(
        10.0,
        ge=2,
        le=120,
        description="The same for macro-expressions. Movements longer than half of it are left out, because it takes "
        "them for rest. About 10 for CAS(ME)², 20 for SAMM Long Videos, 30 for CAS(ME)³.",
    )
    split: Fraction = Field(
        0.33,
        description="Two movements are two events if the motion between them falls and rises again by this fraction of "
        "the height.",
    )
    shortest_s: float = Field(0.08, ge=0, le=1, description="Shorter movements are left out, in seconds.")
    blink_height: float = Field(
        0.01,
        ge=0,
        le=1,
        description="During a blink, brows and cheeks must move at least this much to count, in distances between the "
        "eyes; 1 removes all their motion during blinks.",
    )
    speech_factor: float = Field(
        2.5,
        ge=0,
        le=10,
        description="In speech, a movement must be this many times as large as the region moves to and fro there. 0: "
        "for recordings without speech.",
    )
    residual_factor: float = Field(
        4.0,
        ge=1,
        le=100,
        description="Movements are left out while the error of the registration of the head is this many times its "
        "median in the recording, and above 0.5 % of the distance between the eyes.",
    )

    @model_validator(mode="after")
    def _windows_differ(self) -> RegionSpotter:
        if self.macro_window_s <= self.micro_window_s:
            raise ValueError(
                f"macro_window_s {self.macro_window_s:g} is not longer than micro_window_s {self.micro_window_s:g}"
            )
        return self

    def combinations(self) -> tuple[RegionValues, ...]:
        """What is tried on training subjects; one combination if nothing is tuned."""
        return self.grid.combinations() if self.tune else (self.values,)


class Blind(_Spotter):
    """Spots that do not depend on the face: what a score is worth is seen beside theirs."""

    method: Literal["blind"] = "blind"
    rule: Literal["tiling", "nothing", "everything", "relative"] = Field(
        "tiling",
        description="`tiling`: intervals of one length at equal distances, searched on training subjects; `nothing`; "
        "`everything`: one interval per recording and kind; `relative`: a threshold relative to the largest motion in "
        "the recording, as several published spotters have it. It looks at the face, but finds something in every "
        "recording.",
    )


class Network(_Spotter):
    """A small temporal convolutional network on the motion of the face regions; needs PyTorch."""

    method: Literal["network"] = "network"
    rate_hz: float = Field(25.0, ge=10, le=60, description="Rate to which signals are resampled, in Hz.")
    width: int = Field(32, ge=4, le=256, description="Channels of the hidden layers.")
    dilations: tuple[int, ...] = Field(
        (1, 2, 4, 8, 16, 32),
        min_length=1,
        max_length=9,
        description="Dilation of each residual block. With these, a frame sees 10 seconds.",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of the hidden channels left out in training.")
    epochs: int = Field(20, ge=1, le=1000, description="Epochs of training, a fixed number.")
    batches: int = Field(20, ge=1, le=10000, description="Batches of an epoch.")
    batch: int = Field(8, ge=1, le=256, description="Stretches of recordings in a batch; half of them have an event.")
    stretch_s: float = Field(10.0, ge=2, le=120, description="Length of a stretch in seconds.")
    learning_rate: float = Field(5e-3, gt=0, le=1, description="Largest step of AdamW.")
    averaged_epochs: int = Field(5, ge=1, le=1000, description="The weights of so many last epochs are averaged.")
    inner_folds: int = Field(
        2,
        ge=2,
        le=20,
        description="The thresholds are chosen on training subjects that networks trained without them have scored; "
        "the training subjects are divided into so many parts for this.",
    )
    augment: bool = Field(
        True,
        description="In training, mirror the face, scale motion by up to 20 %, stretch time by up to 15 %, leave out "
        "regions, and add the motion of stretches without an event.",
    )
    device: Literal["auto", "cpu", "gpu"] = Field("cpu", description="Where to train.")


#: Any spotter; ``method`` says which.
Spotter = Annotated[RegionSpotter | Blind | Network, Field(discriminator="method")]
