"""Results printed in the SA-AT paper for the composite protocol (MEGC 2019, CDE). They are quoted, not computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.systems.common.printed import Printed

_WHERE = "Zhou, Mao, Xue 2019 (SA-AT), Table 3, {}"
_TEACHER = "teacher trained on BU-3DFE"
#: Rows by (attention transfer, style aggregation).
_TABLE_3 = {
    (False, False): Printed("megc2019", _WHERE.format("ResNet"), 0.5415, 0.5348, remark=_TEACHER),
    (False, True): Printed("megc2019", _WHERE.format("ResNet&SA"), 0.5611, 0.5503, remark=_TEACHER),
    (True, False): Printed("megc2019", _WHERE.format("ResNet&AT"), 0.5782, 0.5794, remark=_TEACHER),
    (True, True): Printed("megc2019", _WHERE.format("SA-AT"), 0.5936, 0.5958, remark=_TEACHER),
}


def printed_sa_at(recipe: Mapping[str, Any]) -> tuple[Printed, ...]:
    """Row of Table 3 for a recipe; none for a student without a teacher, which is not in the paper."""
    trained = recipe.get("micro_training", True)
    if trained and recipe.get("beta") == 0:
        return ()
    return (_TABLE_3[trained, recipe.get("images", "style") == "style"],)
