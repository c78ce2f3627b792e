"""Action units (FACS) from the owners' texts: ``4+7+L10``, ``15A+17``, ``12L``, ``L12 or L14``, ``4,L14``, ``?``.

Every database writes them its own way; what cannot be read is returned, never dropped, and what a coder left open
is kept apart from what was seen.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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

_SEPARATOR = re.compile(r"[+,;，]")  # one sheet uses the full-width comma
_UNIT = re.compile(
    r"([LRATB]?)\s*(?:AU)?\s*([1-9]\d?)\s*(?:([LR])|([A-E](?:/[A-E])?)|\(([A-E]/[A-E])\))?", re.IGNORECASE
)
_SIDES = re.compile(r"\(?([LRATB])/([LRATB])\)?\s*(\d.*)", re.IGNORECASE)  # A/L12: asymmetric or left
_OR = re.compile(r"\s*or\s*|\s*/\s*", re.IGNORECASE)  # SAMM's symbol key: "/" = or
_INTENSITY = re.compile(r"(?:[A-E](?:/[A-E])?)?")


@dataclass(frozen=True, order=True)
class AU:
    """One action unit: its FACS number, the side on which it was seen, how strongly and how surely.

    ``side`` is "" (not stated: both), L(eft), R(ight), A(symmetric), T(op) or B(ottom lip), from the subject's view.
    ``intensity`` is a FACS letter, ``A`` (trace) to ``E`` (maximum), two of them (``A/B``) if the coder was unsure, or
    "" (not stated). ``uncertain`` marks a unit that the coder left open.
    """

    number: int
    side: Side = ""
    intensity: str = ""
    uncertain: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 99:
            raise ValueError(f"action unit {self.number}: numbers run from 1 to 99")
        if self.side not in get_args(Side):
            raise ValueError(f"action unit side {self.side!r}: known are {', '.join(map(repr, get_args(Side)))}")
        if not _INTENSITY.fullmatch(self.intensity):
            raise ValueError(f"action unit intensity {self.intensity!r}: A to E, two of them as A/B, or nothing")

    def __str__(self) -> str:
        return f"{self.side}{self.number}{self.intensity}{'?' if self.uncertain else ''}"


@dataclass(frozen=True)
class ActionUnits:
    """What an owner's text says.

    Attributes
    ----------
    units
        The units seen, in the text's order without repetition.
    unread
        The parts of the text that ``units`` lacks, as written: those not understood and those left open.
    open_parts
        The reading of the parts left open: one of these units was seen, or, where there is but one, perhaps this
        one. All are ``uncertain``.
    """

    units: tuple[AU, ...] = ()
    unread: tuple[str, ...] = ()
    open_parts: tuple[tuple[AU, ...], ...] = ()

    @property
    def text(self) -> str:
        """Canonical text, e.g. ``4+15A+L10+(R6 or R12)``; :func:`parse` gives units and open parts back."""
        return "+".join([*map(str, self.units), *map(_open_text, self.open_parts)])


def _open_text(units: Sequence[AU]) -> str:
    if len(units) == 1:
        return str(units[0])
    return f"({' or '.join(str(replace(unit, uncertain=False)) for unit in units)})"


def parse(text: str) -> ActionUnits:
    """Read an owner's text.

    Parameters
    ----------
    text
        Parts separated by ``+``, commas or semicolons. A part is a number with a side letter before it (``R12``,
        ``T28``) or after it (``12L``) and perhaps an intensity (``15A``, ``10A/B``, ``4(B/C)``); left open with
        ``?`` (``13?``), ``or`` (``L12 or L14``, ``(R6 or R12)``) or a stroke (``A/L12``, ``23/24``). Case and
        spaces do not matter.

    Returns
    -------
    ActionUnits
        Parts of another form (``?`` alone, ``ref(7B)``, ``soft focus``) are in ``unread`` only.
    """
    units: dict[AU, None] = {}
    unread: list[str] = []
    open_parts: dict[tuple[AU, ...], None] = {}
    for part in filter(None, (piece.strip() for piece in _SEPARATOR.split(text))):
        unit = _unit(part)
        if unit is not None:
            units[unit] = None
            continue
        unread.append(part)
        if choice := _choice(part):
            open_parts[choice] = None
    return ActionUnits(tuple(units), tuple(unread), tuple(open_parts))


def _unit(part: str) -> AU | None:
    match = _UNIT.fullmatch(part)
    if match is None or (match[1] and match[3]):
        return None
    side = cast(Side, (match[1] or match[3] or "").upper())
    return AU(int(match[2]), side, (match[4] or match[5] or "").upper())


def _choice(part: str) -> tuple[AU, ...]:
    """Units of a part that a coder left open; none without such a part."""
    if sides := _SIDES.fullmatch(part):
        names = [sides[1] + sides[3], sides[2] + sides[3]]
    elif part.endswith("?"):
        names = [part[:-1].rstrip()]
    else:
        names = _OR.split(part.removeprefix("(").removesuffix(")"))
        if len(names) < 2:
            return ()
    units = [unit for name in names if (unit := _unit(name.strip())) is not None]
    if len(units) < len(names):
        return ()
    return tuple(dict.fromkeys(replace(unit, uncertain=True) for unit in units))


def flag(sides: Iterable[Side]) -> int:
    """Value in :data:`FLAGS` of one unit seen on these sides; more than one side is simply present."""
    different = set(sides)
    if not different:
        return FLAGS["absent"]
    return FLAGS[SIDE_NAMES[different.pop()]] if len(different) == 1 else FLAGS["present"]


def table(rows: Sequence[ActionUnits]) -> tuple[np.ndarray, np.ndarray]:
    """Action units seen in many clips as a matrix; units left open are not in it.

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


