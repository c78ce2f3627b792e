import csv
from collections import Counter
from pathlib import Path

import pytest

from mer_features import databases
from mer_features.databases import DatabaseError
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.owners import casmesq
from mer_features.workflow.config import validate
from tests.databases.trees import frames, workbook
from tests.shared import shared

SHEET = "CAS(ME)^2code_final(Updated).xlsx"
FILMS = {
    "anger1": "0401girlcrashing", "anger2": "0402beatingpregnantwoman", "disgust1": "0101disgustingteeth",
    "disgust2": "0102eatingworms", "happy1": "0502funnyerrors", "happy2": "0503unnyfarting",
    "happy3": "0505funnyinnovations", "happy4": "0507climbingthewall", "happy5": "0508funnydunkey",
}  # fmt: skip
# participant, expression, onset, apex, offset, action units, emotion, type, reported emotion
ROWS = [
    (1, "anger1_1", 557, 572, 608, "4+10", "negative", "macro-expression", "anger"),
    (1, "anger1_2", 700, 708, 712, 38, "others", "micro-expression", "sadness"),
    (2, "happy1_2", 178, 190, 0, "NULL", "positive", "macro-expression", "happyiness"),
    (22, "happy5_1", 20, 24, 26, None, "surprise", "micro-expression", "surprise"),
]
FOLDERS = {1: "s15", 2: "s16", 22: "s40"}


def _build(root: Path, rows: list[tuple], folders: dict[int, str] = FOLDERS) -> Path:
    for participant, clip, *marks in rows:
        subject, film = folders[int(participant)], FILMS[clip.split("_")[0]]
        numbers = {int(mark) for mark in marks[:3] if int(mark)}
        frames(root / "rawpic" / subject / f"{subject[1:]}_{film}", numbers)
    rules = list(folders.items())
    films = [(film[:4], film[4:], name) for name, film in FILMS.items()]
    workbook(root / SHEET, rows, "code", **{"naming rule1": rules, "naming rule2": films})
    return root


def _read(root: Path, **options: object) -> databases.Listing:
    return casmesq.read("sq", root, OwnerDatabase(adapter="casmesq", root=root, **options))


def test_a_row_is_part_of_the_recording_that_the_naming_rules_give(tmp_path: Path):
    root = _build(tmp_path, ROWS)
    clips = _read(root, variant="all").clips
    assert [(c.clip_id, c.first, c.onset, c.apex, c.offset, c.last, c.emotion, c.action_units) for c in clips] == [
        ("s15/anger1_1", 557, 557, 572, 608, 608, "negative", "4+10"),
        ("s15/anger1_2", 700, 700, 708, 712, 712, "others", "38"),
        ("s16/happy1_2", 178, 178, 190, None, 190, "positive", ""),
        ("s40/happy5_1", 20, 20, 24, 26, 26, "surprise", ""),
    ]
    assert clips[0].source == clips[1].source == (root / "rawpic/s15/15_0401girlcrashing").as_posix()
    assert {clip.fps for clip in clips} == {30.0}


def test_an_offset_of_zero_is_not_annotated_and_null_is_no_action_unit(tmp_path: Path):
    clips = _read(_build(tmp_path, ROWS), variant="all").clips
    issues = [[(issue.code, issue.detail) for issue in clip.issues] for clip in clips]
    assert issues == [
        [], [], [("empty_cell", "offset"), ("empty_cell", "action_units")], [("empty_cell", "action_units")],
    ]  # fmt: skip


def test_variants_choose_the_type_of_expression(tmp_path: Path):
    root = _build(tmp_path, ROWS)
    names = {variant: [c.name for c in _read(root, variant=variant).clips] for variant in ("micro", "macro")}
    assert names == {"micro": ["anger1_2", "happy5_1"], "macro": ["anger1_1", "happy1_2"]}
    assert [clip.name for clip in _read(root).clips] == names["micro"]


