"""Errors of the stages against the truth of the embedded database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features.report import plots
from mer_features.report.inline import Picture, svg

#: Among the flow methods: the prediction of no motion, and what is added to a method's name where the light of the
#: frames was matched first.
ZERO, MATCHED = "zero", "+light"


@dataclass(frozen=True)
class ApexRow:
    """One spotter: median absolute error in frames and in per cent of the clip."""

    spotter: str
    frames: float | None
    percent: float | None
    clips: int


@dataclass(frozen=True)
class FlowRow:
    """One flow method: medians over clips; errors in pixels of the crop, angle in degrees."""

    name: str
    baseline: bool  # predicting no motion
    used: bool  # the one the features come from
    epe: float | None
    epe_moving: float | None
    angular_deg: float | None
    of_zero: float | None  # epe_moving as a fraction of that of predicting no motion


@dataclass(frozen=True)
class Registration:
    """Head motion that was there, what registration left of it (medians over clips, source pixels)."""

    motion_px: float | None
    error_px: float | None
    error_apex_px: float | None
    worst_px: float | None
    clips: int


@dataclass(frozen=True)
class MagnifiedRow:
    """One magnification method: recovered share of the wanted displacement and end-point error (px) by factor."""

    name: str
    reference: bool  # the frame in which the displacement is right
    used: bool  # the one the features come from
    recovered: Sequence[float]
    epe_px: Sequence[float]
    static_psnr_db: float | None


@dataclass(frozen=True)
class Magnification:
    """Errors of all magnification methods on some clips."""

    factors: Sequence[float]
    wanted_px: Sequence[float]  # mean wanted displacement where the face moves, by factor
    clips: int
    used_factor: float
    rows: Sequence[MagnifiedRow]


@dataclass(frozen=True)
class TruthErrors:
    """Everything measured on one database."""

    database: str
    apex: Sequence[ApexRow]
    apex_chart: Picture | None
    flow: Sequence[FlowRow]
    flow_clips: int
    flow_chart: Picture | None
    registration: Registration
    magnification: Magnification | None


def read(database: str, path: Path, config: Mapping[str, Any]) -> TruthErrors:
    """Errors of one database from the file of the assessment; the configuration says which flow was used."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    options = config["flow"] | config["databases"][database]["overrides"]["flow"]
    used = options["method"] + (MATCHED if options["light"] == "matched" else "")
    apex = [
        ApexRow(name, item["median_frames"], item["median_percent"], item["n"]) for name, item in tree["apex"].items()
    ]
    flow = {name: tree["flow"][name] for name in sorted(tree["flow"], key=lambda name: _rank(name, tree["flow"]))}
    left = tree["registration"]
    return TruthErrors(
        database=database,
        apex=apex,
        apex_chart=_apex_chart(apex),
        flow=_flow_rows(flow, used),
        flow_clips=len(tree["flow_clips"]),
        flow_chart=_flow_chart(flow),
        registration=Registration(
            left["motion_px"], left["error_px"], left["error_apex_px"], left["worst_px"], left["n"]
        ),
        magnification=_magnification(
            tree.get("magnification"), config["magnify"] | config["databases"][database]["overrides"]["magnify"]
        ),
    )


_MAGNIFIED = {"true_motion": "apex moved on by the true displacement"}


def _magnification(tree: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Magnification | None:
    """Rows from the best recovered; ``None`` where nothing was measured."""
    if not tree or not tree["clips"]:
        return None
    keys = [f"{factor:g}" for factor in tree["factors"]]
    rows = [
        MagnifiedRow(
            name=_MAGNIFIED.get(name, name),
            reference=name in _MAGNIFIED,
            used=name == options["method"],
            recovered=[item[key]["recovered"] for key in keys],
            epe_px=[item[key]["epe_px"] for key in keys],
            static_psnr_db=tree["static_psnr_db"].get(name),
        )
        for name, item in tree["methods"].items()
    ]
    wanted = next(iter(tree["methods"].values()))
    return Magnification(
        factors=tree["factors"],
        wanted_px=[wanted[key]["wanted_px"] for key in keys],
        clips=len(tree["clips"]),
        used_factor=options["factor"],
        rows=sorted(rows, key=lambda row: (row.reference, -sum(row.recovered))),
    )


def _rank(method: str, flow: Mapping[str, Mapping[str, Any]]) -> tuple[bool, bool, float]:
    """The best first, predicting no motion last."""
    error = flow[method]["epe_moving"]
    return method == ZERO, error is None, error or 0.0


def _name(method: str) -> str:
    if method == ZERO:
        return "predicting no motion"
    return f"{method.removesuffix(MATCHED)}, light matched" if method.endswith(MATCHED) else method


def _apex_chart(rows: Sequence[ApexRow]) -> Picture | None:
    known = {row.spotter: row.percent for row in rows if row.percent is not None}
    if not known:
        return None
    label = "median apex error, % of onset to offset"
    alt = "; ".join(f"{name} {value:.1f} %" for name, value in known.items())
    return svg(plots.bars(list(known), list(known.values()), label), f"{label}: {alt}")


def _flow_rows(flow: Mapping[str, Mapping[str, Any]], used: str) -> list[FlowRow]:
    still = flow.get(ZERO, {}).get("epe_moving")
    rows = []
    for method, item in flow.items():
        moving = item["epe_moving"]
        share = moving / still if still and moving is not None else None
        row = FlowRow(_name(method), method == ZERO, method == used, item["epe"], moving, item["angular_deg"], share)
        rows.append(row)
    return rows


def _flow_chart(flow: Mapping[str, Mapping[str, Any]]) -> Picture | None:
    known = {
        _name(method): [value for value in item["per_clip"]["epe_moving"] if value is not None]
        for method, item in flow.items()
    }
    clips = {name: values for name, values in known.items() if values}
    if not clips:
        return None
    label = "end-point error where the face moves, px"
    return svg(plots.strips(clips, label), f"{label}, one dot per clip, by flow method; medians are in the table")
