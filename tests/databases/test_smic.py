from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from mer_features.databases import DatabaseError
from mer_features.databases.owners import smic
from tests.databases.trees import below, codes, frames, generator, notes, opened, options, table, workbook

HS = [
    *("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F", None),
    *("FirstF", "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion"),
]
VIS = [
    *("Subject", "Filename", None, "OnsetF", "OffsetF", "Onset2F", "Offset2F", None),
    *("FirstF", "TotalMF1", "TotalMF2", "TotalVL", "Emotion"),
]
SHEET = "SMIC-HS-E_annotation.xlsx"
LONG = "SMIC-E_raw image/HS_long/SMIC-HS-E"


def read(root: Path, **more):
    return smic.read("smic", root, options("smic", root, **more))


def hs_row(subject, clip, onset, offset, recording, *later, emotion="negative") -> list:
    expressions = [*later, *[(None, None)] * (2 - len(later))]
    return [
        *(subject, clip, None, onset, offset, *expressions[0], *expressions[1]),
        *(None, *recording, None, None, None, None, emotion),
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "db"
    for top, stem in (("SMIC_all_raw", "image{:06d}.bmp"), ("SMIC_all_cropped", "reg_image{:06d}.bmp")):
        micro = folder / top / "HS"
        frames(micro / "s3" / "micro" / "negative" / "s3_ne_01", range(257900, 257912), stem)
        frames(micro / "s3" / "micro" / "surprise" / "s3_sur_01", range(1000000, 1000003), stem)
        frames(micro / "s12" / "micro" / "positive" / "s12_po_01", range(15790055, 15790060), stem)
        frames(micro / "s3" / "non_micro" / "s3_non_01", range(3), stem)
    return folder


@pytest.fixture
def long(tmp_path: Path) -> Path:
    folder = tmp_path / "long"
    frames(folder / LONG / "s03" / "s3_ne_02", range(100, 200), "image{:06d}.jpg")
    frames(folder / LONG / "s18" / "s18_sur_03", range(500, 600), "image{:06d}.jpg")
    workbook(
        folder / SHEET,
        [
            HS,
            hs_row(3, "s3_ne_02", 110, 120, (100, 199), (150, 160), (20, 100)),
            hs_row(18, "s18_sur_03", 560, 570, (500, 599), (520, 530)),
        ],
        title="HS",
        VIS=[VIS, [3, "s3_po_01", None, 5, 9, None, None, None, 1, None, None, None, "positive"]],
    )
    return folder


def test_short_clips_need_no_sheet(root: Path):
    listing = read(root)
    first, second, third = listing.clips
    assert [clip.clip_id for clip in listing.clips] == ["s3/s3_ne_01", "s3/s3_sur_01", "s12/s12_po_01"]
    assert (first.subject, first.emotion, first.fps, first.action_units) == ("s3", "negative", 100.0, "")
    assert (first.onset, first.apex, first.offset) == (257900, None, 257911)
    assert (second.emotion, third.emotion, third.offset) == ("surprise", "positive", 15790059)
    assert all(clip.issues == () for clip in listing.clips)
    assert listing.notes == ()
    assert Path(first.source) == root / "SMIC_all_raw/HS/s3/micro/negative/s3_ne_01"


def test_crops_are_another_variant_and_never_read_by_accident(root: Path):
    crops = read(root, variant="hs-cropped").clips
    assert Path(crops[0].source) == root / "SMIC_all_cropped/HS/s3/micro/negative/s3_ne_01"
    assert (crops[0].onset, crops[0].offset) == (257900, 257911)
    below_crops = root / "SMIC_all_cropped"
    assert len(read(below_crops, variant="hs-cropped").clips) == 3
    assert len(read(below_crops / "HS", variant="hs-cropped").clips) == 3
    with pytest.raises(DatabaseError, match=r"SMIC_all_raw/HS.*`variant: hs-cropped` would be found"):
        read(below_crops)


@pytest.mark.parametrize("camera", ["vis", "nir"])
def test_the_other_cameras_name_files_by_number_alone(root: Path, camera: str):
    with pytest.raises(DatabaseError, match=rf"SMIC_all_raw/{camera.upper()}.*found there: SMIC_all_cropped/"):
        read(root, variant=camera)
    frames(root / f"SMIC_all_raw/{camera.upper()}/s20/micro/negative/s20_ne_01", range(7750, 7755), "{:05d}.bmp")
    (clip,) = read(root, variant=camera).clips
    assert (clip.clip_id, clip.fps, clip.onset, clip.offset) == ("s20/s20_ne_01", 25.0, 7750, 7754)


def test_odd_folders_of_the_short_release(root: Path, tmp_path: Path):
    micro = root / "SMIC_all_raw/HS/s3/micro"
    frames(micro / "positive" / "s3_ne_09", [1, 2], "image{}.bmp")
    frames(micro / "tense" / "s3_te_01", [1, 2], "image{}.bmp")
    (micro / "negative" / "s3_ne_08").mkdir()
    outside = frames(tmp_path / "outside", range(5))
    (micro / "negative" / "s3_ne_07").symlink_to(outside)
    (root / "SMIC_all_raw/HS/s4").mkdir()
    with opened() as seen:
        listing = read(root)
    assert below(seen, outside) == below(map(Path, (clip.source for clip in listing.clips)), outside) == []
    assert codes(listing) == {
        **{"s3/s3_ne_01": [], "s3/s3_ne_07": ["unsafe_path"], "s3/s3_ne_08": ["no_frames"], "s3/s3_ne_09": []},
        **{"s3/s3_sur_01": [], "s12/s12_po_01": []},
    }
    assert [clip.emotion for clip in listing.clips if clip.name == "s3_ne_09"] == ["positive"]
    assert notes(listing, "unlisted_folder") == ["SMIC_all_raw/HS/s3/micro/tense"]
    missing, contradiction = notes(listing, "layout")[:2]
    assert missing == "no folder 'micro' in SMIC_all_raw/HS/s4"
    assert contradiction.startswith("s3/s3_ne_09 is in the folder positive")


def test_unknown_variant_and_empty_root(root: Path, tmp_path: Path):
    with pytest.raises(DatabaseError, match="'hs-long' is unknown; known are hs, hs-cropped, hs-e"):
        read(root, variant="hs-long")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatabaseError, match=r"SMIC_all_raw/HS.*\(s1, s2, ...\); found there: nothing"):
        read(tmp_path / "empty")


