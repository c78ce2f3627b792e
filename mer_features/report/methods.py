"""The methods section: one sentence per stage with the settings of this run, and the references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mer_features import __version__
from mer_features.core.jobs import counted
from mer_features.stages.options import STAGES

_REFERENCES = {
    "libfacedetection": "W. Wu, H. Peng, S. Yu. YuNet: a tiny millisecond-level face detector. Machine Intelligence "
    "Research, 2023. doi:10.1007/s11633-023-1423-y",
    "dlib_hog": "N. Dalal, B. Triggs. Histograms of oriented gradients for human detection. CVPR, 2005. "
    "doi:10.1109/CVPR.2005.177",
    "landmarks": "V. Kazemi, J. Sullivan. One millisecond face alignment with an ensemble of regression trees. CVPR, "
    "2014. doi:10.1109/CVPR.2014.241",
    "lk": "B. D. Lucas, T. Kanade. An iterative image registration technique with an application to stereo vision. "
    "IJCAI, 1981",
    "ecc": "G. D. Evangelidis, E. Z. Psarakis. Parametric image alignment using enhanced correlation coefficient "
    "maximization. IEEE TPAMI, 2008. doi:10.1109/TPAMI.2008.113",
    "fr": "L. Zhou, Q. Mao, X. Huang, F. Zhang, Z. Zhang. Feature refinement: an expression-specific feature learning "
    "and fusion method for micro-expression recognition. Pattern Recognition, 2022. doi:10.1016/j.patcog.2021.108275",
    "sa_at": "L. Zhou, Q. Mao, L. Xue. Cross-database micro-expression recognition: a style aggregated and attention "
    "transfer approach. ICME Workshops, 2019",
    "reinhard": "E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley. Color transfer between images. IEEE Computer "
    "Graphics and Applications, 2001. doi:10.1109/38.946629",
    "fda": "Y. Yang, S. Soatto. FDA: Fourier domain adaptation for semantic segmentation. CVPR, 2020. "
    "doi:10.1109/CVPR42600.2020.00414",
    "san": "X. Dong, Y. Yan, W. Ouyang, Y. Yang. Style aggregated network for facial landmark detection. CVPR, 2018. "
    "doi:10.1109/CVPR.2018.00047",
    "cyclegan": "J.-Y. Zhu, T. Park, P. Isola, A. A. Efros. Unpaired image-to-image translation using cycle-consistent "
    "adversarial networks. ICCV, 2017. doi:10.1109/ICCV.2017.244",
    "clahe": "K. Zuiderveld. Contrast limited adaptive histogram equalization. Graphics Gems IV, 1994",
    "riesz": "N. Wadhwa, M. Rubinstein, F. Durand, W. T. Freeman. Riesz pyramids for fast phase-based video "
    "magnification. ICCP, 2014. doi:10.1109/ICCPHOT.2014.6831820",
    "eulerian": "H.-Y. Wu, M. Rubinstein, E. Shih, J. Guttag, F. Durand, W. T. Freeman. Eulerian video magnification "
    "for revealing subtle changes in the world. ACM TOG, 2012. doi:10.1145/2185520.2185561",
    "oh2018": "T.-H. Oh et al. Learning-based video motion magnification. ECCV, 2018. doi:10.1007/978-3-030-01225-0_39",
    "tvl1": "C. Zach, T. Pock, H. Bischof. A duality based approach for realtime TV-L1 optical flow. DAGM, 2007. "
    "doi:10.1007/978-3-540-74936-3_22",
    "farneback": "G. Farnebäck. Two-frame motion estimation based on polynomial expansion. SCIA, 2003. "
    "doi:10.1007/3-540-45103-X_50",
    "dis": "T. Kroeger, R. Timofte, D. Dai, L. Van Gool. Fast optical flow using dense inverse search. ECCV, 2016. "
    "doi:10.1007/978-3-319-46493-0_29",
    "strain": "M. Shreve, S. Godavarthy, V. Manohar, D. Goldgof, S. Sarkar. Towards macro- and micro-expression "
    "spotting in video using strain patterns. WACV, 2009. doi:10.1109/WACV.2009.5403044",
    "megc2019": "J. See, M. H. Yap, J. Li, X. Hong, S.-J. Wang. MEGC 2019: the second facial micro-expressions grand "
    "challenge. FG, 2019. doi:10.1109/FG.2019.8756611",
    "tsne": "L. van der Maaten, G. Hinton. Visualizing data using t-SNE. Journal of Machine Learning Research, 2008",
    "ststnet": "S.-T. Liong, Y. S. Gan, J. See, H.-Q. Khor, Y.-C. Huang. Shallow triple stream three-dimensional CNN "
    "(STSTNet) for micro-expression recognition. FG, 2019. doi:10.1109/FG.2019.8756567",
    "off_apexnet": "Y. S. Gan, S.-T. Liong, W.-C. Yau, Y.-C. Huang, L.-K. Tan. OFF-ApexNet on micro-expression "
    "recognition system. Signal Processing: Image Communication, 2019. doi:10.1016/j.image.2019.02.005",
    "dual_inception": "L. Zhou, Q. Mao, L. Xue. Dual-Inception network for cross-database micro-expression "
    "recognition. FG, 2019. doi:10.1109/FG.2019.8756579",
    "snakemake": "F. Mölder et al. Sustainable data analysis with Snakemake. F1000Research, 2021. "
    "doi:10.12688/f1000research.29032.2",
}


@dataclass
class _Citations:
    """Numbers the references in the order in which they are first cited."""

    used: list[str] = field(default_factory=list)

    def __call__(self, *keys: str) -> str:
        for key in keys:
            if key not in self.used:
                self.used.append(key)
        return "[" + ", ".join(str(self.used.index(key) + 1) for key in keys) + "]"


@dataclass(frozen=True)
class Paragraph:
    """One step: a sentence, and a list if the step ran several times with different settings."""

    step: str
    sentence: str
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Methods:
    """Paragraphs in the order of the workflow, and the references they cite, numbered from 1."""

    paragraphs: Sequence[Paragraph]
    references: Sequence[str]


def build(config: Mapping[str, Any]) -> Methods:
    """The paragraphs for a configuration that includes all defaults."""
    cite = _Citations()
    text = f"All steps were run with mer-features {__version__} under Snakemake {cite('snakemake')}."
    paragraphs = [Paragraph("Workflow", text)]
    if text := _synthetic(config):
        paragraphs.append(Paragraph("Data", text))
    if text := _published_maps(config, cite):
        paragraphs.append(Paragraph("Published flow maps", text))
    if any(item["adapter"] != "flow_maps" for item in config["databases"].values()):
        paragraphs += _stages(config, cite)
    if config.get("protocols"):
        text = "No subject was in both the training set and the test set of a fold."
        paragraphs.append(Paragraph("Protocols", text, _protocols(config["protocols"], cite)))
    if config.get("systems"):
        text = "Every system was trained once per fold and seed; recipe keys not listed here had their default values."
        paragraphs.append(Paragraph("Training", text, _systems(config["systems"], cite)))
        paragraphs.append(Paragraph("Evaluation", _evaluation(cite)))
    return Methods(paragraphs, [_REFERENCES[key] for key in cite.used])


def _stages(config: Mapping[str, Any], cite: _Citations) -> list[Paragraph]:
    """One paragraph for each stage that ran."""
    texts = {
        "Faces": _faces(config["faces"], cite),
        "Apex": _apex(config["apex"], cite),
        "Magnification": _magnify(config["magnify"], cite),
        "Flow": _flow(config["flow"], cite),
        "Style": _style(config["style"], cite),
        "Exceptions": _overrides(config),
    }
    return [Paragraph(step, text) for step, text in texts.items() if text]


def _published_maps(config: Mapping[str, Any], cite: _Citations) -> str:
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


def _faces(options: Mapping[str, Any], cite: _Citations) -> str:
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


def _registration(options: Mapping[str, Any], cite: _Citations) -> str:
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


def _apex(options: Mapping[str, Any], cite: _Citations) -> str:
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


def _magnify(options: Mapping[str, Any], cite: _Citations) -> str:
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


def _flow(options: Mapping[str, Any], cite: _Citations) -> str:
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


def _style(options: Mapping[str, Any], cite: _Citations) -> str:
    method = options["method"]
    if method == "none":
        return ""
    sources = _STYLE_SOURCES.get(method, ())
    operation = _STYLES[method].format(clusters=options["clusters"]) + (f" {cite(*sources)}" if sources else "")
    fit = ""
    if method != "clahe":
        databases = " and ".join(options["databases"])
        fitted_on = _FITTED_ON[options["fit_on"]].format(databases=databases)
        fit = ", with the result of an earlier fit" if options["model"] is not None else f", {fitted_on}"
    return f"Onset and apex crops were converted to one style {cite('sa_at')} by {operation}{fit}."


def _overrides(config: Mapping[str, Any]) -> str:
    parts = [
        f"{name}: " + ", ".join(f"{stage}.{key} = {value}" for key, value in keys.items())
        for name, item in config["databases"].items()
        for stage in STAGES
        if (keys := item["overrides"].get(stage))
    ]
    return f"Some databases were processed with other settings: {'; '.join(parts)}." if parts else ""


def _protocols(protocols: Mapping[str, Mapping[str, Any]], cite: _Citations) -> list[str]:
    parts = []
    for name, item in protocols.items():
        is_name = isinstance(item["labels"], str)
        labels = f"the label map {item['labels']}" if is_name else f"the classes {', '.join(item['labels'])}"
        source = f" {cite(item['labels'])}" if is_name and item["labels"] in _REFERENCES else ""
        parts.append(f"{name}: {' and '.join(item['databases'])} with {labels}{source}, {_folds(item)}")
    return parts


def _folds(protocol: Mapping[str, Any]) -> str:
    if protocol["folds"] == "loso":
        return "leave-one-subject-out cross-validation (LOSO)"
    if protocol["folds"] == "transfer":
        return f"tested on all of {' and '.join(protocol['test'])}, trained on the other databases"
    return f"{protocol['folds']} folds; all clips of a subject are in the same fold"


def _systems(systems: Mapping[str, Mapping[str, Any]], cite: _Citations) -> list[str]:
    parts = []
    for name, item in systems.items():
        source = f" {cite(item['system'])}" if item["system"] in _REFERENCES else ""
        changes = ", ".join(f"{key} {value}" for key, value in item["recipe"].items())
        shuffle = ", labels shuffled within the training folds" if item["shuffle_labels"] else ""
        recipe = f"with {changes}" if changes else "with its default recipe"
        parts.append(f"{name}: {item['system']}{source} {recipe}, {counted(len(item['seeds']), 'seed')}{shuffle}")
    return parts


def _evaluation(cite: _Citations) -> str:
    return (
        "For each seed, the predictions of all folds were pooled into one confusion matrix, from which unweighted F1 "
        f"(UF1), unweighted average recall (UAR) and accuracy were computed {cite('megc2019')}. Scores are means over "
        "seeds with their standard deviation (n − 1) and a 95\u00a0% percentile interval from resampling whole "
        f"subjects. Embeddings were projected with t-SNE {cite('tsne')}."
    )
