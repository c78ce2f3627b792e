"""What `mer-features check` says of databases of recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer_features.commands import check as checks
from mer_features.commands.check.recordings import check_recordings, lines
from mer_features.core.quality import Issue
from mer_features.core.recordings import Event, Recording
from mer_features.databases import DatabaseError, Note
from mer_features.databases.films import DROPPED, LEFT_OUT
from mer_features.databases.listing import PublishedRecordings, RecordedListing
from mer_features.databases.options import SammLongRecordings
from mer_features.workflow.config import load, validate
from tests.databases.trees import film, workbook

EDITION = PublishedRecordings("sheet of today", 2, 1, 1, 1, 2)
FILMS = (Recording("a/1", "a", first=1, last=600, fps=10.0), Recording("b/1", "b", first=1, last=600, fps=10.0))
MICRO, MACRO = Event("a/1", 1, 9, event_id="a/1/row-2"), Event("a/1", 20, 90, "macro", event_id="a/1/row-3")


def result(*events: Event, notes: tuple[Note, ...] = (), films=FILMS, published=(EDITION,)):
    return check_recordings("films", "/data", RecordedListing(films, events, (), notes, published))


def test_counts_as_published_are_no_problem():
    found = result(MICRO, MACRO, MACRO, notes=(Note(LEFT_OUT, "1 left out"),))
    assert found.problems == []
    assert found.counts == {"recordings": 2, "annotated": 1, "subjects": 1, "micro": 1, "macro": 2, "blinks": 0}
    assert found.minutes == 2.0
    assert "differs" not in "\n".join(lines(found))


def test_a_difference_is_a_problem_with_its_reason():
    (problem,) = result(MICRO, MACRO, notes=(Note(LEFT_OUT, "1 left out, outside the film: x"),)).problems
    assert problem == "1 macro-expressions, published 2 (sheet of today); 1 left out, outside the film: x"
    (problem,) = result(MICRO, MACRO).problems
    assert problem.endswith("(no reason is known: are all files and all rows there?)")


def test_a_difference_that_an_option_makes_is_told_and_is_no_problem():
    found = result(MICRO, MACRO, notes=(Note(DROPPED, "1 left out, onset 0", 1),))
    assert found.problems == []
    text = "\n".join(lines(found))
    assert "1 macro-expressions, published 2 (sheet of today)\n  1 left out, onset 0" in text
    assert "differs" in text
    assert len(result(MICRO, notes=(Note(DROPPED, "1 left out, onset 0", 1),)).problems) == 1  # one more is missing


def test_rejected_recordings_and_rows_of_own_data_that_are_no_event_are_problems():
    films = (FILMS[0], Recording("b/1", "b", issues=(Issue("no_frames", "b"),)))
    found = result(MICRO, notes=(Note(LEFT_OUT, "2 left out, outside the film: x, y"),), films=films, published=())
    assert found.problems == ["1 of 2 recordings rejected", "2 left out, outside the film: x, y"]
    assert any("rejected: no_frames, 1 time" in line for line in lines(found))


def test_the_check_of_a_configuration_reads_its_recordings(tmp_path: Path):
    film(tmp_path / "SAMM_longvideos/006_1", (), "006_1_{:04d}.jpg", last=400)
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units"]
    workbook(tmp_path / "SAMM_LongVideos_V2_Release.xlsx", [header, ["006", "006_1_1", 0, 30, 60, "Macro", "4"]])
    config = validate({"databases": {"demo": {"adapter": "synthetic", "root": str(tmp_path / "none")}}})
    sections = {name: SammLongRecordings(adapter="samm_long", root=root) for name, root in
                (("here", tmp_path), ("gone", tmp_path / "gone"))}  # fmt: skip
    config.__dict__["recordings"] = sections
    found = checks.check(config)
    here, _ = found.recordings
    assert (here.counts["recordings"], here.counts["macro"]) == (1, 1)
    assert any("1 recordings, published 147" in problem for problem in here.problems)
    assert any(problem.startswith("recordings gone: recordings.gone.root") for problem in found.problems)
    assert "onset_before_film, 1 time" in checks.text(found)
    assert [item["name"] for item in found.as_dict()["recordings"]] == ["here", "gone"]


def test_a_listing_that_cannot_be_read_is_one_problem():
    found = check_recordings("films", "/data", DatabaseError("no sheet"))
    assert found.problems == ["no sheet"]
    assert list(lines(found)) == ["recordings films: /data", "  error       no sheet"]


def test_embedded_recordings_are_known_before_they_are_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The shipped configuration, in an empty folder: nothing is missing, and the counts are those of the preset."""
    path = Path(__file__).parents[2] / "config" / "recordings.yaml"
    monkeypatch.chdir(tmp_path)
    result = checks.check(load(path))
    assert result.problems == []
    (films,) = result.recordings
    assert {what: films.counts[what] for what in ("recordings", "micro", "macro")} == {
        "recordings": 12, "micro": 24, "macro": 24,
    }  # fmt: skip
    assert ["clips of the recordings films" in item.note for item in result.databases] == [True, True]
    assert "recordings films" in result.cost.unknown
    assert list(tmp_path.iterdir()) == []
