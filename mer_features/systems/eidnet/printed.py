"""Results printed in the EIDNet paper. They are quoted, not computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.systems.common.printed import Printed

_PAPER = "Wang et al. (EIDNet), Table {}, {}"
_MACRO = "MacroNet trained on CK+"


def _rows(row: str, remark: str, cde: tuple[float, float], *single: tuple[float, float]) -> tuple[Printed, ...]:
    """Rows from UF1 and UAR on the CDE, then accuracy and F1 on CASME II and on SMIC."""
    databases = zip(("casme2-5-2019", "smic-hs-3"), single, strict=True)
    return (
        Printed("megc2019", _PAPER.format(2, row), *cde, remark=remark),
        *(Printed(name, _PAPER.format(1, row), f1, accuracy=acc, remark=remark) for name, (acc, f1) in databases),
    )


#: Rows by phases.
_TABLES = {
    "I": _rows("Phase I", "", (0.6768, 0.6809), (0.6506, 0.5501), (0.6524, 0.6465)),
    "I+II": _rows("Phase I + Phase II", _MACRO, (0.8647, 0.8559), (0.7309, 0.6640), (0.7317, 0.7249)),
}
_TUNED = ("triplet_weight", "adversarial_weight", "lir_weight")


def printed_eidnet(recipe: Mapping[str, Any]) -> tuple[Printed, ...]:
    """Rows for a recipe; none if a loss of phase II is switched off, which the paper does not report."""
    phases = recipe.get("phases", "I+II")
    if phases == "I+II" and any(recipe.get(name) == 0 for name in _TUNED):
        return ()
    return _TABLES[phases]
