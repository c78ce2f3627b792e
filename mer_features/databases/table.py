"""Adapter for own data: a TSV or CSV with one line per clip.

The header names the columns, in any order. ``subject`` and ``path`` are required; ``clip`` (default: the last part of
the path), ``first``, ``onset``, ``apex``, ``offset``, ``last``, ``fps``, ``emotion`` and ``action_units`` are optional.
``path`` is an image folder or a video file, relative to the root of the database.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases.listing import DatabaseError, Listing
from mer_features.databases.sheets import frame_number

REQUIRED = ("subject", "path")
OPTIONAL = ("clip", "first", "onset", "apex", "offset", "last", "fps", "emotion", "action_units")
_MAX_BYTES = 1 << 26
#: Key under which a row holds the cells that have no column.
_BEYOND = ""
#: Lowest and highest frame rate accepted, from time lapse to the fastest cameras.
_RATES_HZ = (0.001, 1e7)
#: Names become file names, in which a letter may take nine bytes (``%E2%80%A6``) of the 255 that are allowed.
_NAME_BYTES = 72
_FRAME_NUMBERS = ("first", "onset", "apex", "offset", "last")


def read(name: str, root: Path, table: Path) -> Listing:
    """Clips of a table, in the order of the lines, with the problems of each line as issues.

    Parameters
    ----------
    name
        Name of the database.
    root
        Folder that paths are relative to; a path that leaves it gives its clip the issue ``unsafe_path``.
    table
        The TSV or CSV (the header decides which), UTF-8 or UTF-16.

    Raises
    ------
    DatabaseError
        If the table is missing, empty or lacks a required column.
    """
    return Listing(tuple(_clip(name, root, row) for _, row in read_rows(table, REQUIRED, OPTIONAL)))


def read_rows(
    table: Path, required: Sequence[str], optional: Sequence[str], what: str = "clip"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of each line of a user's table; cells beyond the last column have the key "".

    Raises
    ------
    DatabaseError
        If the table cannot be read, lacks a required column, or has an unknown or repeated one.
    """
    lines = read_cells(table, f"{what} table")
    if not lines:
        raise DatabaseError(f"{table}: empty; expected a header with {', '.join(required)} and one line per {what}")
    header = [cell.strip().lower() for cell in lines[0][1]]
    if missing := [column for column in required if column not in header]:
        raise DatabaseError(f"{table}: found the columns {_shown(header)}; missing {', '.join(missing)}")
    if unknown := [column for column in header if column not in (*required, *optional)]:
        known = ", ".join((*required, *optional))
        raise DatabaseError(f"{table}: unknown columns {_shown(unknown)}; known are {known}")
    if duplicates := sorted({column for column in header if header.count(column) > 1}):
        raise DatabaseError(
            f"{table}: {', '.join(duplicates)} is in the header more than once; keep one column of each"
        )
    for line, cells in lines[1:]:
        # A line with too few cells gets empty cells at its end; they are reported if they matter.
        row = dict(zip(header, [*map(str.strip, cells), *[""] * len(header)], strict=False))
        yield line, row | {_BEYOND: "\t".join(filter(None, map(str.strip, cells[len(header) :])))}


def read_cells(table: Path, what: str = "clip table") -> list[tuple[int, list[str]]]:
    """Number and cells of every line that is not empty, of a TSV or CSV in UTF-8 or UTF-16.

    Parameters
    ----------
    table
        The file; its first line that is not empty decides what separates the cells: tabs, semicolons or commas.
    what
        What the file is, for messages.

    Raises
    ------
    DatabaseError
        If the file cannot be read or is not such a table.
    """
    text = _text(table, what)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = "\t" if "\t" in first else ";" if ";" in first else ","
    try:
        # Strict: otherwise an unclosed quotation mark would silently put the lines below into one cell.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise DatabaseError(
            f"{table}:{reader.line_num}: not a table ({error}); is a quotation mark not closed?"
        ) from error


