"""Sections of the stages; what they hold decides what runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from mer_features.core.section import Section

Spotter = Literal["interframe_diff", "lbp_roi", "roi_diff", "midpoint"]
MagnifyMethod = Literal["none", "phase", "eulerian", "learned"]
FlowMethod = Literal["tvl1", "tvl1_fast", "tvl1_aligned", "opencv_tvl1", "skimage_tvl1", "farneback", "dis"]
FlowPair = Literal["onset_apex", "offset_apex", "onset_amplified", "offset_amplified"]
Descriptor = Literal["lbp_top", "bi_woof"]
Stage = Literal["faces", "apex", "magnify", "flow", "style", "descriptors"]
#: All stages in the order of the flow; :meth:`mer_features.workflow.config.Config.stages` are those a database goes
#: through.
STAGES: tuple[Stage, ...] = get_args(Stage)


class Faces(Section):
    """Face detection, landmarks, alignment and cropping."""

    mode: Literal["aligned", "box", "precropped"] = Field(
        "aligned",
        description="`aligned`: similarity transform that brings eyes and nose to fixed places; `box`: the "
        "detector's square box, as the papers crop; `precropped`: the frames are faces already, only resized.",
    )
    size: int = Field(256, ge=32, le=1024, description="Side of the square crop in pixels.")
    detector: Literal["libfacedetection", "dlib_hog"] = Field(
        "libfacedetection", description="Face detector; the papers name libfacedetection."
    )
    detect_side: int = Field(
        320,
        ge=80,
        le=4096,
        description="Frames are reduced until their longer side is at most this many pixels "
        "before detection; the box is then refined by landmarks at full size. Larger finds smaller faces, slower.",
    )
    min_score: float = Field(0.6, ge=0, le=1, description="Detections below this score are ignored.")
    margin: float = Field(0.0, ge=0, le=1, description="`box` mode: fraction of the box side added on every side.")
    register_method: Literal["none", "lk", "ecc"] = Field(
        "lk",
        alias="register",
        description="Removal of rigid head motion against the onset frame: `lk` tracks points, `ecc` maximises "
        "correlation (slower, and a smile leaks into its head motion), `none` applies the onset frame's "
        "crop to all frames.",
    )
    per_frame: bool = Field(
        False,
        description="Detect and align every frame separately, for footage with large head motion. Adds about "
        "half a pixel of jitter, as much as a micro-expression moves: do not use it before flow.",
    )
    landmark_model: Path | None = Field(
        None,
        description="A dlib 68-point shape predictor to use instead of the packaged one, whose training "
        "data (300-W) excludes commercial use.",
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Apex(Section):
    """Apex spotting."""

    policy: Literal["annotated", "interframe_diff", "lbp_roi", "roi_diff", "midpoint"] = Field(
        "annotated",
        description="Where the apex comes from; `annotated` takes the sheet's and `fallback` where "
        "the sheet has none or one outside onset..offset.",
    )
    fallback: Spotter = Field(
        "roi_diff", description="Spotter used where no annotated apex is usable; FR uses `interframe_diff`."
    )
    spotters: tuple[Spotter, ...] = Field(
        ("interframe_diff", "lbp_roi", "roi_diff", "midpoint"),
        description="Spotters whose curves are computed and stored.",
    )
    lbp_points: Literal[8] = Field(8, description="LBP neighbours P.")
    lbp_radius_px: int = Field(1, ge=1, le=3, description="LBP radius R in pixels of the crop.")

    @model_validator(mode="after")
    def _chosen_is_computed(self) -> Apex:
        needed = {self.fallback} | ({self.policy} - {"annotated"})
        if missing := needed - set(self.spotters):
            raise ValueError(f"spotters must include {', '.join(sorted(missing))}, which policy or fallback uses")
        return self


class Magnify(Section):
    """Motion magnification of the apex against the onset."""

    method: MagnifyMethod = Field(
        "phase",
        description="`none`: no amplified frame is made; `phase`: motion from Riesz phases, no weights; `eulerian`: "
        "linear amplification of brightness changes, the baseline; `learned`: a trained network, needs the extra "
        "`train`. docs/magnification.md compares them.",
    )
    factor: float = Field(
        6.0,
        ge=0,
        le=100,
        description="Total motion m: a displacement becomes m times as large, 1 changes nothing. MAP-MER uses 6.",
    )
    phase_synthesis: Literal["transport", "rotation"] = Field(
        "transport",
        description="`phase`: how the magnified frame is drawn. `transport` moves the frame on along the displacement "
        "that its phases show; `rotation` turns the phase of every band, as the literature does, and falls short of "
        "movements beyond about a pixel.",
    )
    phase_smoothing_px: float = Field(
        6.0,
        gt=0,
        le=64,
        description="`phase` with `transport`: standard deviation of the window over which phases are compared, pixels "
        "of the crop. Larger bears more noise, smaller follows finer movement.",
    )
    eulerian_motion_px: float = Field(
        1.0,
        gt=0,
        description="`eulerian`: largest displacement expected, pixels; a band of wavelength λ is amplified by at most "
        "λ/8 of it.",
    )
    weights: Path | None = Field(
        None, description="`learned`: a file of weights of your own; by default those that the package ships."
    )


class Flow(Section):
    """Optical flow and strain between key frames of the crop."""

    method: FlowMethod = Field(
        "tvl1_fast",
        description="Flow estimator. `tvl1`: TV-L1 with OpenCV's default parameters, own implementation; `tvl1_fast`: "
        "the same with settings that are more exact, faster and follow larger shifts (docs/performance.md); "
        "`tvl1_aligned`: full resolution only, for registered faces; a clip whose face still moves by over 1 px gets "
        "`tvl1_fast` and a warning; `opencv_tvl1`: OpenCV's own.",
    )
    light: Literal["matched", "as_recorded"] = Field(
        "matched",
        description="`matched`: a change of lighting between the two frames (gain, fall-off, black level) is removed "
        "first, because flow methods take it for motion; `as_recorded`: the papers' literal reading.",
    )
    pairs: tuple[FlowPair, ...] = Field(
        ("onset_apex", "offset_apex"),
        description="Frame pairs, reference first; `amplified` is the apex as the section `magnify` makes it.",
        min_length=1,
    )

    @property
    def amplified(self) -> bool:
        """Whether a pair needs the amplified apex."""
        return any(pair.endswith("_amplified") for pair in self.pairs)


class Descriptors(Section):
    """Handcrafted descriptors of a clip (docs/systems/baselines.md)."""

    methods: tuple[Descriptor, ...] = Field(
        ("lbp_top", "bi_woof"),
        description="Descriptors that are computed; none switches the stage off. `lbp_top`: of the frames from onset "
        "to offset, parameters of MEGC 2019; `bi_woof`: of the flow from onset to apex.",
    )


class Overrides(Section):
    """Keys of the stage sections that differ for one database."""

    faces: dict[str, Any] = Field(default_factory=dict, description="Keys of `faces`.")
    apex: dict[str, Any] = Field(default_factory=dict, description="Keys of `apex`.")
    magnify: dict[str, Any] = Field(default_factory=dict, description="Keys of `magnify`.")
    flow: dict[str, Any] = Field(default_factory=dict, description="Keys of `flow`.")


# Sections of the configuration for style aggregation; free of torch, so that a config is checked fast.

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
        "report says so); `fold`: the training subjects of each fold, rendered by the training of that fold, "
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
                "fit_on: `fold` fits separately for every fold, so it goes without `model`; generators are not trained "
                "per fold, choose `statistical` or `histogram`"
            )
        return self
