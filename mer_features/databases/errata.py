"""Known errors in the owners' sheets, listed in ``errata.tsv`` with one line per value.

A correction is applied only if the sheet contains exactly the value that is known to be wrong, so a sheet that has
been fixed is not changed. Each correction gives an issue of its clip. The ``off_disk`` lines of a clip belong together:
they are an alternative frame range, used only if a number in the sheet has no frame on disk and all numbers of the
alternative have one.
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
    """One line of the table: a field of one clip, the value known to be wrong and the value to use."""

    database: str  # name of the adapter
    subject: str
    clip: str
    field: str
    found: str  # the wrong value in the sheet
    used: str  # "" means not annotated
    when: str  # "always" or "off_disk"
    reported_by: str


@functools.cache
def load(path: Path = TABLE) -> tuple[Erratum, ...]:
    """All errata of the table.

    Raises
    ------
    ValueError
        If the header or a line has the wrong format, i.e. the package is damaged.
    """
    with path.open(newline="", encoding="utf-8") as handle:
        header, *lines = csv.reader(handle, delimiter="\t")
    if header != [field.name for field in fields(Erratum)]:
        expected = ", ".join(field.name for field in fields(Erratum))
        raise ValueError(f"{path}: found the columns {', '.join(header)}; expected {expected}")
    errata = tuple(Erratum(*line) for line in lines)
    if strange := {erratum.when for erratum in errata} - {"always", "off_disk"}:
        raise ValueError(f"{path}: 'when' holds {', '.join(sorted(strange))}; known are always, off_disk")
    return errata


@dataclass(frozen=True)
class Corrected:
    """Values of a row after correction, the fields that were changed, and an issue for each change."""

    values: Mapping[str, str]
    fields: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()


class Errata:
    """Applies the errata of one database while its sheet is read.

    Parameters
    ----------
    database
        Name of the adapter, as in the table.
    enabled
        ``False`` leaves all values unchanged.
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
        """Values of a row with its errata applied.

        Parameters
        ----------
        subject, clip
            Names as in the table; case and padding zeros do not matter.
        values
            Text of the row by field (``onset``, ``apex``, ``offset``, ``emotion``, ``action_units``).
        numbers
            Frame numbers on disk, empty if unknown; they decide whether the ``off_disk`` errata apply.
        """
        errata = [erratum for erratum in self._by_clip.get(_key(subject, clip), ()) if erratum.field in values]
        matching = [erratum for erratum in errata if values[erratum.field] == erratum.found]
        self._matched.update(matching)
        self._differs.update({erratum: values[erratum.field] for erratum in errata if erratum not in matching})
        alternative = [erratum for erratum in matching if erratum.when == "off_disk"]
        complete = len(alternative) == sum(erratum.when == "off_disk" for erratum in errata)
        used = [erratum for erratum in matching if erratum.when == "always"]
        used += alternative if complete and _alternative_fits(alternative, numbers) else []
        return Corrected(
            {**values, **{erratum.field: erratum.used for erratum in used}},
            tuple(erratum.field for erratum in used),
            tuple(Issue("erratum_applied", _detail(erratum)) for erratum in used),
        )

    def notes(self) -> tuple[Note, ...]:
        """A note for each erratum whose clip is in the sheet, but not with the value known to be wrong."""
        return tuple(
            Note(
                "erratum_unused",
                f"{erratum.subject}/{erratum.clip}: {erratum.field} is {value!r}, not the wrong value "
                f"{erratum.found!r}{' but already the corrected value' if value == erratum.used else ''}",
            )
            for erratum, value in self._differs.items()
            if erratum not in self._matched
        )


def _key(subject: str, clip: str) -> tuple[str, str]:
    return unpadded(subject), clip.strip().casefold()


def _alternative_fits(errata: Collection[Erratum], numbers: Collection[int]) -> bool:
    off = any(erratum.found.isdigit() and int(erratum.found) not in numbers for erratum in errata)
    return off and all(int(erratum.used) in numbers for erratum in errata if erratum.used)


def _detail(erratum: Erratum) -> str:
    used = repr(erratum.used) if erratum.used else "none"
    return f"{erratum.field} {erratum.found!r} -> {used} ({erratum.reported_by})"
