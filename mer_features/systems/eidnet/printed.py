"""What EIDNet's paper prints, as data: quoted, never computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.systems.common.printed import Printed

_PAPER = "Wang et al. (EIDNet), Table {}, {}"
_MACRO = "MacroNet trained on CK+"


def _rows(row: str, remark: str, cde: tuple[float, float], *single: tuple[float, float]) -> tuple[Printed, ...]:
    """CDE's UF1 and UAR, then accuracy and F1 of CASME II and of SMIC."""
    alone = zip(("casme2-5-2019", "smic-hs-3"), single, strict=True)
    return (
        Printed("megc2019", _PAPER.format(2, row), *cde, remark=remark),
        *(Printed(name, _PAPER.format(1, row), f1, accuracy=right, remark=remark) for name, (right, f1) in alone),
    )


#: By phases.
_TABLES = {
    "I": _rows("Phase I", "", (0.6768, 0.6809), (0.6506, 0.5501), (0.6524, 0.6465)),
    "I+II": _rows("Phase I + Phase II", _MACRO, (0.8647, 0.8559), (0.7309, 0.6640), (0.7317, 0.7249)),
}
_TUNED = ("triplet_weight", "adversarial_weight", "lir_weight")


def printed_eidnet(recipe: Mapping[str, Any]) -> tuple[Printed, ...]:
    """Rows for a recipe; none where a loss of phase II is switched off, which the paper did not try."""
    phases = recipe.get("phases", "I+II")
    if phases == "I+II" and any(recipe.get(name) == 0 for name in _TUNED):
        return ()
    return _TABLES[phases]
