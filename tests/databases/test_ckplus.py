import shutil
from collections import Counter
from pathlib import Path

import pytest

from mer_features import databases
from mer_features.core import quality
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import ckplus
from mer_features.workflow.config import validate
from tests.databases.trees import below, opened


def _sequence(root: Path, subject: str, sequence: str, frames: int, *, emotion: str = "", units: str = "") -> None:
    """A sequence with its side files, named as the release names them."""
    stem = f"{subject}_{sequence}_"
    for kind in ("cohn-kanade-images", "Landmarks", "Emotion", "FACS"):
        (root / kind / subject / sequence).mkdir(parents=True, exist_ok=True)
    for number in range(1, frames + 1):
        (root / "cohn-kanade-images" / subject / sequence / f"{stem}{number:08d}.png").write_bytes(b"x")
        (root / "Landmarks" / subject / sequence / f"{stem}{number:08d}_landmarks.txt").write_text("1 2\n")
    if emotion:
        (root / "Emotion" / subject / sequence / f"{stem}{frames:08d}_emotion.txt").write_text(emotion)
    if units:
        (root / "FACS" / subject / sequence / f"{stem}{frames:08d}_facs.txt").write_text(units)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "CK+"
    _sequence(
        root,
        "S005",
        "001",
        11,
        emotion="   3.0000000e+00\n",
        units="   9.0000000e+00   4.0000000e+00\n   1.7000000e+01   0.0000000e+00\n",
    )
    _sequence(root, "S010", "001", 14)
    _sequence(root, "S010", "002", 14, emotion="   7.0000000e+00\n")
    (root / "cohn-kanade-images" / ".DS_Store").write_bytes(b"x")
    (root / "cohn-kanade-images" / "S005" / ".DS_Store").write_bytes(b"x")
    return root


def _read(root: Path) -> databases.Listing:
    return ckplus.read("ck", root, OwnerDatabase(adapter="ckplus", root=root))


def test_a_sequence_runs_from_neutral_to_its_peak(root: Path):
    clips = {clip.clip_id: clip for clip in _read(root).clips}
    assert list(clips) == ["S005/001", "S010/001", "S010/002"]
    first = clips["S005/001"]
    assert (first.onset, first.apex, first.offset, first.subject) == (1, 11, None, "S005")
    assert first.source == (root / "cohn-kanade-images/S005/001").as_posix()
    assert (first.emotion, first.action_units, first.issues) == ("disgust", "9+17", ())
    assert (clips["S010/002"].emotion, clips["S010/002"].apex) == ("surprise", 14)


def test_sequences_without_a_label_are_kept_and_counted(root: Path):
    listing = _read(root)
    assert [clip.emotion for clip in listing.clips] == ["disgust", "", "surprise"]
    assert [note.kind for note in listing.notes] == ["sheet"]
    assert "1 of 3 sequences" in listing.notes[0].detail
    assert all(quality.status(clip.issues) == quality.Status.OK for clip in listing.clips)


def test_the_label_folders_may_be_empty_or_absent(root: Path):
    shutil.rmtree(root / "FACS")
    shutil.rmtree(root / "Emotion")
    (root / "Emotion").mkdir()
    listing = _read(root)
    assert {(clip.emotion, clip.action_units) for clip in listing.clips} == {("", "")}
    assert "3 of 3 sequences" in listing.notes[0].detail


@pytest.mark.parametrize("text", ["happy\n", "9.0\n", "3.5\n", "\n", "nan"])
def test_an_unreadable_label_is_its_clip_s_issue(root: Path, text: str):
    (root / "Emotion/S005/001/S005_001_00000011_emotion.txt").write_text(text)
    clip = _read(root).clips[0]
    assert clip.emotion == ""
    assert [issue.code for issue in clip.issues] == ["bad_cell"]
    assert "S005_001_00000011_emotion.txt" in clip.issues[0].detail


def test_an_unreadable_action_unit_is_its_clip_s_issue(root: Path):
    (root / "FACS/S005/001/S005_001_00000011_facs.txt").write_text("1.0 2.0\nabc\n")
    clip = _read(root).clips[0]
    assert clip.action_units == "1"
    assert [issue.code for issue in clip.issues] == ["bad_cell"]


def test_a_link_out_of_the_root_is_not_followed(root: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "S999_001_00000001.png").write_bytes(b"x")
    (root / "cohn-kanade-images/S010/003").symlink_to(outside)
    with opened() as seen:
        clip = _read(root).clips[-1]
    assert below(seen, outside) == []
    assert clip.clip_id == "S010/003"
    assert [issue.code for issue in clip.issues] == ["unsafe_path"]
    assert clip.apex is None


def test_a_sequence_without_frames_is_rejected(root: Path):
    (root / "cohn-kanade-images/S011/001").mkdir(parents=True)
    clip = _read(root).clips[-1]
    assert [issue.code for issue in clip.issues] == ["no_frames"]


def test_the_wrong_folder_says_what_is_expected(tmp_path: Path):
    (tmp_path / "CAS").mkdir()
    with pytest.raises(DatabaseError, match=r"cohn-kanade-images.*found CAS"):
        _read(tmp_path)


def test_the_configuration_reaches_the_adapter(root: Path):
    config = validate({"databases": {"ck": {"adapter": "ckplus", "root": str(root)}}})
    listing = databases.read("ck", config.databases["ck"])
    assert Counter(clip.database for clip in listing.clips) == {"ck": 3}
    assert all(clip.digest for clip in listing.clips)
