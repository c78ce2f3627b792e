"""Reads annotation sheets (xlsx, xls, csv) as text and finds the header row by its columns.

Cells are returned as the text that a reader of the sheet sees, so the subject ``006`` keeps its zeros and the action
units are text, ``4`` as well as ``4+7``. The cell of a formula holds the result stored in the file; it is empty if none
was stored. All cells of a merged area hold its value.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Note

Grid = list[list[str]]
#: Number of rows that are searched for the header; SAMM has thirteen rows of notes above it.
_HEADER_ROWS = 60
#: A workbook with a larger unpacked size is refused; the largest known sheet unpacks to a few megabytes.
_MAX_BYTES = 2**30
_LARGEST_FRAME = 2**31


@dataclass(frozen=True)
class Column:
    """One column of a sheet: the spellings of its header, and whether the sheet must have it."""

    headers: tuple[str, ...]
    needed: bool = True


@dataclass(frozen=True)
class Row:
    """One row of a sheet: its number, counted from 1, and its stripped text by column, without absent columns."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Sheet:
    """The rows of a sheet below its header, without empty rows."""

    path: Path
    title: str  # "" for a text file
    rows: tuple[Row, ...]

    @property
    def note(self) -> Note:
        """Note on what was read: file, sheet and number of rows."""
        title = f" ({self.title})" if self.title else ""
        return Note("sheet", f"read {self.path.name}{title}, {len(self.rows)} rows")


def read(path: Path, columns: Mapping[str, Column], titles: Sequence[str] = (), never: Sequence[str] = ()) -> Sheet:
    """The first sheet of a file that has a row with all needed columns; sheets with one of ``titles`` are tried first.

    Parameters
    ----------
    path
        A workbook or a text file; the content decides which.
    columns
        Columns by their name in :attr:`Row.cells`. Headers are compared without case, spaces and punctuation.
    titles
        Titles of the sheets to try first.
    never
        Titles of sheets to ignore.

    Raises
    ------
    DatabaseError
        If the file cannot be read, is empty or has no such row; the message says what was expected and which row
        comes closest.
    """
    return find(path, read_grids(path), columns, titles, never)


def find(
    path: Path,
    all_grids: Mapping[str, Grid],
    columns: Mapping[str, Column],
    titles: Sequence[str] = (),
    never: Sequence[str] = (),
) -> Sheet:
    """:func:`read` for a file whose sheets (:func:`read_grids`) are known, so that several of them can be read."""
    grids = {title: grid for title, grid in all_grids.items() if _key(title) not in {_key(other) for other in never}}
    if not grids:
        raise DatabaseError(f"{path}: holds only the sheets {', '.join(all_grids)}, which belong to another part")
    if not any(any(row) for grid in grids.values() for row in grid):
        raise DatabaseError(f"{path}: empty; expected a header with {_needed(columns)} and one row per clip")
    wanted = [_key(title) for title in titles]
    order = sorted(grids, key=lambda title: wanted.index(_key(title)) if _key(title) in wanted else len(wanted))
    for title in order:
        header = _header(grids[title], columns)
        if header is not None:
            line, places = header
            rows = tuple(_rows(grids[title], line, places))
            if not rows:
                raise DatabaseError(f"{path}: no row below the header in row {line + 1}; expected one row per clip")
            return Sheet(path, title, rows)
    raise DatabaseError(f"{path}: no row has the columns {_needed(columns)}; {_nearest(grids, columns)}")


def choose(
    tree: Tree, option: Path | None, pattern: re.Pattern[str], *, expected: str, subject: re.Pattern[str]
) -> tuple[Path, tuple[Note, ...]]:
    """The annotation sheet to read: the configured one, or the one with the latest date in its name.

    Parameters
    ----------
    tree
        The database's folders; the root and the folders directly below it are searched.
    option
        The configured sheet, relative to the root or absolute.
    pattern
        Whole name of the file of a sheet.
    expected
        The usual name, for the message.
    subject
        Whole name of a subject's folder; such folders are not searched.

    Returns
    -------
    Path
        The sheet.
    tuple of Note
        One for each other file that could have been the sheet.

    Raises
    ------
    DatabaseError
        If the sheet is missing; the message says what was expected and what the root holds.
    """
    if option is not None:
        return tree.root / option, ()  # an absolute path is not changed by this
    files = sorted(tree.files(pattern, subject), key=_date, reverse=True)
    if not files:
        locks = [name for name in tree.entries(tree.root).ignored if pattern.fullmatch(name.removeprefix("~$"))]
        hint = f"; {locks[0]} is only the lock file of a sheet that is open elsewhere" if locks else ""
        raise DatabaseError(f"{tree.root}: no annotation sheet like {expected}; found there: {tree.contents()}{hint}")
    return files[0], tuple(
        Note("sheet", f"{tree.shown(other)} is there too and was not read; the key `sheet` selects another sheet")
        for other in files[1:]
    )


