from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.databases import folders
from mer_features.databases.folders import Tree
from tests.databases.trees import below, frames, opened

SUBJECT = re.compile(r"sub[0-9]+", re.IGNORECASE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    frames(tmp_path / "db" / "Frames" / "Sub01" / "EP02_01f", range(8, 12))
    return tmp_path / "db"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return frames(tmp_path / "outside" / "sub07" / "EP01", range(3)).parents[1]


def refusal(tree: Tree, parent: Path, name: str) -> str:
    with pytest.raises(ClipRejectedError) as error:
        tree.folder(parent, name)
    return error.value.issue.code


@pytest.mark.parametrize(
    ("name", "number"),
    [("img46.jpg", 46), ("reg_img046.JPG", 46), ("006_05562.jpg", 5562), ("s3_image257900.bmp", 257900),
     ("07750.bmp", 7750), ("EP01_12-003.png", 3), ("a.1.jpg", 1), ("img.jpg", None), (".img1.jpg", None),
     ("~img1.jpg", None), ("Thumbs.db", None), ("img1.txt", None), ("img1", None), (".jpg", None)],
)  # fmt: skip
def test_frame_numbers_are_the_last_digits_of_an_image_s_stem(name: str, number: int | None):
    assert folders.frame_number(name) == number


@pytest.mark.parametrize(
    ("name", "key"),
    [("s03", "s3"), ("S3", "s3"), ("006", "6"), ("sub10", "sub10"), ("sub100", "sub100"), ("s03_ne_01", "s3_ne_1"),
     ("000", "0"), ("1001", "1001")],
)  # fmt: skip
def test_padding_zeros_do_not_count(name: str, key: str):
    assert folders.unpadded(name) == key


def test_folders_are_found_in_any_case_and_padding_the_exact_spelling_first(root: Path):
    frames(root / "Frames" / "sub1" / "a", [1])
    tree = Tree(root)
    part = tree.folder(root, "FRAMES")
    assert part == root / "Frames"
    assert tree.folder(part, "sub01") == part / "Sub01"
    assert tree.folder(part, "sub01", folders.unpadded) == part / "Sub01"
    assert tree.folder(part, "sub1", folders.unpadded) == part / "sub1"
    assert refusal(tree, part, "sub2") == "source_missing"


@pytest.mark.parametrize("name", ["..", ".", "../outside", "/etc", "a/b", "..\\x", "C:\\x", "a\0b"])
def test_a_name_that_is_a_path_is_refused(root: Path, outside: Path, name: str):
    with opened() as seen:
        assert refusal(Tree(root), root / "Frames", name) == "unsafe_path"
    assert below(seen, outside) == []


def test_a_file_is_no_folder_and_an_empty_name_nothing(root: Path):
    (root / "Frames" / "sub02").touch()
    assert refusal(Tree(root), root / "Frames", "sub02") == "source_missing"
    assert refusal(Tree(root), root / "Frames", "") == "source_missing"


def test_links_that_leave_the_root_are_never_opened_and_others_are(root: Path, outside: Path):
    part = root / "Frames"
    (part / "sub07").symlink_to(outside / "sub07")
    (part / "sub08").symlink_to("Sub01")
    (part / "sub09").symlink_to("sub09")
    tree = Tree(root)
    with opened() as seen:
        assert [refusal(tree, part, name) for name in ("sub07", "SUB07", "sub09")] == ["unsafe_path"] * 3
        assert tree.frames(tree.folder(part / "sub08", "EP02_01f")) == (8, 9, 10, 11)
        assert tree.search(("Frames",), SUBJECT) == [part]
    assert below(seen, outside) == []
    assert len(seen) == len(set(seen)) == 4  # Frames, sub08, its clip, the root: nothing twice
    assert [note.detail for note in tree.notes() if note.kind == "layout"] == [
        "Frames/sub07 leaves the root and is not followed",
        "Frames/sub09 leaves the root and is not followed",
    ]


def test_a_frame_that_is_a_link_out_of_the_root_makes_its_clip_unsafe(root: Path, outside: Path):
    clip = root / "Frames" / "Sub01" / "EP02_01f"
    (clip / "img12.jpg").symlink_to("img11.jpg")
    assert Tree(root).frames(clip) == (8, 9, 10, 11, 12)
    (clip / "img13.jpg").symlink_to(outside / "sub07" / "EP01" / "img1.jpg")
    with opened() as seen, pytest.raises(ClipRejectedError, match="unsafe_path"):
        Tree(root).frames(clip)
    assert below(seen, outside) == []


def test_frames_come_from_one_listing_and_foreign_files_are_noted_once(root: Path):
    clips = [root / "Frames" / "Sub01" / "EP02_01f", frames(root / "Frames" / "Sub01" / "b", [100, 99])]
    for clip in clips:
        (clip / "Thumbs.db").touch()
    (root / "Frames" / "readme.txt").touch()
    (root / "Frames" / "~$sheet.xlsx").touch()
    tree = Tree(root)
    tree.entries(root / "Frames")
    with opened() as seen:
        assert [tree.frames(clip) for clip in clips] == [(8, 9, 10, 11), (99, 100)]
    assert seen == clips
    details = [note.detail for note in tree.notes() if note.kind == "foreign_file"]
    assert details == [
        "Frames/Sub01/EP02_01f/Thumbs.db and in 1 more folders",
        "Frames/readme.txt",
        "Frames/~$sheet.xlsx",
    ]


def test_many_foreign_names_are_counted(root: Path):
    clip = root / "Frames" / "Sub01" / "EP02_01f"
    for number in range(25):
        (clip / f"note{number:02d}.txt").touch()
    tree = Tree(root)
    tree.frames(clip)
    details = [note.detail for note in tree.notes()]
    assert len(details) == 21
    assert details[-1].startswith("5 more names")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, None], ids=["empty", "a file", "missing"])