def test_long_clips_come_from_the_sheet_one_for_each_expression(long: Path):
    listing = read(long, variant="hs-e")
    assert [(clip.clip_id, clip.onset, clip.offset, clip.first, clip.last) for clip in listing.clips] == [
        ("s03/s3_ne_02", 110, 120, 100, 199),
        ("s03/s3_ne_03", 150, 160, 100, 199),  # the short release's name of it
        ("s18/s18_sur_03", 560, 570, 500, 599),
        ("s18/s18_sur_03_2", 520, 530, 500, 599),
    ]
    assert {Path(clip.source).name for clip in listing.clips} == {"s3_ne_02", "s18_sur_03"}
    assert all(clip.fps == 100.0 and clip.apex is None for clip in listing.clips)
    assert "s3_ne_02: expression 3, 20..100, is a leftover; not read" in notes(listing, "sheet")
    assert notes(listing, "unlisted_folder") == []


def test_the_name_is_right_where_the_sheet_s_emotion_is_not(long: Path):
    emotions = {clip.name: (clip.emotion, clip.corrected) for clip in read(long, variant="hs-e").clips}
    assert emotions["s18_sur_03"] == emotions["s18_sur_03_2"] == ("surprise", "emotion")
    assert emotions["s3_ne_02"] == ("negative", "")
    kept = {clip.name: clip.emotion for clip in read(long, variant="hs-e", errata=False).clips}
    assert kept["s18_sur_03"] == "negative"


