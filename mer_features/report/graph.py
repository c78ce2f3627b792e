"""Diagram of the workflow: positions of boxes and arrows, which the template draws."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer_features.core.jobs import counted
from mer_features.report.data import Database, Run
from mer_features.stages.options import Style

WIDTH, HEIGHT, GAP = 96, 50, 18
_STEP = WIDTH + GAP
_ROW = 54  # top of the main row; arrows that skip steps pass above it
_BELOW = _ROW + HEIGHT + 34


@dataclass(frozen=True)
class Node:
    """One step: its name, a short description, and the upper left corner of its box."""

    name: str
    detail: str
    x: float
    y: float


@dataclass(frozen=True)
class Graph:
    """Boxes, arrows (SVG path data) and the size of the drawing."""

    nodes: Sequence[Node]
    arrows: Sequence[str]
    width: float
    height: float
    box: tuple[float, float] = (WIDTH, HEIGHT)


def build(config: Mapping[str, Any], databases: Sequence[Database], runs: Sequence[Run]) -> Graph:
    """The steps that this configuration runs, in the order of the workflow."""
    synthetic = [database for database in databases if database.synthetic]
    steps = _steps(config, databases, runs)
    place = {name: Node(name, detail, number * _STEP, _ROW) for number, (name, detail) in enumerate(steps)}
    chain = [name for name, _ in steps]
    arrows = [_along(place[first], place[second]) for first, second in itertools.pairwise(chain)]
    if "faces" in place:
        arrows += [_over(place["faces"], place["flow"], 24), _over(place["faces"], place["cache"], 42)]
    if "train" in place:
        arrows.append(_over(place["cache"], place["train"], 24))
    if synthetic:
        assess = place["assess"] = Node("assess", "vs ground truth", place["apex"].x + _STEP / 2, _BELOW)
        arrows += [_down(place["apex"], assess), _up(assess, place["report"])]
    return Graph(
        list(place.values()), arrows, len(steps) * _STEP - GAP, _BELOW + HEIGHT if synthetic else _ROW + HEIGHT
    )


def _steps(config: Mapping[str, Any], databases: Sequence[Database], runs: Sequence[Run]) -> list[tuple[str, str]]:
    listed = sum(len(database.listed) for database in databases)
    steps = [("synth", "ground truth")] if any(database.synthetic for database in databases) else []
    steps += [
        ("ingest", counted(listed, "clip")),
        *([] if databases and all(database.published_maps for database in databases) else _stages(config)),
        ("cache", counted(sum(len(database.used) for database in databases), "clip")),
    ]
    if config.get("protocols"):
        names = list(config["protocols"])
        steps.append(("protocol", names[0] if len(names) == 1 else f"{len(names)} protocols"))
    if runs:
        steps += [("train", counted(len(runs), "run")), ("evaluate", "pooled folds")]
    return [*steps, ("report", "this page")]


def _stages(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    faces, apex, magnify, flow = (config.get(stage, {}) for stage in ("faces", "apex", "magnify", "flow"))
    return [
        ("faces", f"{faces.get('mode', '')} {faces.get('size', '')} px"),
        ("apex", str(apex.get("policy", ""))),
        *([("magnify", f"{magnify['method']} × {magnify['factor']:g}")] if magnify.get("method") != "none" else []),
        ("flow", str(flow.get("method", ""))),
        *_style(config.get("style", {})),
    ]


def _style(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The style stage, if it runs."""
    style = Style.model_validate(options)
    return [("style", style.method)] if style.stored else []


def _along(first: Node, second: Node) -> str:
    y = first.y + HEIGHT / 2
    return f"M{first.x + WIDTH} {y}H{second.x - 3}"


def _over(first: Node, second: Node, rise: float) -> str:
    """Arrow from the top of one box to the top of another, above the boxes between them."""
    x1, x2, y = first.x + WIDTH * 0.6, second.x + WIDTH * 0.4, first.y
    return f"M{x1} {y}C{x1} {y - rise} {x1} {y - rise} {x1 + 20} {y - rise}H{x2 - 20}Q{x2} {y - rise} {x2} {y - 3}"


def _down(first: Node, second: Node) -> str:
    x = first.x + WIDTH * 0.7
    return f"M{x} {first.y + HEIGHT}V{second.y - 3}"


def _up(first: Node, second: Node) -> str:
    x, y = second.x + WIDTH / 2, first.y + HEIGHT / 2
    return f"M{first.x + WIDTH} {y}H{x - 12}Q{x} {y} {x} {y - 12}V{second.y + HEIGHT + 3}"
