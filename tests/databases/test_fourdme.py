from pathlib import Path

import pytest

from mer_features import databases
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import fourdme
from mer_features.workflow.config import validate
from tests.databases.trees import frames, workbook

SHEET = "4DME_Labelling_Micro_release v1.xlsx"
HEADER = (
    "sub_ID", "fold_name", "Onset", "Apex", "Offset", "AUs", "Emotion", "eye blink", "Positive", "Negative", "Surprise",
    "Repression", "Others", "fold", "Total", "AU1",
)  # fmt: skip
ROWS = [
    ("S13_1st", "S13_1st_001_01_1", 10, 14, 20, "4+7", "Negative", 0),
    ("S13_1st", "S13_1st_002_01_1", 5, 9, 12, "1+2+12(k)", "Surprise+Positive", 1),
    ("S20_2nd", "S20_2nd_001_01_1", 1, None, 9, 4, "Others", 0),
]


def _build(root: Path, variant: str = "gray_micro", name: str = "{}.jpg") -> Path:
    for subject, clip, onset, _, offset, *_ in ROWS:
        frames(root / variant / subject / clip, range(onset, offset + 1), name)
    workbook(root / SHEET, [HEADER, *ROWS])
    return root


def _read(root: Path, **options: object) -> databases.Listing:
    return fourdme.read("4d", root, OwnerDatabase(adapter="4dme", root=root, **options))


@pytest.mark.parametrize(
    ("variant", "name"), [("gray_micro", "{}.jpg"), ("micro_short_gray_video", "Frame_{:09d}.jpg")]
)
def test_both_releases(tmp_path: Path, variant: str, name: str):
    clips = _read(_build(tmp_path, variant, name), variant=variant).clips
    assert [(c.clip_id, c.onset, c.apex, c.offset, c.emotion, c.action_units) for c in clips] == [
        ("S13_1st/S13_1st_001_01_1", 10, 14, 20, "negative", "4+7"),
        ("S13_1st/S13_1st_002_01_1", 5, 9, 12, "surprise+positive", "1+2+12(k)"),
        ("S20_2nd/S20_2nd_001_01_1", 1, None, 9, "others", "4"),
    ]
    assert [[issue.code for issue in clip.issues] for clip in clips] == [[], [], ["empty_cell"]]
    assert {clip.fps for clip in clips} == {None}
    assert clips[0].source == (tmp_path / variant / "S13_1st/S13_1st_001_01_1").as_posix()


def test_the_release_is_found_by_looking(tmp_path: Path):
    root = _build(tmp_path, "micro_short_gray_video", "Frame_{:09d}.jpg")
    assert {clip.source.split("/")[-3] for clip in _read(root).clips} == {"micro_short_gray_video"}


def test_numbers_that_are_not_those_of_the_files_are_reported(tmp_path: Path):
    root = _build(tmp_path)
    folder = root / "gray_micro/S13_1st/S13_1st_001_01_1"
    for path in folder.iterdir():
        path.rename(folder / f"{int(path.stem) + 100}.png")
    clip = _read(root).clips[0]
    assert [issue.code for issue in clip.issues] == ["frame_not_on_disk"] * 3
    assert "onset 10, nearest is 110" in clip.issues[0].detail


def test_the_folder_without_a_row_and_the_row_without_a_folder(tmp_path: Path):
    root = _build(tmp_path)
    (root / "gray_micro/S20_2nd/S20_2nd_001_01_1").rename(root / "gray_micro/S20_2nd/S20_2nd_009_01_1")
    listing = _read(root)
    assert [issue.code for issue in listing.clips[2].issues] == ["source_missing", "empty_cell"]
    notes = [note.detail for note in listing.notes if note.kind == "unlisted_folder"]
    assert notes == ["1 clips have no row in the sheet: gray_micro/S20_2nd/S20_2nd_009_01_1"]


def test_messages_name_what_is_missing(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"expected the folder gray_micro"):
        _read(tmp_path)
    root = _build(tmp_path)
    with pytest.raises(DatabaseError, match=r"known are gray_micro, micro_short_gray_video"):
        _read(root, variant="rgb")
    (root / SHEET).unlink()
    with pytest.raises(DatabaseError, match=r"no annotation sheet like 4DME_Labelling_Micro_release v1\.xlsx"):
        _read(root)


def test_the_configuration_reaches_the_adapter(tmp_path: Path):
    config = validate({"databases": {"x": {"adapter": "4dme", "root": str(_build(tmp_path))}}})
    assert [clip.database for clip in databases.read("x", config.databases["x"]).clips] == ["x"] * 3
