from collections import Counter
from pathlib import Path

import pytest

from mer_features import databases, protocols
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import dfew
from mer_features.workflow.config import validate
from tests.databases.trees import below, opened

LABELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 12: 7, 16372: 1}


def _sets(root: Path, labels: dict[int, int]) -> None:
    """Five folds over the same clips, each clip in one test set, as the release has them."""
    for kind in ("train", "test"):
        folder = root / f"EmoLabel_DataSplit/{kind}(single-labeled)"
        folder.mkdir(parents=True, exist_ok=True)
        for fold in range(5):
            rows = [
                f"{n},{label}" for i, (n, label) in enumerate(labels.items()) if (i % 5 == fold) == (kind == "test")
            ]
            (folder / f"set_{fold + 1}.csv").write_text("\n".join(["video_name,label", *rows]) + "\n")


def release(root: Path) -> None:
    """A tiny release: eight labelled clips and one without a single label."""
    (root / "Clip/original").mkdir(parents=True)
    for number in [*LABELS, 7]:  # clip 7 has no single label
        (root / f"Clip/original/{number:05d}.mp4").write_bytes(b"x")
        for variant, count in (("clip_224x224", 3), ("clip_224x224_16f", 16)):
            folder = root / f"Clip/{variant}/{number:05d}"
            folder.mkdir(parents=True)
            for frame in range(1, count + 1):
                (folder / f"{frame}.jpg").write_bytes(b"x")
    _sets(root, LABELS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "DFEW"
    release(root)
    return root


def _read(root: Path, **options: object) -> databases.Listing:
    return dfew.read("dfew", root, OwnerDatabase(adapter="dfew", root=root, **options))


def test_labelled_clips_once_each_although_five_sets_name_them(root: Path):
    listing = _read(root)
    assert [clip.subject for clip in listing.clips] == [f"{number:05d}" for number in LABELS]
    emotions = Counter(clip.emotion for clip in listing.clips)
    assert emotions == Counter(["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear", "happy"])
    assert listing.clips[0].source == (root / "Clip/clip_224x224/00001").as_posix()
    assert (listing.clips[0].onset, listing.clips[0].apex, listing.clips[0].issues) == (None, None, ())


def test_notes_say_what_is_unlabelled_and_that_persons_are_unknown(root: Path):
    notes = {note.kind: note.detail for note in _read(root).notes}
    assert notes.keys() == {"layout", "unlisted_folder"}
    assert notes["unlisted_folder"].endswith(": 00007")


@pytest.mark.parametrize(
    ("variant", "source"),
    [
        ("original", "Clip/original/00012.mp4"),
        ("clip_224x224", "Clip/clip_224x224/00012"),
        ("clip_224x224_16f", "Clip/clip_224x224_16f/00012"),
    ],
)
def test_variants(root: Path, variant: str, source: str):
    clip = next(clip for clip in _read(root, variant=variant).clips if clip.subject == "00012")
    assert (clip.source, clip.emotion, clip.issues) == ((root / source).as_posix(), "fear", ())


def test_a_copy_with_parts_between(root: Path):
    top = root / "Clip/clip_224x224"
    for part, numbers in (("part_1", (1, 2, 3)), ("part_2", (4, 5, 6, 12, 16372, 7))):
        (top / part).mkdir()
        for number in numbers:
            (top / f"{number:05d}").rename(top / part / f"{number:05d}")
    listing = _read(root)
    assert all(not clip.issues for clip in listing.clips)
    assert listing.clips[-1].source == (top / "part_2/16372").as_posix()


@pytest.mark.parametrize(
    ("variant", "known"), [("clip_224x224", 15906), ("clip_224x224_16f", 15906), ("original", 16372)]
)
def test_clips_without_a_label_can_be_listed(root: Path, variant: str, known: int):
    listing = _read(root, variant=variant, unlabelled=True)
    plain = {clip.clip_id: clip for clip in _read(root, variant=variant).clips}
    assert [clip.subject for clip in listing.clips] == [f"{number:05d}" for number in sorted([*LABELS, 7])]
    (new,) = [clip for clip in listing.clips if clip.clip_id not in plain]
    assert (new.clip_id, new.emotion, new.issues) == ("00007/00007", "", ())
    assert Path(new.source).exists()
    assert [clip for clip in listing.clips if clip.clip_id in plain] == list(plain.values())
    assert [note.kind for note in listing.notes] == ["layout", "layout"]
    assert [edition.clips for edition in listing.published] == [known]


def test_protocols_leave_clips_without_a_label_out(root: Path):
    database = {"adapter": "dfew", "root": str(root), "unlabelled": True}
    labels = {word: [word] for word in ("happy", "sad")}
    (root / "EmoLabel_DataSplit/all.csv").write_text("video_name,label\n1,1\n2,2\n3,1\n4,2\n")
    database["sheet"] = "EmoLabel_DataSplit/all.csv"
    config = validate(
        {"databases": {"dfew": database}, "protocols": {"p": {"databases": ["dfew"], "labels": labels, "folds": 2}}}
    )
    clips = databases.read("dfew", config.databases["dfew"]).clips
    assert len(clips) == 9  # four with a label in this table
    table = protocols.build("p", clips, config.protocols["p"], 0)
    assert [row.emotion for row in table.rows] == ["happy", "sad", "happy", "sad"]
    assert table.left_out == {"": 5}


def test_a_labelled_clip_without_folder_is_rejected(root: Path):
    _sets(root, LABELS | {99: 3})
    clip = next(clip for clip in _read(root).clips if clip.subject == "00099")
    assert [issue.code for issue in clip.issues] == ["source_missing"]


def test_unknown_and_contradicting_labels(root: Path):
    (root / "one.csv").write_text("video_name,label\n00001,8\n2,2\n3,\n5,6\n5,5\nx/../y,1\n")
    clips = {clip.subject: clip for clip in _read(root, sheet=Path("one.csv")).clips}
    codes = {name: [issue.code for issue in clip.issues] for name, clip in clips.items()}
    assert codes == {
        "00001": ["bad_cell"],
        "00002": [],
        "00003": ["empty_cell"],
        "00005": ["bad_cell"],
        "x": ["source_missing"],
    }
    assert clips["00005"].emotion == "disgust"


def test_without_tables_or_variant_the_message_says_where_they_belong(root: Path, tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"expected the folder Clip/clip_224x224.*found DFEW"):
        _read(tmp_path)
    with pytest.raises(DatabaseError, match=r"variant: 'faces' is unknown; known are clip_224x224,"):
        _read(root, variant="faces")
    with pytest.raises(DatabaseError, match=r"none\.csv: the annotation sheet cannot be read"):
        _read(root, sheet=Path("none.csv"))
    (root / "other.csv").write_text("clip,emotion\n1,2\n")
    with pytest.raises(DatabaseError, match=r"no row has the columns video_name, label"):
        _read(root, sheet=Path("other.csv"))
    (root / "EmoLabel_DataSplit").rename(root / "Labels")
    with pytest.raises(DatabaseError, match=r"expected label tables like EmoLabel_DataSplit"):
        _read(root)


def test_a_link_out_of_the_root_is_not_followed(root: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (root / "Clip/clip_224x224/00099").symlink_to(tmp_path / "outside")
    _sets(root, LABELS | {99: 3})
    with opened() as seen:
        clip = next(clip for clip in _read(root).clips if clip.subject == "00099")
    assert [issue.code for issue in clip.issues] == ["unsafe_path"]
    assert below(seen, tmp_path / "outside") == []


def test_the_configuration_reaches_the_adapter(root: Path):
    config = validate({"databases": {"dfew": {"adapter": "dfew", "root": str(root), "variant": "original"}}})
    assert len(databases.read("dfew", config.databases["dfew"]).clips) == 8
