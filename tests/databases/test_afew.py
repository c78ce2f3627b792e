from collections import Counter
from pathlib import Path

import pytest

from mer_features import databases
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import afew
from mer_features.workflow.config import validate
from tests.databases.trees import frames

FACES = {"Train_AFEW": "AlignedFaces_LBPTOP_Points", "Val_AFEW": "AlignedFaces_LBPTOP_Points_Val"}
EMOTIONS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training clips and one validation clip of each emotion; one name occurs in both parts."""
    for part, count in (("Train_AFEW", 2), ("Val_AFEW", 1)):
        for i, emotion in enumerate(EMOTIONS):
            for j in range(count):
                clip = f"{i:04d}{j:05d}"
                (tmp_path / part / emotion).mkdir(parents=True, exist_ok=True)
                (tmp_path / part / emotion / f"{clip}.avi").write_bytes(b"x")
                frames(tmp_path / part / FACES[part] / "Faces" / clip, (0, 1, 2), "{:06d}.jpg")
    return tmp_path


def _read(root: Path, **options: object) -> databases.Listing:
    return afew.read("afew", root, OwnerDatabase(adapter="afew", root=root, **options))


def test_videos_of_both_parts_with_their_folder_as_label(root: Path):
    listing = _read(root)
    assert Counter(clip.emotion for clip in listing.clips) == dict.fromkeys(map(str.lower, EMOTIONS), 3)
    assert len({clip.clip_id for clip in listing.clips}) == len({clip.subject for clip in listing.clips}) == 21
    first = listing.clips[0]
    assert (first.clip_id, first.issues) == ("Train_AFEW_000000000/000000000", ())
    assert first.source == (root / "Train_AFEW/Angry/000000000.avi").as_posix()
    assert [note.kind for note in listing.notes] == ["layout"]


def test_aligned_faces_take_the_label_of_their_video(root: Path):
    videos, faces = _read(root).clips, _read(root, variant="aligned").clips
    assert [(c.clip_id, c.emotion) for c in faces] == [(c.clip_id, c.emotion) for c in videos]
    assert all(Path(clip.source).is_dir() and not clip.issues for clip in faces)
    assert faces[-1].source == (root / "Val_AFEW" / FACES["Val_AFEW"] / "Faces/000600000").as_posix()


def test_videos_without_faces_and_faces_without_video(root: Path):
    place = root / "Train_AFEW" / FACES["Train_AFEW"] / "Faces"
    (place / "000000000").rename(place / "999")
    listing = _read(root, variant="aligned")
    assert [issue.code for issue in listing.clips[0].issues] == ["source_missing"]
    assert [note.detail for note in listing.notes if note.kind == "unlisted_folder"] == [
        "1 clips of faces in Train_AFEW have no labelled video: 999"
    ]


def test_one_part_is_enough_and_the_other_is_noted(root: Path):
    (root / "Val_AFEW").rename(root / "Other")
    listing = _read(root)
    assert len(listing.clips) == 14
    assert any("Val_AFEW" in note.detail for note in listing.notes)


@pytest.mark.parametrize(
    "place", ["Test_AFEW", "Test/Test_vid_Distribute", "Test/Test_vid_Distribute/Test_vid_Distribute"]
)
def test_the_test_part_has_no_labels_and_can_be_listed(root: Path, place: str):
    folder = root / place
    folder.mkdir(parents=True)
    for name in ("000029320.avi", "000000000.avi"):  # the latter is a name of the training part, too
        (folder / name).write_bytes(b"x")
    assert len(_read(root).clips) == 21
    listing = _read(root, unlabelled=True)
    assert listing.clips[:21] == _read(root).clips
    assert [(clip.clip_id, clip.emotion, clip.issues) for clip in listing.clips[21:]] == [
        ("Test_AFEW_000000000/000000000", "", ()), ("Test_AFEW_000029320/000029320", "", ()),
    ]  # fmt: skip
    assert listing.clips[-1].source == (folder / "000029320.avi").as_posix()
    assert len({clip.clip_id for clip in listing.clips}) == 23
    assert listing.published[0].clips == 773 + 383 + 653


def test_what_the_test_part_lacks_is_said(root: Path, tmp_path_factory: pytest.TempPathFactory):
    listing = _read(root, unlabelled=True)
    assert len(listing.clips) == 21
    assert "Test_AFEW or Test/Test_vid_Distribute" in listing.notes[-1].detail
    with pytest.raises(DatabaseError, match="the test part is read as videos"):
        _read(root, unlabelled=True, variant="aligned")
    outside = tmp_path_factory.mktemp("outside") / "x.avi"
    outside.write_bytes(b"x")
    for folder in ("Test_AFEW", "Tests"):
        (root / folder).mkdir()
        (root / folder / "a.avi").symlink_to(outside)
    listing = _read(root, unlabelled=True)
    assert [issue.code for issue in listing.clips[-1].issues] == ["unsafe_path"]
    assert listing.notes[-1].detail.endswith("were not read: Tests")


def test_a_linked_video_outside_the_root_is_unsafe(root: Path, tmp_path_factory: pytest.TempPathFactory):
    outside = tmp_path_factory.mktemp("outside") / "x.avi"
    outside.write_bytes(b"x")
    (root / "Train_AFEW/Angry/000.avi").symlink_to(outside)
    clip = next(clip for clip in _read(root).clips if clip.name == "000")
    assert [issue.code for issue in clip.issues] == ["unsafe_path"]


def test_messages_name_what_is_missing(root: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.raises(DatabaseError, match=r"expected videos like Train_AFEW/Angry/000046280\.avi; found nothing"):
        _read(tmp_path_factory.mktemp("empty"))
    with pytest.raises(DatabaseError, match=r"known are video, aligned"):
        _read(root, variant="test")


def test_the_configuration_reaches_the_adapter(root: Path):
    config = validate({"databases": {"a": {"adapter": "afew", "root": str(root), "variant": "aligned"}}})
    assert len(databases.read("a", config.databases["a"]).clips) == 21
