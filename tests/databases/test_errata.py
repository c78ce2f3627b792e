from __future__ import annotations

import logging
from pathlib import Path
from typing import get_args

import pytest

from mer_features import databases
from mer_features.core.quality import Issue
from mer_features.databases import errata, ingest
from mer_features.databases.errata import Errata, Erratum
from mer_features.databases.options import OwnerAdapter
from mer_features.workflow.config import validate
from tests.databases.trees import frames, workbook

WRONG = Erratum("db", "sub16", "EP01_08", "offset", "110", "96", "always", "two checks")
RANGE = (
    Erratum("db", "sub07", "EP06", "onset", "15", "56", "off_disk", "a list"),
    Erratum("db", "sub07", "EP06", "apex", "49", "", "off_disk", "a list"),
    Erratum("db", "sub07", "EP06", "offset", "68", "116", "off_disk", "a list"),
)
SHEET = {"onset": "15", "apex": "49", "offset": "68"}


def test_the_package_s_table_is_sound():
    table = errata.load()
    assert {erratum.database for erratum in table} <= set(get_args(OwnerAdapter))
    fields = {"first", "onset", "apex", "offset", "last", "emotion", "action_units"}
    assert all(erratum.field in fields and erratum.found != erratum.used and erratum.reported_by for erratum in table)
    keys = [(e.database, e.subject, e.clip, e.field, e.found) for e in table]
    assert len(keys) == len(set(keys))


def test_a_known_wrong_value_is_replaced_and_reported():
    used = Errata("db", True, [WRONG]).apply("Sub16", "ep01_08", {"onset": "73", "offset": "110"})
    assert used.values == {"onset": "73", "offset": "96"}
    assert used.fields == ("offset",)
    assert used.issues == (Issue("erratum_applied", "offset '110' -> '96' (two checks)"),)


@pytest.mark.parametrize(("found", "hint"), [("111", "'111'"), ("96", "already")])
def test_another_value_is_left_alone_and_noted(found: str, hint: str):
    known = Errata("db", True, [WRONG])
    assert known.apply("sub16", "EP01_08", {"offset": found}).values == {"offset": found}
    (note,) = known.notes()
    assert note.kind == "erratum_unused"
    assert hint in note.detail


def test_no_note_for_a_clip_that_was_not_met_or_a_value_met_in_another_row():
    known = Errata("db", True, [WRONG])
    known.apply("sub16", "EP01_09", {"offset": "110"})
    assert known.notes() == ()
    for offset in ("50", "110"):  # a sheet may have several rows of one video
        known.apply("sub16", "EP01_08", {"offset": offset})
    assert known.notes() == ()


def test_other_databases_and_switched_off_errata_change_nothing():
    for known in (Errata("other", True, [WRONG]), Errata("db", False, [WRONG])):
        used = known.apply("sub16", "EP01_08", {"offset": "110"})
        assert (used.values, used.fields, used.issues, known.notes()) == ({"offset": "110"}, (), (), ())


@pytest.mark.parametrize(
    ("numbers", "values"),
    [
        (range(15, 69), SHEET),  # the sheet's range is on disk
        (range(56, 117), {"onset": "56", "apex": "", "offset": "116"}),  # 68 is too, but 15 is not
        (range(56, 92), SHEET),  # neither is
        ((), SHEET),  # the disk says nothing
    ],
)
def test_a_second_reading_of_a_range_is_taken_whole_and_only_if_the_disk_says_so(numbers, values: dict):
    known = Errata("db", True, RANGE)
    used = known.apply("sub07", "EP06", SHEET, list(numbers))
    assert used.values == values
    assert len(used.issues) == (0 if values == SHEET else 3)
    assert known.notes() == ()


def test_half_a_second_reading_is_never_taken():
    sheet = SHEET | {"offset": "70"}
    assert Errata("db", True, RANGE).apply("sub07", "EP06", sheet, range(56, 117)).values == sheet


def test_a_field_that_the_sheet_does_not_have_is_no_matter():
    known = Errata("db", True, [WRONG])
    assert known.apply("sub16", "EP01_08", {"onset": "1"}).values == {"onset": "1"}
    assert known.notes() == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("database\tclip\n", "found the columns"),
        (errata.TABLE.read_text().splitlines()[0] + "\na\tb\tc\td\te\tf\tsometimes\tg\n", "sometimes"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "errata.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        errata.load(tmp_path / "errata.tsv")


def test_every_use_is_logged_when_the_database_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch):
    frames(tmp_path / "db/CASME2_RAW_selected/sub16/EP01_08", range(73, 97))
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    workbook(tmp_path / "db/CASME2-coding-20190701.xlsx", [header, ["16", "EP01_08", 73, 94, 110, "4", "disgust"]])
    config = validate({"databases": {"c": {"adapter": "casme2", "root": str(tmp_path / "db")}}})
    monkeypatch.chdir(tmp_path)
    databases.refresh_sources(config.databases)
    with caplog.at_level(logging.WARNING, logger="mer_features"):
        ingest.split_table(databases.source_table("c"), "full.tsv", "shards", shards=1)
    assert "sub16/EP01_08 is warned" in caplog.text
    assert "offset '110' -> '96' (frames on disk end at 96" in caplog.text
