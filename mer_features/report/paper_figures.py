"""Figures that the papers print, as data. They were measured on licensed databases and are quoted, never computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mer_features.report.figures_eidnet import printed_eidnet
from mer_features.report.figures_ma2mi import printed_ma2mi
from mer_features.report.figures_map_mer import printed_map_mer
from mer_features.report.figures_sa_at import printed_sa_at
from mer_features.report.printed import Printed

#: What the figures of the composite protocol were measured on.
CDE = (
    "MEGC 2019 composite (CDE): SMIC-HS, CASME II and SAMM together, 442 clips of 68 subjects, three classes, "
    "leave one subject out"
)


@dataclass(frozen=True)
class Method:
    """One row of the papers' table: UF1 and UAR on the composite and on each of its parts."""

    name: str
    composite: tuple[float, float]
    smic: tuple[float, float]
    casme2: tuple[float, float]
    samm: tuple[float, float]
    note: str = ""


#: Zhou et al. 2022 (FR), Table 2.
CDE_TABLE = (
    Method(
        "LBP-TOP", (0.5882, 0.5785), (0.2000, 0.5280), (0.7026, 0.7429), (0.3954, 0.4102),
        "UF1 0.2000 beside UAR 0.5280 on SMIC-HS looks like a slip of the challenge's report; quoted as printed",
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

_FR = "Zhou et al. 2022, Table {}"
#: FR's ablations by (refine, fusion).
_FR_VARIANTS = {
    ("attention", "sum"): Printed(0.7838, 0.7832, _FR.format("2")),
    ("attention", "concat"): Printed(0.7632, 0.7727, _FR.format("1c, FR-concatenated")),
    ("fc", "sum"): Printed(0.7377, 0.7443, _FR.format("1b, FR-fc")),
    ("none", "sum"): Printed(0.7360, 0.7391, _FR.format("1a, Basic Inception")),
}


def printed(system: str, recipe: Mapping[str, Any]) -> Printed | None:
    """What its paper prints for this variant of a system under its own protocol, if it prints anything."""
    return _PRINTED[system](recipe) if system in _PRINTED else None


def _printed_fr(recipe: Mapping[str, Any]) -> Printed | None:
    refine = recipe.get("refine", "attention")
    fusion = "sum" if refine == "none" else recipe.get("fusion", "sum")  # the backbone has nothing to join
    return _FR_VARIANTS.get((refine, fusion))


def _quoted(name: str) -> Printed:
    """A row of FR's Table 2."""
    uf1, uar = next(row.composite for row in CDE_TABLE if row.name == name)
    return Printed(uf1, uar, _FR.format(f"2, {name}"))


_PRINTED: Mapping[str, Callable[[Mapping[str, Any]], Printed | None]] = {
    "fr": _printed_fr,
    "sa_at": printed_sa_at,
    "eidnet": printed_eidnet,
    "map_mer": printed_map_mer,
    "ma2mi": printed_ma2mi,
    "svm": lambda recipe: _quoted({"lbp_top": "LBP-TOP", "bi_woof": "Bi-WOOF"}[recipe["descriptor"]]),
    "off_apexnet": lambda _: _quoted("OFF-ApexNet"),
    "ststnet": lambda _: _quoted("STSTNet"),
    "dual_inception": lambda _: _quoted("Dual-Inception"),
}
