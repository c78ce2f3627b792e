from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer_features.core import clips
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue

CLIP = Clip("sub01/EP02_01f", "demo", "sub01", "data/sub01/EP02_01f", onset=46, apex=59, offset=86, fps=200.0)


def test_table_round_trip(tmp_path: Path):
    table = (CLIP, Clip("s/ü\t1", "d", "s", "x y", emotion="a\nb", issues=(Issue("empty_cell", "apex\t«»"),)))
    (tmp_path / "t.tsv").write_text(clips.dumps(table), encoding="utf-8")
    assert clips.read(tmp_path / "t.tsv") == table


@pytest.mark.parametrize(
    ("content", "found"),
    [("", "an empty file"), ("a\tb\n", r"\['a', 'b'\]"), (clips.dumps([CLIP]).replace("\t46\t", "\tx\t"), "'x'")],
)
def test_bad_table_is_named(tmp_path: Path, content: str, found: str):
    path = tmp_path / "broken.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"broken\.tsv.*{found}"):
        clips.read(path)


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=30), st.integers(1, 20))
def test_adding_a_subject_moves_nobody(subjects: list[str], shards: int):
    before = {subject: clips.shard_of(subject, shards) for subject in subjects[:-1]}
    table = [Clip(f"{i}/c", "d", subject, "") for i, subject in enumerate(subjects)]
    after = {clip.subject: name for name, members in clips.split(table, shards).items() for clip in members}
    assert set(after) == set(subjects)
    assert all(after[subject] == name for subject, name in before.items())


def test_key_frames_are_positions_among_the_files():
    keys = clips.key_frames(CLIP, list(range(46, 87)))
    assert (keys.onset, keys.apex, keys.offset, keys.issues) == (0, 13, 40, ())


def test_key_frames_report_what_is_not_on_disk():
    keys = clips.key_frames(CLIP, [46, 47, 58, 60, 80])
    assert (keys.onset, keys.apex, keys.offset) == (0, 2, 4)
    assert [issue.code for issue in keys.issues] == ["frame_not_on_disk"] * 2


def test_apex_outside_is_dropped_and_reported():
    keys = clips.key_frames(Clip("a/b", "d", "a", "", onset=10, apex=300, offset=20), list(range(10, 21)))
    assert keys.apex is None
    assert [issue.code for issue in keys.issues] == ["apex_outside"]


def test_unknown_range_uses_the_whole_clip_and_says_so():
    keys = clips.key_frames(Clip("a/b", "d", "a", ""), [5, 6, 7])
    assert (keys.onset, keys.apex, keys.offset) == (0, None, 2)
    assert [issue.code for issue in keys.issues] == ["onset_missing", "offset_missing"]


def test_a_reversed_range_uses_the_whole_clip_and_says_so():
    keys = clips.key_frames(Clip("a/b", "d", "a", "", onset=7, offset=5), [5, 6, 7])
    assert (keys.onset, keys.apex, keys.offset) == (0, None, 2)
    assert [issue.code for issue in keys.issues] == ["range_reversed"]
