from functools import partial
from pathlib import Path

import pytest

from mer_features import databases
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import ferv39k
from mer_features.workflow.config import validate
from tests.databases.trees import below, frames, opened

jpegs = partial(frames, name="{}.jpg")

TRAIN = ["Action/Sad/0010 Sad", "Action/Angry/0011 Angry", "DailyLife/Sad/0010 Sad"]
TEST = ["War/Surprise/1003 Surprise"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for line in TRAIN + TEST:
        jpegs(tmp_path / "2_ClipsforFaceCrop" / line.split()[0], range(1, 4))
    setups = tmp_path / "4_setups/All_scenes"
    setups.mkdir(parents=True)
    (setups / "train_All.csv").write_text("\n".join(TRAIN) + "\n")
    (setups / "test_All.csv").write_text("\n".join(TEST) + "\n")
    return tmp_path


def _read(root: Path, **options: object) -> databases.Listing:
    return ferv39k.read("ferv", root, OwnerDatabase(adapter="ferv39k", root=root, **options))


def test_training_then_test_clips_each_with_a_name_of_its_own(root: Path):
    listing = _read(root)
    assert [(clip.clip_id, clip.emotion, clip.issues) for clip in listing.clips] == [
        ("Action_Sad_0010/0010", "sad", ()),
        ("Action_Angry_0011/0011", "angry", ()),
        ("DailyLife_Sad_0010/0010", "sad", ()),
        ("War_Surprise_1003/1003", "surprise", ()),
    ]
    assert listing.clips[2].source == (root / "2_ClipsforFaceCrop/DailyLife/Sad/0010").as_posix()
    assert [note.kind for note in listing.notes] == ["layout"]


def test_one_table_can_be_chosen_and_the_rest_is_noted(root: Path):
    listing = _read(root, sheet=Path("4_setups/All_scenes/test_All.csv"))
    assert [clip.name for clip in listing.clips] == ["1003"]
    assert listing.notes[1].count == 3
    assert "Action/Angry/0011" in listing.notes[1].detail


def test_lines_that_cannot_be_used_are_their_clips_issues(root: Path, tmp_path_factory: pytest.TempPathFactory):
    outside = tmp_path_factory.mktemp("outside")
    (root / "2_ClipsforFaceCrop/War/Surprise/1004").symlink_to(outside)
    lines = ["Action/Sad/0010 Gloomy", "Action/Sad/0099 Sad", "Action/Angry/0011", "../../etc Sad"]
    lines.append("War/Surprise/1004 Surprise")
    (root / "4_setups/All_scenes/train_All.csv").write_text("\n".join(lines))
    with opened() as seen:
        clips = _read(root).clips
    assert below(seen, outside) == []
    assert [[issue.code for issue in clip.issues] for clip in clips[:-1]] == [
        ["bad_cell"], ["source_missing"], ["empty_cell"], ["unsafe_path"], ["unsafe_path"],
    ]  # fmt: skip
    assert clips[3].source.startswith((root / "2_ClipsforFaceCrop").as_posix())
    assert ".." not in clips[3].source


def test_messages_name_what_is_missing(root: Path, tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"ferv39k has no variant to choose"):
        _read(root, variant="x")
    table = root / "4_setups/All_scenes/train_All.csv"
    table.write_text("video,label\n1,2\n")
    with pytest.raises(DatabaseError, match=r"expected lines like 'Action/Sad/0010 Sad'; found video,label"):
        _read(root)
    table.unlink()
    (root / "4_setups/All_scenes/test_All.csv").unlink()
    with pytest.raises(DatabaseError, match=r"expected the tables train_All\.csv and test_All\.csv"):
        _read(root)
    (root / "2_ClipsforFaceCrop").rename(root / "faces")
    with pytest.raises(DatabaseError, match=r"expected the folder 2_ClipsforFaceCrop.*faces"):
        _read(root)


def test_the_configuration_reaches_the_adapter(root: Path):
    config = validate({"databases": {"f": {"adapter": "ferv39k", "root": str(root)}}})
    assert len(databases.read("f", config.databases["f"]).clips) == 4
