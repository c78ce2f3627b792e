"""Clips of recordings: margins end with the film, names are unique, labels come from events only."""

from __future__ import annotations

from pathlib import Path

from mer_features.core.recordings import SEPARATOR, Event, Recording, Spot
from mer_features.databases.recorded import cut

FILM = Recording("s1/film", "s1", "films", 1, 300, 30.0, "films/s1/film", "digest")


def test_a_margin_ends_with_the_film():
    events = [Event("s1/film", 3, 20, "micro", 9, "anger", "s1/film/row-2", "4"), Event("s1/film", 280, 298, "macro")]
    clips = [clip for clip, _ in cut([FILM], events, database="events", margin_s=0.2)]
    assert [(clip.first, clip.onset, clip.apex, clip.offset, clip.last) for clip in clips] == [
        (1, 3, 9, 20, 26), (274, 280, None, 298, 300),
    ]  # fmt: skip
    assert [(clip.clip_id, clip.emotion, clip.action_units) for clip in clips] == [
        ("s1/film-3-20", "anger", "4"), ("s1/film-280-298", "", ""),
    ]  # fmt: skip
    assert {(clip.database, clip.subject, clip.source, clip.fps, clip.digest) for clip in clips} == {
        ("events", "s1", "films/s1/film", 30.0, "digest")
    }


def test_a_margin_at_200_frames_per_second_has_all_source_frames():
    film = Recording("s1/film", "s1", "films", 0, 5000, 200.0, "film.mkv")
    ((clip, _),) = cut([film], [Spot("s1/film", 1000, 1099)], database="spots", margin_s=0.1)
    assert (clip.first, clip.last) == (980, 1119)


def test_two_events_of_the_same_frames_are_two_clips():
    events = [Event("s1/film", 30, 50, kind) for kind in ("macro", "micro")]
    pairs = cut([FILM], events, database="events")
    assert [(clip.clip_id, interval.kind) for clip, interval in pairs] == [
        ("s1/film-30-50", "macro"), ("s1/film-30-50.2", "micro"),
    ]  # fmt: skip


def test_a_spot_has_no_label():
    ((clip, _),) = cut([FILM], [Spot("s1/film", 30, 50, "micro", 40, "anger", 0.9)], database="spots")
    assert (clip.emotion, clip.apex) == ("", 40)


def test_a_film_in_two_folders_is_cut_from_the_one_with_the_frames(tmp_path: Path):
    for name, numbers in (("a", range(1, 51)), ("b", range(40, 91))):
        (tmp_path / name).mkdir()
        for number in numbers:
            (tmp_path / name / f"image{number:05d}.jpg").touch()
    source = SEPARATOR.join(str(tmp_path / name) for name in "ab")
    film = Recording("s1/film", "s1", "films", 1, 90, 100.0, source)
    spots = [Spot("s1/film", 10, 30), Spot("s1/film", 60, 80)]
    clips = [clip for clip, _ in cut([film], spots, database="spots", margin_s=0.1)]
    assert [Path(clip.source).name for clip in clips] == ["a", "b"]
