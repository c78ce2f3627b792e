"""Action units (FACS) from the owners' texts: ``4+7+L10``, ``R12``, ``B28+14``, ``4,L14``, ``AU12``, ``?``.

Every database writes them its own way; what cannot be read is returned, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np

Side = Literal["", "L", "R", "A", "T", "B"]

#: Side letter -> word of the cache's ``flag_meanings``; the empty letter is "side not stated".
SIDE_NAMES: dict[Side, str] = {
    "": "present",
    "L": "left",
    "R": "right",
    "A": "asymmetric",
    "T": "top",
    "B": "bottom",
}

#: Word -> value in the cache's ``action_units``; append only.
FLAGS: dict[str, int] = {"absent": 0} | {word: value for value, word in enumerate(SIDE_NAMES.values(), start=1)}

_SEPARATOR = re.compile(r"[+,;，；]")  # one sheet uses the full-width comma
_UNIT = re.compile(r"([LRATB]?)\s*(?:AU)?\s*([1-9]\d?)\s*([LR]?)", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class AU:
    """One action unit: its FACS number and the side on which it was seen.

    ``side`` is "" (not stated: both), L(eft), R(ight), A(symmetric), T(op) or B(ottom lip), from the subject's view.
    """

    number: int
    side: Side = ""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 99:
            raise ValueError(f"action unit {self.number}: numbers run from 1 to 99")
        if self.side not in get_args(Side):
            raise ValueError(f"action unit side {self.side!r}: known are {', '.join(map(repr, get_args(Side)))}")

    def __str__(self) -> str:
        return f"{self.side}{self.number}"


@dataclass(frozen=True)
class ActionUnits:
    """What an owner's text says: the units understood, in its order without repetition, and the parts that were not."""

    units: tuple[AU, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Canonical text of the units, e.g. ``4+7+L10``; :func:`parse` gives them back."""
        return "+".join(map(str, self.units))


def parse(text: str) -> ActionUnits:
    """Read an owner's text.

    Parameters
    ----------
    text
        Parts separated by ``+``, commas or semicolons; a part is a number with a side letter before it (``R12``,
        ``T28``) or after it (``12L``). Case and spaces do not matter.

    Returns
    -------
    ActionUnits
        Parts of another form (``?``, ``12 or 14``, ``soft focus``) are in ``unread``.
    """
    units: dict[AU, None] = {}
    unread: list[str] = []
    for part in filter(None, (piece.strip() for piece in _SEPARATOR.split(text))):
        unit = _unit(part)
        if unit is None:
            unread.append(part)
        else:
            units[unit] = None
    return ActionUnits(tuple(units), tuple(unread))


def _unit(part: str) -> AU | None:
    match = _UNIT.fullmatch(part)
    if match is None or (match[1] and match[3]):
        return None
    return AU(int(match[2]), cast(Side, (match[1] or match[3]).upper()))


def flag(sides: Iterable[Side]) -> int:
    """Value in :data:`FLAGS` of one unit seen on these sides; more than one side is simply present."""
    seen = set(sides)
    if not seen:
        return FLAGS["absent"]
    return FLAGS[SIDE_NAMES[seen.pop()]] if len(seen) == 1 else FLAGS["present"]


def table(rows: Sequence[ActionUnits]) -> tuple[np.ndarray, np.ndarray]:
    """Action units of many clips as a matrix.

    Returns
    -------
    numbers : ndarray, shape (A,), int16
        The units that occur, ascending.
    flags : ndarray, shape (N, A), int8
        Values of :data:`FLAGS`.
    """
    numbers = sorted({unit.number for row in rows for unit in row.units})
    flags = [[flag(unit.side for unit in row.units if unit.number == number) for number in numbers] for row in rows]
    return np.array(numbers, np.int16), np.array(flags, np.int8).reshape(len(rows), len(numbers))