def choose_newest(
    tree: Tree, option: Path | None, patterns: Sequence[re.Pattern[str]], *, expected: str, subject: re.Pattern[str]
) -> tuple[Path, tuple[Note, ...]]:
    """:func:`choose` with the first of ``patterns`` that a file has; for sheets whose version is not a date."""
    files = {pattern: tree.files(pattern, subject) for pattern in patterns}
    pattern = next((pattern for pattern in patterns if files[pattern]), patterns[-1])
    path, notes = choose(tree, option, pattern, expected=expected, subject=subject)
    older = dict.fromkeys(file for others in files.values() for file in others if file not in files[pattern])
    unread = (Note("sheet", f"{tree.shown(file)} is there too and was not read") for file in older)
    return path, (*notes, *(() if option else unread))


def _date(path: Path) -> tuple[str, bool]:
    """Sort key of sheets: the date in the name; of two with the same date, the workbook is preferred to the CSV."""
    return max(re.findall(r"[0-9]{4,}", path.name), default=""), path.suffix.lower() != ".csv"


def _needed(columns: Mapping[str, Column]) -> str:
    return ", ".join(column.headers[0] for column in columns.values() if column.needed)


def _places(cells: Sequence[str], columns: Mapping[str, Column]) -> dict[str, int]:
    """Position of each column whose header is in the row; of two columns with the same header, the first."""
    keys = [_key(cell) for cell in cells]
    positions = {}
    for name, column in columns.items():
        matches = [keys.index(_key(header)) for header in column.headers if _key(header) in keys]
        if matches:
            positions[name] = matches[0]
    return positions


def _header(grid: Grid, columns: Mapping[str, Column]) -> tuple[int, dict[str, int]] | None:
    for line, cells in enumerate(grid[:_HEADER_ROWS]):
        places = _places(cells, columns)
        if all(name in places for name, column in columns.items() if column.needed):
            return line, places
    return None


def _nearest(grids: Mapping[str, Grid], columns: Mapping[str, Column]) -> str:
    best, text = 0, f"none of them was found in the first {_HEADER_ROWS} rows"
    for title, grid in grids.items():
        for line, cells in enumerate(grid[:_HEADER_ROWS], start=1):
            places = _places(cells, columns)
            if len(places) > best:
                lacking = [c.headers[0] for name, c in columns.items() if c.needed and name not in places]
                place = f"row {line}{f' of {title}' if title else ''}"
                best, text = len(places), f"the closest, {place}, lacks {', '.join(lacking)}"
    return text


def _rows(grid: Grid, header: int, places: Mapping[str, int]) -> Iterator[Row]:
    for line, cells in enumerate(grid[header + 1 :], start=header + 2):
        if any(cells):
            yield Row(line, {name: cells[place] if place < len(cells) else "" for name, place in places.items()})


def _key(text: str) -> str:
    # NFKC makes full-width letters and brackets equal to the normal ones.
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text)).casefold()


