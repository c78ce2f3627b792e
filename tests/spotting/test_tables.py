"""Reading tables of recordings, events and spots: the formats, and what is wrong with a table."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mer_features.spotting import Event, Recording, Spot, TableError, match, read_events, read_recordings, read_spots

from ..shared import shared

FILMS = (
    Recording("s1/a", "s1", first=1, last=900, fps=30.0),
    Recording("s1/b", "s1", first=1, last=900, fps=30.0),
    Recording("s2/c", "s2"),
)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines to a file; commas stand for tabs in a `.tsv`."""

    def write(*lines: str, name: str = "table.csv") -> Path:
        path = tmp_path / name
        text = "".join(f"{line}\n" for line in lines)
        path.write_text(text.replace(",", "\t") if path.suffix == ".tsv" else text, encoding="utf-8")
        return path

    return write


def test_our_own_format(write: Write):
    path = write(
        "recording_id,event_id,onset,apex,offset,kind,emotion,action_units",
        "s1/a,e1,10,15,30,Micro - 1/2,Happiness,12",
        "s1/a,e2,40,,60,macro,,4",
        name="events.tsv",
    )
    table, films = read_events(path, fps=30.0, words={"happiness": "positive"})
    assert table.rows == table.inside == (
        Event("s1/a", 10, 30, "micro", 15, "positive", "e1", "12"),
        Event("s1/a", 40, 60, "macro", None, "", "e2", "4"),
    )  # fmt: skip
    assert (table.format, table.ignored) == ("own", ())
    assert films == (Recording("s1/a", "s1", fps=30.0),)


def test_the_format_of_megc_2022_names_recordings_without_their_subject(write: Write):
    path = write("vid,pred_onset,pred_offset,type", "a,21,41,mae", "s1/b,5,12,me")
    assert read_spots(path, FILMS).rows == (Spot("s1/a", 21, 41, "macro"), Spot("s1/b", 5, 12, "micro"))


def test_the_format_of_megc_2024_has_micro_expressions(write: Write):
    path = write("subject;video;onset;offset;emotion;iou", "s1;a;7;75;happiness;0.4", "s2;c;10;20;others;1")
    table = read_spots(path, FILMS)
    assert table.rows == (Spot("s1/a", 7, 75, emotion="happiness"), Spot("s2/c", 10, 20, emotion="others"))
    assert table.ignored == ("iou",)


def test_a_result_without_spots(write: Write):
    assert read_spots(write("vid,pred_onset,pred_offset,type"), FILMS).rows == ()


def test_intervals_are_cut_at_the_ends_of_the_film(write: Write):
    path = write("recording_id,onset,offset,kind,score", "s1/a,-3,10,micro,.5", "s1/b,890,905.0,micro,.25")
    table = read_spots(path, FILMS)
    assert [(row.onset, row.offset) for row in table.rows] == [(-3, 10), (890, 905)]
    assert [(row.onset, row.offset, row.score) for row in table.inside] == [(1, 10, 0.5), (890, 900, 0.25)]
    assert table.cut == ("s1/a: -3 to 10 was cut to 1 to 10", "s1/b: 890 to 905 was cut to 890 to 900")


def test_a_list_of_recordings(write: Write):
    path = write("recording_id,database,first,last,fps", "s1/a,x,1,900,", "b,x,,,200", name="recordings.tsv")
    assert read_recordings(path, fps=None) == (
        Recording("s1/a", "s1", "x", 1, 900, None), Recording("b", "", "x", None, None, 200.0),
    )  # fmt: skip
    with pytest.raises(TableError, match=r"recordings.tsv:3: b has 200 frames per second; 30 were given for all"):
        read_recordings(path, fps=30.0)


OWN = "recording_id,onset,offset,kind"

