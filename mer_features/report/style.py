"""Style aggregation: faces before and after, and what was measured of style, geometry and motion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features import features as feature_file
from mer_features.report import contact
from mer_features.report.data import Database
from mer_features.report.inline import Picture, jpeg

#: Faces of each database that are shown.
FACES = 12
_SIDE = 84


@dataclass(frozen=True)
class Faces:
    """Onset crops of one database, and below each the aggregated one."""

    database: str
    picture: Picture


@dataclass(frozen=True)
class Measured:
    """One database: medians over clips, pixels; ``None`` where it cannot be known."""

    database: str
    clips: int
    displacement_px: float
    landmarks_px: float | None
    motion_px: float
    epe_before_px: float | None
    epe_after_px: float | None


@dataclass(frozen=True)
class StyleSection:
    """Everything the section shows."""

    method: str
    refused: str
    fit_on: str
    fit_databases: str
    digest: str
    faces: Sequence[Faces]
    measured: Sequence[Measured]
    gap: Mapping[str, Any] | None


def build(databases: Sequence[Database], measured: Path | None) -> StyleSection | None:
    """The section; ``None`` if the style stage did not run."""
    shown = [database for database in databases if database.used]
    if measured is None or not shown:
        return None
    tree = json.loads(measured.read_text(encoding="utf-8"))
    with feature_file.open_features(shown[0].cache) as features:
        made = features.group_attrs("style")
    return StyleSection(
        method=str(made["style_method"]),
        refused=str(made["refused"]),
        fit_on=str(made["fit_on"]),
        fit_databases=str(made["fit_databases"]).replace(",", ", "),
        digest=str(made["model_sha256"]),
        faces=[_faces(database) for database in shown],
        measured=[
            Measured(
                name, item["clips"], item["displacement_px"], item.get("landmarks_px"), item["motion_px"],
                item.get("epe_before_px"), item.get("epe_after_px"),
            )
            for name, item in tree["databases"].items()
        ],
        gap=tree["gap"],
    )  # fmt: skip


def _faces(database: Database) -> Faces:
    rows = contact.spread(len(database.used), FACES)
    with feature_file.open_features(database.cache) as features:
        images = [features[f"{group}/onset"][row] for group in ("faces", "style") for row in rows]
    alt = f"{len(rows)} onset crops of {database.name}, above as recorded, below in the aggregated style"
    return Faces(database.name, jpeg(contact.mosaic(images, _SIDE, len(rows)), alt, quality=88))
