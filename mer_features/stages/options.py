"""Configuration sections of the stages; a changed value makes the workflow run the stage again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from mer_features.core.section import Section

Spotter = Literal["interframe_diff", "lbp_roi", "roi_diff", "midpoint"]
MagnifyMethod = Literal["none", "phase", "eulerian", "learned"]
FlowMethod = Literal["tvl1", "tvl1_fast", "tvl1_aligned", "opencv_tvl1", "skimage_tvl1", "farneback", "dis"]
FlowPair = Literal["onset_apex", "offset_apex", "onset_amplified", "offset_amplified"]
Descriptor = Literal[
    "lbp_top", "lbp_top_r1p4", "lbp_top_r1p8", "lbp_top_r3p4", "lbp_top_r3p8", "hog_top_p4", "hog_top_p8",
    "higo_top_p4", "higo_top_p8", "bi_woof", "mdmo",
]  # fmt: skip
#: Descriptors of the flow from onset to apex; the others are of the frames.
FLOW_DESCRIPTORS: tuple[Descriptor, ...] = ("bi_woof", "mdmo")
Stage = Literal["faces", "apex", "magnify", "flow", "style", "descriptors"]
#: All stages in the order in which they run; :meth:`mer_features.workflow.config.Config.stages` gives those of a
#: database.
STAGES: tuple[Stage, ...] = get_args(Stage)


class Faces(Section):
    """Face detection, landmarks, alignment and cropping."""

    mode: Literal["aligned", "box", "precropped"] = Field(
        "aligned",
        description="How the face is cropped. `aligned`: a similarity transform moves eyes and nose to fixed "
        "positions; `box`: a square around the detected box, as in the papers; `precropped`: the frames are already "
        "face crops and are only resized.",
    )
    size: int = Field(256, ge=32, le=1024, description="Side of the square crop in pixels.")
    detector: Literal["libfacedetection", "dlib_hog"] = Field(
        "libfacedetection", description="Face detector; the papers use libfacedetection."
    )
    detect_side: int = Field(
        320,
        ge=80,
        le=4096,
        description="Before detection, frames are reduced until their longer side is at most this many pixels; the box "
        "is then refined with landmarks at full size. With larger values smaller faces are found, but it takes longer.",
    )
    min_score: float = Field(0.6, ge=0, le=1, description="Detections below this score are ignored.")
    margin: float = Field(
        0.0, ge=0, le=1, description="For mode `box`: margin on every side, as a fraction of the side of the box."
    )
    register_method: Literal["none", "lk", "ecc"] = Field(
        "lk",
        alias="register",
        description="How rigid head motion relative to the onset frame is removed. `lk`: by tracking points; `ecc`: by "
        "maximising the correlation (slower, and a smile affects the measured head motion); `none`: it is not removed, "
        "and the crop of the onset frame is used for all frames.",
    )
    per_frame: bool = Field(
        False,
        description="Detect and align the face in every frame separately, for recordings with large head motion. This "
        "adds about half a pixel of jitter, as much as a micro-expression moves; do not use it if flow is computed.",
    )
    stills: bool = Field(
        False,
        description="The sources are still images, not clips: one frame each, which is the onset and the apex. Nothing "
        "moves in them, so nothing is spotted, magnified or measured between frames, and the feature file has /faces "
        "and, if it is switched on, /style alone. Set by the adapters of databases of still images. `false`: a source "
        "of one frame is rejected.",
    )
    landmark_model: Path | None = Field(
        None,
        description="A dlib 68-point shape predictor to use instead of the included one. The training data of the "
        "included one (300-W) may not be used commercially.",
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Apex(Section):
    """Apex spotting."""

    policy: Literal["annotated", "interframe_diff", "lbp_roi", "roi_diff", "midpoint"] = Field(
        "annotated",
        description="How the apex is chosen: by the named spotter, or with `annotated` from the annotation sheet. If "
        "the sheet has no apex, or one that is not between onset and offset, the spotter `fallback` is used.",
    )
    fallback: Spotter = Field(
        "roi_diff", description="Spotter to use if no annotated apex can be used; FR uses `interframe_diff`."
    )
    spotters: tuple[Spotter, ...] = Field(
        ("interframe_diff", "lbp_roi", "roi_diff", "midpoint"),
        description="Spotters whose curves are computed and stored.",
    )
    lbp_points: Literal[8] = Field(8, description="Number of LBP neighbours P.")
    lbp_radius_px: int = Field(1, ge=1, le=3, description="LBP radius R in pixels of the crop.")

    @model_validator(mode="after")
    def _chosen_is_computed(self) -> Apex:
        needed = {self.fallback} | ({self.policy} - {"annotated"})
        if missing := needed - set(self.spotters):
            raise ValueError(f"spotters must include {', '.join(sorted(missing))}, used by policy or fallback")
        return self


class Magnify(Section):
    """Motion magnification of the apex relative to the onset."""

    method: MagnifyMethod = Field(
        "phase",
        description="Method. `none`: no magnification; `phase`: motion measured from Riesz phases, needs no weights; "
        "`eulerian`: linear amplification of changes of brightness, the baseline; `learned`: a trained network, needs "
        "the extra `train`. See docs/magnification.md for a comparison.",
    )
    factor: float = Field(
        6.0,
        ge=0,
        le=100,
        description="Magnification factor m of the total motion (1 = unchanged): a displacement becomes m times as "
        "large. MAP-MER uses 6.",
    )
    phase_synthesis: Literal["transport", "rotation"] = Field(
        "transport",
        description="For method `phase`: how the magnified frame is computed. `transport` warps the frame further "
        "along the displacement measured from its phases; `rotation` rotates the phase of every band, as in the "
        "literature, and cannot reach movements of more than about one pixel.",
    )
    phase_smoothing_px: float = Field(
        6.0,
        gt=0,
        le=64,
        description="For method `phase` with `transport`: standard deviation, in pixels of the crop, of the window in "
        "which phases are compared. Larger values tolerate more noise, smaller values resolve finer movements.",
    )
    eulerian_motion_px: float = Field(
        1.0,
        gt=0,
        description="For method `eulerian`: largest expected displacement δ, in pixels. The factor of a band of "
        "wavelength λ is limited to λ / (8 δ), but is never below 1 (no amplification).",
    )
    weights: Path | None = Field(
        None, description="For method `learned`: file of weights to use instead of those included in the package."
    )


class Flow(Section):
    """Optical flow and strain between key frames of the crop."""

    method: FlowMethod = Field(
        "tvl1_fast",
        description="Flow method. `tvl1`: our implementation of TV-L1 with OpenCV's default parameters; `tvl1_fast`: "
        "the same with settings that are more accurate, are faster and follow larger shifts (docs/performance.md); "
        "`tvl1_aligned`: full resolution only, for registered faces (a clip whose face still moves by more than 1 px "
        "gets `tvl1_fast` and a warning); `opencv_tvl1`: OpenCV's TV-L1; `skimage_tvl1`: scikit-image's TV-L1; "
        "`farneback`: polynomial expansion; `dis`: dense inverse search.",
    )
    light: Literal["matched", "as_recorded"] = Field(
        "matched",
        description="`matched`: a change of lighting between the two frames (intensity, gradient across the face, "
        "black level) is removed first, because flow methods would measure it as motion; `as_recorded`: the frames are "
        "used as they are, as described in the papers.",
    )
    pairs: tuple[FlowPair, ...] = Field(
        ("onset_apex", "offset_apex"),
        description="Frame pairs, reference first; `amplified` is the apex after magnification (section `magnify`).",
        min_length=1,
    )

    @property
    def amplified(self) -> bool:
        """Whether a pair needs the amplified apex."""
        return any(pair.endswith("_amplified") for pair in self.pairs)


class SignalOptions(Section):
    """Motion of face regions in whole recordings, the input of spotting."""

    rate_hz: float = Field(
        50.0,
        ge=25,
        le=240,
        description="Frames per second to analyse. Of faster recordings only every n-th frame is analysed, with n the "
        "frame rate divided by this, rounded: 50 of 200 and of 100, all 30 of 30. With larger values noise is averaged "
        "over more frames, but it takes longer.",
    )
    size: int = Field(
        256, ge=128, le=512, description="Side in pixels of the aligned square crop in which motion is measured."
    )
    anchor_s: float = Field(
        2.0,
        gt=0,
        le=10,
        description="Seconds at the beginning, and after the face was lost, from which the frame is chosen to which "
        "all others are registered.",
    )
    key_frame_s: float = Field(
        2.0,
        ge=0.5,
        le=30,
        description="Seconds after which the frame from which motion is measured is renewed. With longer times slow "
        "changes of pose and lighting disturb, with shorter times errors add up more quickly.",
    )
    lost_s: float = Field(
        0.5,
        gt=0,
        le=10,
        description="Seconds without the face after which it is searched again. Signals before and after are not "
        "compared.",
    )

    def step(self, fps: float) -> int:
        """Distance of two analysed frames in a recording of this frame rate."""
        return max(1, round(fps / self.rate_hz))


class Descriptors(Section):
    """Handcrafted descriptors of a clip (docs/systems/baselines.md)."""

    methods: tuple[Descriptor, ...] = Field(
        ("lbp_top", "bi_woof"),
        description="Descriptors to compute; an empty list switches the stage off. Of the frames from onset to offset: "
        "`lbp_top`, LBP-TOP with the parameters of MEGC 2019; `lbp_top_r3p8`, with radius 3 along all axes and 8 "
        "neighbours, and so on; `hog_top_p8` and `higo_top_p8`, histograms of gradient orientation with 8 bins, and so "
        "on. Of the flow from onset to apex: `bi_woof`, `mdmo`.",
    )

    @property
    def of_flow(self) -> tuple[Descriptor, ...]:
        """The methods that need the flow from onset to apex."""
        return tuple(method for method in self.methods if method in FLOW_DESCRIPTORS)


class Overrides(Section):
    """Keys of the stage sections that differ for one database."""

    faces: dict[str, Any] = Field(default_factory=dict, description="Keys of `faces`.")
    apex: dict[str, Any] = Field(default_factory=dict, description="Keys of `apex`.")
    magnify: dict[str, Any] = Field(default_factory=dict, description="Keys of `magnify`.")
    flow: dict[str, Any] = Field(default_factory=dict, description="Keys of `flow`.")


# Style aggregation; does not import torch, so that a configuration is checked quickly.

StyleMethod = Literal["none", "statistical", "cyclegan", "clahe", "histogram"]
FitOn = Literal["external", "all", "fold"]


class Style(Section):
    """Style aggregation of onset and apex crops."""

    method: StyleMethod = Field(
        "none",
        description="Method. `none` switches the stage off. `statistical`: statistics of colour and spectrum are set "
        "to the mean of reference styles; needs no training. `cyclegan`: generators trained by `train_style`, as in "
        "SAN. `clahe`, `histogram`: simple methods for comparison.",
    )
    fit_on: FitOn = Field(
        "external",
        description="Faces on which reference styles or generators are fitted. `external`: the macro-expression "
        "databases listed in `databases`; `all`: every database of the run, including held-out subjects (transductive, "
        "which the report states); `fold`: the training subjects of each fold; images are then converted during the "
        "training of that fold, and no /style is stored.",
    )
    databases: tuple[str, ...] = Field((), description="The databases to fit on with `fit_on: external`.")
    model: Path | None = Field(
        None,
        description="Result of an earlier fit to use instead of a new fit: reference styles (`fitted.json`) for "
        "`statistical` and `histogram`, generators (`model.pt`) for `cyclegan`.",
    )
    clusters: int = Field(3, ge=1, le=16, description="Number of hidden styles, the k of k-means.")
    colour: Literal["keep", "grey"] = Field(
        "keep",
        description="`keep`: colour faces stay in colour and grey faces grey, so that a grey database can be told from "
        "the others by its colour alone; `grey` (ours): every face is made grey first, so that all databases have one "
        "colour space.",
    )

    @property
    def fits(self) -> bool:
        """Whether the method learns from faces."""
        return self.method in ("statistical", "cyclegan", "histogram")

    @property
    def per_fold(self) -> bool:
        """Whether each fold has its own fit, made during its training, so that nothing is stored."""
        return self.fits and self.fit_on == "fold"

    @property
    def stored(self) -> bool:
        """Whether the stage runs and its result is stored in the feature file."""
        return self.method != "none" and not self.per_fold

    @model_validator(mode="after")
    def _knows_what_to_fit_on(self) -> Style:
        if self.method == "none" and self.colour != "keep":
            raise ValueError(f"colour: `{self.colour}` needs a method; `none` switches the stage off")
        if not self.fits:
            return self
        # Even generators from an earlier fit need faces for the acceptance test, and reference styles if they fail it.
        needs_faces = self.model is None or self.method == "cyclegan"
        if self.fit_on == "external" and not self.databases and needs_faces:
            raise ValueError(
                "databases: `fit_on: external` needs the macro-expression databases to fit on; list them, set `model` "
                "to the reference styles of an earlier fit, or choose `fit_on: all`, which includes held-out subjects"
            )
        if self.fit_on != "external" and self.databases:
            raise ValueError(f"databases: only used with `fit_on: external`, found `fit_on: {self.fit_on}`")
        if self.fit_on == "fold" and (self.model is not None or self.method == "cyclegan"):
            raise ValueError(
                "fit_on: `fold` fits separately for every fold, so `model` must not be set; generators are not trained "
                "per fold, so the method must be `statistical` or `histogram`"
            )
        return self