#: Lines of a table of spots, and the error.
BAD_SPOTS = {
    "no such column": (("recording_id,onset,kind", "s1/a,1,micro"), r"table.csv: found the columns recording_id, "
                       r"onset, kind; expected recording_id, onset, offset, kind; or vid, .*The closest lacks offset"),
    "empty": ((), r"table.csv: empty; expected a table of spots with a header"),
    "unknown recording": ((OWN, "s1/a,1,9,micro", "s1/d,1,9,micro"), r"table.csv:3: recording s1/d is not known \(s1/.*"
                          r"expected one of s1/a, s1/b, s2/c\. A list of recordings can name those without an event"),
    "no recording": ((OWN, ",1,9,micro"), r"table.csv:2: the name of the recording is empty; expected one of s1/a"),
    "reversed": ((OWN, "s1/a,9,1,micro"), r"table.csv:2: offset 1 comes before onset 9; expected onset <= offset"),
    "negative": ((OWN, "s2/c,-4,9,micro"), r"table.csv:2: onset -4 is negative; expected a frame number, or the first"),
    "outside the film": ((OWN, "s1/a,6000,6020,micro"), r"table.csv:2: 6000 to 6020 lies outside recording s1/a, which "
                         r"has the frames 1 to 900; are its frames counted in another way, or at another frame rate\?"),
    "a time": ((OWN, "s1/a,1.25,9,micro"), r"table.csv:2: onset is '1.25'; expected a whole frame number, not a time"),
    "no number": ((OWN, "s1/a,1,nan,micro"), r"table.csv:2: offset is 'nan'; expected a whole frame number"),
    "a huge number": ((OWN, "s1/a,1,99999999999,micro"), r"table.csv:2: offset is '99999999999'; expected a whole"),
    "another kind": ((OWN, "s1/a,1,9,tiny"), r"table.csv:2: 'tiny' is not a kind; expected micro \(or me\) or macro"),
    "a bad score": ((f"{OWN},score", "s1/a,1,9,micro,inf"), r"table.csv:2: score is 'inf'; expected a number"),
    "a short line": ((OWN, "s1/a,1,9"), r"table.csv:2: found 3 cells; the header has 4 columns"),
    "a column twice": ((f"{OWN},onset", "s1/a,1,9,micro,1"), r"table.csv: onset is in the header more than once"),
    "an open quotation": ((OWN, 's1/a,1,9,"micro'), r"table.csv:2: not a table .*quotation mark not closed"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SPOTS)
def test_a_bad_table_of_spots_is_refused_with_file_line_and_what_was_expected(case: str, write: Write):
    lines, message = BAD_SPOTS[case]
    with pytest.raises(TableError, match=message):
        read_spots(write(*lines), FILMS)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path):
    with pytest.raises(TableError, match=r"nothing.csv: the table of spots cannot be read \(no such file\)"):
        read_spots(tmp_path / "nothing.csv", FILMS)
    (tmp_path / "bytes.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(TableError, match=r"bytes.csv: not UTF-8 text"):
        read_spots(tmp_path / "bytes.csv", FILMS)


def test_a_name_that_several_recordings_share(write: Write):
    films = (Recording("s1/a"), Recording("s2/a"))
    with pytest.raises(TableError, match=r"table.csv:2: a can be s1/a, s2/a; expected the whole name of one recording"):
        read_spots(write("vid,pred_onset,pred_offset,type", "a,1,9,me"), films)


def test_bad_tables_of_events(write: Write):
    with pytest.raises(TableError, match=r"table.csv: no event; expected at least one, or a list of recordings"):
        read_events(write(OWN))
    assert read_events(write(OWN), FILMS)[0].rows == ()
    twice = write(f"{OWN},event_id", "s1/a,1,9,micro,e1", "s1/a,20,29,micro,e1")
    with pytest.raises(TableError, match=r"table.csv:3: event e1 is listed twice; expected unique identifiers"):
        read_events(twice)


#: Lines of a list of recordings, and the error.
BAD_RECORDINGS = {
    "no such column": (("name,fps", "s1/a,30"), "found the columns name, fps; missing recording_id"),
    "empty list": (("recording_id",), "no line below the header; expected one line per recording"),
    "twice": (("recording_id", "s1/a", "s1/a"), "table.csv:3: recording s1/a is listed twice"),
    "no name": (("recording_id,fps", ",30"), "table.csv:2: recording_id is empty"),
    "reversed": (("recording_id,first,last", "s1/a,9,1"), "table.csv:2: last is 1 and first 9; expected first <= last"),
    "no frame rate": (("recording_id,fps", "s1/a,fast"), "table.csv:2: fps is 'fast'; expected a number from 0.001 to"),
    "frame rate 0": (("recording_id,fps", "s1/a,0"), "table.csv:2: fps is '0'; expected a number from 0.001 to"),
}


@pytest.mark.parametrize("case", BAD_RECORDINGS)
def test_a_bad_list_of_recordings_is_refused(case: str, write: Write):
    lines, message = BAD_RECORDINGS[case]
    with pytest.raises(TableError, match=re.escape(message)):
        read_recordings(write(*lines))


def test_the_events_of_samm_long_videos(write: Write):
    """The owners' table as events: its duplicates and overlaps count, so only the events themselves score 1."""
    table = shared("datasets", "annotations", "samm_long_videos_v2.csv")
    lines = []
    for number, line in enumerate(table.read_text(encoding="utf-8-sig").splitlines()[1:]):
        subject, name, _, onset, apex, offset, _, kind = line.split(",")[:8]
        lines.append(f"{subject}/{name.rpartition('_')[0]},{number},{onset},{max(int(apex), 0)},{offset},{kind}")
    events, films = read_events(write("recording_id,event_id,onset,apex,offset,kind", *lines))
    assert len({film.subject for film in films}) == 30
    counts = {kind: sum(row.kind == kind for row in events.rows) for kind in ("micro", "macro")}
    assert counts == {"micro": 159, "macro": 343}
    spots = [Spot(row.recording_id, row.onset, row.offset, row.kind) for row in events.rows]
    assert match(events.rows, spots).counts.f1 == 1
    distinct: list[Spot] = []
    for spot in spots:  # a spotter that never returns two spots of one kind that fit each other
        if not match([Event(s.recording_id, s.onset, s.offset, s.kind) for s in distinct[-40:]], [spot]).pairs:
            distinct.append(spot)
    assert match(events.rows, distinct).counts.fn == 6