def test_the_hs_workbook_serves_the_vis_clips_and_a_sheet_of_its_own_comes_first(long: Path):
    frames(long / "VIS_long/SMIC-VIS-E/s03/s3_po_01", range(1, 12), "{:05d}.jpg")
    (clip,) = read(long, variant="vis-e").clips
    assert (clip.clip_id, clip.onset, clip.first, clip.last, clip.fps) == ("s03/s3_po_01", 5, 1, None, 25.0)
    own = [
        [name and name.replace("OnsetF", "OnsetF NIR") for name in VIS],
        [3, "s3_po_01", None, 6, 9, *[None] * 7, "positive"],
    ]
    frames(long / "NIR_long/SMIC-NIR-E/s03/s3_po_01", range(1, 12), "{:05d}.jpg")
    workbook(long / "SMIC-NIR-E_annotation.xlsx", own)
    (clip,) = read(long, variant="nir-e").clips
    assert (clip.onset, clip.offset) == (6, 9)
    (long / "SMIC-NIR-E_annotation.xlsx").unlink()
    with pytest.raises(DatabaseError, match="only the sheets HS, VIS"):
        read(long, variant="nir-e")


def test_a_recording_s_range_that_misses_the_expression_is_not_used(long: Path):
    rows = [
        hs_row(3, "s3_ne_02", 110, 120, (10, 20)),
        hs_row(18, "s18_sur_03", 560, 570, ("MISSING <-560", 599), (580, 570), ("x", None)),
    ]
    workbook(long / SHEET, [HS, *rows], title="HS")
    listing = read(long, variant="hs-e")
    assert [(clip.first, clip.last, clip.onset) for clip in listing.clips] == [(None, None, 110), (None, None, 560)]
    details = notes(listing, "sheet")
    for start in (
        "s3_ne_02: the recording's range 10..20 ",
        "s18_sur_03: expression 2, 580..570, ",
        "s18_sur_03: expression 3, x.., ",
    ):
        assert any(detail.startswith(start) for detail in details)


def test_hostile_rows_of_the_long_sheet(long: Path, tmp_path: Path):
    outside = frames(tmp_path / "outside" / "x", range(3)).parent
    (long / LONG / "s05").symlink_to(outside)
    names = [("..", "x"), (5, "x"), (3, str(outside / "x")), (3, "s3_ne_77"), (None, None)]
    workbook(long / SHEET, [HS, *(hs_row(subject, clip, 1, 2, (0, 9)) for subject, clip in names)], title="HS")
    with opened() as seen:
        clips = read(long, variant="hs-e").clips
    assert [[issue.code for issue in clip.issues] for clip in clips] == [
        *[["unsafe_path"]] * 3,
        ["source_missing"],
        ["empty_cell", "empty_cell", "source_missing"],
    ]
    assert below(seen, outside) == []


def test_the_sheet_without_its_frames_and_the_frames_without_the_sheet(root: Path, long: Path):
    with pytest.raises(DatabaseError, match=r"SMIC-HS-E or HS_long.*`variant: hs` would be found"):
        read(root, variant="hs-e")
    (long / SHEET).unlink()
    with pytest.raises(DatabaseError, match=r"no annotation sheet like SMIC-HS-E_annotation\.xlsx"):
        read(long, variant="hs-e")


@pytest.mark.parametrize(
    ("database", "name", "variant", "subjects", "emotions"),
    [
        ("smic-hs", "smic_3class_xia.csv", "hs", 16, {"negative": 70, "positive": 51, "surprise": 43}),
        ("smic-vis", "smic_vis_e_annotation.csv", "vis", 8, {"negative": 23, "positive": 28, "surprise": 20}),
        ("smic-nir", "smic_vis_e_annotation.csv", "nir", 8, {"negative": 23, "positive": 28, "surprise": 20}),
    ],
)
def test_the_published_counts_come_out(tmp_path: Path, database, name, variant, subjects, emotions):
    truth = generator().make_tree(database, table(name), tmp_path, frames_per_clip=3, size=(8, 8), crops=True)
    for part in (variant, f"{variant}-cropped"):
        listing = read(tmp_path, variant=part)
        assert Counter(clip.emotion for clip in listing.clips) == emotions
        assert len({clip.subject for clip in listing.clips}) == subjects
        assert all(clip.issues == () for clip in listing.clips)
        assert listing.notes == ()
        found = {(clip.subject, clip.name, clip.onset, clip.offset) for clip in listing.clips}
        assert found == set(zip(truth.subject, truth["clip"], truth["first"], truth["last"], strict=True))


