from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path

import openpyxl
import pytest

from mer_features.databases import DatabaseError, sheets
from mer_features.databases.owners import casme2, samm
from mer_features.databases.sheets import Column
from tests.databases.trees import generator, table, workbook

COLUMNS = {
    "subject": Column(("Subject",)),
    "clip": Column(("Filename", "Clip")),
    "onset": Column(("OnsetFrame", "Onset Frame")),
    "note": Column(("Notes",), needed=False),
}
HEADER = ["Subject", "Filename", None, "OnsetFrame"]


def cells(sheet: sheets.Sheet) -> list[dict[str, str]]:
    return [dict(row.cells) for row in sheet.rows]


def test_numbers_and_text_come_as_the_text_a_reader_sees(tmp_path: Path):
    path = workbook(
        tmp_path / "a.xlsx", [HEADER, ["006", " EP02_01f ", None, 46], [6, 12, None, "46"], [6, 1, None, 46.0]]
    )
    assert cells(sheets.read(path, COLUMNS)) == [
        {"subject": "006", "clip": "EP02_01f", "onset": "46"},
        {"subject": "6", "clip": "12", "onset": "46"},
        {"subject": "6", "clip": "1", "onset": "46"},
    ]


def test_workbook_and_text_file_read_the_same(tmp_path: Path):
    book = workbook(tmp_path / "a.xlsx", [HEADER, ["01", "a，b", None, 4], ["02", "c", None, None]])
    comma = tmp_path / "a.csv"
    comma.write_text("\ufeffSubject,Filename,,OnsetFrame\r\n01,a，b,,4\r\n02,c,,\r\n", encoding="utf-8")
    semicolon = tmp_path / "b.csv"
    semicolon.write_text("Subject;Filename;;OnsetFrame\n01;a，b;;4\n02;c\n", encoding="utf-16")
    expected = cells(sheets.read(book, COLUMNS))
    assert expected[0]["clip"] == "a，b"  # the full-width comma stays: it separates action units, not cells
    assert cells(sheets.read(comma, COLUMNS)) == expected
    assert cells(sheets.read(semicolon, COLUMNS)) == expected


def test_the_header_is_found_below_notes_and_in_a_later_sheet(tmp_path: Path):
    lines = [
        ["Subject: how to read this"],
        [None],
        ["subject", "CLIP", None, "onset  frame", "Notes"],
        ["01", "a", None, 5],
    ]
    path = workbook(tmp_path / "a.xlsx", [["nothing here"]], Data=lines)
    sheet = sheets.read(path, COLUMNS)
    assert (sheet.title, sheet.rows[0].line) == ("Data", 4)
    assert cells(sheet) == [{"subject": "01", "clip": "a", "onset": "5", "note": ""}]


def test_named_sheets_are_preferred_and_excluded_ones_never_read(tmp_path: Path):
    path = workbook(
        tmp_path / "a.xlsx", [HEADER, ["1", "hs", None, 1]], title="HS", VIS=[HEADER, ["1", "vis", None, 1]]
    )
    assert sheets.read(path, COLUMNS).title == "HS"
    assert sheets.read(path, COLUMNS, titles=("vis",)).title == "VIS"
    assert sheets.read(path, COLUMNS, never=("hs",)).title == "VIS"
    with pytest.raises(DatabaseError, match="only the sheets HS, VIS"):
        sheets.read(path, COLUMNS, never=("hs", "vis"))


def test_a_formula_s_stored_result_is_read_and_an_unstored_one_is_empty(tmp_path: Path):
    plain = workbook(tmp_path / "plain.xlsx", [HEADER, ["1", "a", None, "=40+6"]])
    assert cells(sheets.read(plain, COLUMNS))[0]["onset"] == ""
    stored = tmp_path / "stored.xlsx"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(stored, "w") as target:
        for part in source.namelist():
            data = source.read(part)
            target.writestr(part, re.sub(rb"(<f>40\+6</f>)<v ?/>|(<f>40\+6</f>)<v></v>", rb"\1\2<v>46</v>", data))
    assert cells(sheets.read(stored, COLUMNS))[0]["onset"] == "46"


def test_every_cell_of_a_merged_area_holds_its_value(tmp_path: Path):
    book = openpyxl.Workbook()
    for line in (HEADER, ["01", "a", None, 1], [None, "b", None, 2], [None, "c", None, 3], ["02", "d", None, 4]):
        book.active.append(line)
    book.active.merge_cells("A2:A4")
    book.active.merge_cells("F2:H3")  # beyond the columns in use
    book.save(tmp_path / "a.xlsx")
    assert [row["subject"] for row in cells(sheets.read(tmp_path / "a.xlsx", COLUMNS))] == ["01", "01", "01", "02"]


