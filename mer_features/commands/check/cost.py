"""What a run will cost: jobs, CPU hours and disk, estimated from the clips and from measured rates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mer_features.commands.check.protocol import ProtocolCheck
from mer_features.core import clips as clip_tables
from mer_features.core.clips import Clip
from mer_features.systems.common.recipe import Recipe
from mer_features.training.options import used_pretrainings
from mer_features.workflow import needs
from mer_features.workflow.config import Config

#: Megabytes of stage files and of the feature file per frame of a crop of 256 pixels (docs/scale.md).
MB_PER_FRAME = 0.2
#: Mean frames of a clip of the composite (docs/scale.md), for a database that is not there.
FRAMES_PER_CLIP = 57
#: Jobs of a database that are not of a stage: clip table and feature file.
_OTHER_JOBS = 2
#: CPU seconds of a training step of the default recipe, and the samples of a clip (docs/systems/README.md).
#: Dual-Inception has FR's trunk and batch and takes no longer than FR.
SECONDS_PER_STEP: Mapping[str, tuple[float, int]] = {
    "fr": (0.117, 1),
    "sa_at": (20.9, 1),
    "eidnet": (22.9, 5),
    "map_mer": (18.4, 1),
    "ma2mi": (5.23, 1),
    "off_apexnet": (0.0276, 1),
    "ststnet": (0.079, 1),
    "dual_inception": (0.117, 1),
}
#: Keys that change the size of a network; its rate is that of the default.
_NETWORK_KEYS = ("backbone", "network", "student", "stem", "size", "image_size", "width", "blocks", "dit_width")
#: The same of a pre-training.
PRETRAINING_SECONDS: Mapping[str, tuple[float, int]] = {
    "eidnet": (22.9, 3),
    "sa_at": (95.8, 1),
    "ma2mi": (57.5, 1),
    "ma2mi_recognition": (5.23, 1),
}


@dataclass
class Cost:
    """Jobs, hours of one CPU core and gigabytes of a run from nothing."""

    jobs: dict[str, int] = field(default_factory=dict)
    hours: dict[str, float] = field(default_factory=dict)
    gigabytes: float = 0.0
    unknown: list[str] = field(default_factory=list)  # what could not be estimated
    remarks: list[str] = field(default_factory=list)  # what was estimated with less certainty

    @property
    def total_hours(self) -> float:
        """Hours of one CPU core, all work together."""
        return sum(self.hours.values())

    def as_dict(self) -> dict[str, Any]:
        """The values as plain values, ready for JSON."""
        return asdict(self)


def cost(config: Config, clips: Mapping[str, Sequence[Clip]], protocols: Iterable[ProtocolCheck]) -> Cost:
    """Cost of everything that a configuration asks for.

    A database that is not there counts with the clips of its published protocol, if it is in one.

    Parameters
    ----------
    config
        The whole configuration.
    clips
        Listed clips of each database that is there.
    protocols
        Counts and folds of each protocol.
    """
    found = Cost()
    tables = {item.name: _size(config, item) for item in protocols if item.counts or item.published}
    published = {name: _clips(counts) for item in protocols for name, counts in item.published.items()}
    for name in config.databases:
        if name in clips:
            shards = len(clip_tables.split(clips[name], config.databases[name].shards))
            _features(config, name, needs.frames(clips[name]), shards, found)
        elif name in published:
            _features(config, name, FRAMES_PER_CLIP * published[name], config.databases[name].shards, found)
        else:
            found.unknown.append(f"database {name}")
    found.unknown += [f"recordings {name}" for name in config.recordings]
    found.jobs["protocols"] = len(tables)
    _pretrainings(config, clips, tables, found)
    if config.style.method == "cyclegan" and config.style.model is None:
        found.unknown.append("training of the generators of style aggregation")
    for name, system in config.systems.items():
        for protocol in system.protocols:
            if protocol in tables:
                _run(config, name, protocol, tables[protocol], found)
            else:
                found.unknown.append(f"training of {name} under {protocol}")
    runs = Counter(protocol for system in config.systems.values() for protocol in system.protocols)
    found.jobs["comparisons and report"] = sum(number > 1 for number in runs.values()) + 1
    return found


@dataclass(frozen=True)
class _Size:
    """Clips of a protocol, its folds, and the clips that a fold trains on."""

    clips: int
    folds: int
    trained: int


def _size(config: Config, item: ProtocolCheck) -> _Size:
    """Size of a protocol, as it is or as published."""
    protocol, counts = config.protocols[item.name], item.counts or item.published
    clips = sum(map(_clips, counts.values()))
    if protocol.folds == "transfer":
        folds = protocol.transfer_folds or 1
        source = sum(_clips(part) for name, part in counts.items() if name not in protocol.test)
        return _Size(clips, folds, source - (source // folds if folds > 1 else 0))
    subjects = sum(part.get("subjects", 0) for part in counts.values())
    folds = item.folds or (subjects if protocol.folds == "loso" else int(protocol.folds))
    return _Size(clips, folds, clips - clips // max(folds, 1))


def _features(config: Config, name: str, frames: int, shards: int, found: Cost) -> None:
    features = config.features_of(name)
    _add(found.jobs, "features", shards * len(features.stages) + _OTHER_JOBS)
    steps = (*features.stages, "cache") if features.stages else ()
    _add(found.hours, "features", sum(needs.SECONDS_PER_FRAME[step] for step in steps) * frames / 3600)
    if features.stages:
        found.gigabytes += MB_PER_FRAME * frames * (features.faces.size / 256) ** 2 / 1000


def _pretrainings(
    config: Config, clips: Mapping[str, Sequence[Clip]], tables: Mapping[str, _Size], found: Cost
) -> None:
    names = used_pretrainings(config.systems, config.pretraining) if config.systems else list(config.pretraining)
    for name in names:
        item = config.pretraining[name]
        _add(found.jobs, "pre-trainings", 1)
        rate = PRETRAINING_SECONDS.get(item.task)
        if item.protocol:
            samples = tables[item.protocol].clips if item.protocol in tables else 0
        else:
            samples = sum(len(clips.get(database, ())) for database in item.databases)
        if rate is None or not samples:
            found.unknown.append(f"pre-training {name}")
        else:
            _add(found.hours, "pre-trainings", _training(rate, item.full_recipe, samples) / 3600)
            _remark(f"pre-training {name}", item.full_recipe, found)


def _run(config: Config, name: str, protocol: str, size: _Size, found: Cost) -> None:
    system = config.systems[name]
    recipe = system.full_recipe
    batches = -(-size.folds // system.folds_per_job)
    _add(found.jobs, "trainings", len(system.seeds) * batches + system.embedding + 1)
    if not hasattr(recipe, "epochs") or not getattr(recipe, "micro_training", True):
        return  # a linear model, or a teacher that is only tested: minutes
    if system.system not in SECONDS_PER_STEP:
        found.unknown.append(f"training of {name} under {protocol}")
        return
    _remark(name, recipe, found)
    one = _training(SECONDS_PER_STEP[system.system], recipe, size.trained)
    models = size.folds * len(system.seeds) + system.embedding / 2
    _add(found.hours, "trainings", one * models / 3600)


def _remark(name: str, recipe: Recipe, found: Cost) -> None:
    """Say that the network of a recipe is not the one whose rate was measured."""
    fields = type(recipe).model_fields
    changed = [key for key in _NETWORK_KEYS if key in fields and getattr(recipe, key) != fields[key].default]
    text = f"{name} counts as its default network, whatever {' and '.join(changed)}"
    if changed and text not in found.remarks:
        found.remarks.append(text)


def _training(rate: tuple[float, int], recipe: Recipe, clips: int) -> float:
    """CPU seconds of one training."""
    seconds, samples = rate
    batch = getattr(recipe, "batch_size", 1)
    default = type(recipe).model_fields["batch_size"].default if "batch_size" in type(recipe).model_fields else batch
    epochs = getattr(recipe, "epochs", 1)
    if getattr(recipe, "phases", "") == "I+II":
        epochs += getattr(recipe, "tuning_epochs", 0) / 2  # a step of phase II takes half of one of phase I
    return seconds * batch / default * math.ceil(clips * samples / batch) * epochs


def _clips(counts: Mapping[str, int]) -> int:
    return sum(number for what, number in counts.items() if what != "subjects")


def _add(counts: dict[str, Any], name: str, value: float) -> None:
    counts[name] = counts.get(name, 0) + value
