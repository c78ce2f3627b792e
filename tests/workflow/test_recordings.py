"""Recordings in the real workflow: rendered, measured, searched without the subject, recognised, reported."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.workflow.conftest import Project, make_project

NEGATIVE = ["disgust", "anger", "contempt", "fear", "sadness", "repression"]
CONFIGURATION = {
    "recordings": {"films": {"adapter": "synthetic", "preset": "tiny-long", "shards": 1}},
    "spotting": {
        "regions": {"recordings": ["films"]},
        "tiling": {"recordings": ["films"], "spotter": {"method": "blind"}},
    },
    "databases": {
        "events": {"adapter": "recordings", "recordings": "films", "kinds": ["micro", "macro"], "shards": 1},
        "spots": {"adapter": "recordings", "recordings": "films", "spotter": "regions", "kinds": ["micro", "macro"],
            "shards": 1,
        },
    },
    "protocols": {
        "films": {
            "databases": ["events"],
            "labels": {"negative": NEGATIVE, "other": ["happiness", "surprise", "others"]},
            "spots": {"spots": "events"},
        }
    },
    "systems": {
        "linear": {
            "system": "linear", "protocols": ["films"], "seeds": [0], "recipe": {"components": 3}, "folds_per_job": 9,
            "embedding": False,
        },
    },
    "magnify": {"method": "none"},
    "flow": {"pairs": ["onset_apex"]},
    "descriptors": {"methods": []},
}  # fmt: skip


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("recordings"))
    project.configure(**CONFIGURATION)
    project.run("--cores", "2")
    return project


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_every_spot_is_a_clip_that_is_recognised_without_its_subject(films: Project):
    results = films.root / "results"
    spots = table(results / "spotting/films/regions/spots.tsv")
    clips = table(results / "clips/spots.tsv")
    assert len(spots) == len(clips) > 0
    rows = table(results / "protocols/films.tsv")
    found = {row["clip_id"]: row for row in rows if row["database"] == "spots"}
    assert found
    assert all(row["label"] == "" and row["fold"] == f"events/{row['subject']}" for row in found.values())
    predicted = [
        row
        for path in (results / "runs/films/linear").rglob("predictions.tsv")
        for row in table(path)
        if row["database"] == "spots"
    ]
    assert sorted(row["clip_id"] for row in predicted) == sorted(found)
    assert {row["prediction"] for row in predicted} <= {"negative", "other"}


def test_scores_and_report(films: Project):
    results = films.root / "results"
    scores = {
        name: json.loads((results / f"spotting/films/{name}/scores.json").read_text()) for name in ("regions", "tiling")
    }
    assert scores["regions"]["scores"]["recordings"]["n"] == 6
    assert scores["regions"]["scores"]["recordings"]["without_event"] == 2
    overall = {name: item["scores"]["spotting"]["overall"] for name, item in scores.items()}
    assert overall["regions"]["tp"] + overall["regions"]["fn"] == 18
    assert overall["regions"]["f1"] > overall["tiling"]["f1"]
    recognised = json.loads((results / "runs/films/linear/recognition.json").read_text())
    assert 0 <= recognised["strs"] <= 1
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Spotting in recordings" in page
    assert page.count('class="film"') == 6


def test_the_second_run_does_nothing(films: Project):
    assert "Nothing to be done" in films.run("--cores", "1", "--dry-run")


def test_another_threshold_measures_nothing_again(films: Project):
    """What is spotted depends on stored signals, so no film is decoded again."""
    changed = json.loads(json.dumps(CONFIGURATION))
    changed["spotting"]["regions"]["spotter"] = {"method": "regions", "shortest_s": 0.1}
    films.configure(**changed)
    try:
        plan = films.run("--cores", "1", "--dry-run")
    finally:
        films.configure(**CONFIGURATION)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", plan, re.MULTILINE))
    assert jobs["spot"] == "1"
    assert not {"film", "signals", "recordings"} & jobs.keys()


def test_a_spotter_that_finds_nothing_stops_no_run(films: Project):
    """Its database of clips is empty: the annotated clips are trained on and tested, and recognition scores 0."""
    changed = json.loads(json.dumps(CONFIGURATION))
    changed["spotting"]["regions"]["spotter"] = {"method": "blind", "rule": "nothing"}
    films.configure(**changed)
    films.run("--cores", "2")
    results = films.root / "results"
    assert table(results / "clips/spots.tsv") == []
    assert {row["database"] for row in table(results / "protocols/films.tsv")} == {"events"}
    assert json.loads((results / "runs/films/linear/recognition.json").read_text())["strs"] == 0