def test_contradicting_marks_keep_the_frames_between_all_of_them(tmp_path: Path):
    rows = [
        (1, "anger1_1", 1221, 1230, 1224, "4", "negative", "micro-expression", "anger"),
        (1, "anger1_2", 900, 850, 880, "4", "negative", "micro-expression", "anger"),
    ]
    clips = _read(_build(tmp_path, rows)).clips
    assert [(clip.first, clip.last, clip.issues) for clip in clips] == [(1221, 1224, ()), (850, 900, ())]


def test_rows_that_cannot_be_placed_are_their_clips_issues(tmp_path: Path):
    root = _build(tmp_path, ROWS)
    rows = [
        *ROWS,
        (99, "anger1_1", 5, 6, 7, "4", "negative", "micro-expression", "anger"),
        (1, "sad1_1", 5, 6, 7, "4", "negative", "micro-expression", "anger"),
        (1, "anger2_1", 5, 6, 7, "4", "negative", "micro-expression", "anger"),
        ("../..", "anger1_1", 5, 6, 7, "4", "negative", "micro-expression", "anger"),
        (1, "anger1_9", 5, "?", 608, "4", "negative", "expression", "anger"),
        (None, None, None, None, None, None, None, None, None),
    ]
    workbook(root / SHEET, rows, "code")
    clips = _read(root).clips
    assert [(clip.clip_id, [issue.code for issue in clip.issues]) for clip in clips[2:]] == [
        ("99/anger1_1", ["source_missing"]),
        ("s15/sad1_1", ["source_missing"]),
        ("s15/anger2_1", ["source_missing"]),
        ("unknown/anger1_1", ["unsafe_path"]),
        ("s15/anger1_9", ["bad_cell", "bad_cell", "frame_not_on_disk"]),
    ]
    assert all(Path(clip.source).resolve().is_relative_to(root) for clip in clips)


def test_messages_name_what_is_missing(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"expected a folder rawpic"):
        _read(tmp_path)
    root = _build(tmp_path, ROWS)
    workbook(root / SHEET, [(1, "s15")], "naming rule1")
    with pytest.raises(DatabaseError, match=r"no row like 1, anger1_1, 557.*by position"):
        _read(root)
    (root / SHEET).unlink()
    with pytest.raises(DatabaseError, match=r"no annotation sheet like CAS\(ME\)\^2code_final"):
        _read(root)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The tree of the public sheet, whose export says the folder of each row's recording."""
    with shared("datasets", "annotations", "casmesq_code_final_updated.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    for row in rows:
        numbers = {int(mark) for mark in row[2:5] if int(mark)}
        frames(tmp_path / "rawpic" / row[10], numbers)
    cells = [[*map(int, row[:1]), row[1], *map(int, row[2:5]), *row[5:9]] for row in rows]
    workbook(tmp_path / SHEET, cells, "code", **{"naming rule1": [], "naming rule2": []})
    return tmp_path


def test_the_published_357_rows(published: Path):
    config = validate({"databases": {"sq": {"adapter": "casmesq", "root": str(published), "variant": "all"}}})
    clips = databases.read("sq", config.databases["sq"]).clips
    assert len(clips) == len({clip.clip_id for clip in clips}) == 357
    assert len({clip.subject for clip in clips}) == 22
    assert {issue.code for clip in clips for issue in clip.issues} == {"empty_cell"}
    assert sum(clip.offset is None for clip in clips) == 44
    assert Counter(clip.emotion for clip in clips) == {"negative": 126, "positive": 124, "others": 82, "surprise": 25}


def test_the_published_57_micro_and_300_macro_expressions(published: Path):
    micro, macro = (_read(published, variant=variant).clips for variant in ("micro", "macro"))
    assert Counter(clip.emotion for clip in micro) == {"negative": 21, "others": 19, "surprise": 9, "positive": 8}
    assert len({clip.subject for clip in micro}) == 14
    assert Counter(clip.emotion for clip in macro) == {"positive": 116, "negative": 105, "others": 63, "surprise": 16}
    assert [clip.clip_id for clip in micro if clip.offset is None] == []
