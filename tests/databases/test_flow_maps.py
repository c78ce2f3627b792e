"""Published flow maps in both layouts, with rendered maps; and the published ones, where they are there to be read."""

from __future__ import annotations

import os
import re
import struct
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_features import databases, protocols
from mer_features.core import clips as clip_tables
from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.databases import DatabaseError, Listing, exclusion, pictures
from mer_features.databases.flow_maps import PARTS
from mer_features.protocols import counts, megc
from mer_features.workflow.config import Config, ConfigError, validate
from tests.databases.trees import below, codes, notes, opened, workbook
from tests.shared import shared

#: (database, subject, clip, class) of a few maps.
Row = tuple[str, str, str, int]
ROWS: tuple[Row, ...] = (
    ("casme2", "sub01", "EP02_01f", 1),
    ("casme2", "sub01", "EP19_05f", 0),
    ("casme2", "sub02", "EP11_01", 2),
    ("smic", "s01", "s01_ne_01", 0),
    ("smic", "s02", "s02_sur_01", 2),
    ("samm", "006", "006_1_2", 0),
    ("samm", "010", "010_4_1", 1),
)
IDS = [f"{subject}/{clip}" for _, subject, clip, _ in ROWS]
CLASSES = ("negative", "positive", "surprise")


def pixels(seed: int, size: int = 28) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def save(path: Path, image: np.ndarray) -> Path:
    """Write a picture as PNG, whatever the suffix; three channels are red, green, blue."""
    order = image[..., [2, 1, 0, *range(3, image.shape[2])]] if image.ndim == 3 else image
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", order)[1].tobytes())
    return path


def file_name(row: Row, blank: str = " ") -> str:
    return f"{row[1]}_{row[2]}{blank}.png"


def flat(root: Path, rows: Iterable[Row] = ROWS, *, blank: str = " ") -> Path:
    for number, row in enumerate(rows):
        save(root / file_name(row, blank), pixels(number))
    return root


def nested(root: Path, rows: Iterable[Row] = ROWS, *, blank: str = " ") -> Path:
    rows = tuple(rows)
    for number, row in enumerate(rows):
        for subject in dict.fromkeys(other[1] for other in rows):
            split = "u_test" if subject == row[1] else "u_train"
            save(root / subject / split / str(row[3]) / file_name(row, blank), pixels(number))
    return root


def table(path: Path, rows: Iterable[Row] = ROWS) -> Path:
    """A table as that of HTNet."""
    lines = [f"{database},{subject},{clip},{label},,x.jpg,\n" for database, subject, clip, label in rows]
    path.write_text("dataset,sub,filename_o,label,apex,imagename,sub_filename\n" + "".join(lines))
    return path


def config(root: Path, labels: Path | None = None, part: str | None = None, **more: object) -> Config:
    keys = {"labels": str(labels) if labels else None, "part": part, **more}
    return validate({"databases": {"d": {"adapter": "flow_maps", "root": str(root), **keys}}})


def read(root: Path, labels: Path | None = None, part: str | None = None, **more: object) -> Listing:
    return databases.read("d", config(root, labels, part, **more).databases["d"])


def states(listing: Listing) -> set[str]:
    return {str(quality.status(clip.issues)) for clip in listing.clips}


def detail(clip: Clip) -> str:
    (issue,) = clip.issues
    return issue.detail


def by_id(listing: Listing) -> dict[str, Clip]:
    return {clip.clip_id: clip for clip in listing.clips}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return flat(tmp_path / "maps")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return table(tmp_path / "clips.csv")


# ---- both layouts


def test_a_flat_folder_and_its_table(root: Path, labels: Path):
    listing = read(root, labels)
    assert [clip.clip_id for clip in listing.clips] == IDS
    assert [clip.emotion for clip in listing.clips] == [CLASSES[label] for *_, label in ROWS]
    assert [clip.source for clip in listing.clips] == [(root / file_name(row)).as_posix() for row in ROWS]
    assert [clip.subject for clip in listing.clips] == [subject for _, subject, *_ in ROWS]
    assert {(c.first, c.onset, c.apex, c.offset, c.last, c.fps) for c in listing.clips} == {(None,) * 6}
    assert all(clip.digest and not clip.issues for clip in listing.clips)
    assert [note.kind for note in listing.notes] == ["sheet"]
    assert listing.published == ()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("layout", [flat, nested])
def test_a_part_is_read_alone(tmp_path: Path, layout, part: str):
    root = layout(tmp_path / "maps")
    listing = read(root, table(tmp_path / "clips.csv") if layout is flat else None, part)
    assert {clip.clip_id for clip in listing.clips} == {f"{s}/{c}" for d, s, c, _ in ROWS if d == part}
    assert states(listing) == {"ok"}
    assert [edition.edition for edition in listing.published] == ["MEGC 2019"]
    assert notes(listing, "unlisted_file") == []


def test_a_flat_folder_without_a_table_says_where_there_is_one(root: Path):
    with pytest.raises(DatabaseError, match=r"databases\.d\.labels: .* HTNet's combined_3_class2_for") as caught:
        read(root)
    assert "images/combined_3class_gt.csv" in str(caught.value)
    assert "github.com/christy1206/STSTNet" in str(caught.value)


@pytest.mark.parametrize("place", ["norm_u_v_os", "three_norm_u_v_os", "."])
def test_the_nested_layout_needs_no_table_and_lists_each_clip_once(tmp_path: Path, place: str):
    top = nested(tmp_path / "maps" / place)
    listing = read(tmp_path / "maps")
    assert {clip.clip_id: clip.emotion for clip in listing.clips} == {
        f"{subject}/{clip}": CLASSES[label] for _, subject, clip, label in ROWS
    }
    assert {Path(clip.source) for clip in listing.clips} == {
        top / row[1] / "u_test" / str(row[3]) / file_name(row) for row in ROWS
    }
    assert (states(listing), listing.notes) == ({"ok"}, ())


