"""Results printed in the FR paper, for FR and for the methods it compares with. They are quoted, not computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mer_features.systems.common.printed import Printed

_PAPER = "Zhou et al. 2022 (FR), Table {}"
_ROUNDS = "mean of at least ten rounds"
_ONE_RUN = "at least ten rounds by the text; one run by the whole numbers of Figure 3"


@dataclass(frozen=True)
class Method:
    """One row of Table 2: UF1 and UAR on the composite (CDE) and on each of its parts."""

    name: str
    composite: tuple[float, float]
    smic: tuple[float, float]
    casme2: tuple[float, float]
    samm: tuple[float, float]
    note: str = ""

    @property
    def parts(self) -> Mapping[str, tuple[float, float]]:
        """The results by part of the preset `megc2019`."""
        return {"smic": self.smic, "casme2": self.casme2, "samm": self.samm}


CDE_TABLE = (
    Method(
        "LBP-TOP", (0.5882, 0.5785), (0.2000, 0.5280), (0.7026, 0.7429), (0.3954, 0.4102),
        "UF1 0.2000 and UAR 0.5280 on SMIC-HS: probably a misprint in the challenge's report; quoted as printed",
    ),
    Method("Bi-WOOF", (0.6296, 0.6227), (0.5727, 0.5829), (0.7805, 0.8026), (0.5211, 0.5139)),
    Method("AlexNet on flow", (0.6933, 0.7154), (0.6201, 0.6373), (0.7994, 0.8312), (0.6104, 0.6642)),
    Method("GoogLeNet on flow", (0.5573, 0.6049), (0.5123, 0.5511), (0.5989, 0.6414), (0.5124, 0.5992)),
    Method("VGG-16 on flow", (0.6425, 0.6516), (0.5800, 0.5964), (0.8166, 0.8202), (0.4870, 0.4793)),
    Method("CapsuleNet", (0.6520, 0.6506), (0.5820, 0.5877), (0.7068, 0.7018), (0.6209, 0.5989)),
    Method("OFF-ApexNet", (0.7196, 0.7096), (0.6817, 0.6695), (0.8764, 0.8681), (0.5409, 0.5392)),
    Method("Dual-Inception", (0.7322, 0.7278), (0.6645, 0.6726), (0.8621, 0.8560), (0.5868, 0.5663)),
    Method("STSTNet", (0.7353, 0.7605), (0.6801, 0.7013), (0.8382, 0.8686), (0.6588, 0.6810)),
    Method("EMR", (0.7885, 0.7824), (0.7461, 0.7530), (0.8293, 0.8209), (0.7754, 0.7152)),
    Method("FR", (0.7838, 0.7832), (0.7011, 0.7083), (0.8915, 0.8873), (0.7372, 0.7155)),
)  # fmt: skip

#: UF1 and accuracy of FR from source to target, tasks 1 to 6 (Table 3) and 7 to 12 (Table 4).
CDMER_TABLE = (
    (0.7065, 0.7149), (0.5971, 0.5968), (0.5335, 0.5673), (0.5137, 0.5200), (0.7934, 0.7910), (0.7921, 0.7921),
    (0.4670, 0.4905), (0.4883, 0.5380), (0.5678, 0.6101), (0.5929, 0.6019), (0.4399, 0.4823), (0.5963, 0.6081),
)  # fmt: skip


#: The paper's own words on its input: the detector's box, the annotated apex or frame differences, TV-L1.
STAGES = {
    "faces.mode": "box",
    "faces.register": "none",
    "apex.fallback": "interframe_diff",
    "flow.method": "tvl1",
    "flow.light": "as_recorded",
}
#: Training on single databases and between databases: an optimiser with momentum, which is SGD in Keras.
_MOMENTUM = {"recipe.optimiser": "sgd", "recipe.learning_rate": 0.0005, "recipe.momentum": 0.8, "recipe.epochs": 100}

#: Keys whose values the paper prints.
STATED = frozenset(
    {
        "recipe.refine", "recipe.fusion", "recipe.initialisation", "recipe.attention_scale", "recipe.loss_weight",
        "recipe.learning_rate", "recipe.momentum", "recipe.batch_size", "recipe.source", "faces.mode", "faces.detector",
        "apex.policy", "apex.fallback", "flow.method",
    }
)  # fmt: skip


#: Eq. 3 as printed, for the rows that have attention.
_EQ_3 = {"recipe.attention_scale": 1}


def _given(ablation: str | None, **more: Any) -> dict[str, Any]:
    """Setting of a row; the paper used Keras, whose layers start from Glorot's weights."""
    has_attention = ablation in (None, "FR-concat")
    return STAGES | {"recipe.initialisation": "keras"} | (_EQ_3 if has_attention else {}) | more


def _cde(table: str, row: str, scores: tuple[float, float], ablation: str | None = None) -> Printed:
    parts = next((method.parts for method in CDE_TABLE if method.name == row), {})
    where = _PAPER.format(f"{table}, {row}")
    remark = _ONE_RUN if row in ("FR", "Basic Inception") else _ROUNDS
    return Printed("megc2019", where, *scores, remark=remark, parts=parts, ablation=ablation, setting=_given(ablation))


def _single(protocol: str, table: str, row: str, accuracy: float, ablation: str | None = None) -> Printed:
    where = _PAPER.format(f"{table}, {row}")
    setting = _given(ablation, **_MOMENTUM)
    return Printed(protocol, where, accuracy=accuracy, remark=_ROUNDS, ablation=ablation, setting=setting)


def _cdmer(task: int, uf1: float, accuracy: float) -> Printed:
    where = _PAPER.format(f"{3 + (task > 6)}, FR")
    return Printed(f"cdmer-{task}", where, uf1, accuracy=accuracy, remark=_ROUNDS, setting=_given(None, **_MOMENTUM))


#: Rows of FR and its ablations.
ROWS = (
    _cde("2", "FR", (0.7838, 0.7832)),
    _single("smic-hs-3", "5", "FR", 0.5790),
    _single("casme2-5-benchmark", "5", "FR", 0.6285),
    _single("casme2-4", "5", "FR", 0.6838),
    _single("samm-4", "5", "FR", 0.6013),
    *(_cdmer(task, *scores) for task, scores in enumerate(CDMER_TABLE, start=1)),
    _cde("1c", "FR-concatenated", (0.7632, 0.7727), "FR-concat"),
    _cde("1b", "FR-fc", (0.7377, 0.7443), "FR-fc"),
    _cde("1a", "Basic Inception", (0.7360, 0.7391), "Basic Inception"),
    _single("smic-hs-3", "7", "Basic Inception", 0.5612, "Basic Inception"),
    _single("casme2-4", "7", "Basic Inception", 0.6601, "Basic Inception"),
    _single("samm-4", "7", "Basic Inception", 0.5783, "Basic Inception"),
)