def test_a_folder_without_frames_is_rejected(root: Path, make):
    place = root / "Frames" / "x"
    if make:
        make(place)
    with pytest.raises(ClipRejectedError, match="no_frames"):
        Tree(root).frames(place)


def test_a_folder_that_may_not_be_listed_is_noted(root: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(folder: Path):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    tree = Tree(root)
    assert tree.entries(root / "Frames").folders == []
    assert [(note.kind, note.detail) for note in tree.notes()] == [
        ("layout", "Frames cannot be listed (Permission denied)")
    ]


def test_search_prefers_the_nearest_then_the_first_name_then_the_root(tmp_path: Path):
    for place in (
        "Cropped-updated/Cropped/sub01",
        "Cropped_original/sub01",
        "Empty/Cropped/other",
        "sub01/Cropped/sub02",
    ):
        (tmp_path / place).mkdir(parents=True)
    tree = Tree(tmp_path)
    names = ("Cropped", "Cropped_original")
    assert tree.search(names, SUBJECT) == [tmp_path / "Cropped_original", tmp_path / "Cropped-updated" / "Cropped"]
    assert tree.search(("nothing",), SUBJECT) == []
    assert tree.search(("nothing",), SUBJECT, takes_root=True) == [tmp_path]
    assert tree.search((tmp_path.name,), SUBJECT) == [tmp_path]
    assert tree.search(names, SUBJECT, depth=1) == [tmp_path / "Cropped_original"]


def test_a_wrong_root_is_not_searched_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folders, "_SEARCH_LIMIT", 10)
    for number in range(30):
        (tmp_path / f"d{number}" / "e" / "f").mkdir(parents=True)
    with opened() as seen:
        assert Tree(tmp_path).search(("Cropped",), SUBJECT) == []
    assert len(seen) <= 12


def test_what_the_root_holds_is_shown_shortened(root: Path, outside: Path):
    (root / "link").symlink_to(outside)
    assert "Frames/, link (a symbolic link that leaves the root" in Tree(root).contents()
    for number in range(30):
        (root / f"file{number:02d}").touch()
    assert Tree(root).contents().endswith("and 12 more")


def test_key_frames_without_a_file_are_named():
    clip = Clip("s/a", "db", "s", "x", onset=4, apex=7, offset=110)
    assert folders.off_disk(clip, (4, 5, 96)) == (
        Issue("frame_not_on_disk", "apex 7, nearest is 5"),
        Issue("frame_not_on_disk", "offset 110, nearest is 96"),
    )
    outside = Clip("s/a", "db", "s", "x", onset=4, apex=1930, offset=96)
    assert folders.off_disk(outside, (4, 5, 96)) == ()  # an apex outside is the apex stage's to report
