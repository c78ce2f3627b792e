"""The rule spot on files: recordings without signals, without ends, without events; events outside the frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mer_features.core import recordings as tables
from mer_features.core.quality import Issue
from mer_features.core.recordings import Event, Recording
from mer_features.spotting.run import Inputs, Outputs, spot_files
from mer_features.stages.signals.store import SignalWriter

from .films import database

PLAIN = {"method": "regions", "tune": False}


@pytest.fixture
def films(tmp_path: Path) -> tuple[dict, list[Recording], list[Event]]:
    return database(3, 20)


def spot(tmp_path: Path, signals: dict, films: list[Recording], events: list[Event], **spotter: object) -> dict:
    """Write the files, run the rule, and read the scores."""
    (tmp_path / "recordings.tsv").write_text(tables.dumps(films))
    (tmp_path / "events.tsv").write_text(tables.dumps_events(events))
    with SignalWriter(tmp_path / "s.h5", {}) as writer:
        for film in films:
            if film.recording_id in signals:
                with writer.recording(film.recording_id) as sink:
                    sink.append(signals[film.recording_id])
            else:
                writer.reject(film.recording_id, (Issue("no_face", "in none of them"),))
    outputs = Outputs(*(tmp_path / name for name in ("spots.tsv", "folds.json", "scores.json")))
    inputs = Inputs(tmp_path / "recordings.tsv", tmp_path / "events.tsv", [tmp_path / "s.h5"])
    spot_files(inputs, PLAIN | spotter, outputs, names=("films", "regions"), measured_on="made signals")
    result: dict = json.loads(outputs.scores.read_text())
    return result


def test_events_of_a_recording_without_signals_are_missed(tmp_path: Path, films):
    signals, recordings, events = films
    whole = spot(tmp_path, signals, recordings, events)
    lost = next(event.recording_id for event in events)
    found = spot(tmp_path, {name: item for name, item in signals.items() if name != lost}, recordings, events)
    assert found["scores"]["recordings"]["n"] == len(recordings)
    counts = [item["scores"]["spotting"]["overall"] for item in (whole, found)]
    assert counts[0]["tp"] + counts[0]["fn"] == counts[1]["tp"] + counts[1]["fn"] == len(events)
    assert counts[1]["tp"] < counts[0]["tp"]
    assert "1 recording could not be measured (no_face); their events count as missed." in found["notes"]


def test_without_any_signals_the_reason_is_named(tmp_path: Path, films):
    _, recordings, events = films
    with pytest.raises(ValueError, match=r"no recording could be measured \(no_face\)"):
        spot(tmp_path, {}, recordings, events)


def test_ends_and_rate_come_from_the_signals(tmp_path: Path, films):
    """Own videos: neither the last frame nor the frame rate is in the table."""
    signals, recordings, events = films
    known = spot(tmp_path, signals, recordings, events)
    bare = [replace(film, first=None, last=None, fps=None) for film in recordings]
    found = spot(tmp_path, signals, bare, events)
    assert found["scores"]["recordings"]["minutes"] == pytest.approx(known["scores"]["recordings"]["minutes"], rel=0.02)
    for one, other in zip(found["timelines"], known["timelines"], strict=True):
        assert one["last"] == int(signals[one["recording_id"]].number[-1])
        assert one["fps"] == pytest.approx(other["fps"], rel=0.01)


def test_an_event_beyond_the_measured_frames_is_missed_and_told(tmp_path: Path, films):
    signals, recordings, events = films
    name = recordings[0].recording_id
    last = int(signals[name].number[-1])
    beyond = Event(name, last + 100, last + 120, "micro", event_id="beyond")
    open_end = [replace(film, last=None) for film in recordings]
    found = spot(tmp_path, signals, open_end, [*events, beyond], tune=True)
    overall = found["scores"]["spotting"]["overall"]
    assert overall["tp"] + overall["fn"] == len(events) + 1
    assert "1 event outside the frames that were measured; they count as missed." in found["notes"]


def test_without_events_no_value_is_searched(tmp_path: Path, films):
    signals, recordings, _ = films
    found = spot(tmp_path, signals, recordings, [], tune=True)
    same = spot(tmp_path, signals, recordings, [], tune=False)
    assert found["timelines"] == same["timelines"]
    assert "No event is annotated, so no value was searched: those of `values` were used." in found["notes"]


def test_controls_are_marked(tmp_path: Path, films):
    signals, recordings, events = films
    assert spot(tmp_path, signals, recordings, events)["control"] == ""
    assert spot(tmp_path, signals, recordings, events, shuffle_events=True)["control"] == "shuffled"
