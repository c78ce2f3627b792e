"""Results printed in a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Printed:
    """Results that a paper prints for one model under one protocol. They are quoted, not computed.

    Attributes
    ----------
    protocol
        Preset (docs/protocols.md) with the databases, clips, classes and folds of the paper.
    where
        Paper, table and row.
    uf1, uar, accuracy
        Values from 0 to 1; None if the paper does not print the value.
    remark
        What else the results depend on, such as the data of a pre-training or the choice of an epoch.
    digits
        Number of decimals in the paper.
    parts
        UF1 and UAR on the clips of each part of the preset, if the paper prints them.
    ablation
        Row of the system's ablations that the result belongs to; None for the default recipe.
    setting
        Everything else that differs from our defaults in the run that the paper describes, by key: ``recipe.momentum``,
        ``pretraining.task``, ``pretraining.databases`` (adapters), ``pretraining.recipe.delta``, ``faces.mode``, or
        ``flow.pairs@samm`` for one part of the preset.
    """

    protocol: str
    where: str
    uf1: float | None = None
    uar: float | None = None
    accuracy: float | None = None
    remark: str = ""
    digits: int = 4
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    ablation: str | None = None
    setting: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The values with their names, for example ``UF1 0.7838, UAR 0.7832``."""
        named = (("UF1", self.uf1), ("UAR", self.uar), ("accuracy", self.accuracy))
        return ", ".join(f"{name} {value:.{self.digits}f}" for name, value in named if value is not None)
