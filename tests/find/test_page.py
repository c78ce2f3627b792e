"""Spots, tables and the page of `find`, on signals that are made up."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mer_features.commands.find import page, tables
from mer_features.commands.find.checks import bad_spans, check
from mer_features.commands.find.spots import Search, region_words, search, surroundings
from mer_features.spotting import Recording, read_events, read_spots
from mer_features.spotting.options import RegionSpotter
from mer_features.stages.signals import REGIONS, Signals

FPS = 30.0
BROWS = ("brow_inner_right", "brow_inner_left")
#: Start in seconds, length in seconds, size in distances between the eyes, regions.
Bump = tuple[float, float, float, tuple[str, ...]]
MICRO: Bump = (4.0, 0.4, 0.012, BROWS)
MACRO: Bump = (8.0, 1.6, 0.05, ("mouth_corner_right", "mouth_corner_left", "cheek_right"))
TALK: Bump = (12.0, 0.4, 0.02, ("lower_lip",))


def signals(seconds: float, bumps: tuple[Bump, ...] = (), *, fps: float = FPS, noise: float = 0.0004) -> Signals:
    """Noise, and movements that rise and fall as raised cosines."""
    random = np.random.default_rng(1)
    count = round(seconds * fps)
    time = np.arange(count) / fps
    motion = random.normal(0, noise, (count, len(REGIONS), 2))
    for start, length, size, regions in bumps:
        phase = np.clip((time - start) / length, 0, 1)
        for region in regions:
            motion[:, REGIONS.index(region), 1] += size * (0.5 - 0.5 * np.cos(2 * np.pi * phase))
    return Signals(
        number=np.arange(count),
        time_s=time,
        motion=motion.astype(np.float32),
        lids=random.normal(0, noise, (count, 2)).astype(np.float32),
        head=np.zeros((count, 4), np.float32),
        residual=np.full(count, 0.001, np.float32),
        reliable=np.ones(count, bool),
        segment=np.zeros(count, np.int32),
        brightness=np.full(count, 120, np.float32),
        repeated=np.zeros(count, bool),
        fps=fps,
        eye_px=90.0,
    )


def searched(values: Signals) -> Search:
    return search(values, "film", RegionSpotter(tune=False))


#: Elements without an end, and one that is used with and without text.
_EMPTY = {"meta", "img", "source", "line", "rect", "polyline", "i"}


class _Reader(HTMLParser):
    """Tags and text of a page; fails on a tag that is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in _EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def classes(self, tag: str) -> list[str | None]:
        return [attributes.get("class") for name, attributes in self.tags if name == tag]


def rendered(values: Signals, source: Path = Path("film.mp4")) -> _Reader:
    return _Reader(page.render(source, searched(values), check(values), {}))


# Spots


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        (("brow_inner_right", "brow_inner_left"), ("inner brows",)),
        (("brow_outer_left",), ("left outer brow",)),
        (
            ("brow_inner_left", "brow_middle_left", "brow_outer_left", "brow_inner_right"),
            ("left brow", "right inner brow"),
        ),
        (tuple(name for name in REGIONS if name.startswith("brow")), ("brows",)),
        (("mouth_corner_right", "chin", "mouth_corner_left"), ("mouth corners", "chin")),
        (("nose_wing_left", "upper_lip", "cheek_right"), ("left nose wing", "upper lip", "right cheek")),
    ],
)
def test_regions_are_named_in_words(regions, words):
    assert region_words(regions) == words


def test_every_region_of_a_spot_has_a_word():
    assert all(region_words([name]) for name in REGIONS if not name.startswith(("nose_bridge", "nose_tip")))


