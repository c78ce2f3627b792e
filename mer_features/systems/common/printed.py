"""A figure that a paper prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """What a paper prints for one model under one protocol; quoted, never computed.

    Attributes
    ----------
    protocol
        Preset (docs/protocols.md) that holds the databases, clips, classes and folds of the paper.
    where
        Paper, table and row.
    uf1, uar, accuracy
        0 to 1; None for what the paper does not print.
    remark
        What else the figure rests on: data of a pre-training, how an epoch was chosen.
    digits
        Decimals that the paper prints.
    """

    protocol: str
    where: str
    uf1: float | None = None
    uar: float | None = None
    accuracy: float | None = None
    remark: str = ""
    digits: int = 4

    @property
    def text(self) -> str:
        """The figures with their names, as ``UF1 0.7838, UAR 0.7832``."""
        named = (("UF1", self.uf1), ("UAR", self.uar), ("accuracy", self.accuracy))
        return ", ".join(f"{name} {value:.{self.digits}f}" for name, value in named if value is not None)