def test_blank_rows_and_short_rows(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("Subject,Filename,,OnsetFrame\n\n01,a\n,,,\n02,b,,7\n")
    sheet = sheets.read(path, COLUMNS)
    assert [(row.line, row.cells["onset"]) for row in sheet.rows] == [(3, ""), (5, "7")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty; expected a header with Subject, Filename, OnsetFrame"),
        ([[None, " "], [None]], "empty"),
        ([HEADER], "no row below the header in row 1"),
        ([["a", "b"], ["Subject", "Filename", "Apex"], ["1", "x", 3]], "row 2 of Sheet1, lacks OnsetFrame"),
        ([["1", "x", 3]], "none of them was found"),
        ([*[["note"]] * 60, HEADER, ["1", "x", None, 3]], "none of them was found in the first 60 rows"),
    ],
)
def test_a_sheet_without_the_expected_table_is_named_with_what_was_found(tmp_path: Path, rows: list, message: str):
    with pytest.raises(DatabaseError, match=message) as error:
        sheets.read(workbook(tmp_path / "a.xlsx", rows), COLUMNS)
    assert str(tmp_path / "a.xlsx") in str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("~$a.xlsx", b"\x05Jane", "lock file"),
        ("a.xlsx", b"", "empty"),
        ("a.xlsx", b"PK\x03\x04 not a zip file at all", "damaged"),
        ("a.xlsx", b"<html>please log in</html>", "not a workbook"),
        ("a.csv", b"Subject,Filename\nM\xfcller,x\n", "not UTF-8"),
        ("a.csv", b'Subject,Filename\n"' + b"x" * 200_000, "not a table"),
    ],
)
def test_files_that_are_no_sheet_say_what_they_are(tmp_path: Path, name: str, data: bytes, message: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatabaseError, match=message):
        sheets.read(tmp_path / name, COLUMNS)


def test_missing_file_and_zip_of_something_else(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"gone\.xlsx.*No such file"):
        sheets.read(tmp_path / "gone.xlsx", COLUMNS)
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("frames/img1.jpg", b"x")
    with pytest.raises(DatabaseError, match="damaged, encrypted or not a workbook"):
        sheets.read(tmp_path / "a.xlsx", COLUMNS)


def test_a_workbook_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sheets, "_MAX_BYTES", 1000)
    with pytest.raises(DatabaseError, match="unpacks to"):
        sheets.read(workbook(tmp_path / "a.xlsx", [HEADER, ["1", "a", None, 1]]), COLUMNS)


def test_a_hundred_thousand_rows(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("Subject,Filename,,OnsetFrame\n" + "".join(f"{i % 30:02d},EP{i},,{i}\n" for i in range(100_000)))
    rows = sheets.read(path, COLUMNS).rows
    assert (len(rows), rows[-1].cells["onset"]) == (100_000, "99999")


@pytest.mark.parametrize(
    ("text", "number"),
    [("46", 46), ("46.0", 46), ("0", 0), ("４６", 46), ("", None), ("/", None), ("-1", None), ("4.5", None),
     ("nan", None), ("inf", None), ("1e300", None), ("MISSING <-426679", None), ("#REF!", None)],
)  # fmt: skip
def test_frame_numbers(text: str, number: int | None):
    assert sheets.frame_number(text) == number


def _biff2(rows: list[list[str | int]]) -> bytes:
    """A worksheet in Excel's oldest format, which needs no container: records of kind, length and content."""
    out = struct.pack("<HHHH", 0x0009, 4, 2, 0x10)
    for line, row in enumerate(rows):
        for column, value in enumerate(row):
            place = struct.pack("<HH3x", line, column)
            if isinstance(value, int):
                out += struct.pack("<HH", 0x0003, 15) + place + struct.pack("<d", value)
            else:
                text = value.encode("latin-1")
                out += struct.pack("<HH", 0x0004, 8 + len(text)) + place + bytes([len(text)]) + text
    return out + struct.pack("<HH", 0x000A, 0)


def test_xls_reads_like_xlsx(tmp_path: Path):
    path = tmp_path / "a.xls"
    path.write_bytes(_biff2([["Subject", "Filename", "", "OnsetFrame"], ["01", "EP02_01f", "", 46]]))
    assert cells(sheets.read(path, COLUMNS)) == [{"subject": "01", "clip": "EP02_01f", "onset": "46"}]
    path.write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 600)
    with pytest.raises(DatabaseError, match="damaged, encrypted"):
        sheets.read(path, COLUMNS)


def test_the_owners_sheets_as_workbooks(tmp_path: Path):
    fake = generator()
    for database, name, adapter, rows, line in (
        ("casme2", "casme2_coding_20140508.csv", casme2, 255, 2),
        ("samm", "samm_micro_facs_codes_v2.csv", samm, 159, 15),
    ):
        source = fake.read_table(database, table(name))
        plan = fake.build_plan(database, source)
        fake.write_sheet(database, tmp_path, table(name), source, plan)
        (path,) = (file for file in tmp_path.glob("*.xlsx") if file.name.lower().startswith(database))
        sheet = sheets.read(path, adapter.COLUMNS)
        assert (len(sheet.rows), sheet.rows[0].line) == (rows, line)
        found = [(row.cells["clip"], row.cells["onset"], row.cells["action_units"]) for row in sheet.rows]
        assert found == [(clip.clip, str(clip.onset), clip.au.strip()) for clip in plan]
