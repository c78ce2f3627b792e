"""Charts of the report, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Colours of Okabe and Ito, which colour-blind readers can distinguish; groups also differ in marker shape.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6A00", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Curve:
    """Curve of one spotter on one clip."""

    spotter: str
    values: np.ndarray  # (T,), NaN outside onset..offset
    spotted: int  # frame number


@dataclass(frozen=True)
class ClipCurves:
    """Curves of all spotters on one clip.

    ``frames`` are frame numbers of the source. ``annotated`` and ``used`` are the frame numbers of the annotated apex
    (``None`` if there is none) and of the apex that the features use.
    """

    title: str
    frames: np.ndarray  # (T,)
    curves: Sequence[Curve]
    annotated: int | None
    used: int


def apex_curves(clips: Sequence[ClipCurves]) -> Figure:
    """One panel per clip: the curve of every spotter, scaled to its maximum, with its apex and the annotated apex."""
    with mpl.rc_context(_STYLE):
        columns = min(3, len(clips))
        rows = -(-len(clips) // columns)
        figure = Figure(figsize=(3.05 * columns, 1.75 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        names = list(dict.fromkeys(curve.spotter for clip in clips for curve in clip.curves))
        colours = dict(zip(names, _cycle(COLOURS, len(names)), strict=True))
        for axis, clip in zip(axes, clips, strict=False):
            _draw_curves(axis, clip, colours)
        for axis in axes[len(clips) :]:
            axis.set_axis_off()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def _draw_curves(axis: Axes, clip: ClipCurves, colours: Mapping[str, str]) -> None:
    if clip.annotated is not None:
        axis.axvline(clip.annotated, color="#222222", linewidth=1, linestyle="--", label="annotated apex")
    axis.axvline(clip.used, color="#222222", alpha=0.1, linewidth=6, label="apex used")
    for curve in clip.curves:
        top = np.nanmax(curve.values) if np.isfinite(curve.values).any() else 0
        values = curve.values / top if top > 0 else curve.values
        colour = colours[curve.spotter]
        axis.plot(clip.frames, values, color=colour, linewidth=1.2, label=curve.spotter)
        height = values[clip.frames == curve.spotted]
        if height.size:
            axis.plot(curve.spotted, height[0], "o", color=colour, markersize=5, markeredgecolor="white")
    axis.set_title(clip.title)
    axis.set_ylim(-0.05, 1.12)
    axis.set_yticks([0, 1])
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(visible=True, axis="x")
    axis.set_xlabel("frame", fontsize=7.5)


@dataclass(frozen=True)
class Bar:
    """One line of a chart: mean, interval and single values; ``muted`` for controls."""

    name: str
    mean: float
    low: float
    high: float
    values: Sequence[float] = ()
    muted: bool = False


def score_lines(bars: Sequence[Bar], label: str, chance: float) -> Figure:
    """One line per system: mean (disc), interval (bar), single seeds (small rings) and chance level (dashed)."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.4, 0.34 * len(bars) + 0.75), layout="constrained")
        axis = figure.subplots()
        for place, bar in enumerate(reversed(bars)):
            colour = "#999999" if bar.muted else COLOURS[0]
            axis.plot([bar.low, bar.high], [place, place], color=colour, alpha=0.35, linewidth=7, solid_capstyle="butt")
            axis.plot(bar.values, [place] * len(bar.values), "o", color=colour, markersize=3, fillstyle="none")
            axis.plot(bar.mean, place, "o", color=colour, markersize=6)
            axis.annotate(f"{bar.mean:.3f}", (bar.mean, place), (0, 7), textcoords="offset points", ha="center", size=7)
        axis.axvline(chance, color="#333333", linestyle="--", linewidth=0.9)
        axis.annotate("chance", (chance, len(bars) - 0.45), (3, 0), textcoords="offset points", size=7.5)
        axis.set_yticks(range(len(bars)), [bar.name for bar in reversed(bars)])
        axis.set_ylim(-0.6, len(bars) - 0.1)
        axis.set_xlim(0, 1)
        axis.set_xlabel(label)
        axis.grid(visible=True, axis="x")
        return figure


