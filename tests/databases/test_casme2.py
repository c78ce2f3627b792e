from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mer_features import databases
from mer_features.core import clips as clip_tables
from mer_features.core import quality
from mer_features.databases import DatabaseError
from mer_features.databases.owners import casme2
from mer_features.workflow.config import validate
from tests.databases.trees import below, codes, frames, generator, notes, opened, options, table, workbook

HEADER = [
    "Subject",
    "Filename",
    None,
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
]
NEW, OLD = "CASME2-coding-20190701.xlsx", "CASME2-coding-20140508.xlsx"
RAW = "CASME2_RAW_selected"


def row(subject, clip, onset, apex, offset, units=12, emotion="happiness") -> list:
    return [subject, clip, None, onset, apex, offset, None, units, emotion]


def sheet(root: Path, *rows: list, name: str = NEW) -> Path:
    return workbook(root / name, [HEADER, *rows], Sheet2=[], Sheet3=[])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "db"
    frames(folder / RAW / "sub01" / "EP02_01f", range(8, 13))
    frames(folder / RAW / "sub02" / "EP01_11f", range(46, 51))
    sheet(folder, row("01", "EP02_01f", 8, 10, 12), row("02", "EP01_11f", 46, 48, 50, "4+7+L10", "Disgust"))
    return folder


def read(root: Path, **more):
    return casme2.read("casme2", root, options("casme2", root, **more))


def test_a_clip_has_what_its_row_and_folder_say(root: Path):
    listing = read(root)
    first, second = listing.clips
    assert (first.clip_id, first.database, first.subject) == ("sub01/EP02_01f", "casme2", "sub01")
    assert (first.onset, first.apex, first.offset, first.first, first.last) == (8, 10, 12, None, None)
    assert (first.emotion, first.action_units, first.fps, first.issues) == ("happiness", "12", 200.0, ())
    assert (second.emotion, second.action_units) == ("disgust", "4+7+L10")
    assert Path(first.source) == root / RAW / "sub01" / "EP02_01f"
    assert [(note.kind, note.detail) for note in listing.notes] == [("sheet", f"read {NEW} (Sheet1), 2 rows")]


def test_the_newer_sheet_is_read_unless_the_configuration_says_otherwise(root: Path, tmp_path: Path):
    sheet(root, row("01", "EP02_01f", 8, 10, 12, "", "sadness"), name=OLD)
    assert [clip.emotion for clip in read(root).clips] == ["happiness", "disgust"]
    assert notes(read(root), "sheet")[1].startswith(f"{OLD} is there too and was not read")
    assert [clip.emotion for clip in read(root, sheet=OLD).clips] == ["sadness"]
    elsewhere = sheet(tmp_path, row("01", "EP02_01f", 8, 10, 12, "", "fear"), name="mine.xlsx")
    assert [clip.emotion for clip in read(root, sheet=str(elsewhere)).clips] == ["fear"]


@pytest.mark.parametrize(
    "name", ["casme2_coding_20190701.csv", "CASME2-coding-updated.xlsx", "docs/CASME2-coding-20140508.xlsx"]
)
def test_sheets_under_other_names_and_one_folder_down(root: Path, name: str):
    (root / NEW).unlink()
    (root / name).parent.mkdir(exist_ok=True)
    if name.endswith(".csv"):
        (root / name).write_text("Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,Action Units,Estimated Emotion\n"
                                 "01,EP02_01f,,8,10,12,,12,happiness\n")  # fmt: skip
    else:
        sheet(root, row("1", "EP02_01f", 8, 10, 12), name=name)
    assert [clip.clip_id for clip in read(root).clips] == ["sub01/EP02_01f"]