def test_spots_have_the_times_and_the_kind_of_the_movements():
    micro, macro, talk = searched(signals(16, (MICRO, MACRO, TALK))).entries
    assert (micro.kind, macro.kind, talk.kind) == ("micro", "macro", "micro")
    assert (micro.start_s, micro.apex_s, micro.end_s) == pytest.approx((4.0, 4.2, 4.4), abs=0.1)
    assert (macro.start_s, macro.apex_s, macro.end_s) == pytest.approx((8.0, 8.8, 9.6), abs=0.2)
    assert set(micro.regions) == {"inner brows"}
    assert set(macro.regions) == {"mouth corners", "right cheek"}
    assert talk.flags == ("mouth only",)
    assert talk.mouth_only
    assert not macro.mouth_only
    assert micro.times_noise > 5


def test_below_25_frames_per_second_only_macro_expressions_are_searched():
    found = searched(signals(16, (MICRO, MACRO), fps=15))
    assert [entry.kind for entry in found.entries] == ["macro"]
    assert found.kinds == ("macro",)
    assert searched(signals(16, (MICRO,), fps=25)).kinds == ("micro", "macro")


def test_flags_name_what_makes_a_spot_doubtful():
    values = signals(16, (MICRO,))
    values.head[:, 1] = np.interp(values.time_s, [4.0, 4.4], [0, 5])
    values.repeated[125] = True
    (entry,) = searched(values).entries
    assert entry.flags == ("head moves", "repeated frames")


def test_surroundings_stay_within_the_segment_and_the_film():
    values = signals(16, (MICRO, (0.9, 0.4, 0.02, BROWS)))
    first, second = searched(values).entries
    assert surroundings(searched(values), first, 5.0)[0] == 0
    low, high = surroundings(searched(values), second, 0.2)
    assert (second.finding.spot.onset - low, high - second.finding.spot.offset) == (6, 6)
    values.segment[values.time_s > 3.95] = 1
    (entry,) = [entry for entry in searched(values).entries if entry.start_s > 3.9]
    assert values.segment[surroundings(searched(values), entry, 5.0)[0]] == 1


# Checks


@pytest.mark.parametrize(
    ("change", "name", "found"),
    [
        ({"fps": 15.0}, "frame rate", "15.0 per second"),
        ({"eye_px": 31.0}, "distance between the eyes", "31 px"),
        ({"reliable": 0.5}, "frames in which the face was followed", "50%"),
        ({"repeated": 0.5}, "frames that repeat the one before", "50%"),
        ({"brightness": 252.0}, "brightness of the face", "252 of 255"),
        ({"brightness": np.nan}, "brightness of the face", "nan of 255"),
        ({"seconds": 3.0}, "length", "3.0 s"),
    ],
)
def test_each_failed_check_says_what_was_found_and_wanted(change, name, found):
    values = signals(change.get("seconds", 16.0), fps=change.get("fps", FPS))
    if "eye_px" in change:
        values = replace(values, eye_px=change["eye_px"])
    if "brightness" in change:
        values.brightness[:] = change["brightness"]
    values.reliable[: round(change.get("reliable", 0) * len(values.number))] = False
    values.repeated[: round(change.get("repeated", 0) * len(values.number))] = True
    (failed,) = [item for item in check(values) if not item.passed]
    assert (failed.name, failed.found) == (name, found)
    assert f"found {found}, wanted " in failed.text


def test_a_good_recording_passes_every_check():
    assert all(item.passed for item in check(signals(16)))


def test_spans_of_bad_quality_have_their_times_and_reasons():
    values = signals(16)
    values.reliable[30:60] = False
    values.brightness[90:120] = 250
    values.repeated[200:202] = True  # too short to be shown
    spans = [(span.start_s, span.end_s, span.reason) for span in bad_spans(values)]
    assert spans == [
        (1.0, pytest.approx(2.0), "face not followed"),
        (3.0, pytest.approx(4.0), "too dark or too bright"),
    ]


# Tables


def test_the_table_of_spots_is_read_as_spots_and_as_events(tmp_path: Path):
    found = searched(signals(16, (MICRO, MACRO)))
    path = tmp_path / "events.tsv"
    path.write_text(tables.events(found))
    spots = read_spots(path, [Recording("s1/film", first=0, last=479, fps=FPS)])
    assert spots.format == "own"
    assert [(spot.onset, spot.offset, spot.apex, spot.kind) for spot in spots.rows] == [
        (entry.finding.spot.onset, entry.finding.spot.offset, entry.finding.spot.apex, entry.kind)
        for entry in found.entries
    ]
    assert all(0 < spot.score <= 1 for spot in spots.rows)
    events, _ = read_events(path)
    assert [event.event_id for event in events.rows] == ["1", "2"]