_clip_names = st.text("abEP0123456789_", min_size=1, max_size=6).map(lambda text: f"{text.strip('_')}x")
_rows = st.lists(
    st.tuples(
        st.just("casme2"), st.integers(1, 4).map(lambda n: f"sub{n:02d}"), _clip_names, st.integers(0, 2)
    ),
    min_size=1, max_size=6, unique_by=lambda row: (row[1], row[2].casefold()),
)  # fmt: skip


@given(rows=_rows, blank=st.sampled_from(["", " ", "  "]))
@settings(max_examples=20, deadline=None)
def test_both_layouts_list_the_same(rows: list[Row], blank: str):
    with tempfile.TemporaryDirectory() as folder:
        beside, below = flat(Path(folder) / "f", rows, blank=blank), nested(Path(folder) / "n", rows, blank=blank)
        first = read(beside, table(Path(folder) / "clips.csv", rows), "casme2").clips
        second = read(below, None, "casme2").clips
    expected = {(subject, f"{subject}/{clip}", CLASSES[label]) for _, subject, clip, label in rows}
    for clips in (first, second):
        assert {(clip.subject, clip.clip_id, clip.emotion) for clip in clips} == expected
        assert all(not clip.issues for clip in clips)


@pytest.mark.parametrize("spelling", ["sub01_EP02_01f.png", "sub01_EP02_01f .PNG", "SUB1_ep02_01F  .Png"])
def test_names_are_recognised_in_other_spellings(tmp_path: Path, spelling: str):
    save(tmp_path / "m" / spelling, pixels(1))
    save(tmp_path / "m" / "sub01_EP03_01 .png", pixels(2))
    rows = [ROWS[0], ("casme2", "sub01", "EP03_01", 0)]
    first, second = read(tmp_path / "m", table(tmp_path / "t.csv", rows), "casme2").clips
    assert (first.subject, second.subject) == ("sub01", "sub01")
    assert (first.issues, second.issues) == ((), ())


def test_one_person_has_one_name_in_maps_of_another_database(tmp_path: Path):
    for name in ("spNO.1_a_12", "SPno.01_b", "spNO.2_a_1"):
        save(tmp_path / "m" / f"{name}.png", pixels(len(name)))
    rows = [("casme3", "spNO.1", "a_12", 0), ("casme3", "spNO.1", "b", 1), ("casme3", "spNO.2", "a_1", 2)]
    listing = read(tmp_path / "m", table(tmp_path / "t.csv", rows))
    assert len({clip.subject for clip in listing.clips}) == 2
    assert states(listing) == {"ok"}


def test_an_empty_folder_says_what_is_expected(tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DatabaseError, match=r"expected maps `<subject>_<clip> \.png`, or folders.*found.*pictures/"):
        read(tmp_path)


def test_a_root_that_is_not_there_says_where_maps_are_offered(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"databases\.d\.root: .*wangzhifengharrison/HTNet.*flow_maps\.md"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("layout", "place"), [(flat, "maps"), (flat, "datasets/maps"), (nested, "x/norm_u_v_os"), (nested, "x/y/n")]
)
def test_a_root_that_is_too_high_says_where_the_maps_are(tmp_path: Path, layout, place: str):
    top = layout(tmp_path / place)
    with pytest.raises(DatabaseError, match=rf"there are maps in {re.escape(str(top))}: set `root` to that"):
        read(tmp_path)


@pytest.mark.parametrize("place", ["s01", "s01/u_test", "s01/u_train"])
def test_a_root_within_the_nested_layout_says_where_it_begins(tmp_path: Path, place: str):
    with pytest.raises(DatabaseError, match=rf"there are maps in {re.escape(str(tmp_path))}: set `root` to that"):
        read(nested(tmp_path) / place)


@pytest.mark.parametrize(("place", "stray"), [(".", "preview.png"), ("norm", "preview.png")])
def test_a_stray_picture_does_not_hide_the_nested_layout(tmp_path: Path, place: str, stray: str):
    nested(tmp_path / place)
    save(tmp_path / stray, pixels(77))
    listing = read(tmp_path)
    assert {clip.clip_id for clip in listing.clips} == set(IDS)
    assert states(listing) == {"ok"}
    assert notes(listing, "foreign_file") == [stray]


@pytest.mark.parametrize(("place", "folder"), [(".", "006"), ("norm", "norm/006")])
def test_both_layouts_in_one_folder_are_refused(tmp_path: Path, place: str, folder: str):
    flat(tmp_path)
    nested(tmp_path / place)
    with pytest.raises(DatabaseError, match=rf"found both, .*'006_006_1_2 \.png'.*'{folder}'.*move one"):
        read(tmp_path)


# ---- tables


def _official(path: Path, rows: Iterable[Row] = ROWS, between: str = "") -> Path:
    lines = [f"{d},{int(s) if d == 'samm' else s},{clip},{label}\r\n" for d, s, clip, label in rows]
    path.write_text(between.join(lines), newline="")
    return path


@pytest.mark.parametrize("between", ["", ",,,\r\n"])
def test_the_official_list_has_no_header_and_numbers_without_zeros(root: Path, tmp_path: Path, between: str):
    listing = read(root, _official(tmp_path / "gt.csv", between=between))
    assert [clip.clip_id for clip in listing.clips] == IDS
    assert states(listing) == {"ok"}
    assert notes(listing, "sheet") == [f"read gt.csv, {len(ROWS)} rows"]


def test_a_workbook_with_other_words_is_read_as_well(root: Path, tmp_path: Path):
    names = {"casme2": "CASME II", "smic": "SMIC", "samm": "Samm"}
    lines = [["Database", "Subject", "Filename", "Class"]]
    lines += [[names[database], subject, clip, CLASSES[label]] for database, subject, clip, label in ROWS]
    path = workbook(tmp_path / "t.xlsx", lines)
    found = [clip.clip_id for part in PARTS for clip in read(root, path, part).clips]
    assert found == IDS


