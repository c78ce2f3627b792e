"""Own recordings: tables of recordings, events and blinks, in frames and in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from mer_features.databases import DatabaseError
from mer_features.databases.listing import RecordedListing
from mer_features.databases.options import TableRecordings
from mer_features.databases.recordings import compare, read_recordings
from mer_features.spotting import tables as spotting_tables
from tests.databases.trees import frames

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Three recordings (two folders, one video) and the tables that are given, line by line."""
    frames(tmp_path / "p1" / "talk", range(5, 105), "frame_{:05d}.png")
    frames(tmp_path / "p2" / "talk", range(200), "{}.png")
    (tmp_path / "p2" / "film.mp4").write_bytes(b"not opened")
    recordings = ("subject,path,fps", "p1,p1/talk,25", "p2,p2/talk,25", "p2,p2/film.mp4,50")

    def tables(*events: str, recordings: tuple[str, ...] = recordings, **more: tuple[str, ...]) -> Path:
        for name, lines in {"recordings": recordings, "events": events, **more}.items():
            if lines:
                (tmp_path / f"{name}.tsv").write_text("\n".join(lines).replace(",", "\t"), encoding="utf-8")
        return tmp_path

    return tables


def read(root: Path, **more: object) -> RecordedListing:
    options = TableRecordings.model_validate({"adapter": "table", "root": str(root), **more})
    return read_recordings("mine", options, root / "results")


def spans(listing: RecordedListing) -> list[tuple[str, int, int | None, int]]:
    return [(event.recording_id, event.onset, event.apex, event.offset) for event in listing.events]


HEADER = "subject,path,onset,apex,offset,kind,emotion,note"


def test_frames(write: Write):
    root = write(HEADER, "p1,p1/talk,10,15,20,micro,Happy,smiles", "p2,p2/film.mp4,0,,49,macro,,")
    listing = read(root)
    assert [(item.recording_id, item.first, item.last, item.fps) for item in listing.recordings] == [
        ("p1/talk", 5, 104, 25.0), ("p2/talk", 0, 199, 25.0), ("p2/film", None, None, 50.0),
    ]  # fmt: skip
    assert all(item.digest and item.database == "mine" for item in listing.recordings)
    assert spans(listing) == [("p1/talk", 10, 15, 20), ("p2/film", 0, None, 49)]
    first = listing.events[0]
    assert (first.kind, first.emotion, first.note, first.event_id) == ("micro", "happy", "smiles", "p1/talk/row-2")
    assert compare(listing) is None


def test_seconds_count_from_the_first_frame_of_the_recording(write: Write):
    root = write(HEADER, "p1,p1/talk,0.2,0.4,0.61,micro,,", "p2,p2/film.mp4,1.5,,2,macro,,")
    assert spans(read(root, unit="s")) == [("p1/talk", 10, 15, 20), ("p2/film", 75, None, 100)]


def test_seconds_need_a_frame_rate(write: Write):
    root = write(HEADER, "p1,p1/talk,0.2,0.4,0.6,micro,,", recordings=("subject,path", "p1,p1/talk"))
    with pytest.raises(DatabaseError, match=r"events\.tsv:2: times in seconds need the column fps for p1/talk"):
        read(root, unit="s")


def test_times_where_frames_are_expected_are_left_out_and_named(write: Write):
    listing = read(write(HEADER, "p1,p1/talk,10.4,11,12,micro,,", "p1,p1/talk,,11,12,micro,,"))
    assert listing.events == ()
    assert [note.detail for note in listing.notes if note.kind == "event_left_out"] == [
        "1 left out, onset '10.4' is not a frame number: p1/talk:2 (row 2: 10.4 to 12)",
        "1 left out, onset is empty: p1/talk:3 (row 3: none to 12)",
    ]


def test_an_event_may_name_its_recording_and_have_its_own_name(write: Write):
    header = "recording_id,event_id,onset,offset,kind"
    root = write(header, "p2/film,a,1,2,micro", "p2/film,a,5,6,micro", "p2/nothing,b,5,6,micro")
    listing = read(root)
    assert [event.event_id for event in listing.events] == ["a", "a-2"]
    assert any("the recording is not listed: b (row 4" in note.detail for note in listing.notes)


