"""The part of the methods section on protocols, pre-trainings, systems and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.core.jobs import counted
from mer_features.report.references import REFERENCES, Citations, Paragraph, descriptor_source
from mer_features.systems import registry
from mer_features.training.options import Pretraining, System, used_pretrainings


def build(config: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]], cite: Citations) -> list[Paragraph]:
    """The paragraphs for a configuration with all defaults and the summaries of its pre-trainings."""
    paragraphs = []
    if config.get("protocols"):
        text = "No subject was in both the training set and the test set of a fold."
        paragraphs.append(Paragraph("Protocols", text, _protocols(config["protocols"], cite)))
    if not config.get("systems"):
        return paragraphs
    systems = {name: System.model_validate(item) for name, item in config["systems"].items()}
    tasks = {name: Pretraining.model_validate(item) for name, item in config["pretraining"].items()}
    if names := used_pretrainings(systems, tasks):
        text = "These networks were trained once, on data without any clip of a tested database, and serve every fold."
        items = [_pretraining(name, config, summaries.get(name, {}), cite) for name in names]
        paragraphs.append(Paragraph("Pre-training", text, items))
    text = "Every system was trained once per fold and seed; recipe keys not listed here had their default values."
    items = [_system(name, item, config, cite) for name, item in config["systems"].items()]
    return [*paragraphs, Paragraph("Training", text, items), Paragraph("Evaluation", _evaluation(cite))]


# ---- protocols


def _protocols(protocols: Mapping[str, Mapping[str, Any]], cite: Citations) -> list[str]:
    parts = []
    for name, item in protocols.items():
        is_name = isinstance(item["labels"], str)
        labels = f"the label map {item['labels']}" if is_name else f"the classes {', '.join(item['labels'])}"
        source = f" {cite(item['labels'])}" if is_name and item["labels"] in REFERENCES else ""
        parts.append(f"{name}: {' and '.join(item['databases'])} with {labels}{source}, {_folds(item)}")
    return parts


def _folds(protocol: Mapping[str, Any]) -> str:
    if protocol["folds"] == "loso":
        return "leave-one-subject-out cross-validation (LOSO)"
    if protocol["folds"] == "transfer" and protocol["transfer_folds"]:
        target = " and ".join(protocol["test"])
        folds = protocol["transfer_folds"]
        return f"{folds} folds, each tested on one part of {target}, trained on the other databases without one part"
    if protocol["folds"] == "transfer":
        return f"tested on all of {' and '.join(protocol['test'])}, trained on the other databases"
    return f"{protocol['folds']} folds; all clips of a subject are in the same fold"


# ---- pre-trainings

_TASKS = {
    "eidnet": "MacroNet, phase I of EIDNet on macro-expressions",
    "sa_at": "the teacher of SA-AT, a classifier of single faces",
    "autoencoder": "the autoencoder of the latents",
    "ma2mi": "prediction of future frames by MIACNet and a DiT",
    "ma2mi_recognition": "recognition of macro-expressions by MIACNet",
}
_TASK_SOURCES = {
    "eidnet": ("eidnet",),
    "sa_at": ("sa_at",),
    "autoencoder": ("latent",),
    "ma2mi": ("ma2mi", "dit"),
    "ma2mi_recognition": ("ma2mi",),
}


def _pretraining(name: str, config: Mapping[str, Any], summary: Mapping[str, Any], cite: Citations) -> str:
    item = config["pretraining"][name]
    task = item["task"]
    if item["protocol"]:
        databases = config["protocols"][item["protocol"]]["databases"]
        material = f"on the labelled clips of {' and '.join(databases)} (protocol {item['protocol']})"
    else:
        material = f"on all frames of {' and '.join(item['databases'])}, without labels"
    built_on = f", built on {item['pretrained']}" if item["pretrained"] else ""
    interval = ""
    if task == "ma2mi":
        first, last = registry.pretraining_recipe(task, item["recipe"]).model_dump()["delta"]
        interval = f", δ drawn from {first} to {last} frames"
    start = f"{name}: {_TASKS[task]} {cite(*_TASK_SOURCES[task])} {material}{built_on}{interval}"
    return f"{start}, {_changes(item['recipe'], None)}, seed {item['seed']}{_summary(summary)}"


def _summary(summary: Mapping[str, Any]) -> str:
    """What a pre-training measured about itself, as a clause."""
    parts = []
    if "clips" in summary:
        parts.append(counted(summary["clips"], "clip"))
    if summary.get("skipped"):
        parts.append(f"{counted(summary['skipped'], 'clip')} skipped for too few frames")
    if isinstance(summary.get("autoencoder"), str):
        parts.append(summary["autoencoder"])
    if held_out := summary.get("held_out"):
        scores = ", ".join(f"{key.upper()} {held_out[key]:.3f}" for key in ("war", "uar", "uf1"))
        parts.append(f"on {counted(held_out['clips'], 'clip')} of held-out subjects {scores}")
    return f": {'; '.join(parts)}" if parts else ""


# ---- systems

_NAMES = {
    "fr": "FR",
    "sa_at": "SA-AT",
    "eidnet": "EIDNet",
    "map_mer": "MAP-MER",
    "ma2mi": "MA2MI",
    "dual_inception": "Dual-Inception",
    "off_apexnet": "OFF-ApexNet",
    "ststnet": "STSTNet",
    "capsulenet": "CapsuleNet",
    "imagenet_flow": "a network of torchvision on flow",
    "svm": "a linear support vector machine",
    "linear": "a linear classifier (yardstick)",
}


def _system(name: str, item: Mapping[str, Any], config: Mapping[str, Any], cite: Citations) -> str:
    system, pretrained = item["system"], item["pretrained"]
    sources = [system] if system in REFERENCES else []
    recipe = registry.recipe(system, item["recipe"], item["ablation"]).model_dump()
    if system == "svm":
        sources.append(descriptor_source(recipe["descriptor"]))
    if system == "imagenet_flow":
        sources.append(recipe["network"])
    source = f" {cite(*sources)}" if sources else ""
    task = config["pretraining"][pretrained]["task"] if pretrained else None
    begin = {None: "", "sa_at": f", taught by {pretrained}", "eidnet": f", tuned against {pretrained}"}.get(
        task, f", starting from {pretrained}"
    )
    shuffle = ", labels shuffled within the training folds" if item["shuffle_labels"] else ""
    changes = _changes(item["recipe"], item["ablation"])
    text = f"{_NAMES.get(system, system)}{source} {changes}{begin}, {counted(len(item['seeds']), 'seed')}{shuffle}"
    return f"{name}: {text}{_fold_style(system, item, config['style'])}"


def _changes(recipe: Mapping[str, Any], ablation: str | None) -> str:
    """The recipe in words: the row of the ablations, and the keys that were changed."""
    row = f"as the ablation “{ablation}”" if ablation else ""
    changed = ", ".join(f"{key} {'a file' if _is_path(value) else value}" for key, value in recipe.items())
    keys = f"with {changed}" if changed else ""
    return " ".join(filter(None, (row, keys))) or "with its default recipe"


def _is_path(value: object) -> bool:
    return isinstance(value, str) and "/" in value


def _fold_style(system: str, item: Mapping[str, Any], style: Mapping[str, Any]) -> str:
    """Style that is fitted in each fold belongs to the training, not to the style stage."""
    reads = "style" in registry.recipe(system, item["recipe"], item["ablation"]).groups
    per_fold = style["fit_on"] == "fold" and style["method"] not in ("none", "clahe")
    return "; its style aggregation was fitted on the training subjects of each fold" if reads and per_fold else ""


# ---- evaluation


def _evaluation(cite: Citations) -> str:
    return (
        "For each seed, the predictions of all folds were pooled into one confusion matrix, from which unweighted F1 "
        f"(UF1), unweighted average recall (UAR) and accuracy were computed {cite('megc2019')}. Scores are means over "
        "seeds with their standard deviation (n − 1) and a 95\u00a0% percentile interval from resampling whole "
        f"subjects. Embeddings were projected with t-SNE {cite('tsne')}."
    )
