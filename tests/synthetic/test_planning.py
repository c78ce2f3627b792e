from collections import Counter

import pytest

from mer_features.core import action_units as sheet_units
from mer_features.synthetic import PRESETS, emotions, plan
from mer_features.synthetic.presets import CLASSES, preset

CLASS_OF = {word: name for name, words in CLASSES.items() for word in words}


def classes(clips):
    return Counter(CLASS_OF[clip.emotion] for clip in clips)


@pytest.mark.parametrize(
    ("name", "subjects", "negative", "positive", "surprise"),
    [("cde-smic", 16, 70, 51, 43), ("cde-casme2", 24, 88, 32, 25), ("cde-samm", 28, 92, 26, 15)],
)
def test_composite_presets_have_the_counts_of_megc_2019(name, subjects, negative, positive, surprise):
    clips = plan(name, 0)
    assert classes(clips) == {"negative": negative, "positive": positive, "surprise": surprise}
    assert len({clip.subject for clip in clips}) == subjects


def test_the_composite_is_442_clips_of_68_subjects():
    clips = [clip for name in ("cde-smic", "cde-casme2", "cde-samm") for clip in plan(name, 0)]
    assert len(clips) == 442
    assert len({(clip.preset, clip.subject) for clip in clips}) == 68


def test_demo_counts():
    clips = plan("demo", 0)
    assert classes(clips) == {"negative": 41, "positive": 19, "surprise": 16, "others": 5}
    assert set(Counter(clip.subject for clip in clips).values()) == {9}


@pytest.mark.parametrize("name", PRESETS)
def test_every_subject_has_its_share_of_every_class(name):
    clips = plan(name, 5)
    total = classes(clips)
    for subject in {clip.subject for clip in clips}:
        own = [clip for clip in clips if clip.subject == subject]
        counts = classes(own)
        for word, count in total.items():
            assert abs(counts[word] - len(own) * count / len(clips)) <= 1.5


@pytest.mark.parametrize("name", PRESETS)
def test_clips_keep_to_their_preset(name):
    settings = preset(name)
    clips = plan(name, 1)
    assert len({clip.clip_id for clip in clips}) == len(clips) == sum(settings.clips)
    low, high = settings.intensity_px
    for clip in clips:
        assert clip.onset < clip.apex < clip.offset
        assert settings.frames[0] <= clip.frames == clip.offset - clip.onset + 1 <= settings.frames[1]
        assert low * 0.999 <= max(action.peak_px for action in clip.actions) <= high * 1.001


def test_a_plan_depends_on_its_seed_alone():
    assert plan("demo", 7) == plan("demo", 7)
    assert plan("demo", 7) != plan("demo", 8)


def test_sheet_texts_can_be_read_back():
    sided = 0
    for clip in plan("demo", 0):
        read = sheet_units.parse(emotions.text(clip.actions))
        assert not read.unread
        assert [unit.number for unit in read.units] == [action.unit for action in clip.actions]
        sided += any(unit.side for unit in read.units)
    assert sided > 5


def test_emotions_vary_but_keep_their_core():
    by_emotion = {}
    for clip in plan("demo", 0) + plan("demo", 1):
        by_emotion.setdefault(clip.emotion, set()).add(tuple(action.unit for action in clip.actions))
    assert all(len(kinds) > 3 for kinds in by_emotion.values())
    assert all(12 in units for units in by_emotion["happiness"])
    assert all({1, 2, 5} & set(units) for units in by_emotion["surprise"])


def test_unknown_presets_are_named():
    with pytest.raises(ValueError, match="'huge'; known: tiny, small, demo"):
        plan("huge", 0)
