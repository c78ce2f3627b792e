from collections import Counter
from pathlib import Path

import pytest

from mer_features import databases, protocols
from mer_features.core import quality
from mer_features.core.quality import Status
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import bu3dfe
from mer_features.protocols.options import Protocol
from mer_features.workflow.config import validate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two of the hundred subjects, with all 25 models each."""
    for subject, ethnicity in (("F0001", "WH"), ("M0044", "AE")):
        folder = tmp_path / "BU_3DFE" / subject
        folder.mkdir(parents=True)
        models = [
            "NE00",
            *(f"{emotion}{n:02d}" for emotion in ("AN", "DI", "FE", "HA", "SA", "SU") for n in range(1, 5)),
        ]
        for model in models:
            (folder / f"{subject}_{model}{ethnicity}_F2D.bmp").write_bytes(b"x")
            (folder / f"{subject}_{model}{ethnicity}_F3D.wrl").write_bytes(b"x")
    return tmp_path


def _read(root: Path) -> databases.Listing:
    return bu3dfe.read("bu", root, OwnerDatabase(adapter="bu3dfe", root=root))


def test_every_texture_is_listed_with_its_emotion(root: Path):
    listing = _read(root)
    emotions = Counter(clip.emotion for clip in listing.clips)
    assert emotions == {"neutral": 2} | dict.fromkeys(
        ("anger", "disgust", "fear", "happiness", "sadness", "surprise"), 8
    )
    assert listing.notes == ()
    first = listing.clips[0]
    assert (first.clip_id, first.subject) == ("F0001/F0001_AN01WH_F2D", "F0001")
    assert Path(first.source) == root / "BU_3DFE/F0001/F0001_AN01WH_F2D.bmp"
    assert _read(root / "BU_3DFE").clips == listing.clips


def test_single_images_are_usable_and_declared_as_still(root: Path):
    clips = _read(root).clips
    assert {quality.status(clip.issues) for clip in clips} == {Status.OK}
    assert {(clip.first, clip.last) for clip in clips} == {(0, 0)}
    section = {"adapter": "bu3dfe", "root": str(root), "overrides": {"faces": {"size": 64}}}
    config = validate({"databases": {"bu": section}})
    assert config.features_of("bu").faces.stills
    assert config.features_of("bu").faces.size == 64
    assert validate(config.model_dump(mode="json", by_alias=True)) == config


def test_the_papers_three_classes_are_those_of_its_label_map(root: Path):
    table = protocols.build("p", _read(root).clips, Protocol(databases=("bu",), labels="bu3dfe-3"), 0)
    assert Counter(row.label for row in table.rows) == {"negative": 32, "positive": 8, "surprise": 8}
    assert table.left_out == {"neutral": 2}
    # Table 1 of SA-AT has the same proportions, 4 to 1 to 1, and seven times as many images less some.
    for label, images in {"negative": 11012, "positive": 2730, "surprise": 2736}.items():
        count = 50 * sum(row.label == label for row in table.rows)
        assert 0.97 * 7 * count < images <= 7 * count


def test_images_of_another_name_are_named(root: Path):
    for name in ("F0001_XX01WH_F2D.bmp", "M0002_AN01WH_F2D.bmp", "preview.jpg"):
        (root / "BU_3DFE/F0001" / name).write_bytes(b"x")
    listing = _read(root)
    assert len(listing.clips) == 50
    assert [note.kind for note in listing.notes] == ["foreign_file"]
    assert "3 images" in listing.notes[0].detail
    assert "F0001/preview.jpg" in listing.notes[0].detail


def test_a_linked_image_outside_the_root_is_unsafe(root: Path, tmp_path_factory: pytest.TempPathFactory):
    outside = tmp_path_factory.mktemp("outside") / "x.bmp"
    outside.write_bytes(b"x")
    (root / "BU_3DFE/F0001/F0001_AN05WH_F2D.bmp").symlink_to(outside)
    clip = next(clip for clip in _read(root).clips if "AN05" in clip.clip_id)
    assert clip.issues[0].code == "unsafe_path"


def test_a_root_without_textures_says_what_is_expected(tmp_path: Path):
    (tmp_path / "F0001").mkdir()
    with pytest.raises(DatabaseError, match=r"F0001_AN01WH_F2D\.bmp; found F0001"):
        _read(tmp_path)


def test_a_variant_is_refused(root: Path):
    config = validate({"databases": {"bu": {"adapter": "bu3dfe", "root": str(root), "variant": "F3D"}}})
    with pytest.raises(DatabaseError, match=r"databases\.bu\.variant"):
        databases.read("bu", config.databases["bu"])
