import csv
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from mer_features import databases
from mer_features.core import quality
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import mmew
from mer_features.workflow.config import validate
from tests.databases.trees import below, frames, opened, workbook
from tests.shared import shared

jpegs = partial(frames, name="{}.jpg")

HEADER = (
    "Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "remarks",
)  # fmt: skip
ROWS = [
    (1, "S01-01-001", 1, 15, 31, "6+12", "happiness", None),
    (1, "S01-02-001", 1, 17, 39, 5, "surprise", None),
    (3, "S03-04-002", 1, 7, 23, "4R+7", "others", "blink"),
]
LAYOUTS = {
    "emotion": "Micro_Expression/{emotion}/{clip}",
    "subject": "Micro_Expression/{subject}/{emotion}/{clip}",
    "flat": "Micro_Expression/{clip}",
    "nested": "MMEW_Final/Micro_Expression/{emotion}/{clip}",
}


def _build(root: Path, rows: list[tuple], layout: str = "emotion", *, every_frame: bool = True) -> Path:
    for _, clip, onset, apex, offset, _, emotion, *_ in rows:
        folder = {"others": "repression"}.get(emotion, emotion)
        place = root / LAYOUTS[layout].format(emotion=folder, clip=clip, subject=clip[:3])
        jpegs(place, range(onset, offset + 1) if every_frame else {onset, apex, offset})
    workbook(root / "MMEW_Micro_Exp.xlsx", [HEADER, *rows])
    return root


