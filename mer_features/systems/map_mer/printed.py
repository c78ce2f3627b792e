"""Results printed in the MAP-MER paper. They are quoted, not computed."""

from __future__ import annotations

from collections.abc import Mapping
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

#: Flow target of a recipe -> protocols for which the paper uses it, with five and with three classes.
_PROTOCOLS = {"apex": ("casme2-5-dual-branch", "casme2-3"), "amplified": ("samm-5", "samm-3")}

#: Rows of Table 4 by (branches, area weights, AU alignment, Region Replacing).
_MODELS = {
    (1, False, False, True): "sb",
    (1, False, True, True): "sb + AU",
    (2, False, False, True): "db",
    (2, False, True, True): "db + AU",
    (2, True, False, True): "db + AWM",
    (2, True, True, False): "db + all w/o RR",
    (2, True, True, True): "db + all",
}


def printed_map_mer(recipe: Mapping[str, Any]) -> tuple[Printed, ...]:
    """Rows for a recipe, on the database that has its flow target; three classes for the complete model only."""
    parts = (
        recipe.get("awm", "code") != "none",
        recipe.get("au_alignment", True),
        recipe.get("region_replacing", 0.5) > 0,
    )
    model = _MODELS.get((recipe.get("branches", 2), *parts))
    if model is None:
        return ()
    protocols = _PROTOCOLS[recipe.get("target", "apex")]
    rows = [(3, row) for row in TABLE_3] + [(4, row) for row in TABLE_4 if row.model != "db + all"]
    return tuple(_printed(table, row) for table, row in rows if row.model == model and row.protocol in protocols)


def _printed(table: int, row: Row) -> Printed:
    """One row; Table 3 has three decimals, Table 4 has four decimals and no UAR."""
    where = f"{_PAPER}, Table {table}, {row.model}"
    return Printed(row.protocol, where, row.uf1, row.uar, row.accuracy, _SELECTED, digits=table)
