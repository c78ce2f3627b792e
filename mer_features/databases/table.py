"""Adapter for own data: a TSV or CSV with one line a clip.

Columns (any order; the header names them): ``subject`` and ``path`` are needed; ``clip`` (default: the path's
last part), ``first``, ``onset``, ``apex``, ``offset``, ``last``, ``fps``, ``emotion``, ``action_units`` are
optional. ``path`` is an image folder or a video file relative to the database's root.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mer_features.clips import Clip
from mer_features.databases.listing import DatabaseError, Listing
from mer_features.quality import Issue

REQUIRED = ("subject", "path")
OPTIONAL = ("clip", "first", "onset", "apex", "offset", "last", "fps", "emotion", "action_units")
_FRAME_NUMBERS = ("first", "onset", "apex", "offset", "last")


def read(name: str, root: Path, table: Path) -> Listing:
    """Clips of a table, in its order, with what is wrong with each line as issues.

    Parameters
    ----------
    name
        Name of the database.
    root
        Folder that paths are relative to; a path that leaves it makes its clip ``unsafe_path``.
    table
        The TSV or CSV (told apart by its header), UTF-8.

    Raises
    ------
    DatabaseError
        If the table is missing, empty or lacks a needed column.
    """
    return Listing(tuple(_clip(name, root, row) for row in _rows(table)))


def _rows(table: Path) -> Iterator[dict[str, str]]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatabaseError(f"{table}: the clip table cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DatabaseError(f"{table}: not UTF-8 text; save the table as UTF-8 TSV or CSV") from error
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DatabaseError(f"{table}: empty; expected a header with {', '.join(REQUIRED)} and one line a clip")
    delimiter = "\t" if "\t" in lines[0] else ";" if ";" in lines[0] else ","
    reader = csv.reader(lines, delimiter=delimiter)
    header = [cell.strip().lower() for cell in next(reader)]
    if missing := [column for column in REQUIRED if column not in header]:
        raise DatabaseError(f"{table}: found the columns {', '.join(header)}; missing {', '.join(missing)}")
    if unknown := [column for column in header if column not in REQUIRED + OPTIONAL]:
        known = ", ".join(REQUIRED + OPTIONAL)
        raise DatabaseError(f"{table}: unknown columns {', '.join(unknown)}; known are {known}")
    for cells in reader:
        # A short line has empty cells at its end; they are reported as such where they matter.
        yield dict(zip(header, [*map(str.strip, cells), *[""] * len(header)], strict=False))


def _clip(database: str, root: Path, row: Mapping[str, str]) -> Clip:
    issues = [Issue("empty_cell", column) for column in REQUIRED if not row[column]]
    numbers: dict[str, int | float | None] = {}
    for column in (*_FRAME_NUMBERS, "fps"):
        text = row.get(column, "")
        numbers[column] = _number(text, column)
        if text and numbers[column] is None:
            issues.append(Issue("bad_cell", f"{column}: {text!r} is not a number"))
    subject = safe_name(row["subject"]) or "unknown"
    clip = safe_name(row.get("clip", "")) or safe_name(Path(row["path"]).stem) or "unnamed"
    source = root / row["path"]
    if not inside(root, source):
        issues.append(Issue("unsafe_path", row["path"]))
    elif not row["path"] or not source.exists():
        issues.append(Issue("source_missing", str(source)))
    return Clip(
        clip_id=f"{subject}/{clip}",
        database=database,
        subject=subject,
        source=source.as_posix(),
        emotion=row.get("emotion", "").lower(),
        action_units=row.get("action_units", ""),
        issues=tuple(issues),
        **numbers,  # type: ignore[arg-type]  # the frame numbers are int, fps float
    )


def _number(text: str, column: str) -> int | float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if column == "fps":
        return value if 0 < value < float("inf") else None
    return int(value) if value.is_integer() and value >= 0 else None


def safe_name(text: str) -> str:
    """A name from a sheet as part of a path or an HDF5 name: word characters, ``+``, ``-`` and inner dots."""
    return re.sub(r"[^\w+.-]+", "_", text.strip()).strip("._")


def inside(root: Path, path: Path) -> bool:
    """Whether a path, its symbolic links resolved, stays below the root."""
    return path.resolve().is_relative_to(root.resolve())