def test_the_long_sheet_s_rows_come_out(tmp_path: Path):
    name = "smic_hs_e_annotation.csv"
    truth = generator().make_tree("smic-hs-e", table(name), tmp_path, frames_per_clip=6, size=(8, 8))
    listing = read(tmp_path, variant="hs-e")
    found = {clip.name: clip for clip in listing.clips}
    assert len(found) == len(listing.clips) == 157 + 9
    assert set(found) - set(truth["clip"]) == {
        *("s3_ne_03", "s4_ne_05", "s4_ne_06", "s9_sur_02"),  # clips of the short release
        *("s20_ne_06_2", "s20_ne_09_2", "s20_sur_02_2", "s18_ne_01_2", "s18_sur_03_2"),
    }
    for clip in truth.itertuples():
        assert (found[clip.clip].onset, found[clip.clip].offset) == (clip.onset, clip.offset)
        assert (found[clip.clip].first or clip.first, found[clip.clip].last or clip.last) == (clip.first, clip.last)
    assert [name for name, clip in found.items() if clip.first is None] == ["s1_ne_03"]
    assert found["s18_sur_03"].emotion == "surprise"
    assert len({clip.subject for clip in listing.clips}) == 16


def _long_release(root: Path, camera: str, name: str) -> list[dict[str, str]]:
    """A long release with the frames that a table marks; the rows of the table."""
    header, *lines = csv.reader(table(name).read_text(encoding="utf-8").splitlines())
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    marks = [key for key in header if key.startswith(("Onset", "Offset"))]
    for row in rows:
        numbers = [int(row[key]) for key in marks if row[key].isdigit()]
        subject = f"s{int(row['Subject']):02d}"
        frames(root / f"{camera}_long/SMIC-{camera}-E" / subject / row["Filename"], numbers, "image{:06d}.jpg")
    cells = [[int(cell) if cell.isdigit() else cell or None for cell in line] for line in lines]
    names = [name or None for name in header]
    workbook(root / SHEET, [names, *cells], title=camera)
    return rows


def test_the_long_vis_clips_come_out_of_the_sheet_in_the_hs_workbook(tmp_path: Path):
    """By the sheet's column 24/28/19, by clip name 23/28/20; five recordings hold a second expression."""
    rows = _long_release(tmp_path, "VIS", "smic_vis_e_annotation.csv")
    for errata, expected in ((True, [23, 28, 20]), (False, [24, 28, 19])):
        clips = [clip for clip in read(tmp_path, variant="vis-e", errata=errata).clips if clip.name.count("_") == 2]
        assert [clip.name for clip in clips] == [row["Filename"] for row in rows]
        counts = Counter(clip.emotion for clip in clips)
        assert [counts[word] for word in ("negative", "positive", "surprise")] == expected
    listing = read(tmp_path, variant="vis-e")
    assert Counter(clip.emotion for clip in listing.clips) == listing.published[0].emotions
    uncorrected = notes(read(tmp_path, variant="vis-e", errata=False), "layout")
    assert len(uncorrected) == 2
    for name, detail in zip(("s18_sur_03", "s18_sur_03_2"), uncorrected, strict=True):
        assert detail.startswith(f"s18/{name} is negative in the sheet")


def test_the_original_sheet_of_hs_is_read_too(tmp_path: Path):
    """162 rows without a third expression."""
    rows = _long_release(tmp_path, "HS", "smic_hs_e_annotation_orig.csv")
    listing = read(tmp_path, variant="hs-e")
    found = {clip.name for clip in listing.clips}
    assert len(rows) == 162
    assert {row["Filename"] for row in rows} <= found
    assert len(found) == len(listing.clips)


def test_the_short_clips_take_no_sheet(root: Path):
    with pytest.raises(DatabaseError, match=r"databases\.smic\.sheet: the short clips \(hs\).*`variant: hs-e`"):
        read(root, sheet="SMIC-HS-E_annotation.xlsx")
