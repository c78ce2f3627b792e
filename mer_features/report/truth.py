"""Errors of the stages against the ground truth of the embedded synthetic database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features.report import plots
from mer_features.report.inline import Picture, svg

#: Name of the flow method that predicts no motion, and suffix of methods applied after matching the lighting of the
#: two frames.
ZERO, MATCHED = "zero", "+light"


@dataclass(frozen=True)
class ApexRow:
    """One spotter: median absolute error in frames and in per cent of the length from onset to offset."""

    spotter: str
    frames: float | None
    percent: float | None
    clips: int


@dataclass(frozen=True)
class FlowRow:
    """One flow method: medians over clips; end-point errors (EPE) in pixels of the crop, angle in degrees."""

    name: str
    baseline: bool  # whether this is the prediction of no motion
    used: bool  # whether the features were computed with this method
    epe: float | None
    epe_moving: float | None  # EPE where the face moves
    angular_deg: float | None
    of_zero: float | None  # epe_moving as a fraction of that of the prediction of no motion


@dataclass(frozen=True)
class Registration:
    """Head motion before registration and the remaining error after it (medians over clips, source pixels)."""

    motion_px: float | None
    error_px: float | None
    error_apex_px: float | None
    worst_px: float | None
    clips: int


@dataclass(frozen=True)
class MagnifiedRow:
    """One magnification method: recovered fraction of the target displacement and end-point error (px), by factor."""

    name: str
    reference: bool  # whether this is the frame with the correct displacement
    used: bool  # whether the features were computed with this method
    recovered: Sequence[float]
    epe_px: Sequence[float]
    static_psnr_db: float | None


@dataclass(frozen=True)
class Magnification:
    """Errors of all magnification methods on some clips."""

    factors: Sequence[float]
    wanted_px: Sequence[float]  # mean target displacement where the face moves, by factor
    clips: int
    used_factor: float
    rows: Sequence[MagnifiedRow]


@dataclass(frozen=True)
class TruthErrors:
    """All errors measured on one database."""

    database: str
    apex: Sequence[ApexRow]
    apex_chart: Picture | None
    flow: Sequence[FlowRow]
    flow_clips: int
    flow_chart: Picture | None
    registration: Registration
    magnification: Magnification | None


def read(database: str, path: Path, config: Mapping[str, Any]) -> TruthErrors:
    """Read the errors of one database; the configuration tells which methods the features were computed with."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    options = config["flow"] | config["databases"][database]["overrides"]["flow"]
    used = options["method"] + (MATCHED if options["light"] == "matched" else "")
    apex = [
        ApexRow(name, item["median_frames"], item["median_percent"], item["n"]) for name, item in tree["apex"].items()
    ]
    flow = {name: tree["flow"][name] for name in sorted(tree["flow"], key=lambda name: _rank(name, tree["flow"]))}
    registration = tree["registration"]
    return TruthErrors(
        database=database,
        apex=apex,
        apex_chart=_apex_chart(apex),
        flow=_flow_rows(flow, used),
        flow_clips=len(tree["flow_clips"]),
        flow_chart=_flow_chart(flow),
        registration=Registration(
            registration["motion_px"],
            registration["error_px"],
            registration["error_apex_px"],
            registration["worst_px"],
            registration["n"],
        ),
        magnification=_magnification(
            tree.get("magnification"), config["magnify"] | config["databases"][database]["overrides"]["magnify"]
        ),
    )


_MAGNIFIED = {"true_motion": "apex warped by the true displacement"}


def _magnification(tree: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Magnification | None:
    """Rows in descending order of the recovered fraction; ``None`` if nothing was measured."""
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
    first = next(iter(tree["methods"].values()))  # the target displacement is the same for all methods
    return Magnification(
        factors=tree["factors"],
        wanted_px=[first[key]["wanted_px"] for key in keys],
        clips=len(tree["clips"]),
        used_factor=options["factor"],
        rows=sorted(rows, key=lambda row: (row.reference, -sum(row.recovered))),
    )


def _rank(method: str, flow: Mapping[str, Mapping[str, Any]]) -> tuple[bool, bool, float]:
    """Sort key: the method with the smallest error first, the prediction of no motion last."""
    error = flow[method]["epe_moving"]
    return method == ZERO, error is None, error or 0.0


def _name(method: str) -> str:
    if method == ZERO:
        return "predicting no motion"
    return f"{method.removesuffix(MATCHED)}, lighting matched" if method.endswith(MATCHED) else method


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
