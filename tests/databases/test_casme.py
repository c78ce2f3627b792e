from pathlib import Path

import pytest

from mer_features import databases
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import casme
from mer_features.workflow.config import validate
from tests.databases.trees import frames, workbook

HEADER = ("Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion")
ROWS = [
    (1, "EP01_12", None, 73, 81, None, 91, None, "4+9", "disgust"),
    (7, "EP01_6", None, 5, 9, 11, 14, None, 12, "Tense"),
    (12, "EP03_2", None, 100, "/", None, 118, None, "1", "repression"),
]
PLACES = {
    "raw_selected": ("CASME_raw_selected/sub{:02d}/{}", "{}-{}.jpg"),
    "cropped": ("Cropped/sub{:02d}/{}", "reg_{}-{:03d}.jpg"),
    "sections": ("RAW/CASME_{section}/Section {section}/sub{:02d}/{}", "{}-{}.jpg"),
}


def _build(root: Path, variant: str = "raw_selected") -> Path:
    place, name = PLACES[variant]
    for subject, clip, _, onset, _, _, offset, *_ in ROWS:
        folder = root / place.format(subject, clip, section="A" if subject < 8 else "B")
        frames(folder, range(onset, offset + 1), name.replace("{}", clip, 1))
    if variant == "sections":
        for section, rows in (("A", ROWS[:2]), ("B", ROWS[2:])):
            workbook(root / "RAW" / f"Section {section}.xlsx", [HEADER, *rows])
    else:
        workbook(root / "CASME_labels.xlsx", [HEADER, *ROWS])
    return root


def _read(root: Path, **options: object) -> databases.Listing:
    return casme.read("casme", root, OwnerDatabase(adapter="casme", root=root, **options))


@pytest.mark.parametrize("variant", PLACES)
def test_every_shape_gives_the_same_clips(tmp_path: Path, variant: str):
    listing = _read(_build(tmp_path, variant), variant=variant)
    assert [(c.clip_id, c.onset, c.apex, c.offset, c.emotion, c.action_units) for c in listing.clips] == [
        ("sub01/EP01_12", 73, 81, 91, "disgust", "4+9"),
        ("sub07/EP01_6", 5, 9, 14, "tense", "12"),
        ("sub12/EP03_2", 100, None, 118, "repression", "1"),
    ]
    assert [[issue.code for issue in clip.issues] for clip in listing.clips] == [[], [], ["empty_cell"]]
    assert {clip.fps for clip in listing.clips} == {60.0}
    assert all(Path(clip.source).is_dir() for clip in listing.clips)
    assert [n.detail for n in listing.notes if "ApexF2" in n.detail] == [
        "1 clips have a second apex (ApexF2), which is not read: EP01_6"
    ]


def test_the_raw_frames_are_found_by_looking_and_the_crops_only_when_asked_for(tmp_path: Path):
    assert len(_read(_build(tmp_path / "a", "sections")).clips) == 3
    with pytest.raises(DatabaseError, match=r"CASME_raw_selected or Section A.*`variant: cropped` would"):
        _read(_build(tmp_path / "b", "cropped"))


def test_a_section_saved_anew_replaces_the_old_workbook(tmp_path: Path):
    root = _build(tmp_path, "sections")
    (root / "RAW/Section A.xls").write_bytes(b"\xd0\xcf\x11\xe0 needs another package")
    assert len(_read(root, variant="sections").clips) == 3


def test_a_configured_sheet_is_the_only_one_read(tmp_path: Path):
    root = _build(tmp_path, "sections")
    assert len(_read(root, variant="sections", sheet=Path("RAW/Section B.xlsx")).clips) == 1


def test_clips_without_folder_and_folders_without_row(tmp_path: Path):
    root = _build(tmp_path)
    (root / "CASME_raw_selected/sub12/EP03_2").rename(root / "CASME_raw_selected/sub12/EP09_9")
    listing = _read(root)
    assert [issue.code for issue in listing.clips[2].issues] == ["source_missing", "empty_cell"]
    assert any(n.kind == "unlisted_folder" and "sub12/EP09_9" in n.detail for n in listing.notes)


def test_names_from_the_sheet_do_not_leave_the_root(tmp_path: Path):
    root = _build(tmp_path)
    rows = [
        (1, "../../..", None, 1, 2, None, 3, None, "4", "fear"),
        ("/etc", "x", None, 1, 2, None, 3, None, "4", "fear"),
    ]
    workbook(root / "CASME_labels.xlsx", [HEADER, *rows])
    clips = _read(root).clips
    assert [[issue.code for issue in clip.issues] for clip in clips] == [["unsafe_path"], ["unsafe_path"]]
    assert all(Path(clip.source).resolve().is_relative_to(root) for clip in clips)


def test_the_sheet_of_the_later_database_is_not_taken(tmp_path: Path):
    root = _build(tmp_path)
    (root / "CASME_labels.xlsx").rename(root / "CASME2-coding-20190701.xlsx")
    with pytest.raises(DatabaseError, match=r"no annotation sheet like Section A\.xls"):
        _read(root)


def test_messages_name_what_is_missing(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"expected a folder CASME_raw_selected.*nothing"):
        _read(tmp_path)
    with pytest.raises(DatabaseError, match=r"known are raw_selected, cropped, sections"):
        _read(_build(tmp_path), variant="raw")


def test_the_configuration_reaches_the_adapter(tmp_path: Path):
    config = validate({"databases": {"c": {"adapter": "casme", "root": str(_build(tmp_path))}}})
    assert len(databases.read("c", config.databases["c"]).clips) == 3