def frame_number(text: str) -> int | None:
    """The frame number in the text of a cell; ``None`` if the text is not a frame number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if 0 <= value < _LARGEST_FRAME and value.is_integer() else None


def read_grids(path: Path) -> dict[str, Grid]:
    """All sheets of a file by title, each cell as stripped text; a text file has one sheet with the title ``""``.

    Raises
    ------
    DatabaseError
        If the file is missing, a lock file of an open document, encrypted, damaged or of another kind.
    """
    if path.name.startswith("~$"):
        raise DatabaseError(f"{path}: the lock file of a document that is open elsewhere, not the sheet itself")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatabaseError(f"{path}: the annotation sheet cannot be read ({error.strerror})") from error
    if data.startswith(b"PK\x03\x04"):
        return _read_xlsx(path, data)
    if data.startswith((b"\xd0\xcf\x11\xe0", b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00")):
        return _read_xls(path, data)
    if path.suffix.lower() in {".xlsx", ".xls", ".xlsm"} and data:
        raise DatabaseError(f"{path}: not a workbook despite its name; save it as .xlsx or .csv")
    return {"": _read_text(path, data)}


def _read_xlsx(path: Path, data: bytes) -> dict[str, Grid]:
    import openpyxl  # type: ignore[import-untyped]  # noqa: PLC0415  # slow to import, and only sheets need it

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(item.file_size for item in archive.infolist())
            if size > _MAX_BYTES:
                raise DatabaseError(f"{path}: unpacks to {size >> 20} MB; no annotation sheet is that large")
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            grids = {}
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # the size stored in a sheet may be wrong; the rows are counted instead
                grid = [[text_of(value) for value in row] for row in sheet.iter_rows(values_only=True)]
                part = sheet._worksheet_path  # the read-only mode does not report merged cells
                _fill_merged(grid, _merged_xlsx(archive.read(part)))
                grids[sheet.title] = grid
            return grids
    except DatabaseError:
        raise
    except Exception as error:  # openpyxl and zipfile raise many kinds of errors
        raise DatabaseError(f"{path}: damaged, encrypted or not a workbook ({error})") from error


Area = tuple[int, int, int, int]  # first row, first column, end row, end column; ends excluded


def _merged_xlsx(xml: bytes) -> Iterator[Area]:
    from openpyxl.utils.cell import range_boundaries  # type: ignore[import-untyped]  # noqa: PLC0415

    for match in re.finditer(rb"<(?:\w+:)?mergeCell\s[^>]*?ref=\"([A-Z0-9:]+)\"", xml):
        left, top, right, bottom = range_boundaries(match[1].decode())
        yield top - 1, left - 1, bottom, right


def _fill_merged(grid: Grid, areas: Iterable[Area]) -> None:
    for top, left, bottom, right in areas:
        if top >= len(grid) or left >= len(grid[top]):
            continue
        for row in grid[top:bottom]:
            # A row may be stored shorter than the area. It is extended to the area, but not beyond the first row.
            row.extend([""] * (min(right, len(grid[top])) - len(row)))
            row[left:right] = [grid[top][left]] * len(row[left:right])


def _read_xls(path: Path, data: bytes) -> dict[str, Grid]:
    import xlrd  # type: ignore[import-untyped]  # noqa: PLC0415  # only the oldest releases come as .xls

    try:
        book = xlrd.open_workbook(file_contents=data, formatting_info=True, logfile=io.StringIO())
        grids = {}
        for sheet in book.sheets():
            grid = [[_xls_text(cell, book) for cell in sheet.row(line)] for line in range(sheet.nrows)]
            _fill_merged(grid, ((top, left, bottom, right) for top, bottom, left, right in sheet.merged_cells))
            grids[sheet.name] = grid
        return grids
    except Exception as error:  # xlrd raises many kinds of errors
        raise DatabaseError(f"{path}: damaged, encrypted or not a workbook ({error})") from error


def _xls_text(cell: Any, book: Any) -> str:
    import xlrd  # noqa: PLC0415

    if cell.ctype == xlrd.XL_CELL_DATE:
        return text_of(xlrd.xldate.xldate_as_datetime(cell.value, book.datemode))
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return text_of(bool(cell.value))
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, "#ERROR"))
    return text_of(cell.value)


def _read_text(path: Path, data: bytes) -> Grid:
    try:
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatabaseError(f"{path}: not UTF-8 text; save the sheet as UTF-8 CSV or as .xlsx") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max("\t;,", key=first.count)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [[text_of(cell) for cell in row] for row in rows]
    except csv.Error as error:
        raise DatabaseError(f"{path}: not a table ({error})") from error


def text_of(value: object) -> str:
    """The value of a cell as a reader sees it: whole numbers without decimals, an empty text for an empty cell."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value).strip()
