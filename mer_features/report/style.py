"""Style aggregation: faces before and after, and its measured effects on style, geometry and motion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features import features as feature_file
from mer_features.core.jobs import counted
from mer_features.report import contact
from mer_features.report.data import Database
from mer_features.report.inline import Picture, jpeg

#: Number of faces shown per database.
FACES = 12
_SIDE = 84  # pixels


@dataclass(frozen=True)
class Faces:
    """Onset crops of one database, and below each the same crop in the aggregated style."""

    database: str
    picture: Picture


@dataclass(frozen=True)
class Measured:
    """Measurements on one database: medians over clips, in pixels; ``None`` if a value cannot be measured."""

    database: str
    clips: int
    displacement_px: float
    landmarks_px: float | None
    motion_px: float
    epe_before_px: float | None
    epe_after_px: float | None


@dataclass(frozen=True)
class StyleSection:
    """Contents of the section."""

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
    shown = [database for database in databases if database.used and "style" in database.groups]
    if measured is None or not shown:
        return None
    tree = json.loads(measured.read_text(encoding="utf-8"))
    with feature_file.open_features(shown[0].cache) as features:
        attrs = features.group_attrs("style")
    return StyleSection(
        method=str(attrs["style_method"]),
        refused=str(attrs["refused"]),
        fit_on=str(attrs["fit_on"]),
        fit_databases=str(attrs["fit_databases"]).replace(",", ", "),
        digest=str(attrs["model_sha256"]),
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
    alt = f"{counted(len(rows), 'onset crop')} of {database.name}: top row as recorded, bottom row in aggregated style"
    return Faces(database.name, jpeg(contact.mosaic(images, _SIDE, len(rows)), alt, quality=88))