def test_the_same_tables_can_be_read_for_scores(write: Write):
    recordings = (
        "recording_id,subject,path,first,last,fps",
        "p1/one,p1,p1/talk,5,104,25",
        "p2/two,p2,p2/talk,0,199,25",
    )
    root = write("recording_id,event_id,onset,offset,kind", "p1/one,a,10,20,micro", "p2/two,b,5,6,macro",
                 recordings=recordings)  # fmt: skip
    films = spotting_tables.read_recordings(root / "recordings.tsv")
    events, _ = spotting_tables.read_events(root / "events.tsv", films)
    listing = read(root)
    assert events.rows == listing.events
    keys = ("recording_id", "subject", "first", "last", "fps")
    assert [[getattr(item, key) for key in keys] for item in films] == [
        [getattr(item, key) for key in keys] for item in listing.recordings
    ]


def test_names_that_are_not_safe_in_a_path_are_found(write: Write):
    root = write("recording_id,onset,offset,kind", "p 1/a talk,10,20,micro",
                 recordings=("subject,path,recording_id", "p 1,p1/talk,a talk"))  # fmt: skip
    assert spans(read(root)) == [("p_1/a_talk", 10, None, 20)]


def test_first_and_last_restrict_a_folder(write: Write):
    recordings = ("subject,path,recording_id,first,last", "p1,p1/talk,start,,50", "p1,p1/talk,end,51,")
    root = write("recording_id,onset,offset,kind", "p1/start,45,60,macro", "p1/end,45,60,macro", recordings=recordings)
    listing = read(root)
    assert [(item.recording_id, item.first, item.last) for item in listing.recordings] == [
        ("p1/start", 5, 50), ("p1/end", 51, 104),
    ]  # fmt: skip
    assert spans(listing) == [("p1/start", 45, None, 50), ("p1/end", 51, None, 60)]
    assert {issue.code for event in listing.events for issue in event.issues} == {"event_cut"}
    with pytest.raises(DatabaseError, match=r"events\.tsv:2: p1/talk is the path of several recordings"):
        read(write(HEADER, "p1,p1/talk,10,15,20,micro,,", recordings=recordings))


def test_without_a_table_of_events_nothing_is_annotated(write: Write):
    root = write()
    listing = read(root)
    assert (len(listing.recordings), listing.events) == (3, ())
    assert any("nothing is annotated" in note.detail for note in listing.notes)
    with pytest.raises(DatabaseError, match=r"events\.tsv: the event table cannot be read \(no such file\)"):
        read(root, events="events.tsv")


def test_blinks(write: Write):
    root = write(HEADER, blinks=("recording_id,onset,offset", "p1/talk,30,36"))
    (blink,) = read(root, blinks="blinks.tsv").blinks
    assert (blink.recording_id, blink.onset, blink.offset, blink.kind) == ("p1/talk", 30, 36, "blink")
    assert read(root).blinks == ()


@pytest.mark.parametrize(
    ("recording", "code"),
    [
        ("p1,p1/none,25", "source_missing"), ("p1,../secret,25", "unsafe_path"), (",p1/talk,25", "empty_cell"),
        ("p1,p1/talk,fast", "bad_cell"), ("p1,p1,25", "no_frames"),
    ],
)  # fmt: skip
def test_problems_of_a_recording_are_its_issues(recording: str, code: str, write: Write):
    root = write(HEADER, recordings=("subject,path,fps", recording))
    (only,) = read(root).recordings
    assert code in [issue.code for issue in only.issues]
    assert Path(only.source).resolve().is_relative_to(root)


@pytest.mark.parametrize(
    ("recordings", "events", "message"),
    [
        (("path,fps", "p1/talk,25"), (HEADER,), r"recordings\.tsv: found the columns path, fps; missing subject"),
        (("subject,path", "p1,p1/talk", "p1,p1/talk"), (HEADER,), r"recordings\.tsv:3: p1/talk is listed twice"),
        (("subject,path", "p1,p1/talk"), ("onset,offset", "1,2"), r"events\.tsv: found .*; missing kind"),
        (("subject,path", "p1,p1/talk"), ("onset,offset,kind", "1,2,micro"), r"events\.tsv:2: which recording\?"),
        (("subject,path",), (HEADER,), r"no recording is listed in .*; none is there"),
    ],
)
def test_tables_that_cannot_be_read(recordings: tuple[str, ...], events: tuple[str, ...], message: str, write: Write):
    with pytest.raises(DatabaseError, match=message):
        read(write(*events, recordings=recordings))


def test_a_key_of_another_adapter_is_refused():
    with pytest.raises(ValidationError, match="offset_zero"):
        TableRecordings.model_validate({"adapter": "table", "root": "x", "offset_zero": "apex"})
