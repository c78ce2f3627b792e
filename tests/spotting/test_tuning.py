"""Spotting with a subject held out: what is searched, what is leaked, and what blind methods score."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mer_features.spotting import Event, Recording, Spot, match, score, tuning
from mer_features.spotting.blind import Relative, Tiling
from mer_features.spotting.metrics import best
from mer_features.spotting.options import Blind, Network, RegionSpotter
from mer_features.spotting.tuning import Fold, HeldOut, leave_one_out, shuffled, spot_by_subject

from .films import database, events_of, film

GRID: dict[str, Any] = {
    "noise_factor": (5.0, 30.0), "micro_height": (0.0035,), "macro_height": (0.012, 0.03), "boundary": (0.2,),
    "overlap": (0.3,), "micro_s": (0.25, 0.55), "least_score": (0.0,), "mouth_score": (0.0,),
}  # fmt: skip
SMALL = RegionSpotter(grid=GRID)


@pytest.fixture(scope="module")
def films() -> tuple[dict, list[Recording], list[Event]]:
    return database(4, 24)


def _f1(events: Sequence[Event], result: HeldOut) -> float:
    return match(events, result.all()).counts.f1


@pytest.fixture(scope="module")
def tuned(films) -> HeldOut:
    return spot_by_subject(*films, SMALL)


def test_the_tuned_spotter_beats_every_blind_one(films, tuned):
    signals, recordings, events = films
    assert _f1(events, tuned) > 0.8
    for rule in ("tiling", "nothing", "everything", "relative"):
        assert _f1(events, spot_by_subject(signals, recordings, events, Blind(rule=rule))) < 0.4


def test_values_are_those_that_are_best_on_the_training_subjects(films, tuned):
    """Each combination by itself, scored over the training recordings."""
    signals, recordings, events = films
    alone = {
        values: spot_by_subject(signals, recordings, [], RegionSpotter(tune=False, values=values.model_dump()))
        for values in SMALL.combinations()
    }
    assert tuned.combinations == len(alone) == 8
    for fold in leave_one_out(recordings):
        names = {recording.recording_id for recording in fold.training}
        own = [event for event in events if event.recording_id in names]
        f1 = {
            values: match(own, [spot for spot in found.all() if spot.recording_id in names]).counts.f1
            for values, found in alone.items()
        }
        chosen = next(values for values in alone if values.model_dump() == tuned.values[fold.name])
        assert f1[chosen] == max(f1.values())
        for film_ in fold.held_out:
            assert tuned.spots[film_.recording_id] == alone[chosen].spots[film_.recording_id]


@pytest.mark.parametrize("options", [SMALL, Blind(), RegionSpotter(grid=GRID, shuffle_events=True)])
def test_own_events_change_no_spot_of_a_subject(films, options):
    """Deleted, or replaced by events at other places of its films; those of another subject do change something."""
    signals, recordings, events = films
    before = spot_by_subject(signals, recordings, events, options, 3)
    for subject in ("s0", "s1"):
        own = {recording.recording_id for recording in recordings if recording.subject == subject}
        others = [event for event in events if event.recording_id not in own]
        moved = shuffled([event for event in events if event.recording_id in own], signals, 5)
        changed = others if subject == "s0" else others + moved
        after = spot_by_subject(signals, recordings, changed, options, 3)
        assert {name: after.spots[name] for name in own} == {name: before.spots[name] for name in own}
        assert after.values[f"films/{subject}"] == before.values[f"films/{subject}"]


def test_other_events_do_change_values(films):
    """Without any, what spots least is best."""
    signals, recordings, _ = films
    none = spot_by_subject(signals, recordings, [], SMALL)
    assert {(values["macro_height"], values["micro_s"]) for values in none.values.values()} == {(0.03, 0.25)}


def test_every_subject_is_held_out_once_also_without_events(films, tuned):
    _, recordings, _ = films
    folds = leave_one_out(recordings)
    assert [fold.name for fold in folds] == ["films/s0", "films/s1", "films/s2", "films/s3"]
    for fold in folds:
        assert {recording.subject for recording in fold.training} == {"s0", "s1", "s2", "s3"} - {fold.subject[1]}
    assert list(tuned.spots) == [recording.recording_id for recording in recordings]


def test_a_recording_on_both_sides_is_named(films):
    signals, recordings, events = films
    planted = [*recordings, replace(recordings[0], subject="s1")]
    with pytest.raises(ValueError, match="recording s0/0 is among the training recordings and among those held out"):
        spot_by_subject(signals, planted, events, SMALL)
    with pytest.raises(ValueError, match="training recording s0/1 shows the subject that is held out"):
        Fold(("films", "s0"), tuple(recordings[1:]), tuple(recordings[:1]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s, r, e: (s, [*r, r[0]], e), "s0/0 is listed twice"),
        (lambda s, r, e: (s, [*r, replace(r[0], recording_id="s9/9", subject="s9")], e), "s9/9 has no signals"),
        (lambda s, r, e: (s, [replace(r[0], subject=""), *r[1:]], e), "s0/0: its subject is not known"),
        (lambda s, r, e: (s, r[2:], e), "lies in s0/0, which is not a listed recording"),
        (lambda s, r, e: (s, r, [replace(e[0], onset=5000, offset=5010)]), "5000 to 5010 lies outside"),
        (lambda s, r, e: (s, r[:2], [x for x in e if x.recording_id[:2] == "s0"]), "films/s0 is the only subject"),
    ],
)
def test_bad_input_is_named(films, change, words):
    with pytest.raises(ValueError, match=words):
        spot_by_subject(*change(*films), SMALL)


def test_order_changes_nothing(films, tuned):
    signals, recordings, events = films
    mixed_recordings, mixed_events = list(recordings), list(events)
    random.Random(1).shuffle(mixed_recordings)
    random.Random(2).shuffle(mixed_events)
    after = spot_by_subject(signals, mixed_recordings, mixed_events, SMALL)
    assert after.spots == tuned.spots
    assert after.values == tuned.values


def test_shuffled_events_keep_their_lengths_and_lie_in_the_film(films):
    signals, _, events = films
    moved = shuffled(events, signals, 1)
    assert [event.frames for event in moved] == [event.frames for event in events]
    assert sum(event.onset != other.onset for event, other in zip(events, moved, strict=True)) > 0.9 * len(events)
    assert min(event.onset for event in moved) >= 1
    assert max(event.offset for event in moved) <= 720
    assert all(event.onset <= event.apex <= event.offset for event in moved)
    assert moved == shuffled(events, signals, 1) != shuffled(events, signals, 2)


def test_the_best_combination_counts_false_spots_of_event_less_recordings():
    """9 hits of 10 spots and 10 events; all 10 hits with 25 spots; as the first with one spot less."""
    assert best(np.array([[9, 10, 10], [10, 25, 10], [9, 10, 10]])) == 0
    assert best(np.array([[4, 10, 10], [4, 9, 11]])) == 1
    assert best(np.array([[0, 0, 0], [0, 5, 0]])) == 0


def test_a_tiling_is_found_again():
    """Events at equal distances are hit by a tiling of this length and distance."""
    recordings = [Recording(f"s{number}/a", f"s{number}", "films", 1, 1500, 25) for number in range(3)]
    signals = {recording.recording_id: film(60, 25) for recording in recordings}
    events = [
        Event(recording.recording_id, onset, onset + 29, "macro")
        for recording in recordings
        for onset in range(1, 1440, 45)
    ]
    result = spot_by_subject(signals, recordings, events, Blind())
    assert set(result.values["films/s0"]["macro"]) == {1.2, 1.2 * 1.5}
    assert result.values["films/s0"]["micro"] is None
    assert _f1(events, result) > 0.97
    assert result.combinations == len(Tiling().combinations()) <= 500


def test_a_relative_threshold_fires_in_every_recording():
    signals = film(30, 30)
    method = Relative()
    prepared = method.prepare(signals)
    recording = Recording("s/a", "s")
    for values in method.combinations()[::7]:
        for kind in ("micro", "macro"):
            assert method.spots(prepared, recording, values, kind)
    assert len(method.combinations()) <= 500


def test_everything_and_nothing(films):
    signals, recordings, events = films
    everything = spot_by_subject(signals, recordings, events, Blind(rule="everything"))
    assert everything.spots["s0/0"] == [Spot("s0/0", 1, 720, kind, score=0.5) for kind in ("micro", "macro")]
    assert spot_by_subject(signals, recordings, events, Blind(rule="nothing")).all() == []


def test_scores_count_subjects_and_recordings_without_events(films, tuned):
    _, recordings, events = films
    scores = score(events, tuned.all(), recordings)
    assert scores["recordings"] == {"n": 8, "without_event": 2, "minutes": pytest.approx(3.2)}
    low, high = scores["spotting"]["overall"]["interval"]
    assert low < scores["spotting"]["overall"]["f1"] < high
    assert scores["spotting"]["overall"]["false_per_minute_without_event"] < 1


def test_events_of_a_film_have_both_kinds(films):
    """The generated films are what these tests take them for."""
    _, recordings, events = films
    assert {event.kind for event in events} == {"micro", "macro"}
    assert len(events) > 20
    assert not any(event.recording_id.startswith("s3") for event in events)
    assert events_of("r", [], 30) == []
    assert len(recordings) == 8


def test_the_network_is_one_of_the_spotters(films, monkeypatch):
    seen = []
    monkeypatch.setattr(tuning, "_by_network", lambda *arguments: seen.append(arguments))
    spot_by_subject(*films, Network(), 4)
    assert seen[0][-1] == 4