def test_without_a_column_of_the_database_the_subject_decides(root: Path, tmp_path: Path):
    (tmp_path / "t.csv").write_text("subject,clip,label\n" + "".join(f"{s},{c},{label}\n" for _, s, c, label in ROWS))
    assert [clip.clip_id for clip in read(root, tmp_path / "t.csv", "smic").clips] == IDS[3:5]


def test_the_column_of_the_database_wins_over_the_name(root: Path, tmp_path: Path):
    rows = [("samm", *row[1:]) for row in ROWS[:1]] + list(ROWS[1:])
    listing = read(root, table(tmp_path / "t.csv", rows), "samm")
    assert {clip.clip_id for clip in listing.clips} == {"sub01/EP02_01f", "006/006_1_2", "010/010_4_1"}


def test_unknown_databases_of_a_table_are_named(root: Path, tmp_path: Path):
    rows = [*ROWS, ("casm", "sub09", "EP1", 0)]
    assert notes(read(root, table(tmp_path / "t.csv", rows), "smic"), "sheet")[1] == (
        "1 names of databases in the table are none of casme2, casmeii, smic, smichs, samm: casm"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("", "empty"),
        ("a,b,c\n1,2,3\n", "no row has the columns sub, filename_o, label"),
        ("casme2,sub01,EP02_01f,3\n", "dataset, sub, filename_o, label in this order.*commas, semicolons or tabs"),
        ("dataset,sub,filename_o,label\n", "no row below the header"),
    ],
)
def test_a_table_that_is_none_is_refused(root: Path, tmp_path: Path, text: str | None, message: str):
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatabaseError, match=message):
        read(root, tmp_path / "t.csv")


def test_a_table_that_is_a_folder_or_a_pipe_is_refused(root: Path, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DatabaseError, match="not a file"):
            read(root, path)


@pytest.mark.parametrize("header", ["", "dataset,sub,filename_o,label\n"])
def test_classes_may_be_whole_numbers_with_a_decimal_point(root: Path, tmp_path: Path, header: str):
    lines = [f"{database},{subject},{clip},{label}.0\n" for database, subject, clip, label in ROWS]
    (tmp_path / "t.csv").write_text(header + "".join(lines))
    listing = read(root, tmp_path / "t.csv")
    assert [clip.emotion for clip in listing.clips] == [CLASSES[label] for *_, label in ROWS]
    assert states(listing) == {"ok"}


@pytest.mark.parametrize("layout", [flat, nested])
def test_a_missing_table_names_the_key_and_where_the_path_is_seen_from(tmp_path: Path, layout):
    with pytest.raises(DatabaseError, match=r"databases\.d\.labels: .*no\.csv.*missing.*seen from `root`") as caught:
        read(layout(tmp_path / "maps"), Path("no.csv"))
    assert ("`labels` can be left out" in str(caught.value)) == (layout is nested)


def test_a_table_that_is_there_seen_from_the_working_folder_is_told(
    root: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseError, match=r"clips\.csv is there seen from the working folder.*absolute"):
        read(root, Path(labels.name))


@pytest.mark.parametrize(
    ("cell", "code"), [("3.5", "bad_cell"), ("3", "bad_cell"), ("", "empty_cell"), ("happiness", "bad_cell")]
)
def test_a_class_that_cannot_be_read_is_told(root: Path, tmp_path: Path, cell: str, code: str):
    (tmp_path / "t.csv").write_text(f"sub,clip,label\nsub01,EP02_01f,{cell}\n006,006_1_2,0\n")
    clip = read(root, tmp_path / "t.csv").clips[0]
    assert ([issue.code for issue in clip.issues], clip.emotion) == ([code], "")


# ---- rows and files that do not match


def test_rows_without_a_map_and_maps_without_a_row(root: Path, tmp_path: Path):
    listing = read(root, table(tmp_path / "t.csv", [*ROWS[1:], ("samm", "037", "037_3_2", 0)]), "samm")
    assert codes(listing) == {"006/006_1_2": [], "010/010_4_1": [], "037/037_3_2": ["source_missing"]}
    assert by_id(listing)["037/037_3_2"].issues[0].detail == "no map '037_037_3_2 .png'"
    assert notes(listing, "unlisted_file") == []
    assert notes(read(root, tmp_path / "t.csv", "casme2"), "unlisted_file") == [
        "1 maps have no row in the table: sub01_EP02_01f .png"
    ]


def test_a_clip_listed_twice(root: Path, tmp_path: Path):
    listing = read(root, table(tmp_path / "t.csv", [*ROWS, ROWS[0]]), "casme2")
    assert codes(listing)["sub01/EP02_01f"] == []
    assert detail(by_id(listing)["sub01/EP02_01f.2"]) == "row 9 after row 2"
    assert codes(listing)["sub01/EP02_01f.2"] == ["duplicate_clip"]


def test_two_rows_of_a_clip_that_differ(root: Path, tmp_path: Path):
    listing = read(root, table(tmp_path / "t.csv", [*ROWS, (*ROWS[0][:3], 2)]), "casme2")
    assert codes(listing)["sub01/EP02_01f"] == ["label_conflict"]
    assert detail(by_id(listing)["sub01/EP02_01f"]) == "positive in row 2; surprise in row 9"
    assert codes(listing)["sub01/EP02_01f.2"] == ["duplicate_clip"]


