"""What SA-AT's paper prints under the composite protocol (MEGC 2019, CDE), as data: quoted, never computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.systems.common.printed import Printed

_WHERE = "Zhou, Mao, Xue 2019 (SA-AT), Table 3, {}"
_TEACHER = "teacher trained on BU-3DFE"
#: By (attention transfer, style aggregation).
_TABLE_3 = {
    (False, False): Printed("megc2019", _WHERE.format("ResNet"), 0.5415, 0.5348, remark=_TEACHER),
    (False, True): Printed("megc2019", _WHERE.format("ResNet&SA"), 0.5611, 0.5503, remark=_TEACHER),
    (True, False): Printed("megc2019", _WHERE.format("ResNet&AT"), 0.5782, 0.5794, remark=_TEACHER),
    (True, True): Printed("megc2019", _WHERE.format("SA-AT"), 0.5936, 0.5958, remark=_TEACHER),
}


def printed_sa_at(recipe: Mapping[str, Any]) -> tuple[Printed, ...]:
    """The row of Table 3 for a recipe; none for a student without a teacher, which the paper does not have."""
    trained = recipe.get("micro_training", True)
    if trained and recipe.get("beta") == 0:
        return ()
    return (_TABLE_3[trained, recipe.get("images", "style") == "style"],)