@pytest.mark.parametrize(
    ("variant", "folder", "stem"),
    [
        ("raw_selected", RAW, "img{}.jpg"),
        ("raw_selected", f"{RAW}/{RAW}", "img{}.jpg"),
        ("cropped", "Cropped", "reg_img{}.jpg"),
        ("cropped", "Cropped-updated/Cropped", "reg_img{}.jpg"),
        ("cropped", "Cropped_original", "reg_img{}.jpg"),
        ("raw", "CASME2-RAW", "img{}.jpg"),
        ("raw", "casme2_raw", "img{}.jpg"),
    ],
)
def test_variants_lie_where_releases_and_copies_have_them(root: Path, variant: str, folder: str, stem: str):
    shutil.rmtree(root / RAW)
    frames(root / folder / "sub01" / "EP02_01f", range(1, 20), stem)
    first, second = read(root, variant=variant).clips
    assert Path(first.source) == root / folder / "sub01" / "EP02_01f"
    assert first.issues == ()
    assert [issue.code for issue in second.issues] == ["source_missing"]


def test_a_missing_variant_says_what_was_expected_found_and_would_do(root: Path):
    frames(root / "Cropped" / "sub01" / "EP02_01f", [8])
    with pytest.raises(
        DatabaseError, match=r"expected a folder CASME2-RAW .*found there: CASME2_RAW_selected/, Cropped/"
    ):
        read(root, variant="raw")
    shutil.rmtree(root / RAW)
    with pytest.raises(DatabaseError, match=r"CASME2_RAW_selected.*`variant: cropped` would be found"):
        read(root)
    with pytest.raises(DatabaseError, match="'crop' is unknown; known are raw_selected, cropped, raw"):
        read(root, variant="crop")


def test_two_folders_that_would_do_are_noted(root: Path):
    frames(root / "copy" / RAW / "sub01" / "EP02_01f", [8])
    assert notes(read(root), "layout") == [f"copy/{RAW} is there too and was not read"]


def test_a_root_without_the_database_or_its_sheet_is_an_error(root: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatabaseError, match=r"expected a folder CASME2_RAW_selected.*found there: nothing"):
        read(tmp_path / "empty")
    (root / NEW).unlink()
    (root / f"~${NEW}").write_bytes(b"\x05Jane")  # the lock file of a sheet that lies elsewhere
    with pytest.raises(DatabaseError, match=r"no annotation sheet like CASME2-coding-20190701\.xlsx"):
        read(root)
    with pytest.raises(DatabaseError, match=r"nowhere\.xlsx.*cannot be read"):
        read(root, sheet="nowhere.xlsx")


def test_lock_files_are_ignored_and_named(root: Path):
    (root / f"~${NEW}").write_bytes(b"\x05Jane")
    listing = read(root)
    assert len(listing.clips) == 2
    assert notes(listing, "foreign_file") == [f"~${NEW}"]


def test_cells_that_are_empty_unreadable_or_mean_nothing(root: Path):
    sheet(
        root,
        row("01", "EP02_01f", 8, "/", 12),
        row("02", "EP01_11f", None, "4o", 50, None, None),
        row(None, "EP01_11f", 46, 48, 50),
        row("02", None, 46, 48, 50),
        row("Total", None, None, None, None, None, None),
    )
    listing = read(root)
    assert codes(listing) == {
        "sub01/EP02_01f": ["empty_cell"],
        "sub02/EP01_11f": ["empty_cell", "bad_cell", "empty_cell", "empty_cell"],
        "unknown/EP01_11f": ["empty_cell", "source_missing"],
        "sub02/unnamed": ["empty_cell", "source_missing"],
    }
    first, second = listing.clips[:2]
    assert (first.apex, first.issues[0].detail) == (None, "apex: '/'")  # the owners' mark for: not annotated
    assert (second.onset, second.apex) == (None, None)
    assert "row 6 names no clip and was skipped" in notes(listing, "sheet")


def test_frames_that_the_disk_does_not_have_are_named(root: Path):
    sheet(root, row("01", "EP02_01f", 8, 10, 14), row("02", "EP01_11f", 40, 48, 50))
    first, second = read(root).clips
    assert [(issue.code, issue.detail) for issue in first.issues] == [("frame_not_on_disk", "offset 14, nearest is 12")]
    assert [issue.detail for issue in second.issues] == ["onset 40, nearest is 46"]
    assert (first.offset, second.onset) == (14, 40)  # the sheet is never clipped in silence


