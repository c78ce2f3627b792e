"""Results printed in the EIDNet paper. They are quoted, not computed."""

from __future__ import annotations

from typing import Any

from mer_features.systems.common.printed import Printed

_PAPER = "Wang et al. (EIDNet), Table {}, {}"
#: Eq. 1 and 2 print a norm. The paper does not say how its networks start: ImageNet weights are ours.
_START = {"recipe.imagenet_weights": "a file", "recipe.distance": "norm"}
#: MacroNet, which phase II starts from.
_MACRO = {
    "pretraining.task": "eidnet",
    "pretraining.databases": ["ckplus"],
    "pretraining.recipe.imagenet_weights": "a file",
    "pretraining.recipe.distance": "norm",
    "pretraining.apex.fallback": "interframe_diff",
}
#: Label map of CK+ for each protocol.
_LABELS = {"megc2019": "ckplus-3", "casme2-5-2019": "ckplus-5", "smic-hs-3": "ckplus-3"}

#: Keys whose values the paper prints.
_STATED = frozenset(
    {
        "backbone", "distance", "reconstruction_weight", "similarity_weight", "encoder_rate", "classifier_rate",
        "decoder_rate", "half_period", "epochs",
    }
)  # fmt: skip
STATED = frozenset(
    {
        *(f"{prefix}recipe.{key}" for prefix in ("", "pretraining.") for key in _STATED), "recipe.phases",
        "recipe.triplet_on", "recipe.triplet_weight", "recipe.adversarial_weight", "recipe.lir_weight",
        "recipe.discriminator_norm", "recipe.tuning_rate", "recipe.discriminator_rate", "recipe.tuning_epochs",
        "pretraining.databases", "pretraining.labels", "apex.policy", "cache.keyframes",
    }
)  # fmt: skip

#: UF1 and UAR by part (Table 2).
_PARTS = {
    "Phase I": {"smic": (0.5715, 0.6119), "casme2": (0.7489, 0.7271), "samm": (0.6080, 0.5671)},
    "Phase I + Phase II": {"smic": (0.8582, 0.8571), "casme2": (0.8863, 0.8795), "samm": (0.8135, 0.8571)},
}


def _rows(
    row: str, ablation: str, setting: dict[str, Any], cde: tuple[float, float], *single: tuple[float, float]
) -> tuple[Printed, ...]:
    """Rows from UF1 and UAR on the CDE, then accuracy and F1 on CASME II and on SMIC."""
    remark = "MacroNet trained on CK+" if setting else ""
    given = {"apex.fallback": "interframe_diff"} | _START | setting

    def printed(protocol: str, table: int, **scores: Any) -> Printed:
        labels = {"pretraining.labels": _LABELS[protocol]} if setting else {}
        where = _PAPER.format(table, row)
        return Printed(protocol, where, **scores, remark=remark, ablation=ablation, setting=given | labels)

    databases = zip(("casme2-5-2019", "smic-hs-3"), single, strict=True)
    return (
        printed("megc2019", 2, uf1=cde[0], uar=cde[1], parts=_PARTS[row]),
        *(printed(name, 1, uf1=f1, accuracy=accuracy) for name, (accuracy, f1) in databases),
    )


ROWS = (
    *_rows("Phase I + Phase II", "Phase I + Phase II", _MACRO, (0.8647, 0.8559), (0.7309, 0.6640), (0.7317, 0.7249)),
    *_rows("Phase I", "Phase I", {}, (0.6768, 0.6809), (0.6506, 0.5501), (0.6524, 0.6465)),
)
