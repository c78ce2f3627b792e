"""The methods paragraph: one sentence a stage with the settings really used, and its references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mer_features import __version__
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
    "snakemake": "F. Mölder et al. Sustainable data analysis with Snakemake. F1000Research, 2021. "
    "doi:10.12688/f1000research.29032.2",
}


@dataclass
class _Citations:
    """Numbers references in the order of their first use."""

    used: list[str] = field(default_factory=list)

    def __call__(self, *keys: str) -> str:
        for key in keys:
            if key not in self.used:
                self.used.append(key)
        return "[" + ", ".join(str(self.used.index(key) + 1) for key in keys) + "]"


@dataclass(frozen=True)
class Paragraph:
    """What one step did: a sentence, and a list where the step ran several times with different settings."""

    step: str
    sentence: str
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Methods:
    """Paragraphs in the order of the flow and the references they cite, numbered from 1."""

    paragraphs: Sequence[Paragraph]
    references: Sequence[str]


def build(config: Mapping[str, Any]) -> Methods:
    """The paragraphs for a configuration with all its defaults filled in."""
    cite = _Citations()
    text = f"All steps ran with mer-features {__version__} under Snakemake {cite('snakemake')}."
    paragraphs = [Paragraph("Workflow", text)]
    if text := _synthetic(config):
        paragraphs.append(Paragraph("Data", text))
    paragraphs.append(Paragraph("Faces", _faces(config["faces"], cite)))
    paragraphs.append(Paragraph("Apex", _apex(config["apex"], cite)))
    if text := _magnify(config["magnify"], cite):
        paragraphs.append(Paragraph("Magnification", text))
    paragraphs.append(Paragraph("Flow", _flow(config["flow"], cite)))
    if text := _style(config["style"], cite):
        paragraphs.append(Paragraph("Style", text))
    if text := _overrides(config):
        paragraphs.append(Paragraph("Exceptions", text))
    if config.get("protocols"):
        text = "No subject is in the training and the test part of the same fold."
        paragraphs.append(Paragraph("Protocols", text, _protocols(config["protocols"], cite)))
    if config.get("systems"):
        text = "Every system was trained once per fold and seed; recipe keys not named here have their defaults."
        paragraphs.append(Paragraph("Training", text, _systems(config["systems"], cite)))
        paragraphs.append(Paragraph("Evaluation", _evaluation(cite)))
    return Methods(paragraphs, [_REFERENCES[key] for key in cite.used])


def _synthetic(config: Mapping[str, Any]) -> str:
    made = {name: item for name, item in config["databases"].items() if item["adapter"] == "synthetic"}
    if not made:
        return ""
    listed = ", ".join(f"{name} (preset {item['preset']})" for name, item in made.items())
    return (
        f"{listed}: clips rendered from one public-domain portrait by displacement fields of FACS action units, with "
        "head motion, flicker, blinks, sensor noise and image compression; true flow, apex and action units are known."
    )


def _faces(options: Mapping[str, Any], cite: _Citations) -> str:
    if options["mode"] == "precropped":
        start = f"Frames were taken as face crops and resized to {options['size']} × {options['size']} px"
    else:
        detector = {"libfacedetection": "libfacedetection", "dlib_hog": "dlib's HOG detector"}[options["detector"]]
        how = {
            "aligned": "a similarity transform of the eyes and the nose",
            "box": f"the detected box (margin {options['margin']:g})",
        }[options["mode"]]
        when = "every frame" if options["per_frame"] else "the onset frame only"
        start = (
            f"Faces were found with {detector} {cite(options['detector'])} on frames reduced to "
            f"{options['detect_side']} px, 68 landmarks {cite('landmarks')} placed on {when}, and crops of "
            f"{options['size']} × {options['size']} px cut by {how}"
        )
    return f"{start}; {_registration(options, cite)}."


def _registration(options: Mapping[str, Any], cite: _Citations) -> str:
    if options["register"] == "none" or options["per_frame"]:
        return "frames were not registered to the onset"
    how = {"lk": "tracked points", "ecc": "maximal correlation"}[options["register"]]
    return f"rigid head motion against the onset frame was removed by {how} {cite(options['register'])}"


_SPOTTERS = {
    "interframe_diff": "the largest mean absolute difference from the onset frame",
    "roi_diff": "the largest mean absolute difference from the onset frame within eyes and mouth, light matched",
    "lbp_roi": "the largest LBP distance of eyes and mouth from the onset frame",
    "midpoint": "the middle frame",
}
_SPOTTER_SOURCE = {"interframe_diff": "fr", "lbp_roi": "sa_at"}


def _apex(options: Mapping[str, Any], cite: _Citations) -> str:
    policy = options["policy"]
    chosen = options["fallback"] if policy == "annotated" else policy
    source = f" {cite(_SPOTTER_SOURCE[chosen])}" if chosen in _SPOTTER_SOURCE else ""
    spotted = f"{_SPOTTERS[chosen]} ({chosen}){source}"
    if policy == "annotated":
        return f"The annotated apex was used where there is one inside onset and offset, elsewhere {spotted}."
    return f"The apex was spotted as {spotted}."


_AMPLIFIED = {
    "phase": "its displacement since the onset was estimated from Riesz phases, coarse to fine, and the frame moved on "
    "along it",
    "rotation": "the phase of every band of its Riesz pyramid was turned on by that of the onset, by at most a quarter "
    "of a wave",
    "eulerian": "its changes of brightness since the onset were amplified in every band of a Laplacian pyramid",
    "learned": "by a trained network",
}
_AMPLIFIED_SOURCE = {"phase": "riesz", "rotation": "riesz", "eulerian": "eulerian", "learned": "oh2018"}


def _magnify(options: Mapping[str, Any], cite: _Citations) -> str:
    if options["method"] == "none":
        return ""
    turned = options["method"] == "phase" and options["phase_synthesis"] == "rotation"
    method = "rotation" if turned else options["method"]
    return (
        f"The motion of the apex was magnified {options['factor']:g} times in all: {_AMPLIFIED[method]} "
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
    light = ", after a change of lighting between the two frames was removed by a robust fit" if matched else ""
    return (
        f"Optical flow from {pairs} was computed with {_FLOWS[method]} {cite(source)}{light}, "
        f"and its strain magnitude {cite('strain')} by central differences; both are stored unscaled, in crop pixels."
    )


_STYLES = {
    "statistical": "means, contrasts and lowest amplitudes in CIELAB, and the form of the spectrum, brought to the "
    "mean of {clusters} reference styles found by k-means",
    "cyclegan": "the mean of generators trained between hidden styles found by k-means",
    "clahe": "contrast-limited adaptive histogram equalisation of lightness",
    "histogram": "matching to the pooled histogram",
}
_STYLE_SOURCES = {"statistical": ("reinhard", "fda"), "cyclegan": ("san", "cyclegan"), "clahe": ("clahe",)}
_FITTED_ON = {
    "external": "fitted on {databases} only",
    "all": "fitted on all faces, those of held-out subjects included (transductive)",
    "fold": "fitted on the training subjects of each fold",
}


def _style(options: Mapping[str, Any], cite: _Citations) -> str:
    method = options["method"]
    if method == "none":
        return ""
    sources = _STYLE_SOURCES.get(method, ())
    what = _STYLES[method].format(clusters=options["clusters"]) + (f" {cite(*sources)}" if sources else "")
    fitted = ""
    if method != "clahe":
        databases = " and ".join(options["databases"])
        now = _FITTED_ON[options["fit_on"]].format(databases=databases)
        fitted = ", taken from an earlier fit" if options["model"] is not None else f", {now}"
    return f"Onset and apex crops were brought to one style {cite('sa_at')} by {what}{fitted}."


def _overrides(config: Mapping[str, Any]) -> str:
    parts = [
        f"{name}: " + ", ".join(f"{stage}.{key} = {value}" for key, value in keys.items())
        for name, item in config["databases"].items()
        for stage in STAGES
        if (keys := item["overrides"].get(stage))
    ]
    return f"Some databases differ from the above: {'; '.join(parts)}." if parts else ""


def _protocols(protocols: Mapping[str, Mapping[str, Any]], cite: _Citations) -> list[str]:
    parts = []
    for name, item in protocols.items():
        named = isinstance(item["labels"], str)
        labels = f"the label map {item['labels']}" if named else f"the classes {', '.join(item['labels'])}"
        source = f" {cite(item['labels'])}" if named and item["labels"] in _REFERENCES else ""
        parts.append(f"{name}: {' and '.join(item['databases'])} with {labels}{source}, {_folds(item)}")
    return parts


def _folds(protocol: Mapping[str, Any]) -> str:
    if protocol["folds"] == "loso":
        return "one subject left out at a time"
    if protocol["folds"] == "transfer":
        return f"tested on the whole of {' and '.join(protocol['test'])}, trained on the rest"
    return f"{protocol['folds']} folds of whole subjects"


def _systems(systems: Mapping[str, Mapping[str, Any]], cite: _Citations) -> list[str]:
    parts = []
    for name, item in systems.items():
        source = f" {cite(item['system'])}" if item["system"] in _REFERENCES else ""
        changed = ", ".join(f"{key} {value}" for key, value in item["recipe"].items())
        shuffled = ", labels shuffled within the training folds" if item["shuffle_labels"] else ""
        seeds = "1 seed" if len(item["seeds"]) == 1 else f"{len(item['seeds'])} seeds"
        recipe = f"with {changed}" if changed else "with its default recipe"
        parts.append(f"{name}: {item['system']}{source} {recipe}, {seeds}{shuffled}")
    return parts


def _evaluation(cite: _Citations) -> str:
    return (
        "The predictions of all folds of a seed were pooled into one confusion matrix before unweighted F1 (UF1), "
        f"unweighted average recall (UAR) and accuracy were computed {cite('megc2019')}; figures are means over "
        "seeds with their standard deviation (n − 1) and a 95\u00a0% percentile interval from resampling whole "
        f"subjects. Embeddings are shown by t-SNE {cite('tsne')}."
    )