#: Objective classes of Davison, Merghani and Yap (2018), doi 10.3390/jimaging4100119: class -> its sets of units.
#: Every other set is class VII.
OBJECTIVE_CLASSES: dict[str, tuple[frozenset[int], ...]] = {
    name: tuple(frozenset(map(int, units.split("+"))) for units in sets.split())
    for name, sets in {
        "I": "6 12 6+12 6+7+12 7+12",
        "II": "1+2 5 25 1+2+25 25+26 5+24",
        "III": "23 4 4+7 4+5 4+5+7 17+24 4+6+7 4+38",
        "IV": "10 9 4+9 4+40 4+5+40 4+7+9 4+9+17 4+7+10 4+5+7+9 7+10",
        "V": "1 15 1+4 6+15 15+17",
        "VI": "1+2+4 20",
    }.items()
}


def objective_class(units: ActionUnits) -> str:
    """Objective class (``I`` to ``VII``) that a clip's action units imply, whatever emotion was written down.

    The published sets are taken literally: sides and intensities do not matter, and a further unit makes a set
    another one. So does the owners' column of CAS(ME)^3, in all of its 860 rows; the columns of CASME II and SAMM
    treat some further units as if they were not there (docs/protocols.md).

    Returns
    -------
    str
        The class, or "" where the text does not decide it: no unit read, a ``?``, or open parts of which one choice
        gives a different class from another.
    """
    if "?" in units.unread or not (units.units or units.open_parts):
        return ""
    numbers = frozenset(unit.number for unit in units.units)
    # A single doubtful unit is present or absent; of several, one is present.
    choices = [[{unit.number} for unit in part] + ([set()] if len(part) == 1 else []) for part in units.open_parts]
    classes = {_class_of(numbers.union(*chosen)) for chosen in itertools.product(*choices)}
    return classes.pop() if len(classes) == 1 else ""


def _class_of(numbers: frozenset[int]) -> str:
    return next((name for name, sets in OBJECTIVE_CLASSES.items() if numbers in sets), "VII")
