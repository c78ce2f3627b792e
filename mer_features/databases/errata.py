"""Known errors of the owners' sheets, as data: ``errata.tsv``, one line per value.

A correction is applied only where the sheet holds the very value that is known to be wrong, so that a mended copy
of the sheet is left alone; every use is an issue of its clip. Lines marked ``off_disk`` belong together clip by clip
and are a second reading of a range: they are taken only if a number of the sheet has no frame and theirs all have.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from mer_features.core.quality import Issue
from mer_features.databases.folders import unpadded
from mer_features.databases.listing import Note

TABLE = Path(__file__).with_name("errata.tsv")


@dataclass(frozen=True)
class Erratum:
    """One line of the table: a field of one clip, the value known to be wrong and the one to use."""

    database: str  # the adapter
    subject: str
    clip: str
    field: str
    found: str
    used: str  # "" for: not annotated
    when: str  # "always" or "off_disk"
    reported_by: str


@functools.cache
def load(path: Path = TABLE) -> tuple[Erratum, ...]:
    """All errata of the table.

    Raises
    ------
    ValueError
        If the header or a line is not of the table's form: the package is damaged.
    """
    with path.open(newline="", encoding="utf-8") as handle:
        header, *lines = csv.reader(handle, delimiter="\t")
    if header != [field.name for field in fields(Erratum)]:
        raise ValueError(f"{path}: found the columns {', '.join(header)}")
    errata = tuple(Erratum(*line) for line in lines)
    if strange := {erratum.when for erratum in errata} - {"always", "off_disk"}:
        raise ValueError(f"{path}: 'when' holds {', '.join(sorted(strange))}; known are always, off_disk")
    return errata


@dataclass(frozen=True)
class Corrected:
    """A row's values after its errata: what was changed, and the issues that say so."""

    values: Mapping[str, str]
    fields: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()


class Errata:
    """The errata of one database while its sheet is read.

    Parameters
    ----------
    database
        Adapter, as the table names it.
    enabled
        ``False`` leaves every value as it is.
    table
        The errata; by default those of the package.
    """

    def __init__(self, database: str, enabled: bool, table: Collection[Erratum] | None = None) -> None:
        self._by_clip: dict[tuple[str, str], list[Erratum]] = {}
        self._differs: dict[Erratum, str] = {}
        self._matched: set[Erratum] = set()
        for erratum in (load() if table is None else table) if enabled else ():
            if erratum.database == database:
                self._by_clip.setdefault(_key(erratum.subject, erratum.clip), []).append(erratum)

    def apply(self, subject: str, clip: str, values: Mapping[str, str], numbers: Collection[int] = ()) -> Corrected:
        """A row's values with its errata applied.

        Parameters
        ----------
        subject, clip
            Names as in the table; case and padding zeros do not matter.
        values
            The row's text by field (``onset``, ``apex``, ``offset``, ``emotion``, ``action_units``).
        numbers
            Frame numbers on disk, empty if unknown: decides on the ``off_disk`` ones.
        """
        mine = [erratum for erratum in self._by_clip.get(_key(subject, clip), ()) if erratum.field in values]
        fitting = [erratum for erratum in mine if values[erratum.field] == erratum.found]
        self._matched.update(fitting)
        self._differs.update({erratum: values[erratum.field] for erratum in mine if erratum not in fitting})
        second = [erratum for erratum in fitting if erratum.when == "off_disk"]
        whole = len(second) == sum(erratum.when == "off_disk" for erratum in mine)
        used = [erratum for erratum in fitting if erratum.when == "always"]
        used += second if whole and _second_reading_fits(second, numbers) else []
        return Corrected(
            {**values, **{erratum.field: erratum.used for erratum in used}},
            tuple(erratum.field for erratum in used),
            tuple(Issue("erratum_applied", _detail(erratum)) for erratum in used),
        )

    def notes(self) -> tuple[Note, ...]:
        """A note for each erratum whose clip was met, but never with the value known to be wrong."""
        return tuple(
            Note(
                "erratum_unused",
                f"{erratum.subject}/{erratum.clip}: {erratum.field} is {found!r}, not the known wrong "
                f"{erratum.found!r}{' but already the right one' if found == erratum.used else ''}",
            )
            for erratum, found in self._differs.items()
            if erratum not in self._matched
        )


def _key(subject: str, clip: str) -> tuple[str, str]:
    return unpadded(subject), clip.strip().casefold()


def _second_reading_fits(errata: Collection[Erratum], numbers: Collection[int]) -> bool:
    off = any(erratum.found.isdigit() and int(erratum.found) not in numbers for erratum in errata)
    return off and all(int(erratum.used) in numbers for erratum in errata if erratum.used)


def _detail(erratum: Erratum) -> str:
    used = repr(erratum.used) if erratum.used else "none"
    return f"{erratum.field} {erratum.found!r} -> {used} ({erratum.reported_by})"
