"""Results printed in the MAP-MER paper. They are quoted, not computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mer_features.systems.common.printed import Printed

_PAPER = "Ruan et al. 2022 (MAP-MER)"
#: In each fold, the authors' code keeps the epoch with the best accuracy on the held-out subject.
_SELECTED = "epoch selected on the test subject"


@dataclass(frozen=True)
class Row:
    """One row of a table: a model under one protocol, leave one subject out."""

    protocol: str  # preset, docs/protocols.md
    model: str  # name in Table 4
    accuracy: float
    uf1: float
    uar: float | None = None


#: Table 3, all for the complete model.
TABLE_3 = (
    Row("casme2-5-dual-branch", "db + all", 0.833, 0.827, 0.850),
    Row("samm-5", "db + all", 0.794, 0.758, 0.751),
    Row("casme2-3", "db + all", 0.932, 0.925, 0.924),
    Row("samm-3", "db + all", 0.865, 0.816, 0.805),
)

#: Table 4, five classes.
TABLE_4 = (
    Row("casme2-5-dual-branch", "sb", 0.8008, 0.7921),
    Row("casme2-5-dual-branch", "sb + AU", 0.8008, 0.7871),
    Row("casme2-5-dual-branch", "db", 0.8008, 0.7828),
    Row("casme2-5-dual-branch", "db + AU", 0.8171, 0.7974),
    Row("casme2-5-dual-branch", "db + AWM", 0.8252, 0.7957),
    Row("casme2-5-dual-branch", "db + all w/o RR", 0.8171, 0.8188),
    Row("casme2-5-dual-branch", "db + all", 0.8333, 0.8267),
    Row("samm-5", "sb", 0.7574, 0.7218),
    Row("samm-5", "sb + AU", 0.7206, 0.6560),
    Row("samm-5", "db", 0.7500, 0.6925),
    Row("samm-5", "db + AU", 0.7574, 0.7338),
    Row("samm-5", "db + AWM", 0.7721, 0.7347),
    Row("samm-5", "db + all w/o RR", 0.7647, 0.7019),
    Row("samm-5", "db + all", 0.7941, 0.7582),
)

#: Input as in the authors' code: CASME II aligned by landmarks, SAMM in the onset's box, with the amplified apex.
_SETTING: dict[str, Any] = {
    "faces.size": 224,
    "magnify.method": "learned",
    "flow.method": "tvl1",
    "flow.light": "as_recorded",
    "recipe.imagenet": "a file",
}
#: Eq. 5 and Eq. 1 as printed; the second for the rows that have the area weighted module.
_PRINTED = {"recipe.wscl": "literal"}
_AWM = {"recipe.awm": "paper"}
_SAMM = {"faces.mode": "box", "faces.register": "none", "recipe.target": "amplified"}

#: Keys whose values the paper prints.
STATED = frozenset(
    {
        "recipe.target", "recipe.branches", "recipe.awm", "recipe.wscl", "recipe.awm_width", "recipe.au_alignment",
        "recipe.alignment_weight", "recipe.region_replacing", "recipe.learning_rate", "recipe.restart",
        "recipe.batch_size", "recipe.epochs", "recipe.image_size", "magnify.factor", "magnify.method", "flow.method",
    }
)  # fmt: skip


def _printed(table: int, row: Row) -> Printed:
    """One row; Table 3 has three decimals, Table 4 has four decimals and no UAR."""
    where = f"{_PAPER}, Table {table}, {row.model}"
    has_awm = "AWM" in row.model or "all" in row.model
    setting = _SETTING | _PRINTED | (_AWM if has_awm else {}) | (_SAMM if row.protocol.startswith("samm") else {})
    scores = (row.uf1, row.uar, row.accuracy)
    return Printed(row.protocol, where, *scores, _SELECTED, digits=table, ablation=row.model, setting=setting)


ROWS = (
    *(_printed(3, row) for row in TABLE_3),
    *(_printed(4, row) for row in TABLE_4 if row.model != "db + all"),
)
