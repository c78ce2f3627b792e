"""Results published in the papers. They were measured on licensed databases and are quoted, not computed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mer_features.systems.common.printed import Printed
from mer_features.systems.eidnet.printed import printed_eidnet
from mer_features.systems.fr.printed import CDE_TABLE, printed_fr, printed_method
from mer_features.systems.ma2mi.printed import printed_ma2mi
from mer_features.systems.map_mer.printed import printed_map_mer
from mer_features.systems.sa_at.printed import printed_sa_at

__all__ = ["CDE", "CDE_TABLE", "Beside", "beside", "printed"]

#: Data on which the results of the composite protocol were measured.
CDE = (
    "MEGC 2019 composite (CDE): SMIC-HS, CASME II and SAMM together, 442 clips of 68 subjects, three classes, "
    "leave-one-subject-out cross-validation (LOSO)"
)


@dataclass(frozen=True)
class Beside:
    """A published result to show next to a measured one."""

    printed: Printed
    foreign: bool  # published for other clips, classes or folds: shown for reference only, not comparable


def printed(system: str, recipe: Mapping[str, Any]) -> tuple[Printed, ...]:
    """All published results for this variant of a system, the paper's main result first; may be empty."""
    return _PRINTED[system](recipe) if system in _PRINTED else ()


def beside(system: str, recipe: Mapping[str, Any], preset: str | None) -> Beside | None:
    """The published result for a variant of a system under a preset.

    Parameters
    ----------
    system, recipe
        System and recipe of the run.
    preset
        The published protocol that the run followed, with the same clips as far as counts can tell; None if it
        followed none.

    Returns
    -------
    Beside or None
        The result for this protocol. If there is none, the paper's main result for another protocol, with ``foreign``
        set; None if nothing was published.
    """
    rows = printed(system, recipe)
    comparable = next((row for row in rows if row.protocol == preset), None)
    if comparable is not None:
        return Beside(comparable, foreign=False)
    return Beside(rows[0], foreign=True) if rows else None


_PRINTED: Mapping[str, Callable[[Mapping[str, Any]], tuple[Printed, ...]]] = {
    "fr": printed_fr,
    "sa_at": printed_sa_at,
    "eidnet": printed_eidnet,
    "map_mer": printed_map_mer,
    "ma2mi": printed_ma2mi,
    "svm": lambda recipe: printed_method({"lbp_top": "LBP-TOP", "bi_woof": "Bi-WOOF"}[recipe["descriptor"]]),
    "off_apexnet": lambda _: printed_method("OFF-ApexNet"),
    "ststnet": lambda _: printed_method("STSTNet"),
    "dual_inception": lambda _: printed_method("Dual-Inception"),
}