def _read(root: Path, **options: object) -> databases.Listing:
    return mmew.read("mmew", root, OwnerDatabase(adapter="mmew", root=root, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_clips(tmp_path: Path, layout: str):
    listing = _read(_build(tmp_path, ROWS, layout))
    found = [(c.clip_id, c.onset, c.apex, c.offset, c.emotion, c.action_units, c.issues) for c in listing.clips]
    assert found == [
        ("S01/S01-01-001", 1, 15, 31, "happiness", "6+12", ()),
        ("S01/S01-02-001", 1, 17, 39, "surprise", "5", ()),
        ("S03/S03-04-002", 1, 7, 23, "others", "4R+7", ()),
    ]
    assert all(Path(clip.source).name == clip.name and Path(clip.source).is_dir() for clip in listing.clips)
    assert {(clip.fps, clip.first, clip.last, clip.corrected) for clip in listing.clips} == {(90.0, None, None, "")}
    assert [note.kind for note in listing.notes] == ["sheet"]


def test_padding_of_names_does_not_matter(tmp_path: Path):
    root = _build(tmp_path, ROWS[:1])
    (root / "Micro_Expression/happiness/S01-01-001").rename(root / "Micro_Expression/happiness/S1-01-1")
    (clip,) = _read(root).clips
    assert (clip.issues, Path(clip.source).name) == ((), "S1-01-1")


def test_what_disk_and_sheet_do_not_share(tmp_path: Path):
    root = _build(tmp_path, ROWS)
    (root / "Micro_Expression/surprise/S01-02-001").rename(root / "Micro_Expression/surprise/S09-02-001")
    (root / "Micro_Expression/happiness/S01-01-001/31.jpg").unlink()
    (root / "Micro_Expression/happiness/S01-01-001/Thumbs.db").write_bytes(b"x")
    listing = _read(root)
    codes = {clip.name: [(issue.code, issue.detail) for issue in clip.issues] for clip in listing.clips}
    assert codes["S01-01-001"] == [("frame_not_on_disk", "offset 31, nearest is 30")]
    assert [code for code, _ in codes["S01-02-001"]] == ["source_missing"]
    assert "unlisted_folder" in {note.kind for note in listing.notes if "S09-02-001" in note.detail}
    assert "foreign_file" in {note.kind for note in listing.notes if "Thumbs.db" in note.detail}


def test_cells_that_are_empty_or_unreadable(tmp_path: Path):
    rows = [
        (1, "S01-01-001", 1, "x", 31, None, "happiness"),
        (1, None, 1, 2, 3, "4", "anger"),
        (1, "../up", 1, 2, 3, "4", "fear"),
        ("checked twice",),
    ]
    _build(tmp_path, ROWS)
    workbook(tmp_path / "MMEW_Micro_Exp.xlsx", [HEADER, *rows])
    listing = _read(tmp_path)
    clips = listing.clips
    assert [note.detail for note in listing.notes if note.detail.startswith("row")] == [
        "row 5 names no clip and was skipped"
    ]
    assert [issue.code for issue in clips[0].issues] == ["bad_cell", "empty_cell"]
    assert clips[0].apex is None
    assert [issue.code for issue in clips[1].issues] == ["empty_cell", "source_missing"]
    assert [issue.code for issue in clips[2].issues] == ["source_missing"]
    assert all(Path(clip.source).resolve().is_relative_to(tmp_path) for clip in clips)


def test_a_link_out_of_the_root_is_not_followed(tmp_path: Path):
    root = _build(tmp_path / "db", ROWS[:1])
    jpegs(tmp_path / "outside", range(1, 40))
    (root / "Micro_Expression/surprise").mkdir()
    (root / "Micro_Expression/surprise/S01-02-001").symlink_to(tmp_path / "outside")
    workbook(root / "MMEW_Micro_Exp.xlsx", [HEADER, *ROWS[:2]])
    with opened() as seen:
        clips = _read(root).clips
    assert [[issue.code for issue in clip.issues] for clip in clips] == [[], ["unsafe_path"]]
    assert below(seen, tmp_path / "outside") == []


def test_single_images_of_macro_expressions_are_still_images(tmp_path: Path):
    for subject in ("S01", "S03"):
        for emotion, code in (("happiness", "01"), ("anger", "07")):
            frames(tmp_path / "Macro_Expression" / subject / emotion, (1, 2), f"{subject}-{code}-{{:03d}}.jpg")
    listing = _read(tmp_path, variant="macro")
    assert Counter((clip.subject, clip.emotion) for clip in listing.clips) == dict.fromkeys(
        [("S01", "anger"), ("S01", "happiness"), ("S03", "anger"), ("S03", "happiness")], 2
    )
    assert {quality.status(clip.issues) for clip in listing.clips} == {quality.Status.OK}
    sections = [OwnerDatabase(adapter="mmew", root=tmp_path, variant=name) for name in ("macro", "micro", None)]
    assert [section.overrides.faces for section in sections] == [{"stills": True}, {}, {}]
    assert Path(listing.clips[0].source).is_file()


def test_messages_name_what_is_missing(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"expected a folder Micro_Expression.*found there: nothing"):
        _read(tmp_path)
    _build(tmp_path, ROWS)
    with pytest.raises(DatabaseError, match=r"variant: 'both' is unknown; known are micro, macro"):
        _read(tmp_path, variant="both")
    (tmp_path / "MMEW_Micro_Exp.xlsx").unlink()
    with pytest.raises(DatabaseError, match=r"no annotation sheet like MMEW_Micro_Exp\.xlsx"):
        _read(tmp_path)


def test_the_published_234_clips(tmp_path: Path):
    path = shared("datasets", "annotations", "mmew_234_htnet.csv")
    rows = []
    for row in csv.DictReader(path.read_text().splitlines()):
        marks = (int(row[column]) for column in HEADER[2:5])
        rows.append((int(row["Subject"]), row["Filename"], *marks, *(row[column] for column in HEADER[5:])))
    _build(tmp_path, rows, every_frame=False)
    config = validate({"databases": {"mmew": {"adapter": "mmew", "root": str(tmp_path)}}})
    clips = databases.read("mmew", config.databases["mmew"]).clips
    assert len(clips) == 234
    assert len({clip.subject for clip in clips}) == 30
    assert Counter(clip.emotion for clip in clips) == {
        "surprise": 89, "disgust": 72, "happiness": 36, "fear": 16, "sadness": 13, "anger": 8,
    }  # fmt: skip
    assert [clip.clip_id for clip in clips if clip.issues] == []
    assert [(c.onset, c.apex, c.offset) for c in clips] == [row[2:5] for row in rows]