@pytest.mark.parametrize("layout", [flat, nested])
def test_two_files_of_a_clip(tmp_path: Path, layout):
    root = layout(tmp_path / "maps")
    first = next(root.rglob("u_test/1/sub01_EP02_01f .png"), root / "sub01_EP02_01f .png")
    save(first.with_name("sub01_EP02_01f.png"), pixels(99))
    listing = read(root, table(tmp_path / "t.csv") if layout is flat else None, "casme2")
    assert codes(listing)["sub01/EP02_01f"] == []
    again = by_id(listing)["sub01/EP02_01f.2"]
    assert [issue.code for issue in again.issues] == ["duplicate_clip"]
    place = "" if layout is flat else " in sub01/u_test/1"
    assert detail(again) == f"'sub01_EP02_01f.png' beside 'sub01_EP02_01f .png'{place}"


def test_another_spelling_beside_one_copy_harms_no_other_copy(tmp_path: Path):
    """In `u_train` of one subject both spellings; the other copies have the second one, and one has another class."""
    for number, place in enumerate(("a/u_test/0/a_1.png", "b/u_train/0/a_1.png", "b/u_train/0/a_1 .png")):
        save(tmp_path / place, pixels(number))
    for number, place in enumerate(("b/u_test/1/b_1 .png", "a/u_train/1/b_1 .png"), start=9):
        save(tmp_path / place, pixels(number))
    listing = read(tmp_path)
    assert codes(listing) == {"a/1": [], "a/1.2": ["duplicate_clip"], "b/1": []}
    assert by_id(listing)["a/1"].source == (tmp_path / "a/u_test/0/a_1.png").as_posix()
    assert notes(listing, "copies") == []
    save(tmp_path / "c/u_train/2/a_1.png", pixels(5))
    clip = by_id(read(tmp_path))["a/1"]
    assert [issue.code for issue in clip.issues] == ["label_conflict"]
    assert detail(clip) == "negative in a/u_test/0 and 1 more; surprise in c/u_train/2"


def test_a_duplicate_has_the_name_of_no_clip(tmp_path: Path):
    for number, name in enumerate(("a_1 .png", "a_1.2 .png", "b_1 .png")):
        save(tmp_path / "m" / name, pixels(number))
    (tmp_path / "t.csv").write_text("sub,clip,label\na,1,0\na,1,0\na,1,0\na,1.2,1\nb,1,2\n")
    listing = read(tmp_path / "m", tmp_path / "t.csv")
    assert [clip.clip_id for clip in listing.clips] == ["a/1", "a/1.3", "a/1.4", "a/1.2", "b/1"]
    assert codes(listing)["a/1.2"] == []


@pytest.mark.parametrize(("label", "more"), [(2, ["label_conflict"]), (1, [])])
def test_a_map_that_two_parts_claim_is_rejected_in_both(root: Path, tmp_path: Path, label: int, more: list[str]):
    labels = table(tmp_path / "t.csv", [*ROWS, ("smic", *ROWS[0][1:3], label)])
    for part in ("casme2", "smic"):
        clip = by_id(read(root, labels, part))["sub01/EP02_01f"]
        assert [issue.code for issue in clip.issues] == [*more, "duplicate_clip"]
    first, second = (by_id(read(root, labels, part))["sub01/EP02_01f"].issues for part in ("casme2", "smic"))
    assert first[-1].detail == "row 2 of casme2 and row 9 of smic"
    assert second[-1].detail == "row 9 of smic and row 2 of casme2"
    assert states(read(root, labels, "samm")) == {"ok"}


def test_other_files_are_noted_and_do_no_harm(root: Path, tmp_path: Path):
    table(root / "clips.csv")
    for name in ("Thumbs.db", ".DS_Store", "._sub01_EP02_01f .png", "readme.txt"):
        (root / name).write_bytes(b"x")
    (root / "more.png").mkdir()
    listing = read(root, Path("clips.csv"))
    assert len(listing.clips) == len(ROWS)
    assert notes(listing, "foreign_file") == [".DS_Store", "._sub01_EP02_01f .png", "Thumbs.db", "readme.txt"]
    assert notes(listing, "layout") == ["1 folders beside the maps are not read: more.png"]
    top = nested(tmp_path / "n")
    for folder in [top, *top.rglob("*/")]:
        (folder / "Thumbs.db").touch()
    listing = read(top)
    count = 1 + 6 + 2 * 6 + len({path.parent for path in top.rglob("*.png")})
    assert notes(listing, "foreign_file") == [f"Thumbs.db and in {count - 1} more folders"]
    assert len(listing.clips) == len(ROWS)


# ---- copies of the nested layout


def test_copies_under_two_labels(tmp_path: Path):
    root = nested(tmp_path)
    path = root / "s01" / "u_train" / "1" / file_name(ROWS[0])
    (path.parents[1] / "2").mkdir(exist_ok=True)
    path.rename(path.parents[1] / "2" / path.name)
    clip = by_id(read(root))["sub01/EP02_01f"]
    assert [issue.code for issue in clip.issues] == ["label_conflict"]
    assert detail(clip) == "positive in 006/u_train/1 and 4 more; surprise in s01/u_train/2"


def test_a_table_that_contradicts_the_folders(tmp_path: Path):
    root = nested(tmp_path / "n")
    listing = read(root, table(tmp_path / "t.csv", [(*ROWS[0][:3], 0), *ROWS[1:]]))
    assert codes(listing)["sub01/EP02_01f"] == ["label_conflict"]
    assert detail(by_id(listing)["sub01/EP02_01f"]) == "negative in row 2; positive in 006/u_train/1 and 5 more"
    assert states(read(root, table(tmp_path / "t.csv"))) == {"ok"}


def test_a_table_may_lack_clips_of_the_folders(tmp_path: Path):
    listing = read(nested(tmp_path / "n"), table(tmp_path / "t.csv", ROWS[1:]))
    assert [clip.clip_id for clip in listing.clips] == IDS[1:]
    assert notes(listing, "unlisted_file") == ["1 maps have no row in the table: 006/u_train/1/sub01_EP02_01f .png"]


