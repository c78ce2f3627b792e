"""A figure that a paper prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """Unweighted F1 and unweighted average recall (if any) that a paper prints, and where."""

    uf1: float
    uar: float | None
    where: str
