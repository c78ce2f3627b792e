"""Recordings and events of the owners' databases: public tables in fake trees, and small sheets with every quirk."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from mer_features.core import quality
from mer_features.core import recordings as tables
from mer_features.core.recordings import Event, Recording
from mer_features.databases import DatabaseError
from mer_features.databases.listing import RecordedListing
from mer_features.databases.options import RecordingsDatabase
from mer_features.databases.recordings import compare, counts, read_recordings
from mer_features.spotting import tables as spotting_tables
from tests.databases.test_smic import HS, LONG, hs_row
from tests.databases.trees import below, film, opened, recordings_tree, table, workbook

READ = TypeAdapter(RecordingsDatabase)


def read(adapter: str, root: Path, **more: object) -> RecordedListing:
    database = READ.validate_python({"adapter": adapter, "root": str(root), **more})
    return read_recordings(adapter, database, root / "results")


def by_id(listing: RecordedListing) -> dict[str, Event]:
    assert len({event.event_id for event in listing.events}) == len(listing.events)
    return {event.event_id: event for event in listing.events}


def codes(row: Event | Recording) -> list[str]:
    return [issue.code for issue in row.issues]


def details(listing: RecordedListing, kind: str) -> list[str]:
    return [note.detail for note in listing.notes if note.kind == kind]


def differences(listing: RecordedListing) -> list[str]:
    comparison = compare(listing)
    assert comparison is not None
    return comparison.lines


def span(event: Event) -> tuple[int, int | None, int]:
    return event.onset, event.apex, event.offset


# The owners' tables


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = recordings_tree(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return make


@pytest.fixture(scope="module")
def listed(release: Callable[[str], Path]) -> Callable[[str], RecordedListing]:
    """What the adapter lists without any option, read once."""
    known: dict[str, RecordedListing] = {}

    def get(kind: str) -> RecordedListing:
        if kind not in known:
            root = release(kind)
            with opened() as paths:
                known[kind] = read(kind, root)
            assert below([path for path in paths if path.suffix == ".jpg"], root) == []
        return known[kind]

    return get


def test_the_98_recordings_of_casmesq(listed):
    listing = listed("casmesq")
    found = counts(listing)
    assert found == {"recordings": 98, "annotated": 95, "subjects": 22, "micro": 57, "macro": 300, "blinks": 0}
    assert differences(listing) == []
    without = {item.recording_id for item in listing.recordings} - {event.recording_id for event in listing.events}
    assert without == {"s15/15_0508", "s19/19_0502", "s23/23_0503"}
    films = {item.recording_id: item for item in listing.recordings}
    assert (films["s19/19_0502"].first, films["s19/19_0502"].last, films["s19/19_0502"].fps) == (1, 2273, 30.0)
    issues = Counter(code for event in listing.events for code in codes(event))
    assert issues == {"offset_assumed": 44, "apex_outside": 3, "empty_cell": 1}
    assert {span(event) for event in listing.events if "apex_outside" in codes(event)} == {
        (1221, 1230, 1224), (2169, 2203, 2202), (2407, 2455, 2451),
    }  # fmt: skip
    assert Counter(event.emotion for event in listing.events if event.kind == "micro") == {
        "negative": 21, "others": 19, "surprise": 9, "positive": 8,
    }  # fmt: skip


def test_the_147_recordings_of_samm_long_videos(listed):
    listing = listed("samm_long")
    assert counts(listing) == {
        "recordings": 147, "annotated": 147, "subjects": 30, "micro": 159, "macro": 343, "blinks": 0,
    }  # fmt: skip
    assert differences(listing) == []
    began = [event for event in listing.events if "onset_before_film" in codes(event)]
    assert {(event.onset, event.kind) for event in began} == {(1, "macro")}
    assert len(began) == 10
    assert sum("empty_cell" in codes(event) and event.apex is None for event in listing.events) == 6
    cut = {event.recording_id: event.offset for event in listing.events if "event_cut" in codes(event)}
    assert cut == {"020/020_6": 5001, "036/036_7": 8201}
    twice = [event for event in listing.events if span(event)[::2] in {(1488, 1577), (1487, 1605)}]
    assert {(event.recording_id, event.kind) for event in twice} == {("037/037_4", "micro"), ("037/037_4", "macro")}
    assert any("037/037_4_1" in note for note in details(listing, "sheet"))
    assert sum("blink" in event.note.lower() for event in listing.events) == 43
    by_id(listing)


def test_onset_0_of_samm_long_videos_can_be_left_out_and_the_check_says_so(release):
    listing = read("samm_long", release("samm_long"), onset_zero="drop")
    assert (counts(listing)["micro"], counts(listing)["macro"]) == (159, 333)
    line, reason = differences(listing)[:2]
    assert "333 macro-expressions, published 343" in line
    assert "10 left out, onset 0 (`onset_zero: drop`)" in reason
    comparison = compare(listing)
    assert comparison is not None
    assert comparison.chosen


def test_the_emotions_of_samm_long_videos_come_from_the_short_sheet(listed, tmp_path: Path):
    assert {event.emotion for event in listed("samm_long").events} == {""}
    root = recordings_tree("samm_long", tmp_path)
    shutil.copy(table("samm_micro_facs_codes_v2.csv"), root / "SAMM_Micro_FACS_Codes_v2.csv")
    events = read("samm_long", root).events
    assert Counter(event.emotion for event in events if event.kind == "micro") == {
        "anger": 57, "other": 26, "happiness": 26, "surprise": 15, "contempt": 12, "disgust": 9, "fear": 8,
        "sadness": 6,
    }  # fmt: skip
    assert {event.emotion for event in events if event.kind == "macro"} == {""}


def test_part_a_of_casme3(release, listed):
    root, listing = release("casme3"), listed("casme3")
    found = counts(listing)
    assert (found["annotated"], found["subjects"], found["micro"], found["macro"]) == (956, 98, 860, 3346)
    assert found["recordings"] == 957  # and a folder of spNO.3 that no row names
    assert differences(listing) == []
    events = {(event.recording_id, event.onset): event for event in listing.events}
    assert (events["spNO.214/c", 5].offset, events["spNO.214/c", 5].corrected) == (34, "offset")
    assert (events["spNO.216/e", 1].apex, events["spNO.216/e", 1].corrected) == (1, "onset,apex")
    assert events["spNO.216/d", 2647].emotion != ""  # its row in the sheet of emotions has onset 3647
    emotions = Counter(event.emotion for event in listing.events if event.kind == "micro")
    assert emotions == {"disgust": 250, "surprise": 187, "others": 161, "fear": 86, "anger": 64, "sad": 57, "happy": 55}
    assert {event.emotion for event in listing.events if event.kind == "macro"} == {""}
    assert sum(event.apex == event.onset for event in listing.events) == 55
    raw = read("casme3", root, errata=False).events
    assert max(event.offset for event in raw if event.recording_id == "spNO.214/c" and event.onset == 5) == 3460


def test_smic_as_distributed_and_merged(release, listed):
    apart, merged = read("smic", release("smic"), overlaps="keep"), listed("smic")
    found = counts(apart)
    assert (found["recordings"], found["subjects"], found["micro"], found["macro"]) == (157, 16, 165, 0)
    assert details(apart, "event_left_out") == ["1 left out, outside the film: s1_ne_03 (row 74: 658536 to 658562)"]
    assert (counts(merged)["recordings"], counts(merged)["micro"]) == (145, 165)
    assert "12 recordings fewer" in details(merged, "recordings_merged")[0]
    assert differences(apart) == differences(merged) == []  # an edition says that s1_ne_03 is outside its recording
    films = {item.recording_id: item for item in merged.recordings}
    joined = films["s03/s3_ne_17+s3_ne_18"]
    assert (joined.first, joined.last) == (424700, 425599)
    assert [Path(source).name for source in joined.sources] == ["s3_ne_17", "s3_ne_18"]
    assert joined.digest not in {item.digest for item in apart.recordings}
    # s18_sur_03 and its second expression are surprise by an erratum; s1_ne_03 is negative.
    assert Counter(event.emotion for event in merged.events) == {"negative": 70, "positive": 51, "surprise": 44}


@pytest.mark.parametrize("kind", ["casmesq", "samm_long", "casme3", "smic"])
def test_what_is_written_is_what_the_scores_read(kind: str, listed, tmp_path: Path):
    listing = listed(kind)
    (tmp_path / "recordings.tsv").write_text(tables.dumps(listing.recordings), encoding="utf-8")
    (tmp_path / "events.tsv").write_text(tables.dumps_events(listing.events), encoding="utf-8")
    assert tables.read(tmp_path / "recordings.tsv") == listing.recordings
    assert tables.read_events(tmp_path / "events.tsv") == listing.events
    films = spotting_tables.read_recordings(tmp_path / "recordings.tsv")
    events, _ = spotting_tables.read_events(tmp_path / "events.tsv", films)
    assert films == listing.recordings
    assert events.rows == events.inside == listing.events
    assert events.ignored == ()


# Small sheets


@pytest.fixture
def sq(tmp_path: Path) -> Callable[..., Path]:
    """CAS(ME)²: a recording of 1000 frames of one film, with rows of it."""

    def make(*rows: tuple) -> Path:
        film(tmp_path / "rawpic/s15/15_0401girlcrashing", (), "img{:03d}.jpg", last=1000)
        film(tmp_path / "rawpic/s16/16_0402beatingpregnantwoman", (), "img{:03d}.jpg", last=500)
        cells = [(1, f"anger1_{n}", *marks, "4", "negative", kind, "anger") for n, (*marks, kind) in enumerate(rows, 1)]
        workbook(tmp_path / "CAS(ME)^2code_final(Updated).xlsx", cells, "code")
        return tmp_path

    return make


MICRO, MACRO = "micro-expression", "macro-expression"


@pytest.mark.parametrize(("rule", "offset"), [("apex", 130), ("apex+20", 150), ("mirror", 160), ("drop", None)])
def test_an_offset_of_0_follows_the_rule(sq, rule: str, offset: int | None):
    listing = read("casmesq", sq((100, 130, 0, MACRO), (200, 210, 215, MICRO)), offset_zero=rule)
    assert [event.offset for event in listing.events] == ([215] if offset is None else [offset, 215])
    if offset is None:
        assert details(listing, "event_dropped") == [
            "1 left out, no offset (`offset_zero: drop`): anger1_1 (row 1: 100 to none)"
        ]
    else:
        assert codes(listing.events[0]) == ["offset_assumed"]
        assert any(f"`offset_zero: {rule}`" in note for note in details(listing, "convention"))


def test_recordings_without_a_row_are_kept(sq):
    listing = read("casmesq", sq((100, 110, 115, MICRO)))
    assert [(item.recording_id, item.first, item.last) for item in listing.recordings] == [
        ("s15/15_0401", 1, 1000), ("s16/16_0402", 1, 500),
    ]  # fmt: skip
    assert all(item.digest for item in listing.recordings)


def test_a_recording_that_only_the_sheet_names_counts_as_missing(tmp_path: Path):
    film(tmp_path / "rawpic/s15/15_0401girlcrashing", (), "img{:03d}.jpg", last=1000)
    row = (2, "happy1_1", 10, 20, 30, "4", "positive", MICRO, "happy")
    workbook(tmp_path / "CAS(ME)^2code_final(Updated).xlsx", [row], "code")
    listing = read("casmesq", tmp_path)
    assert {item.recording_id: codes(item) for item in listing.recordings} == {
        "s15/15_0401": ["missing_frame"], "s16/16_0502": ["source_missing"],
    }  # fmt: skip
    assert [event.recording_id for event in listing.events] == ["s16/16_0502"]
    assert any("not on disk, e.g. s16/16_0502" in line for line in differences(listing))


def test_bad_rows_give_no_event_and_are_named(sq):
    rows = [
        (100, 110, 90, MICRO), (2000, 2010, 2020, MICRO), ("?", 10, 20, MICRO), (5, 10, 20, "expression"),
        (100, 0, 0, MACRO), (990, 995, 1020, MACRO), (100, 130, 120, MICRO), (7, "x", 9, MICRO),
    ]  # fmt: skip
    listing = read("casmesq", sq(*rows))
    left_out = "\n".join(details(listing, "event_left_out"))
    for reason in (
        "the offset comes before the onset: anger1_1", "outside the film: anger1_2 (row 2: 2000 to 2020)",
        "onset '?' is not a frame number: anger1_3", "'expression' is neither micro nor macro: anger1_4",
        "neither apex nor offset is annotated: anger1_5",
    ):  # fmt: skip
        assert reason in left_out
    assert [(span(event), codes(event)) for event in listing.events] == [
        ((990, 995, 1000), ["event_cut"]), ((100, 130, 120), ["apex_outside"]), ((7, None, 9), ["bad_cell"]),
    ]  # fmt: skip
    assert [event.event_id for event in listing.events] == [f"s15/15_0401/row-{row}" for row in (6, 7, 8)]


def test_subjects_that_are_left_out_take_their_events_along(sq):
    root = sq((100, 110, 115, MICRO))
    listing = read("casmesq", root, exclude_subjects=["s15"])
    assert [item.subject for item in listing.recordings] == ["s16"]
    assert listing.events == ()
    with pytest.raises(DatabaseError, match="all 2 belong to excluded subjects"):
        read("casmesq", root, exclude_subjects=["s15", "s16"])


def test_a_second_folder_of_a_recording_is_not_read(sq, tmp_path: Path):
    root = sq((100, 110, 115, MICRO))
    film(tmp_path / "rawpic/s15/15_0401girlcrashing (copy)", (), "img{:03d}.jpg", last=5)
    listing = read("casmesq", root)
    assert listing.recordings[0].last == 1000
    assert any("girlcrashing (copy) was not read" in note for note in details(listing, "layout"))


def test_an_empty_folder_is_a_rejected_recording(sq, tmp_path: Path):
    root = sq((100, 110, 115, MICRO))
    (tmp_path / "rawpic/s16/16_0101disgustingteeth").mkdir()
    empty = next(item for item in read("casmesq", root).recordings if item.recording_id == "s16/16_0101")
    assert codes(empty) == ["no_frames"]
    assert (empty.first, empty.digest) == (None, "")
    assert quality.status(empty.issues) is quality.Status.REJECTED


def test_the_sheet_of_the_latest_version_is_read(tmp_path: Path):
    film(tmp_path / "SAMM_longvideos/006_1", (), "006_1_{:04d}.jpg", last=400)
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "Type", "Action Units", "Notes"]
    for version, onset in (("V1", 10), ("V2", 20)):
        row = ["006", "006_1_1", onset, 30, 60, "Micro - 1/2", "4", ""]
        workbook(tmp_path / f"SAMM_LongVideos_{version}_Release.xlsx", [header, row])
    listing = read("samm_long", tmp_path)
    assert [event.onset for event in listing.events] == [20]
    assert any("SAMM_LongVideos_V1_Release.xlsx is there too" in note for note in details(listing, "sheet"))
    chosen = read("samm_long", tmp_path, sheet="SAMM_LongVideos_V1_Release.xlsx")
    assert [event.onset for event in chosen.events] == [10]


def test_blinks_of_casme3_are_read_from_their_worksheet(tmp_path: Path):
    film(tmp_path / "part_A/spNO.1/a/color", (), "{}.jpg", first=8, last=900)
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Expression type"]
    rows = [header, ["spNO.1", "A", 20, 25, 40, "4", "Micro-expression"]]
    blinks = [["Subject", "Filename", "Onset", "Apex", "Offset"], ["spNO.1", "a", 50, 53, 60]]
    workbook(tmp_path / "CAS(ME)3_part_A_v2.xlsx", rows, "AU+Emotion", **{"eye blink": blinks})
    listing = read("casme3", tmp_path)
    assert [(event.recording_id, span(event)) for event in listing.events] == [("spNO.1/a", (20, 25, 40))]
    assert [(blink.kind, span(blink)) for blink in listing.blinks] == [("blink", (50, 53, 60))]


def test_events_of_a_merged_smic_film_are_counted_once(tmp_path: Path):
    for name, first in (("s3_ne_05", 100), ("s3_ne_06", 200)):
        film(tmp_path / LONG / "s03" / name, (), "image{:06d}.jpg", first, first + 150)
    rows = [HS, hs_row(3, "s3_ne_05", 210, 230, (100, 250)), hs_row(3, "s3_ne_06", 210, 230, (200, 350), (300, 320))]
    workbook(tmp_path / "SMIC-HS-E_annotation.xlsx", rows, "HS")
    merged, apart = read("smic", tmp_path), read("smic", tmp_path, overlaps="keep")
    assert [(event.recording_id, span(event)[::2]) for event in merged.events] == [
        ("s03/s3_ne_05+s3_ne_06", (210, 230)), ("s03/s3_ne_05+s3_ne_06", (300, 320)),
    ]  # fmt: skip
    assert len(apart.events) == 3
    assert (merged.recordings[0].first, merged.recordings[0].last) == (100, 350)


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("casmesq", "expected a folder rawpic"),
        ("samm_long", "expected a folder SAMM_longvideos"),
        ("casme3", "expected frames like part_A"),
        ("smic", "expected a folder SMIC-HS-E or HS_long"),
    ],
)
def test_messages_name_what_is_missing(adapter: str, message: str, tmp_path: Path):
    with pytest.raises(DatabaseError, match=message):
        read(adapter, tmp_path)
    with pytest.raises(DatabaseError, match=r"recordings\.\w+\.root: .* is not a folder"):
        read(adapter, tmp_path / "none")
