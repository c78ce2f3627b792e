"""What SA-AT's paper prints under the composite protocol (MEGC 2019, CDE), as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.report.printed import Printed

_WHERE = "Zhou, Mao, Xue 2019, Table 3, {}; CDE, teacher trained on BU-3DFE"
#: By (attention transfer, style aggregation).
_TABLE_3 = {
    (False, False): Printed(0.5415, 0.5348, _WHERE.format("ResNet")),
    (False, True): Printed(0.5611, 0.5503, _WHERE.format("ResNet&SA")),
    (True, False): Printed(0.5782, 0.5794, _WHERE.format("ResNet&AT")),
    (True, True): Printed(0.5936, 0.5958, _WHERE.format("SA-AT")),
}


def printed_sa_at(recipe: Mapping[str, Any]) -> Printed | None:
    """The row of Table 3 for a recipe; none for a student without a teacher, which the paper does not have."""
    trained = recipe.get("micro_training", True)
    if trained and recipe.get("beta") == 0:
        return None
    return _TABLE_3[trained, recipe.get("images", "style") == "style"]
