"""The file of one spotter for the report: the same scores as `score`, states of every interval, recognition."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from jinja2 import Environment, PackageLoader

from mer_features import spotting
from mer_features.protocols.metrics import Prediction
from mer_features.report import recordings as section
from mer_features.spotting import Event, Recording, Spot
from mer_features.spotting.summary import Annotations, recognise, summarise

FILMS = [Recording(f"s{n}/<b>film</b>{n}", f"s{n}", "films", 1, 300, 30.0) for n in range(4)]
EVENTS = [
    Event(film.recording_id, start, start + length, kind, start + 5, event_id=f"{film.subject}-{start}")
    for film in FILMS[:3]
    for start, length, kind in ((10, 12, "micro"), (60, 12, "micro"), (120, 50, "macro"))
]
#: Each event of the first two films is found, one frame late; one more spot is false, in the film without an event.
SPOTS = {
    f"c{n}": Spot(event.recording_id, event.onset + 1, event.offset + 1, event.kind, score=0.5)
    for n, event in enumerate(EVENTS[:6])
} | {"false": Spot(FILMS[3].recording_id, 10, 22, "micro", score=0.1)}
TRUTH = Annotations(FILMS, EVENTS)
EVENTS_AS_SPOTS = [Spot(event.recording_id, event.onset, event.offset, event.kind, score=1.0) for event in EVENTS]


def predictions(classes: dict[str, str]) -> list[Prediction]:
    return [Prediction(clip, "spots", "s", "f", 0, "", label, (1.0, 0.0)) for clip, label in classes.items()]


def test_scores_are_those_of_score_and_every_interval_has_its_state():
    found = summarise(TRUTH, list(SPOTS.values()), names=("films", "regions"), measured_on="a test")
    expected = spotting.score(EVENTS, list(SPOTS.values()), FILMS)["spotting"]["overall"]
    assert found["scores"]["spotting"]["overall"]["f1"] == expected["f1"] == 12 / 16
    states = [[mark["state"] for mark in film["events"]] for film in found["timelines"]]
    assert states == [["found"] * 3, ["found"] * 3, ["missed"] * 3, []]
    assert [mark["state"] for film in found["timelines"] for mark in film["spots"]] == ["right"] * 6 + ["false"]
    json.dumps(found, allow_nan=False)


def test_recognition_against_hand_counts():
    """Four micro hits of six micro-expressions and one false spot; of the hits, one has another class."""
    labels = {event.event_id: "a" if event.onset == 10 else "b" for event in EVENTS if event.kind == "micro"}
    right = {clip: "a" if spot.onset == 11 else "b" for clip, spot in SPOTS.items() if spot.kind == "micro"}
    runs = {0: predictions(right), 1: predictions(right | {"c0": "b"})}
    found = recognise(TRUTH, SPOTS, labels, runs, classes=("a", "b"), names=("films", "regions", "micro", "linear"))
    spotted = 2 * 4 / (5 + 6)
    precision, recall = (1 + 2 / 3) / 2, (0.5 + 1) / 2
    second = spotted * 2 * precision * recall / (precision + recall)
    assert [item["strs"] for item in found["by_seed"]] == pytest.approx([spotted, second])
    assert found["strs"] == pytest.approx((spotted + second) / 2)
    assert [item["joint_f1"] for item in found["by_seed"]] == pytest.approx([8 / 11, 6 / 11])
    low, high = found["strs_interval"]
    assert low <= found["strs"] <= high
    assert found["clips"] == 4


def test_a_spot_that_a_stage_rejected_has_no_class():
    labels = {event.event_id: "a" for event in EVENTS if event.kind == "micro"}
    runs = {0: predictions({"c0": "a"})}
    found = recognise(TRUTH, SPOTS, labels, runs, classes=("a",), names=("films", "regions", "micro", "linear"))
    assert found["joint_f1"] == pytest.approx(2 * 1 / (5 + 6))


def test_nothing_spotted_is_zero_and_not_an_error():
    found = recognise(TRUTH, {}, {}, {0: []}, classes=("a",), names=("films", "regions", "micro", "linear"))
    assert found["strs"] == 0
    assert found["analysis_f1"] is None


def test_the_section_of_the_report(tmp_path: Path):
    (tmp_path / "s.json").write_text(
        json.dumps(summarise(TRUTH, list(SPOTS.values()), names=("films", "regions"), measured_on="x"))
    )
    (tmp_path / "b.json").write_text(
        json.dumps(summarise(TRUTH, [], names=("films", "blind"), control="blind", measured_on="x"))
    )
    better = summarise(TRUTH, EVENTS_AS_SPOTS, names=("films", "shuffled"), control="shuffled", measured_on="x")
    (tmp_path / "c.json").write_text(json.dumps(better))
    sections = section.build([tmp_path / name for name in ("b.json", "c.json", "s.json")], [])
    assert [(item.name, item.best, item.without_event) for item in sections] == [("films", "regions", 1)]
    rows = {(row.spotter, row.kind): row for row in sections[0].rows}
    assert rows["regions", "micro"].onset_ms == pytest.approx(1000 / 30)
    assert math.isclose(rows["regions", "micro"].false_without_event or 0, 60 / 10)
    environment = Environment(loader=PackageLoader("mer_features.report"), autoescape=True)
    page = environment.get_template("recordings.html.jinja").render(recordings=sections)
    assert "s0/&lt;b&gt;film" in page
    assert "<b>film" not in page
    assert page.count('class="spot right"') == 6  # of the method, not of the better control
    assert page.count("control: training events shuffled") == 3


def test_without_events_nothing_is_right_or_false(tmp_path: Path):
    found = summarise(Annotations(FILMS, []), list(SPOTS.values()), names=("films", "regions"), measured_on="own films")
    assert {mark["state"] for film in found["timelines"] for mark in film["spots"]} == {"not judged"}
    (tmp_path / "s.json").write_text(json.dumps(found))
    environment = Environment(loader=PackageLoader("mer_features.report"), autoescape=True)
    page = environment.get_template("recordings.html.jinja").render(recordings=section.build([tmp_path / "s.json"], []))
    assert "neither right nor false" in page
    assert '<th scope="row">regions' not in page
    assert page.count('class="spot not-judged"') == 7
