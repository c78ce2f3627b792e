"""Results printed in the MA2MI paper. They are quoted, not computed.

They were read from a text copy of the paper that has gaps. Values that are not legible in it are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mer_features.systems.common.printed import Printed


@dataclass(frozen=True)
class Row:
    """One row of Tables 1 to 4: accuracies in percent, and UF1 (the paper gives none for MMEW)."""

    name: str  # name of the ablation in the recipe
    table: str
    casme2: float | None
    casme2_uf1: float
    samm: float | None
    samm_uf1: float
    mmew: float


#: Pre-training on DFEW. Other rows of Table 3: AFEW 85.14 / 0.8362, 80.15 / 0.7146, 72.22; FERV39k SAMM 81.62.
ROWS = (
    Row("MA2MI", "Tables 1 to 4", 89.16, 0.8882, 83.82, 0.7893, 75.21),
    Row("without pre-training", "Table 1", 83.94, 0.8073, 77.21, 0.6740, 68.80),
    Row("macro recognition", "Table 1", 83.53, 0.8166, 78.68, 0.7214, 72.22),
    Row("pixel space", "Table 1", None, 0.8732, None, 0.7481, 74.36),
    Row("reconstruction kept, position", "Table 2", 83.94, 0.8073, 80.88, 0.7304, 72.65),
    Row("reconstruction kept, action", "Table 2", 85.54, 0.7941, 80.88, 0.7637, 73.08),
    Row("reconstruction kept, both", "Table 2", None, 0.8795, 81.62, 0.7384, 73.93),
    Row("position", "Table 2", 84.34, 0.8311, 81.62, 0.7411, 73.93),
    Row("action", "Table 2", 87.95, 0.8486, 82.35, 0.7640, 74.78),
    Row("no position encoder", "Table 4", 84.74, 0.8372, 77.94, 0.7279, 70.94),
    Row("no L_pos", "Table 4", 88.76, 0.8795, 81.62, 0.7549, 74.35),
)
_START = {"none": "without pre-training", "recognition": "macro recognition", "pixel": "pixel space"}
_POSITION = {"none": "no position encoder", "reconstruction": "no L_pos"}


def printed_ma2mi(recipe: Mapping[str, Any]) -> tuple[Printed, ...]:
    """Rows for a recipe on CASME II, SAMM and MMEW.

    There are none for a recipe that combines several rows, for other encoders or for other face sizes, which are not in
    the paper.
    """
    changed = _changes(recipe)
    if len(changed) > 1 or recipe.get("backbone", "resnet18") != "resnet18" or recipe.get("size", 256) != 256:
        return ()
    row = next(row for row in ROWS if row.name == (changed or ["MA2MI"])[0])
    where = f"Li, Niu, Zhao (MA2MI), {row.table}, {row.name}"
    remark = "" if row.name == "without pre-training" else "pre-training on DFEW"
    return (
        Printed("casme2-5-2019", where, row.casme2_uf1, accuracy=_share(row.casme2), remark=remark),
        Printed("samm-5", where, row.samm_uf1, accuracy=_share(row.samm), remark=remark),
        Printed("mmew-6", where, accuracy=_share(row.mmew), remark=remark),
    )


def _share(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 4)


def _changes(recipe: Mapping[str, Any]) -> list[str]:
    """Names of the table rows whose changes a recipe contains."""
    names = [_START.get(recipe.get("pretrain", "latent")), _POSITION.get(recipe.get("position", "independent"))]
    tuned, reconstruction = recipe.get("tuned", "both"), recipe.get("reconstruction", False)
    if reconstruction:
        names.append(f"reconstruction kept, {tuned}")
    elif tuned != "both":
        names.append(tuned)
    return [name for name in names if name is not None]
