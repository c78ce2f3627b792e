"""Results of every protocol: scores next to the published ones, confusion matrices, folds, subjects, embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mer_features.core.jobs import counted
from mer_features.protocols import PRESETS, FoldTable, metrics, published
from mer_features.protocols.options import Protocol
from mer_features.protocols.table import COMPANION
from mer_features.report import breakdown, differences, plots
from mer_features.report.breakdown import Subjects
from mer_features.report.data import METRICS, Comparison, Embedding, Kind, Run, Score
from mer_features.report.differences import Differences
from mer_features.report.inline import Explained, Picture, svg
from mer_features.systems import printed, registry
from mer_features.systems.printed import Beside
from mer_features.training.options import SYNTHETIC


@dataclass(frozen=True)
class Key:
    """One key of a run's recipe."""

    name: str
    value: Any
    default: Any  # the paper's value, or ours if the paper gives none

    @property
    def changed(self) -> bool:
        """Whether the run's value differs from the default; a value that the default leaves to the data does not."""
        return bool(self.value != self.default != "auto")


@dataclass(frozen=True)
class Seed:
    """Scores of one seed with their intervals."""

    number: int
    scores: Sequence[Score]  # in the order of ``METRICS``


@dataclass(frozen=True)
class Line:
    """One system in the table of a protocol."""

    name: str
    kind: Kind
    scores: Mapping[str, Score]
    seeds: Sequence[Seed]
    recipe: Sequence[Key]
    measured_on: str
    beside: Beside | None  # the result in its paper
    warning: str  # why that result is not comparable; empty if it is
    note: str  # in what the run differs from the printed one; empty if in nothing, or if it is not comparable
    muted: bool  # whether the run is a control or a yardstick

    @property
    def differs(self) -> str:
        """Recipe keys whose values are not the defaults, as text; empty if all are."""
        return ", ".join(f"{key.name} {key.value} (default {key.default})" for key in self.recipe if key.changed)


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix: number of clips (summed over seeds) and fraction of the row."""

    count: int
    share: float


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix; rows are true classes."""

    name: str
    classes: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    seeds: int


@dataclass(frozen=True)
class Part:
    """Scores of one system on one database of the protocol."""

    name: str
    database: str
    scores: Mapping[str, Score]
    printed: tuple[float, float] | None  # UF1 and UAR in its paper, if they are comparable


@dataclass(frozen=True)
class Projection:
    """A chart of a run's embeddings."""

    name: str
    picture: Picture
    note: str