def test_an_apex_outside_or_equal_is_the_stages_to_judge(root: Path):
    sheet(root, row("01", "EP02_01f", 8, 1930, 12), row("02", "EP01_11f", 46, 46, 50))
    first, second = read(root).clips
    assert (first.apex, first.issues, second.apex, second.issues) == (1930, (), 46, ())
    assert [issue.code for issue in clip_tables.key_frames(first, range(8, 13)).issues] == ["apex_outside"]


def test_folders_without_a_row_and_foreign_files_are_noted(root: Path):
    frames(root / RAW / "sub24" / "EP02_07", range(61, 107))
    (root / RAW / "sub01" / "EP02_01f" / "Thumbs.db").touch()
    (root / RAW / "sub01" / ".DS_Store").touch()
    listing = read(root)
    assert notes(listing, "unlisted_folder") == [f"{RAW}/sub24/EP02_07"]
    assert notes(listing, "foreign_file") == [f"{RAW}/sub01/EP02_01f/Thumbs.db"]
    assert all(clip.issues == () for clip in listing.clips)


def test_the_row_that_only_the_longer_sheet_has_makes_the_folder_a_clip(root: Path):
    frames(root / RAW / "sub24" / "EP02_07", range(61, 107))
    sheet(root, row("24", "EP02_07", 61, 91, 106, "U", "disgust"), row("02", "EP01_11f", 46, None, 50))
    listing = read(root)
    assert codes(listing) == {"sub24/EP02_07": [], "sub02/EP01_11f": ["empty_cell"]}
    assert (listing.clips[0].apex, listing.clips[0].action_units, listing.clips[1].apex) == (91, "U", None)
    assert notes(listing, "unlisted_folder") == [f"{RAW}/sub01/EP02_01f"]


@pytest.mark.parametrize("listed", [True, False])
def test_the_clip_that_no_public_sheet_lists_can_be_asked_for(root: Path, listed: bool):
    frames(root / RAW / "sub24" / "EP02_07", range(61, 107))
    own = [row("24", "EP02_07", 61, 92, 106, "4", "disgust")] if listed else []
    sheet(root, *own, row("02", "EP01_11f", 46, None, 50))
    listing = casme2.read("c", root, options("casme2", root, unlisted=True))
    (clip,) = [clip for clip in listing.clips if clip.clip_id == "sub24/EP02_07"]
    assert (clip.onset, clip.apex, clip.offset, clip.emotion) == (61, 92 if listed else 91, 106, "disgust")
    assert [issue.detail for issue in clip.issues] == ([] if listed else ["action_units"])


def test_the_known_wrong_offset_is_mended_and_can_be_kept(root: Path):
    frames(root / RAW / "sub16" / "EP01_08", range(73, 97))
    sheet(root, row("16", "EP01_08", 73, 94, 110))
    (clip,) = read(root).clips
    assert (clip.offset, clip.corrected, [issue.code for issue in clip.issues]) == (96, "offset", ["erratum_applied"])
    (kept,) = read(root, errata=False).clips
    assert (kept.offset, kept.corrected, [issue.code for issue in kept.issues]) == (110, "", ["frame_not_on_disk"])
    sheet(root, row("16", "EP01_08", 73, 94, 96))
    listing = read(root)
    assert listing.clips[0].issues == ()
    assert len(notes(listing, "erratum_unused")) == 1


@pytest.mark.parametrize(
    ("numbers", "expected"), [(range(16, 102), (16, 59, 101)), (range(161, 207), (161, None, 206))]
)
def test_the_other_lineage_s_range_is_tried_where_the_sheet_s_is_not_on_disk(
    root: Path, numbers: range, expected: tuple
):
    frames(root / RAW / "sub12" / "EP09_02", numbers)
    sheet(root, row("12", "EP09_02", 16, 59, 101))
    (clip,) = read(root).clips
    assert (clip.onset, clip.apex, clip.offset) == expected
    assert {issue.code for issue in clip.issues} == (set() if expected[1] else {"erratum_applied"})


