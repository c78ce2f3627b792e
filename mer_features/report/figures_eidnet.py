"""What EIDNet's paper prints under the composite protocol (MEGC 2019, CDE), as data.

Its Table 1, CASME II and SMIC alone, has accuracy and F1 but no UAR; docs/systems/eidnet.md quotes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.report.printed import Printed

_WHERE = "Wang et al. (EIDNet), Table 2, {}; CDE, MacroNet trained on CK+"
_TABLE_2 = {
    "I": Printed(0.6768, 0.6809, _WHERE.format("Phase I")),
    "I+II": Printed(0.8647, 0.8559, _WHERE.format("Phase I + Phase II")),
}
_TUNED = ("triplet_weight", "adversarial_weight", "lir_weight")


def printed_eidnet(recipe: Mapping[str, Any]) -> Printed | None:
    """The row of Table 2 for a recipe; none where a loss of phase II is switched off, which the paper did not try."""
    phases = recipe.get("phases", "I+II")
    if phases == "I+II" and any(recipe.get(name) == 0 for name in _TUNED):
        return None
    return _TABLE_2[phases]