@dataclass(frozen=True)
class Shown:
    """Embeddings and explanation images of runs, by run name."""

    embeddings: Mapping[str, Embedding] = field(default_factory=dict)
    explained: Mapping[str, Explained] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Contents of the section for one protocol."""

    protocol: str
    title: str  # title of the preset; empty for a user-defined protocol
    counts: Sequence[tuple[str, Mapping[str, int]]]  # database or "all" -> class or `subjects` -> number
    published: Mapping[str, Mapping[str, int]]  # the published counts of the preset, in the same form
    accepted: bool  # whether the counts differ from the published ones and were accepted
    classes: Sequence[str]
    folds: int
    chance: Mapping[str, float]  # metric -> expected score of guessing
    synthetic: bool
    lines: Sequence[Line]
    differences: Differences | None
    charts: Sequence[Picture]
    confusions: Sequence[Confusion]
    parts: Sequence[Part]
    spread: Picture | None
    subjects: Subjects | None
    projections: Sequence[Projection]
    explained: Sequence[Explained]

    @property
    def columns(self) -> Sequence[str]:
        """Columns of the table of counts."""
        return (*self.classes, "subjects")


def build(
    name: str,
    table: FoldTable,
    runs: Sequence[Run],
    shown: Shown,
    protocol: Mapping[str, Any] | None = None,
    comparison: Comparison | None = None,
) -> Results:
    """Results of one protocol; without runs, only the counts of its clips.

    Parameters
    ----------
    name
        Name of the protocol.
    table
        Clips and folds of the protocol.
    runs
        Runs under the protocol.
    shown
        Embeddings and images of the runs that have them.
    protocol
        The protocol's section of the configuration.
    comparison
        Differences between the runs, if they were computed.
    """
    expected = published(Protocol.model_validate(protocol)) if protocol else {}
    runs = sorted(runs, key=lambda run: (list(Kind).index(run.kind), -run.scores["uf1"].mean))
    roles = dict(zip((protocol or {}).get("databases", ()), (protocol or {}).get("roles", ()), strict=False))
    clip_counts = table.counts()
    chance = guessing([sum(counts[label] for counts in clip_counts.values()) for label in table.classes])
    preset = (protocol or {}).get("preset")
    same_preset = preset if expected and clip_counts == expected else None
    return Results(
        protocol=name,
        title=PRESETS[preset].title if preset else "",
        counts=list(_with_sum(clip_counts, table).items()),
        published=_with_sum(expected, table),
        accepted=bool(expected) and clip_counts != expected,
        classes=table.classes,
        folds=len(table.folds),
        chance=chance,
        synthetic=any(run.measured_on in SYNTHETIC for run in runs),
        lines=(lines := [_line(run, same_preset) for run in runs]),
        differences=differences.build(comparison, runs),
        charts=[_chart(runs, metric, label, chance[metric]) for metric, label in _CHARTS] if runs else [],
        confusions=[_confusion(run) for run in runs],
        parts=[part for run, line in zip(runs, lines, strict=True) for part in _parts(run, line.beside, roles)]
        if len(clip_counts) > 1
        else [],
        spread=_spread(name, runs) if runs else None,
        subjects=breakdown.build(runs) if runs else None,
        projections=[_projection(run, shown.embeddings[run.name]) for run in runs if run.name in shown.embeddings],
        explained=[shown.explained[run.name] for run in runs if run.name in shown.explained],
    )


def _with_sum(counts: Mapping[str, Mapping[str, int]], table: FoldTable) -> dict[str, Mapping[str, int]]:
    """Counts with their sum as ``all``, if several databases form one test set."""
    if len(counts) < 2 or len(table.tested) < len(table.annotated.rows):
        return dict(counts)
    total: Counter[str] = Counter()
    for part in counts.values():
        total.update(part)
    return {**counts, "all": dict(total)}


def guessing(clips: Sequence[int]) -> dict[str, float]:
    """Expected scores of guessing each class equally often, given the number of clips of each class."""
    expected = np.outer(clips, np.full(len(clips), 1 / len(clips)))
    return {name: float(of(expected)) for name, of in metrics.METRICS.items()}


_CHARTS = (("uf1", "unweighted F1 (UF1)"), ("uar", "unweighted average recall (UAR)"))


def _line(run: Run, preset: str | None) -> Line:
    """The table row of a run. ``preset`` is the preset with the same clip counts as the run's protocol, if any."""
    comparable = None if run.measured_on in SYNTHETIC else preset
    beside = None if run.shuffled else printed.beside(run.system, run.setting, comparable)
    return Line(
        name=run.name,
        kind=run.kind,
        scores=run.scores,
        seeds=[_seed(seed) for seed in run.seeds],
        recipe=_recipe(run),
        measured_on=run.measured_on,
        beside=beside,
        warning=_warning(run, beside),
        note=_note(beside),
        muted=run.kind is not Kind.SYSTEM,
    )


def _warning(run: Run, beside: Beside | None) -> str:
    if beside is None or not beside.foreign:
        return ""
    title = PRESETS[beside.printed.protocol].title
    return f"not comparable: published for {title}; measured here on {run.measured_on}, protocol {run.protocol}"


def _note(beside: Beside | None) -> str:
    if beside is None or beside.foreign or not beside.differences:
        return ""
    return f"same clips, classes and folds; this run differs: {'; '.join(map(str, beside.differences))}"


def _recipe(run: Run) -> list[Key]:
    defaults: Mapping[str, Any] = registry.recipe(run.system).model_dump(mode="json")
    return [Key(name, value, defaults[name]) for name, value in run.recipe.items() if name in defaults]


def _seed(seed: Mapping[str, Any]) -> Seed:
    return Seed(seed["seed"], [Score(seed[metric], 0.0, *seed["intervals"][metric]) for metric in METRICS])