def _text(table: Path, what: str) -> str:
    try:
        if not table.is_file():  # reading a pipe would never return
            reason = "not a file" if table.exists() else "no such file"
            raise DatabaseError(f"{table}: the {what} cannot be read ({reason})")
        if (size := table.stat().st_size) > _MAX_BYTES:
            raise DatabaseError(f"{table}: {size} bytes; no {what} is larger than {_MAX_BYTES}")
        data = table.read_bytes()
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except OSError as error:
        raise DatabaseError(f"{table}: the {what} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DatabaseError(f"{table}: not UTF-8 text; save the table as UTF-8 TSV or CSV") from error


def _shown(names: Sequence[str]) -> str:
    """A few names for a message, with special characters escaped."""
    return ", ".join(repr(name[:40])[1:-1] for name in names[:10]) + (", ..." if len(names) > 10 else "")


def _clip(database: str, root: Path, row: Mapping[str, str]) -> Clip:
    issues = [Issue("empty_cell", column) for column in REQUIRED if not row[column]]
    numbers: dict[str, int | float | None] = {}
    for column in (*_FRAME_NUMBERS, "fps"):
        text = row.get(column, "")
        numbers[column] = rate_of(text) if column == "fps" else frame_number(text)
        if text and numbers[column] is None:
            issues.append(Issue("bad_cell", f"{column}: {text[:80]!r} is not a valid number"))
    if row[_BEYOND]:
        issues.append(Issue("bad_cell", f"{row[_BEYOND][:80]!r} is after the last column"))
    subject = safe_name(row["subject"]) or "unknown"
    clip = safe_name(row.get("clip", "")) or safe_name(Path(row["path"]).stem) or "unnamed"
    source, problem = source_of(root, row["path"])
    return Clip(
        clip_id=f"{subject}/{clip}",
        database=database,
        subject=subject,
        source=source.as_posix(),
        emotion=" ".join(row.get("emotion", "").lower().split()),  # a line break in a cell counts as a space
        action_units=" ".join(row.get("action_units", "").split()),
        issues=(*issues, *problem),
        **numbers,  # type: ignore[arg-type]  # the frame numbers are int, fps float
    )


def source_of(root: Path, path: str) -> tuple[Path, tuple[Issue, ...]]:
    """Source that a path names, and its issue if there is one; a path that is too long or invalid is not returned."""
    # Some systems compose accented letters and others decompose them, so the spelling on disk may differ.
    for form in (path, *(unicodedata.normalize(kind, path) for kind in ("NFC", "NFD"))):
        source = root / form
        try:
            if not inside(root, source):
                return source, (Issue("unsafe_path", path),)
            if path and source.exists():
                return source, ()
        except (OSError, ValueError):  # longer than the system allows, or with a NUL
            return root, (Issue("source_missing", f"{path[:80]!r} is not a path"),)
    return root / path, (Issue("source_missing", str(root / path)),)


def rate_of(text: str) -> float | None:
    """The frame rate in the text of a cell; ``None`` if it is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if _RATES_HZ[0] <= value <= _RATES_HZ[1] else None


def safe_name(text: str) -> str:
    """A name from a sheet, made safe for a path or an HDF5 name: word characters, ``+``, ``-`` and inner dots.

    Accented letters are composed, so that both spellings give the same name. A long name is cut and ends in a digest
    of the full name.
    """
    name = re.sub(r"[^\w+.-]+", "_", unicodedata.normalize("NFC", text).strip()).strip("._")
    if len(name.encode()) <= _NAME_BYTES:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    return f"{name.encode()[: _NAME_BYTES - 13].decode(errors='ignore')}-{digest}"


def inside(root: Path, path: Path) -> bool:
    """Whether a path is below the root after its symbolic links are resolved; a circular link is not."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except RuntimeError:  # Python before 3.13 raises this for circular links
        return False