def test_a_table_without_spots_is_read(tmp_path: Path):
    path = tmp_path / "events.tsv"
    path.write_text(tables.events(searched(signals(16))))
    assert read_spots(path, [Recording("film")]).rows == ()


def test_names_are_unique_and_safe(tmp_path: Path):
    (tmp_path / "film.d").mkdir()
    paths = [tmp_path / "a" / "film.mp4", tmp_path / "b" / "film.avi", tmp_path / "film.d", Path("<b>.mp4")]
    assert tables.safe_names(paths) == ["film", "film.2", "film.d", "b"]


# The page


def test_nothing_found_is_said_in_one_sentence():
    html = rendered(signals(16))
    assert "Nothing above the noise of this recording." in html.words
    assert "What was found" not in html.words
    assert "micro" not in html.classes("rect")


def test_each_spot_is_in_the_list_and_in_the_timeline():
    values = signals(16, (MICRO, MACRO, TALK))
    values.lids[60:66] = -0.1
    values.reliable[300:330] = False
    html = rendered(values)
    assert "1 micro-expression, 1 macro-expression, 1 movement of the mouth alone." in html.words
    assert html.classes("rect") == ["bad", "micro", "macro", "micro", "blink"]
    identifiers = {attributes.get("id") for _, attributes in html.tags} - {None}
    links = {attributes["href"] for name, attributes in html.tags if name == "a"}
    assert links == {f"#{name}" for name in identifiers} == {"#spot-1", "#spot-2", "#spot-3"}
    assert "1 Inner brows" in html.words
    assert html.words.index("Movements of the mouth alone") < html.words.index("3 Lower lip")


def test_a_long_recording_has_one_row_per_minute():
    html = rendered(signals(75, ((59.8, 0.4, 0.02, BROWS),)))
    assert len([name for name, _ in html.tags if name == "svg"]) == 2
    assert html.classes("rect") == ["micro", "micro"]  # it crosses the end of the first row
    assert "1:10" in html.words


def test_the_curve_exceeds_the_limit_in_the_spot_alone():
    html = rendered(signals(16, (MICRO,)))
    (points,) = [attributes["points"] for name, attributes in html.tags if name == "polyline"]
    x, y = np.array([point.split(",") for point in points.split()], dtype=float).T
    seconds = x / 1000 * 16
    limit = 40 - 40 / 4
    assert (y[(seconds > 4.1) & (seconds < 4.3)] < limit).all()
    assert (y[(seconds < 3.9) | ((seconds > 4.5) & (seconds < 15.5))] > limit).all()


def test_names_are_text_in_the_page():
    name = "<img src=x onerror=alert(1)> & co.mp4"
    html = rendered(signals(16, (MICRO,)), Path(name))
    assert name in html.words
    assert not [name for name, attributes in html.tags if "onerror" in attributes]


def test_failed_checks_are_named_above_everything_else():
    html = rendered(replace(signals(16), eye_px=31.0))
    assert "Distance between the eyes: found 31 px, wanted at least 60 px." in html.words
    assert html.words.index("Distance between the eyes") < html.words.index("Timeline")


def test_the_page_names_no_emotion():
    words = rendered(signals(16, (MICRO, MACRO, TALK))).words.lower()
    assert not [word for word in ("emotion", "happ", "anger", "fear", "disgust", "surprise", "sad") if word in words]


def test_the_page_needs_nothing_from_outside():
    html = rendered(signals(16, (MICRO,)))
    targets = [
        value for _, attributes in html.tags for key, value in attributes.items() if key in {"href", "src", "srcset"}
    ]
    assert all(target.startswith(("#", "data:")) for target in targets)