def _bar(run: Run, metric: str) -> plots.Bar:
    score = run.scores[metric]
    values = [float(seed[metric]) for seed in run.seeds]
    return plots.Bar(run.name, score.mean, score.low, score.high, values, muted=run.kind is not Kind.SYSTEM)


def _chart(runs: Sequence[Run], metric: str, label: str, chance: float) -> Picture:
    values = "; ".join(f"{run.name} {run.scores[metric].mean:.3f}" for run in runs)
    return svg(plots.score_lines([_bar(run, metric) for run in runs], label, chance), f"{label} by system: {values}")


def _confusion(run: Run) -> Confusion:
    totals = np.maximum(run.confusion.sum(axis=1, keepdims=True), 1)
    shares = run.confusion / totals
    rows = [
        (truth, [Cell(int(count), float(share)) for count, share in zip(counts, parts, strict=True)])
        for truth, counts, parts in zip(run.classes, run.confusion, shares, strict=True)
    ]
    return Confusion(run.name, run.classes, rows, len(run.seeds))


def _parts(run: Run, beside: Beside | None, roles: Mapping[str, str]) -> list[Part]:
    """Scores on each database's clips, from the same predictions."""
    parts = beside.printed.parts if beside and not beside.foreign else {}
    return [Part(run.name, name, scores, parts.get(roles.get(name, ""))) for name, scores in run.databases.items()]


def _spread(protocol: str, runs: Sequence[Run]) -> Picture:
    folds = {run.name: _fold_means(run) for run in runs}
    return svg(plots.fold_spread(folds), f"Accuracy in every fold of {protocol}, one row per system")


def _fold_means(run: Run) -> list[tuple[float, int]]:
    """Accuracy (mean over seeds) and number of clips of every fold."""
    clips: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for seed in run.seeds:
        for fold in seed["per_fold"]:
            clips[fold["fold"]] = fold["n"]
            sums[fold["fold"]] += fold["accuracy"]
    return [(sums[fold] / len(run.seeds), count) for fold, count in clips.items()]


#: Subject of the faces of a pre-training.
_MACRO = f"{COMPANION}/{COMPANION}"
#: Names of the layers in the papers.
_LAYERS = {"z": "z (shared)", "z_refined": "z′ (refined)", "fused": "X_F (fused)"}


def _projection(run: Run, embedding: Embedding) -> Projection:
    if _MACRO in embedding.subjects:
        return _beside_macro(run, embedding)
    colourings = [("class", "classes", embedding.labels, 8), ("subject", "subjects", embedding.subjects, 4)]
    if run.recipe.get("au_alignment") and embedding.units:  # training aligns these features with the action units
        colourings.append(("action units", "sets of action units", breakdown.grouped(embedding.units), 10))
    panels = [
        plots.Scatter(f"{_LAYERS.get(layer, layer)}, by {group}", kind, points, groups, listed)
        for layer, points in embedding.layers.items()
        for group, kind, groups, listed in colourings
    ]
    layers = " and ".join(_LAYERS.get(layer, layer) for layer in embedding.layers)
    by = " and ".join(f"by {group}" for group, *_ in colourings)
    alt = f"t-SNE of {layers} of {run.name}: {counted(len(embedding.labels), 'held-out clip')}, coloured {by}"
    return Projection(run.name, svg(plots.scatters(panels), alt), embedding.note)


def _beside_macro(run: Run, embedding: Embedding) -> Projection:
    """One row per layer and one panel per class, micro- beside macro-expressions (Figure 4 of the EIDNet paper)."""
    macro = np.array([subject == _MACRO for subject in embedding.subjects])
    labels = np.array([label.removesuffix(f" ({COMPANION})") for label in embedding.labels])
    sides = np.where(macro, "macro-expression", "micro-expression")
    names = sorted(set(labels))
    panels = [
        plots.Scatter(f"{layer}, {name}", "sides", points[labels == name], sides[labels == name].tolist())
        for layer, points in embedding.layers.items()
        for name in names
    ]
    layers = " and ".join(embedding.layers)
    counts = f"{int((~macro).sum())} micro- and {int(macro.sum())} macro-expressions"
    alt = f"t-SNE of {layers} of {run.name}, one panel per class: {counts}"
    return Projection(run.name, svg(plots.scatters(panels, len(names)), alt), embedding.note)