def test_names_from_the_sheet_never_lead_out_of_the_root(root: Path, tmp_path: Path):
    outside = frames(tmp_path / "outside" / "EP01", range(5)).parent
    (root / RAW / "sub03").symlink_to(outside)
    (root / RAW / "sub01" / "EP09").symlink_to(outside / "EP01")
    (root / RAW / "sub02" / "EP01_11f" / "img51.jpg").symlink_to(outside / "EP01" / "img1.jpg")
    names = [
        *(("..", "EP01"), ("../../outside", "EP01"), (str(outside), "EP01"), ("03", "EP01")),
        *(("01", "../../../outside/EP01"), ("01", str(outside / "EP01")), ("01", "EP09"), ("02", "EP01_11f")),
        ("01", "EP02_01f"),
    ]
    sheet(root, *(row(subject, clip, 8, 10, 12) for subject, clip in names))
    config = validate({"databases": {"casme2": {"adapter": "casme2", "root": str(root)}}})
    with opened() as seen:
        clips = databases.read("casme2", config.databases["casme2"]).clips
    found = [[issue.code for issue in clip.issues if issue.code != "duplicate_clip"] for clip in clips]
    assert found == [*[["unsafe_path"]] * 8, []]
    assert below(map(Path, (clip.source for clip in clips)), outside) == []
    assert below(seen, root)
    assert below(seen, outside) == []
    assert all(clip.clip_id.count("/") == 1 and ".." not in clip.clip_id for clip in clips)


def test_a_linked_part_is_not_followed(root: Path, tmp_path: Path):
    (root / RAW).rename(tmp_path / "elsewhere")
    (root / RAW).symlink_to(tmp_path / "elsewhere")
    with opened() as seen, pytest.raises(DatabaseError, match=f"{RAW} .a symbolic link that leaves the root"):
        read(root)
    assert below(seen, tmp_path / "elsewhere") == []


def test_other_case_duplicate_rows_and_full_width_commas(root: Path):
    (root / RAW / "sub01").rename(root / RAW / "Sub1")
    sheet(root, row("01", "ep02_01F", 8, 10, 12, "4，7"), row(1, "EP02_01f", 8, 10, 12))
    config = validate({"databases": {"casme2": {"adapter": "casme2", "root": str(root)}}})
    first, second = databases.read("casme2", config.databases["casme2"]).clips
    assert (first.clip_id, first.subject, first.action_units) == ("Sub1/EP02_01f", "Sub1", "4，7")
    assert first.issues == ()
    assert [issue.code for issue in second.issues] == ["duplicate_clip"]


def test_a_merged_subject_cell_counts_for_all_its_rows(root: Path):
    import openpyxl

    book = openpyxl.Workbook()
    for line in (HEADER, row("01", "EP02_01f", 8, 10, 12), row(None, "EP03", 1, 2, 3)):
        book.active.append(line)
    book.active.merge_cells("A2:A3")
    book.save(root / NEW)
    assert list(codes(read(root))) == ["sub01/EP02_01f", "sub01/EP03"]


YEARS = {
    "casme2_coding_20140508.csv": {"disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "others": 99,
                                   "sadness": 7, "fear": 2},
    "casme2_coding_20190701.csv": {"disgust": 63, "happiness": 32, "repression": 27, "surprise": 28, "others": 99,
                                   "sadness": 4, "fear": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", YEARS)
def test_the_published_counts_come_out(tmp_path: Path, name: str):
    truth = generator().make_tree("casme2", table(name), tmp_path, frames_per_clip=3, size=(8, 8), crops=True)
    for variant in ("raw_selected", "cropped"):
        listing = read(tmp_path, variant=variant)
        assert Counter(clip.emotion for clip in listing.clips) == YEARS[name]
        assert len({clip.subject for clip in listing.clips}) == 26
        assert {code: sum(code in found for found in codes(listing).values()) for code in quality.CODES} == {
            code: int(code in {"empty_cell", "erratum_applied"}) for code in quality.CODES
        }
        assert [note.rsplit("/", 2)[1:] for note in notes(listing, "unlisted_folder")] == [["sub24", "EP02_07"]]
    expected = {(clip.subject, clip.clip): clip for clip in truth.itertuples()}
    for clip in read(tmp_path, errata=False).clips:
        row_ = expected[clip.subject, clip.name]
        apex = None if truth.apex.isna()[row_.Index] else row_.apex
        assert (clip.onset, clip.apex, clip.offset, clip.action_units) == (row_.onset, apex, row_.offset, row_.au)