def test_copies_that_differ_or_are_in_the_wrong_place(tmp_path: Path):
    root = nested(tmp_path)
    save(root / "s01/u_train/1" / file_name(ROWS[0]), pixels(5, 29))
    (root / "sub01/u_test/0" / file_name(ROWS[1])).unlink()
    path = root / "006/u_test/0" / file_name(ROWS[5])
    (root / "006/u_train/0" / path.name).write_bytes(path.read_bytes())
    (root / "006/u_test/0" / file_name(ROWS[3])).write_bytes(path.read_bytes())
    (root / "006" / "old").mkdir()
    (root / "006" / "u_test" / "3").mkdir()
    listing = read(root)
    assert states(listing) == {"ok"}
    assert notes(listing, "copies") == [
        "1 clips have copies of different sizes in bytes; that in their own u_test is read: sub01/EP02_01f",
        "1 clips are missing in the u_test of their own subject; another copy is read: sub01/EP19_05f",
        "1 clips are in the u_train of their own subject: 006/006_1_2",
        "1 clips are in the u_test of another subject: s01/s01_ne_01",
    ]
    assert notes(listing, "layout") == [
        "2 folders are not read (expected u_train and u_test with 0, 1 and 2): 006/old, 006/u_test/3"
    ]
    assert Path(by_id(listing)["sub01/EP19_05f"].source).parts[-4:-1] == ("006", "u_train", "0")


# ---- pictures


def _header(width: int, height: int, depth: int = 8, kind: int = 2) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + bytes(4) + b"\0\0\0\0IEND\xaeB`\x82"


def _palette() -> bytes:
    from PIL import Image

    with tempfile.SpooledTemporaryFile() as handle:
        Image.fromarray(pixels(1)).convert("P").save(handle, "png")
        handle.seek(0)
        return handle.read()


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


