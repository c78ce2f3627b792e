"""Errors of the stages against the truth of the embedded database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features.report import plots
from mer_features.report.inline import Picture, svg

#: The prediction of no motion at all among the flow methods.
ZERO = "zero"


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

    method: str
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
class TruthErrors:
    """Everything measured on one database."""

    database: str
    apex: Sequence[ApexRow]
    apex_chart: Picture | None
    flow: Sequence[FlowRow]
    flow_clips: int
    flow_chart: Picture | None
    registration: Registration


def read(database: str, path: Path) -> TruthErrors:
    """Errors of one database from the file of the assessment."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    apex = [
        ApexRow(name, item["median_frames"], item["median_percent"], item["n"]) for name, item in tree["apex"].items()
    ]
    left = tree["registration"]
    return TruthErrors(
        database=database,
        apex=apex,
        apex_chart=_apex_chart(apex),
        flow=_flow_rows(tree["flow"], tree["flow_method"]),
        flow_clips=len(tree["flow_clips"]),
        flow_chart=_flow_chart(tree["flow"]),
        registration=Registration(
            left["motion_px"], left["error_px"], left["error_apex_px"], left["worst_px"], left["n"]
        ),
    )


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
        rows.append(FlowRow(method, method == used, item["epe"], moving, item["angular_deg"], share))
    return sorted(rows, key=lambda row: (row.method == ZERO, row.epe_moving is None, row.epe_moving or 0))


def _flow_chart(flow: Mapping[str, Mapping[str, Any]]) -> Picture | None:
    clips = {
        "predicting no motion" if method == ZERO else method: [
            value for value in item["per_clip"]["epe_moving"] if value is not None
        ]
        for method, item in flow.items()
    }
    clips = {name: values for name, values in clips.items() if values}
    if not clips:
        return None
    label = "end-point error where the face moves, px"
    return svg(plots.strips(clips, label), f"{label}, one dot a clip, by flow method; medians are in the table")
