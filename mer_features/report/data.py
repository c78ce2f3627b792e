"""Reads the files that the report is generated from; one function per format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from mer_features import features as feature_file
from mer_features.core import clips
from mer_features.core.clips import Clip
from mer_features.features import ClipRow, Rejection
from mer_features.protocols.comparison import PairedDifference


@dataclass(frozen=True)
class Database:
    """One database: its listed, used and rejected clips."""

    name: str
    synthetic: bool
    listed: tuple[Clip, ...]
    used: tuple[ClipRow, ...]
    rejected: tuple[Rejection, ...]
    cache: Path
    versions: Mapping[str, str]  # releases of the libraries that computed the features
    groups: tuple[str, ...] = ("faces", "spotting", "flow")  # of the feature file

    @property
    def published_maps(self) -> bool:
        """Whether its features are published flow maps, so that no stage ran."""
        return "flow_maps" in self.groups


def read_database(name: str, table: Path, cache_file: Path, config: Mapping[str, Any]) -> Database:
    """Read one database from its clip table and its feature file."""
    with feature_file.open_features(cache_file) as features:
        used, rejected = features.clips, features.rejected
        versions = json.loads(str(features.attrs.get("versions", "{}")))
        groups = features.groups
    source = config.get("databases", {}).get(name, {})
    if source.get("adapter") == "recordings":  # cut from recordings, which may be rendered
        source = config.get("recordings", {}).get(source.get("recordings"), {})
    return Database(
        name, source.get("adapter") == "synthetic", clips.read(table), used, rejected, cache_file, versions, groups
    )


@dataclass(frozen=True)
class Score:
    """One score over all seeds: mean, standard deviation and bootstrap interval."""

    mean: float
    std: float
    low: float
    high: float


class Kind(StrEnum):
    """Role of a run, in the order in which runs are listed."""

    SYSTEM = "system"
    YARDSTICK = "linear yardstick"
    CONTROL = "control: shuffled labels"


_NOTHING_KNOWN: Mapping[str, Any] = {"recipe": {}, "pretraining": None, "stages": {}, "options": {}}


@dataclass(frozen=True)
class Run:
    """One system under one protocol."""

    protocol: str
    name: str  # name in the configuration
    system: str  # name of the implementation
    recipe: Mapping[str, Any]
    classes: tuple[str, ...]
    measured_on: str
    scores: Mapping[str, Score]  # uf1, uar, accuracy
    seeds: tuple[Mapping[str, Any], ...]
    confusion: np.ndarray  # (K, K) int, rows: true class, columns: predicted class; summed over seeds
    shuffled: bool
    databases: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)  # scores by database
    setting: Mapping[str, Any] = field(default_factory=lambda: dict(_NOTHING_KNOWN))  # mer_features.workflow.setting

    @property
    def kind(self) -> Kind:
        """Role of the run."""
        return Kind.CONTROL if self.shuffled else Kind.YARDSTICK if self.system == "linear" else Kind.SYSTEM


METRICS = ("uf1", "uar", "accuracy")


def read_run(protocol: str, name: str, path: Path) -> Run:
    """Read the evaluation of one run."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    if "setting" not in tree:
        raise ValueError(f"{path}: found no `setting`, as an earlier version wrote it; evaluate the run again")
    return Run(
        protocol=protocol,
        name=name,
        system=tree["system"],
        recipe=tree["recipe"],
        classes=tuple(tree["classes"]),
        measured_on=tree["measured_on"],
        scores=_scores(tree),
        databases={database: _scores(item) for database, item in tree["by_database"].items()},
        seeds=tuple(tree["seeds"]),
        confusion=np.sum([seed["confusion"] for seed in tree["seeds"]], axis=0),
        shuffled=bool(tree["shuffled"]),
        setting=tree["setting"],
    )


def _scores(tree: Mapping[str, Any]) -> dict[str, Score]:
    return {metric: _score(tree[metric]) for metric in METRICS}


def _score(tree: Mapping[str, Any]) -> Score:
    low, high = tree["interval"]
    return Score(tree["mean"], tree["std"], low, high)


@dataclass(frozen=True)
class Comparison:
    """Differences between the runs under one protocol, from a bootstrap over subjects."""

    runs: tuple[str, ...]
    subjects: int
    samples: int  # number of draws
    level: float  # share of draws inside an interval
    pairs: Mapping[tuple[str, str], Mapping[str, PairedDifference]]  # every pair in both orders -> metric -> difference


def read_comparison(path: Path) -> Comparison:
    """Read the differences between the runs under one protocol."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    pairs = {}
    for pair in tree["pairs"]:
        found = {name: PairedDifference(pair[name]["difference"], *pair[name]["interval"]) for name in METRICS}
        pairs[pair["first"], pair["second"]] = found
        pairs[pair["second"], pair["first"]] = {name: -difference for name, difference in found.items()}
    return Comparison(tuple(tree["runs"]), tree["subjects"], tree["samples"], tree["level"], pairs)


@dataclass(frozen=True)
class Embedding:
    """A run's features projected to the plane, one point per held-out clip."""

    layers: Mapping[str, np.ndarray]  # name -> (N, 2)
    labels: Sequence[str]
    subjects: Sequence[str]  # database/subject
    note: str
    units: Sequence[str] = ()  # action units as annotated; empty if not known


def read_embedding(path: Path, units: Mapping[tuple[str, str], str] | None = None) -> Embedding | None:
    """Read the projected features of one run; ``None`` for a system without features or with fewer than four clips.

    ``units`` are the texts of the action units by database and clip.
    """
    tree = json.loads(path.read_text(encoding="utf-8"))
    if len(tree.get("labels", ())) < 4:
        return None
    layers = {name: np.asarray(points, np.float64).reshape(-1, 2) for name, points in tree["layers"].items()}
    owners = (subject.partition("/")[0] for subject in tree["subjects"])
    texts = [units.get(key, "") for key in zip(owners, tree["clips"], strict=True)] if units else []
    return Embedding(layers, tree["labels"], tree["subjects"], tree["note"], texts)