BAD = {
    "16 bits": (_png(pixels(1).astype(np.uint16) * 257), "found 16-bit RGB"),
    "grey": (_png(pixels(1)[..., 0]), "found 8-bit grey"),
    "alpha": (_png(np.dstack([pixels(1), pixels(2)[..., 0]])), "found 8-bit RGB with alpha"),
    "palette": (_palette(), "found 8-bit palette"),
    "size": (_png(pixels(1, 32)), "found 32 x 32 pixels, expected 28 x 28"),
    "bomb": (_header(20000, 20000), "found 20000 x 20000 pixels, expected 28 x 28"),
    "no pixels": (_header(0, 28), "found 0 x 28 pixels"),
    "cut off": (_png(pixels(1))[:900], "incomplete"),
    "damaged": (_header(28, 28), "damaged"),
    "empty": (b"", "another kind of file"),
    "text": (b"<html>not found</html>", "another kind of file"),
    "JPEG": (cv2.imencode(".jpg", pixels(1))[1].tobytes(), "another kind of file"),
    "padded": (_png(pixels(1))[:-12] + bytes(1 << 21) + _png(pixels(1))[-12:], "bytes for 28 x 28"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_picture_of_another_kind_is_rejected(root: Path, labels: Path, kind: str):
    data, found = BAD[kind]
    (root / file_name(ROWS[0])).write_bytes(data)
    listing = read(root, labels)
    assert codes(listing) == {name: ["bad_map"] if name == IDS[0] else [] for name in IDS}
    assert found in detail(listing.clips[0])
    assert file_name(ROWS[0]) in detail(listing.clips[0])


def test_a_huge_picture_is_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / file_name(ROWS[0])).write_bytes(_header(8000, 8000))
    monkeypatch.setattr(pictures.flow_map, "read", lambda path: pytest.fail(f"{path} was decoded"))
    listing = read(tmp_path, table(tmp_path / "t.csv", ROWS[:1]))
    assert "found 8000 x 8000 pixels, expected at most 1048576" in detail(listing.clips[0])


@pytest.mark.parametrize("name", ["sub01EP02.png", "_EP02 .png", "sub01_ .png", " .png", "<>_<>.png", "a\udcff_b.png"])
@pytest.mark.parametrize("layout", [flat, nested])
def test_a_name_that_names_no_clip_is_rejected(tmp_path: Path, layout, name: str):
    root = layout(tmp_path / "maps")
    folders = [root] if layout is flat else [root / "sub01/u_test/0", root / "s01/u_train/0"]
    for folder in folders:
        save(folder / name, pixels(50))
    listing = read(root, table(tmp_path / "t.csv") if layout is flat else None)
    (clip,) = (clip for clip in listing.clips if clip.issues)
    assert clip.subject == "unknown"
    assert clip.issues[0].code == "bad_map"
    assert "expected `<subject>_<clip> .png`" in detail(clip)
    clip_tables.dumps(listing.clips).encode()
    "".join(note.detail for note in listing.notes).encode()


def test_a_part_needs_a_subject_of_the_composite(tmp_path: Path):
    root = nested(tmp_path, [*ROWS, ("", "spNO.1", "a_1", 0)])
    for part in PARTS:
        (clip,) = (clip for clip in read(root, None, part).clips if clip.issues)
        assert (clip.issues[0].code, clip.clip_id, clip.subject) == ("bad_map", "spNO.1/a_1", "spNO.1")
        assert detail(clip).startswith("the subject 'spNO.1' is of no part, expected a name like sub01 (casme2)")
        assert states(read(root, None, part, exclude_subjects=("spNO.1",))) == {"ok"}
    assert states(read(root)) == {"ok"}


@pytest.mark.parametrize("clip", ["<b>EP&amp;", "EP\n\t\x1b[31m1", "E" * 240, "=HYPERLINK(1)", "é" * 20, "..", "a%00b"])
def test_strange_names_are_made_safe(tmp_path: Path, clip: str):
    save(tmp_path / "m" / f"sub01_{clip} .png", pixels(1))
    (tmp_path / "m" / "x.txt").touch()
    listing = read(tmp_path / "m", workbook(tmp_path / "t.xlsx", [["sub", "clip", "label"], ["sub01", "z", 0]]))
    assert len(notes(listing, "unlisted_file")) == (clip != "..")
    (nested(tmp_path / "n", [("", "sub01", clip, 0)]) / "x.txt").touch()
    listed = read(tmp_path / "n").clips
    assert len(listed) == 1
    assert all(ok in "_+.-/" or ok.isalnum() for ok in listed[0].clip_id)
    (tmp_path / "out.tsv").write_text(clip_tables.dumps(listed), encoding="utf-8", newline="")
    assert clip_tables.read(tmp_path / "out.tsv") == listed


def test_a_channel_with_one_value_is_told(root: Path, labels: Path):
    image = pixels(3)
    image[..., 2] = 0
    save(root / file_name(ROWS[0]), image)
    image = pixels(4)
    image[..., :2] = 128
    save(root / file_name(ROWS[1]), image)
    first, second, *others = read(root, labels).clips
    assert [(i.code, i.detail) for i in first.issues] == [("empty_channel", "strain is 0 everywhere")]
    assert [i.detail for i in second.issues] == ["u is 128 everywhere", "v is 128 everywhere"]
    assert all(clip.issues == () for clip in others)
    assert quality.status(first.issues) == "warned"


# ---- pictures that two people share


def composite(root: Path, labels: Path | None = None) -> Config:
    keys = {"adapter": "flow_maps", "root": str(root), "labels": str(labels) if labels else None}
    tree = {f"my-{part}": keys | {"part": part} for part in PARTS}
    cde = {"preset": "megc2019", "databases": {part: f"my-{part}" for part in PARTS}}
    return validate({"databases": tree, "protocols": {"cde": cde}})


def read_composite(root: Path, labels: Path | None = None) -> dict[str, Listing]:
    listings = databases.read_all(composite(root, labels).databases)
    assert all(isinstance(listing, Listing) for listing in listings.values()), listings
    return listings  # type: ignore[return-value]


def test_the_same_picture_of_two_people_is_told(root: Path, labels: Path):
    (root / file_name(ROWS[0])).write_bytes((root / file_name(ROWS[2])).read_bytes())
    found = {clip.clip_id: [(i.code, i.detail) for i in clip.issues] for clip in read(root, labels, "casme2").clips}
    same = found["sub01/EP02_01f"]
    assert [code for code, _ in same] == ["same_picture"]
    assert found == {"sub01/EP02_01f": same, "sub01/EP19_05f": [], "sub02/EP11_01": same}


def test_the_same_pixels_in_another_file_are_the_same_picture(root: Path, labels: Path):
    order = pixels(2)[..., ::-1]
    data = cv2.imencode(".png", order, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    (root / file_name(ROWS[0])).write_bytes(data)
    assert codes(read(root, labels))["sub01/EP02_01f"] == ["same_picture"]


def test_the_message_names_nobody_else(tmp_path: Path):
    rows = [("", f"p{number}", "a", 0) for number in range(40)]
    for row in rows:
        save(tmp_path / "m" / file_name(row), pixels(1))
    details = {detail(clip) for clip in read(tmp_path / "m", table(tmp_path / "t.csv", rows)).clips}
    assert len(details) == 1
    assert re.fullmatch(r"pixels [0-9a-f]{8}", details.pop())


def test_the_same_picture_of_one_person_is_not(root: Path, labels: Path):
    (root / file_name(ROWS[0])).write_bytes((root / file_name(ROWS[1])).read_bytes())
    assert states(read(root, labels)) == {"ok"}


def test_the_same_picture_in_two_parts_is_told(
    root: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for row in (ROWS[2], ROWS[5]):
        (root / file_name(row)).write_bytes((root / file_name(ROWS[0])).read_bytes())
    monkeypatch.chdir(tmp_path)
    listings = read_composite(root, labels)
    clips = [clip for listing in listings.values() for clip in listing.clips]
    told = {clip.clip_id: detail(clip) for clip in clips if clip.issues}
    assert told.keys() == {"sub01/EP02_01f", "sub02/EP11_01", "006/006_1_2"}
    assert len(set(told.values())) == 1
    databases.refresh_sources(composite(root, labels).databases)
    stored = [clip for name in listings for clip in clip_tables.read(databases.source_table(name))]
    assert stored == clips


def test_one_file_in_two_databases_is_not_the_same_picture_of_two_people(root: Path, labels: Path):
    tree = config(root, labels).databases | {"again": config(root, labels).databases["d"]}
    assert {str(states(listing)) for listing in databases.read_all(tree).values()} == {"{'ok'}"}


def test_an_unreadable_part_does_not_hide_the_others(root: Path, labels: Path, tmp_path: Path):
    tree = composite(root, labels).databases | {"x": config(tmp_path / "nowhere").databases["d"]}
    found = databases.read_all(tree)
    assert isinstance(found["x"], DatabaseError)
    assert sum(isinstance(listing, Listing) for listing in found.values()) == 3


# ---- links, and people who are left out


@pytest.mark.parametrize("layout", [flat, nested])
def test_links_out_of_the_root_are_not_followed(tmp_path: Path, layout):
    root = layout(tmp_path / "maps")
    outside = save(tmp_path / "outside" / "x.png", pixels(9))
    for path in list(root.rglob(file_name(ROWS[0]))):
        path.unlink()
        path.symlink_to(outside)
    labels = table(tmp_path / "t.csv") if layout is flat else None
    with opened() as seen:
        listing = read(root, labels)
    assert codes(listing)["sub01/EP02_01f"] == ["unsafe_path"]
    assert by_id(listing)["sub01/EP02_01f"].source == root.as_posix()
    assert below(seen, outside.parent) == []
    assert sum(bool(clip.issues) for clip in listing.clips) == 1


def test_another_copy_is_read_if_one_is_a_link_out_of_the_root(tmp_path: Path):
    root = nested(tmp_path / "maps")
    own = root / "sub01/u_test/1" / file_name(ROWS[0])
    own.unlink()
    own.symlink_to(save(tmp_path / "x.png", pixels(9)))
    (root / "sub99").symlink_to(save(tmp_path / "o" / "u_test" / "x.png", pixels(9)).parents[1])
    listing = read(root)
    assert states(listing) == {"ok"}
    assert notes(listing, "layout") == ["sub99 leaves the root and is not followed"]


def test_links_within_the_root_are_followed(root: Path, labels: Path):
    path = root / file_name(ROWS[0])
    path.rename(root / "kept.dat")
    path.symlink_to(root / "kept.dat")
    (root / file_name(ROWS[1])).unlink()
    (root / file_name(ROWS[1])).symlink_to(root / file_name(ROWS[1]))  # circular
    found = codes(read(root, labels))
    assert (found[IDS[0]], found[IDS[1]]) == ([], ["unsafe_path"])


def test_pictures_of_excluded_and_forgotten_people_are_not_opened(
    root: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (root / file_name(ROWS[0])).write_bytes((root / file_name(ROWS[2])).read_bytes())  # of an excluded subject
    exclusion.remember(Path("results"), "d", "006")
    with opened() as seen:
        listing = read(root, labels, exclude_subjects=("sub02",))
    assert {clip.subject for clip in listing.clips} == {"sub01", "s01", "s02", "010"}
    assert states(listing) == {"ok"}
    names = [path.name for path in seen]
    assert file_name(ROWS[0]) in names
    assert not {file_name(ROWS[2]), file_name(ROWS[5])} & set(names)
    assert notes(listing, "excluded") == ["2 subjects left out as requested"]


def test_a_forgotten_person_stays_away_under_another_spelling(tmp_path: Path):
    """The name in the clip tables is that of the first file, which may go."""
    for number, name in enumerate(("p01_a", "p1_b", "q_1")):
        save(tmp_path / "m" / f"{name} .png", pixels(number))
    (tmp_path / "t.csv").write_text("sub,clip,label\np01,a,0\np1,b,1\nq,1,2\n")
    database = config(tmp_path / "m", tmp_path / "t.csv").databases["d"]
    assert {clip.subject for clip in databases.read("d", database, tmp_path).clips} == {"p01", "q"}
    exclusion.remember(tmp_path, "d", "p01")
    for _ in range(2):
        assert [clip.clip_id for clip in databases.read("d", database, tmp_path).clips] == ["q/1"]
        (tmp_path / "m" / "p01_a .png").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["p01", "p1", "P001"])
def test_people_are_excluded_under_any_spelling(tmp_path: Path, name: str):
    save(tmp_path / "m" / "p01_a .png", pixels(1))
    save(tmp_path / "m" / "q_1 .png", pixels(2))
    (tmp_path / "t.csv").write_text("sub,clip,label\np01,a,0\nq,1,2\n")
    listing = read(tmp_path / "m", tmp_path / "t.csv", exclude_subjects=(name,))
    assert [clip.clip_id for clip in listing.clips] == ["q/1"]
    assert notes(listing, "excluded") == ["1 subject left out as requested"]


def test_the_list_of_other_databases_knows_one_spelling(tmp_path: Path):
    exclusion.remember(tmp_path, "d", "p01")
    left_out = exclusion.LeftOut("d", (), tmp_path)
    assert ("p01" in left_out, "p1" in left_out, "P01" in left_out) == (True, False, False)


def test_no_note_names_an_excluded_person(tmp_path: Path):
    """Also one who has maps, but no row in the table."""
    root = flat(tmp_path / "m", [*ROWS, ("", "sub09", "EP1", 0), ("", "sub10", "EP2", 0)])
    listing = read(root, table(tmp_path / "t.csv"), "casme2", exclude_subjects=("sub09",))
    assert notes(listing, "unlisted_file") == ["1 maps have no row in the table: sub10_EP2 .png"]
    assert notes(listing, "excluded") == ["1 subject left out as requested"]
    top = nested(tmp_path / "n")
    (top / "s01" / "old").mkdir()
    (top / "s01" / "Thumbs.db").touch()
    (top / "s02" / "s01_x.txt").touch()
    (top / "s01" / "u_test" / "0" / file_name(ROWS[3])).unlink()
    before, after = read(top), read(top, exclude_subjects=("s1",))
    assert any("s01/old" in note.detail for note in before.notes)
    assert not any("s01/" in note.detail for note in after.notes)
    assert {clip.clip_id for clip in after.clips} == set(IDS) - {"s01/s01_ne_01"}
    assert not any("/s01/" in clip.source for clip in after.clips)
    assert notes(after, "excluded") == ["1 subject left out as requested"]


def test_a_listing_without_clips_says_why(root: Path, tmp_path: Path):
    rows = [("CASME-II (cropped)", *row[1:]) for row in ROWS[:3]] + [ROWS[3]]
    with pytest.raises(DatabaseError, match=r"databases\.d: no clip is listed in .*maps; ") as caught:
        read(root, table(tmp_path / "t.csv", rows), "casme2")
    assert "are none of casme2, casmeii, smic, smichs, samm: CASME-II (cropped)" in str(caught.value)
    assert "no row of the table is of part casme2; rows by database: CASME-II (cropped) 3, smic 1" in str(caught.value)
    with pytest.raises(DatabaseError, match=r"no map is of part samm; maps by part: casme2 3"):
        read(nested(tmp_path / "n", ROWS[:3]), None, "samm")


def test_clips_that_are_all_rejected_are_not_called_missing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    rows = [*ROWS[:3], *((*row[:3], (row[3] + 1) % 3) for row in ROWS[:3])]
    tree = config(root, table(tmp_path / "t.csv", rows)).databases
    with pytest.raises(DatabaseError, match="all 6 clips are rejected: label_conflict 3, duplicate_clip 3"):
        databases.refresh_sources(tree)
    tree = config(root, table(tmp_path / "t.csv", [("", "x", "1", 0)])).databases
    with pytest.raises(DatabaseError, match=r"none of 1 clips is in .*; is the disk mounted"):
        databases.refresh_sources(tree)


# ---- configuration and protocol


def test_wrong_keys_are_explained(root: Path):
    with pytest.raises(ConfigError, match=r"label: unknown key; did you mean 'labels'\?"):
        config(root, label="x")
    with pytest.raises(ConfigError, match="part: Input should be 'casme2', 'smic' or 'samm'"):
        config(root, part="mmew")


def whole() -> list[Row]:
    """A list with the published counts of each part."""
    rows: list[Row] = []
    for part, item in PARTS.items():
        classes = [CLASSES.index(word) for word, number in item.published.emotions.items() for _ in range(number)]
        for number, label in enumerate(classes):
            subject = item.spelling.format(number % item.published.subjects + 1)
            rows.append((part, subject, f"{subject}_x_{number}" if part == "smic" else f"EPx_{number}", label))
    return rows


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    table(folder / "clips.csv", whole())
    return flat(folder / "maps", whole())


def test_the_composite_protocol_accepts_the_parts(benchmark: Path):
    clips = [c for part in read_composite(benchmark, Path("../clips.csv")).values() for c in part.clips]
    protocol = composite(benchmark).protocols["cde"]
    fold_table = protocols.build("cde", clips, protocol, 0)
    assert (len(fold_table.rows), len(fold_table.folds)) == (442, 68)
    assert fold_table.counts() == counts.published(protocol)
    assert {row.emotion for row in fold_table.rows} == set(CLASSES)


def test_clips_of_the_presets_are_recognised():
    assert counts.clip_key("s03/s03_ne_03") == counts.clip_key("s3/s3_ne_03")
    assert counts.clip_key("sub05/EP09_05f") == counts.clip_key("5/ep09_05F")
    assert counts.clip_key("006/006_1_2") != counts.clip_key("006/006_1_20")
    assert counts.clip_key("sub03/EP01_02") != counts.clip_key("sub03/EP01_2")


@pytest.mark.parametrize(("name", "more"), [("casme2-megc", 2), ("samm-3", 2), ("smic-3", 0)])
def test_the_label_maps_have_the_names_of_the_classes(name: str, more: int):
    words = {word for accepted in protocols.LABEL_MAPS[name].values() for word in accepted}
    assert set(CLASSES) <= words
    owners = {"casme2-megc": 4, "samm-3": 7, "smic-3": 3}[name]  # words of the sheets
    assert len(words) == owners + more


def test_listing_is_fast(benchmark: Path, tmp_path: Path):
    start = time.perf_counter()
    listing = read(benchmark, Path("../clips.csv"))
    assert time.perf_counter() - start < 1.0
    assert len(listing.clips) == 442
    source = next(benchmark.iterdir())
    subjects = list(dict.fromkeys(row[1] for row in whole()))[:10]
    for row in whole():
        for subject in subjects:
            split = "u_test" if subject == row[1] else "u_train"
            path = tmp_path / subject / split / str(row[3]) / file_name(row)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, path)
    start = time.perf_counter()
    assert len(read(tmp_path).clips) == 442
    assert time.perf_counter() - start < 2.0


# ---- the published maps, which the project may read but not contain


@pytest.mark.parametrize(
    "labels", [("real", "clips.csv"), ("datasets", "annotations", "megc2019_combined_3class_gt.csv")], ids="/".join
)
def test_the_published_maps_are_the_official_list_row_for_row(labels: tuple[str, ...]):
    root, path = shared("real", "flow_maps"), shared(*labels)
    official = shared("datasets", "annotations", "megc2019_combined_3class_gt.csv")
    lines = [line.split(",") for line in official.read_text(encoding="utf-8").split()]
    expected = [(d, megc.subject_name(d, subject), clip, CLASSES[int(code)]) for d, subject, clip, code in lines]
    listings = read_composite(root, path)
    found = [
        (name.removeprefix("my-"), clip.subject, clip.name, clip.emotion)
        for name, listing in listings.items()
        for clip in listing.clips
    ]
    assert len(found) == 442
    assert sorted(found) == sorted(expected)
    assert {str(states(listing)) for listing in listings.values()} == {"{'ok'}"}
    clips = [clip for listing in listings.values() for clip in listing.clips]
    fold_table = protocols.build("cde", clips, composite(root).protocols["cde"], 0)
    assert (len(fold_table.rows), len(fold_table.folds)) == (442, 68)
    subjects = shared("datasets", "annotations", "megc2019_subjects_68.txt").read_text(encoding="utf-8").split()
    assert list(dict.fromkeys(row.subject for row in fold_table.rows)) == subjects


def test_the_second_official_list_lacks_a_clip():
    root = shared("real", "flow_maps")
    path = shared("datasets", "annotations", "megc2019_combined_3class_gt-2.csv")
    listing = read_composite(root, path)["my-samm"]
    assert len(listing.clips) == 132
    assert notes(listing, "unlisted_file") == ["1 maps have no row in the table: 032_032_3_1 .png"]


def test_the_page_has_a_configuration_and_the_published_counts():
    page = (Path(__file__).parents[2] / "docs" / "databases" / "flow_maps.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    assert {database.part for database in validate(yaml.safe_load(example[1])).databases.values()} == set(PARTS)
    for name, part in PARTS.items():
        numbers = (part.published.clips, part.published.subjects, *part.published.emotions.values())
        assert f"| `{name}` | {' | '.join(map(str, numbers))} |" in page
        assert sum(part.published.emotions.values()) == part.published.clips