def fold_spread(folds: Mapping[str, Sequence[tuple[float, int]]]) -> Figure:
    """Accuracy in every fold, one line per system.

    ``folds`` holds, for each system, the accuracy (mean over seeds) and the number of clips of every fold. The area of
    a dot shows the number of clips; the black line is the accuracy over all folds together.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.4, 0.34 * len(folds) + 0.7), layout="constrained")
        axis = figure.subplots()
        for place, values in enumerate(folds.values()):
            accuracy = np.array([value for value, _ in values])
            clips = np.array([count for _, count in values])
            axis.scatter(
                accuracy, _zigzag(place, len(accuracy)), s=10 + 4 * clips, color=COLOURS[0], alpha=0.45, linewidths=0
            )
            pooled = float((accuracy * clips).sum() / clips.sum())
            axis.plot([pooled, pooled], [place - 0.34, place + 0.34], color="#222222", linewidth=1.6)
        axis.set_yticks(range(len(folds)), list(folds))
        axis.set_ylim(len(folds) - 0.4, -0.6)
        axis.set_xlim(-0.03, 1.03)
        axis.set_xlabel("accuracy in a fold")
        axis.grid(visible=True, axis="x")
        return figure


@dataclass(frozen=True)
class Scatter:
    """Points in the plane and the group of each; ``kind`` names the groups, in the plural."""

    title: str
    kind: str
    points: np.ndarray  # (N, 2)
    groups: Sequence[str]
    listed: int = 6  # largest number of groups that get a legend; if there are more, only their number is shown


def scatters(panels: Sequence[Scatter], columns: int | None = None) -> Figure:
    """Panels in rows of ``columns``, or in one row; groups differ in colour and marker shape.

    They are named in a legend if they are few.
    """
    with mpl.rc_context(_STYLE):
        columns = columns or len(panels)
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(2.35 * columns, 2.75 * rows), layout="constrained")
        for axis, panel in zip(figure.subplots(rows, columns, squeeze=False).ravel(), panels, strict=True):
            _draw_groups(axis, panel)
        return figure


def _draw_groups(axis: Axes, panel: Scatter) -> None:
    names = sorted(set(panel.groups))
    groups = np.array(panel.groups)
    many = len(names) > len(COLOURS)
    size = float(np.clip(1200 / max(len(groups), 1), 8, 24))
    colours = mpl.colormaps["nipy_spectral"](np.linspace(0.04, 0.94, len(names))) if many else COLOURS
    for index, name in enumerate(names):
        inside = groups == name
        x, y = panel.points[inside].T
        marker = MARKERS[index % len(MARKERS)]
        axis.scatter(x, y, s=size, color=colours[index], marker=marker, alpha=0.75, linewidths=0, label=name)
    axis.set(title=panel.title, xticks=[], yticks=[])
    axis.spines[["left", "bottom"]].set_color("#cccccc")
    if len(names) <= panel.listed:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, handletextpad=0.1, columnspacing=0.8)
    else:
        axis.set_xlabel(f"{len(names)} {panel.kind}", fontsize=7.5)


def bars(names: Sequence[str], values: Sequence[float], label: str) -> Figure:
    """Horizontal bars, each labelled with its value."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 0.32 * len(names) + 0.6), layout="constrained")
        axis = figure.subplots()
        patches = axis.barh(range(len(names)), values, height=0.6, color=COLOURS[0])
        axis.bar_label(patches, fmt="%.3g", padding=3, size=7.5)
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.12 * max(values) or 1)
        axis.grid(visible=True, axis="x")
        return figure


def strips(groups: Mapping[str, Sequence[float]], label: str) -> Figure:
    """One line per group: one dot per value, and a vertical line at the median."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 0.36 * len(groups) + 0.6), layout="constrained")
        axis = figure.subplots()
        for place, values in enumerate(groups.values()):
            axis.plot(values, _zigzag(place, len(values)), "o", color=COLOURS[0], alpha=0.5, markersize=4, mew=0)
            median = float(np.median(values))
            axis.plot([median, median], [place - 0.34, place + 0.34], color="#222222", linewidth=1.6)
        axis.set_yticks(range(len(groups)), list(groups))
        axis.set_ylim(len(groups) - 0.4, -0.6)
        axis.set_xlim(left=0)
        axis.set_xlabel(label)
        axis.grid(visible=True, axis="x")
        return figure


def _zigzag(place: float, count: int) -> np.ndarray:
    """Vertical offsets that separate equal values; not random, so that the chart is always the same."""
    return place + 0.09 * ((np.arange(count) % 5) - 2)


def _cycle(values: Sequence[str], count: int) -> list[str]:
    return [values[index % len(values)] for index in range(count)]
