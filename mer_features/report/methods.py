"""The methods section: one sentence per step with the settings of this run, and the references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer_features import __version__
from mer_features.report import training_methods
from mer_features.report.references import REFERENCES, Citations, Paragraph, descriptor_source, descriptor_text
from mer_features.stages.options import STAGES, Stage
from mer_features.workflow import config as configuration


@dataclass(frozen=True)
class Methods:
    """Paragraphs in the order of the workflow, and the references they cite, numbered from 1."""

    paragraphs: Sequence[Paragraph]
    references: Sequence[str]


def build(config: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]] | None = None) -> Methods:
    """The paragraphs for a configuration that includes all defaults.

    ``summaries`` are the contents of ``summary.json`` of the pre-trainings that ran, by name.
    """
    cite = Citations()
    text = f"All steps were run with mer-features {__version__} under Snakemake {cite('snakemake')}."
    paragraphs = [Paragraph("Workflow", text)]
    if text := _synthetic(config):
        paragraphs.append(Paragraph("Data", text))
    if text := _published_maps(config, cite):
        paragraphs.append(Paragraph("Published flow maps", text))
    paragraphs += _stages(config, cite)
    paragraphs += training_methods.build(config, summaries or {}, cite)
    return Methods(paragraphs, [REFERENCES[key] for key in cite.used])


def _stages(config: Mapping[str, Any], cite: Citations) -> list[Paragraph]:
    """One paragraph for each stage that ran on at least one database; still images have no apex to spot."""
    typed = configuration.validate(config)
    features = [typed.features_of(name) for name in typed.databases]
    run = {stage for item in features for stage in item.stages if stage != "apex" or not item.faces.stills}
    run |= {"style"} if typed.style.per_fold else set()
    texts: tuple[tuple[Stage, str, Callable[[Mapping[str, Any], Citations], str]], ...] = (
        ("faces", "Faces", _faces),
        ("apex", "Apex", _apex),
        ("magnify", "Magnification", _magnify),
        ("flow", "Flow", _flow),
        ("style", "Style", _style),
        ("descriptors", "Descriptors", _descriptors),
    )
    paragraphs = [Paragraph(name, write(config[stage], cite)) for stage, name, write in texts if stage in run]
    if exceptions := _overrides(config):
        paragraphs.append(Paragraph("Exceptions", exceptions))
    return paragraphs


def _published_maps(config: Mapping[str, Any], cite: Citations) -> str:
    names = [name for name, item in config["databases"].items() if item["adapter"] == "flow_maps"]
    if not names:
        return ""
    return (
        f"For {', '.join(names)}, published 8-bit maps of flow and strain between onset and apex were read as they are "
        f"{cite('ststnet')}; no frame was read and no stage was run. Each map had been scaled to its own range."
    )


def _synthetic(config: Mapping[str, Any]) -> str:
    synthetic = {name: item for name, item in config["databases"].items() if item["adapter"] == "synthetic"}
    if not synthetic:
        return ""
    names = ", ".join(f"{name} (preset {item['preset']})" for name, item in synthetic.items())
    return (
        f"Synthetic data: {names}. Clips were rendered from one public-domain portrait with displacement fields of "
        "FACS action units, head motion, flicker, blinks, sensor noise and image compression. Ground truth is known "
        "for flow, apex and action units."
    )


def _faces(options: Mapping[str, Any], cite: Citations) -> str:
    if options["mode"] == "precropped":
        start = f"Frames were used as face crops and resized to {options['size']} × {options['size']} px"
    else:
        detector = {"libfacedetection": "libfacedetection", "dlib_hog": "dlib's HOG detector"}[options["detector"]]
        method = {
            "aligned": "with a similarity transform that aligns eyes and nose",
            "box": f"from the detected box (margin {options['margin']:g})",
        }[options["mode"]]
        frames = "every frame" if options["per_frame"] else "the onset frame only"
        start = (
            f"Faces were detected with {detector} {cite(options['detector'])} on frames reduced to "
            f"{options['detect_side']} px, 68 landmarks {cite('landmarks')} were located on {frames}, and crops of "
            f"{options['size']} × {options['size']} px were cut {method}"
        )
    return f"{start}; {_registration(options, cite)}."


def _registration(options: Mapping[str, Any], cite: Citations) -> str:
    if options["register"] == "none" or options["per_frame"]:
        return "frames were not registered to the onset"
    method = {"lk": "point tracking", "ecc": "maximisation of the correlation"}[options["register"]]
    return f"rigid head motion relative to the onset frame was removed by {method} {cite(options['register'])}"


_SPOTTERS = {
    "interframe_diff": "the frame with the largest mean absolute difference from the onset frame",
    "roi_diff": "the frame with the largest mean absolute difference from the onset frame in the regions of eyes and "
    "mouth, after the lighting was matched",
    "lbp_roi": "the frame with the largest LBP distance from the onset frame in the regions of eyes and mouth",
    "midpoint": "the middle frame",
}
_SPOTTER_SOURCE = {"interframe_diff": "fr", "lbp_roi": "sa_at"}


def _apex(options: Mapping[str, Any], cite: Citations) -> str:
    policy = options["policy"]
    chosen = options["fallback"] if policy == "annotated" else policy
    source = f" {cite(_SPOTTER_SOURCE[chosen])}" if chosen in _SPOTTER_SOURCE else ""
    spotted = f"{_SPOTTERS[chosen]} ({chosen}){source}"
    if policy == "annotated":
        return f"The annotated apex was used if it lies between onset and offset; otherwise {spotted} was used."
    return f"The apex was spotted as {spotted}."


_AMPLIFIED = {
    "phase": "its displacement since the onset was estimated from Riesz phases, from coarse to fine, and the frame was "
    "warped further along this displacement",
    "rotation": "in every band of its Riesz pyramid, the phase difference from the onset was amplified by a phase "
    "rotation of at most a quarter of a wavelength",
    "eulerian": "its changes of brightness since the onset were amplified in every band of a Laplacian pyramid",
    "learned": "the amplified frame was computed by a trained network",
}
_AMPLIFIED_SOURCE = {"phase": "riesz", "rotation": "riesz", "eulerian": "eulerian", "learned": "oh2018"}


def _magnify(options: Mapping[str, Any], cite: Citations) -> str:
    if options["method"] == "none":
        return ""
    rotation = options["method"] == "phase" and options["phase_synthesis"] == "rotation"
    method = "rotation" if rotation else options["method"]
    return (
        f"The motion of the apex was magnified by a factor of {options['factor']:g}: {_AMPLIFIED[method]} "
        f"{cite(_AMPLIFIED_SOURCE[method])}."
    )


_FLOWS = {
    "tvl1": "TV-L1 (own implementation, OpenCV's default parameters)",
    "tvl1_fast": "TV-L1 (own implementation, four levels of half size, three warps)",
    "tvl1_aligned": "TV-L1 (own implementation, full resolution only)",
    "opencv_tvl1": "TV-L1 (OpenCV, its default parameters)",
    "skimage_tvl1": "TV-L1 (scikit-image, its default parameters)",
    "farneback": "polynomial expansion",
    "dis": "dense inverse search at full resolution",
}


def _flow(options: Mapping[str, Any], cite: Citations) -> str:
    pairs = " and ".join(pair.replace("_", " to ") for pair in options["pairs"])
    method = options["method"]
    source = "tvl1" if "tvl1" in method else method
    matched = options["light"] == "matched"
    light = ", after changes of lighting between the two frames were removed by a robust fit" if matched else ""
    return (
        f"Optical flow from {pairs} was computed with {_FLOWS[method]} {cite(source)}{light}. "
        f"Its strain magnitude {cite('strain')} was computed with central differences. Both are stored unscaled; "
        "flow is in pixels of the crop."
    )


_STYLES = {
    "statistical": "setting the means, contrasts and lowest amplitudes in CIELAB, and the shape of the spectrum, to "
    "the mean of {clusters} reference styles found by k-means",
    "cyclegan": "averaging the outputs of generators trained between hidden styles found by k-means",
    "clahe": "contrast-limited adaptive histogram equalisation of lightness",
    "histogram": "matching to the pooled histogram",
}
_STYLE_SOURCES = {"statistical": ("reinhard", "fda"), "cyclegan": ("san", "cyclegan"), "clahe": ("clahe",)}
_FITTED_ON = {
    "external": "fitted on {databases} only",
    "all": "fitted on all faces, including those of held-out subjects (transductive)",
    "fold": "fitted on the training subjects of each fold",
}


def _style(options: Mapping[str, Any], cite: Citations) -> str:
    method = options["method"]
    if method == "none":
        return ""
    idea = cite("sa_at")  # first, because it stands first
    sources = _STYLE_SOURCES.get(method, ())
    operation = _STYLES[method].format(clusters=options["clusters"]) + (f" {cite(*sources)}" if sources else "")
    fit = ""
    if method != "clahe":
        databases = " and ".join(options["databases"])
        fitted_on = _FITTED_ON[options["fit_on"]].format(databases=databases)
        fit = ", with the result of an earlier fit" if options["model"] is not None else f", {fitted_on}"
    grey = " were made grey and" if options["colour"] == "grey" else " were"
    return f"Onset and apex crops{grey} converted to one style {idea} by {operation}{fit}."


def _descriptors(options: Mapping[str, Any], cite: Citations) -> str:
    texts = [f"{descriptor_text(name)} {cite(descriptor_source(name))}" for name in options["methods"]]
    return f"Handcrafted descriptors were computed: {'; '.join(texts)}." if texts else ""


def _overrides(config: Mapping[str, Any]) -> str:
    parts = [
        f"{name}: " + ", ".join(f"{stage}.{key} = {value}" for key, value in keys.items())
        for name, item in config["databases"].items()
        for stage in STAGES
        if (keys := item["overrides"].get(stage))
    ]
    return f"Some databases were processed with other settings: {'; '.join(parts)}." if parts else ""
