"""Rendered recordings: what is promised is planned, nothing moves the events, and the ground truth is what is seen."""

import csv
import itertools
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_features import frames, spotting
from mer_features.stages.signals.regions import RADIUS, REGIONS, centres
from mer_features.synthetic import action_units
from mer_features.synthetic.presets import preset as clip_preset
from mer_features.synthetic.recordings import (
    SHEETS,
    Course,
    RecordingTruth,
    plan,
    read_recording_truth,
    recording_preset,
    render_recording,
    sheets,
    store,
    write_recordings,
)
from mer_features.synthetic.recordings.render import RecordingScene
from mer_features.synthetic.render import MAX_SLOPE
from mer_features.synthetic.resample import apply

SEEDS = range(10)
TINY = recording_preset("tiny-long")


@cache
def plans(name, seed):
    return plan(name, seed)


def short(seconds=4.0, count=2):
    """A preset of a few short recordings of 96 px: a film with events, one without; the second is a video."""
    camera = replace(TINY.camera, size=(96, 96), face_px=50.0, clips=(0,))
    events = replace(
        TINY.events, micro=1, macro=0, weak=0, slow_micros=0, brief_macros=0, short_macros=0, one_sided=0, inside=0,
        near=0, overlapping=0, cut=(0, 0),
    )  # fmt: skip
    disturbances = replace(TINY.disturbances, blinks_inside=0, half_blinks=0, winks=0, speech=1, swallows=0, beats=0)
    films = ((30.0, seconds),) * count
    quiet = ("speech",)
    return replace(
        TINY, camera=camera, films=films, quiet=quiet, macro_only=0, events=events, disturbances=disturbances
    )


# Plan.


@pytest.mark.parametrize("name", ["tiny-long", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_counts_are_exact(name, seed):
    settings = recording_preset(name)
    promised, disturb = settings.events, settings.disturbances
    all_plans = plans(name, seed)
    films = {"tiny-long": [(30, 20)] * 6, "long": [(30, s) for s in (20, 20, 30, 30, 40, 40, 60, 60)]}[name]
    films = sorted(films + ([(200, 20), (200, 20), (200, 25), (200, 30)] if name == "long" else []))
    assert sorted((round(one.fps), round(one.seconds)) for one in all_plans) == films
    events = [event for one in all_plans for event in one.events]
    micros, macros = ([event for event in events if event.name == kind] for kind in ("micro", "macro"))
    assert (len(micros), len(macros)) == ((10, 8) if name == "tiny-long" else (24, 24))
    assert sum(event.seconds > 0.5 for event in micros) == promised.slow_micros
    assert sum(event.seconds < 0.5 for event in macros) == promised.brief_macros
    assert sum(event.seconds <= 0.7 for event in macros) == promised.brief_macros + promised.short_macros
    assert max(event.rise for event in micros) <= 0.25 + 1e-9 < 0.28 <= min(event.rise for event in macros) + 1e-9
    lateral = [[a for a in e.actions if a.unit not in action_units.MEDIAL] for e in micros]
    one_sided = [bool(own) and all(a.left_px * a.right_px == 0 for a in own) for own in lateral]
    assert sum(one_sided) == promised.one_sided
    assert all(1 <= len(event.actions) <= 3 for event in events)
    assert sum(not one.events for one in all_plans) == len(settings.quiet)
    without_micro = [one for one in all_plans if one.events and not any(e.name == "micro" for e in one.events)]
    assert len(without_micro) == settings.macro_only
    assert max(sum(e.name == kind for e in one.events) for one in all_plans for kind in ("micro", "macro")) <= 6
    blinks = [blink for one in all_plans for blink in one.blinks]
    assert sum(blink.depth < 1 for blink in blinks) == disturb.half_blinks
    assert sum(blink.eyes != "both" for blink in blinks) == disturb.winks
    assert sum(one.codec in ("ffv1", "mjpeg") for one in all_plans) == len(settings.codecs)
    assert sum(one.codec == "jpg75" for one in all_plans) == disturb.coarse
    assert sum(len(one.shown) < one.exposures for one in all_plans) == disturb.dropped
    assert sum(any(one.repeated) for one in all_plans) == disturb.repeated
    assert sum(one.hidden is not None for one in all_plans) == disturb.hidden
    assert sum(any(m.name == "speech" for m in one.movements) for one in all_plans) == disturb.speech


@pytest.mark.parametrize("name", ["tiny-long", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_combinations_are_exact(name, seed):
    promised = recording_preset(name).events
    inside = near = overlapping = blinks_inside = 0
    for one in plans(name, seed):
        for first, second in itertools.combinations(sorted(one.events, key=lambda event: event.visible[0]), 2):
            gap = second.visible[0] - first.visible[1]
            length = max(first.visible[1], second.visible[1]) - first.visible[0]
            if first.name == "macro" and second.name == "micro" and gap < 0 and second.visible[1] <= first.keys[2]:
                inside += first.keys[1] <= second.visible[0]
            elif gap < 0:
                assert first.name == second.name
                assert -gap / length < 0.3
                overlapping += 1
            else:
                near += gap < 0.3
        blinks_inside += sum(
            any(e.name == "micro" and e.visible[0] <= b.onset and b.offset <= e.visible[1] for e in one.events)
            for b in one.blinks
        )
    assert (inside, near, overlapping) == (promised.inside, promised.near, promised.overlapping)
    assert blinks_inside >= recording_preset(name).disturbances.blinks_inside
    events = [(event, one) for one in plans(name, seed) for event in one.events]
    assert sum(event.visible[0] < 0 for event, _ in events) == promised.cut[0]
    assert sum(event.visible[1] > one.seconds for event, one in events) == promised.cut[1]


@pytest.mark.parametrize(
    "change",
    [
        {"blinks_per_minute": (30.0, 40.0), "half_blinks": 3},
        {"speech": 4, "speech_px": (2.0, 6.0)},
        {"slow_px": (20.0, 30.0), "nods_per_minute": (10.0, 12.0)},
        {"ripple": (0.05, 0.06), "beats": 3, "exposure_steps": 3},
        {"dropped": 3, "repeated": 2, "hidden": 2, "coarse": 3},
    ],
)
def test_no_disturbance_moves_an_event(change):
    other = plan(replace(TINY, disturbances=replace(TINY.disturbances, **change)), 0)
    assert [one.events for one in other] == [one.events for one in plans("tiny-long", 0)]
    assert other != plans("tiny-long", 0)


def test_a_disturbance_changes_no_other():
    changed = replace(TINY, disturbances=replace(TINY.disturbances, blinks_per_minute=(30.0, 40.0), winks=0))
    for one, other in zip(plans("tiny-long", 0), plan(changed, 0), strict=True):
        assert other == replace(one, blinks=other.blinks)


def test_event_times_and_numbers_do_not_depend_on_subject_lamp_or_codec():
    """Within each seed the labels are permuted; the differences between groups must not be larger than by chance."""
    random = np.random.default_rng(0)
    labels = {
        "take": lambda one: one.name,
        "subject": lambda one: one.subject,
        "mains": lambda one: one.lamp.mains_hz,
        "codec": lambda one: one.codec[:3],
    }
    measures = {
        "number": lambda one: len(one.events),
        "place": lambda one: np.mean([e.keys[1] / one.seconds for e in one.events]) if one.events else np.nan,
    }
    for (label, group), (measure, value) in itertools.product(labels.items(), measures.items()):
        rows = [[(group(one), value(one)) for one in plans("tiny-long", seed)] for seed in SEEDS]
        keys = [np.array([str(key) for key, _ in row]) for row in rows]
        values = [np.array([number for _, number in row], float) for row in rows]
        found = spread(keys, values)
        chance = [spread([random.permutation(key) for key in keys], values) for _ in range(300)]
        assert np.mean(np.array(chance) >= found) > 0.01, (label, measure)


def spread(keys, values):
    """Variance between the means of groups over all seeds."""
    key, value = np.concatenate(keys), np.concatenate(values)
    known = np.isfinite(value)
    key, value = key[known], value[known]
    return sum((key == one).sum() * (value[key == one].mean() - value.mean()) ** 2 for one in np.unique(key))


def test_weak_macros_are_as_large_as_strong_micros():
    for name in ("tiny-long", "long"):
        events = [event for seed in SEEDS for one in plans(name, seed) for event in one.events]
        micro, macro = (np.array([e.peak_px for e in events if e.name == kind]) for kind in ("micro", "macro"))
        assert 0.05 < np.mean(micro > np.quantile(macro, 0.25)) < 0.6
        assert np.mean(macro < micro.max()) > 0.3
        assert np.median(macro) > 1.2 * np.median(micro)


def test_the_skin_never_folds():
    for name, seed in (("tiny-long", 0), ("tiny-long", 1)):
        for one in plans(name, seed):
            course = Course(one, recording_preset(name))
            rows = np.linspace(0, len(one.shown) - 1, 12).astype(int).tolist()
            rows.append(int(np.abs(course.strength).sum(axis=1).argmax()))
            for row in rows:
                total = course.rest + np.float32(course.yaw[row]) * course.parallax
                for weight, field in zip(course.strength[row], course.fields, strict=True):
                    total = total + np.float32(weight) * field
                assert action_units.slope(total) <= MAX_SLOPE


def test_a_preset_that_is_too_full_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        plan(short(seconds=3.5, count=1), 0)
    with pytest.raises(ValueError, match=r"known: long, tiny-long"):
        plan("longer", 0)


# Sheets.


def test_sheets_are_read_by_spotting(tmp_path):
    all_plans = plans("tiny-long", 0)
    for name, text in sheets(all_plans).items():
        (tmp_path / name).write_text(text)
    recordings = spotting.read_recordings(tmp_path / "recordings.tsv")
    events, _ = spotting.read_events(tmp_path / "events.tsv", recordings)
    assert [one.recording_id for one in recordings] == [one.recording_id for one in all_plans]
    assert events.rows == events.inside
    assert events.ignored == ()
    assert len(events.rows) == 18
    assert sum(film.minutes for film in recordings) == pytest.approx(2.0, abs=0.01)


def test_onset_and_offset_are_where_an_annotator_sees_them():
    for one in plans("tiny-long", 0):
        truth = Course(one, TINY).truth()
        with_header = sheets([one])["events.tsv"].splitlines()
        for index, row in enumerate(csv.DictReader(with_header, delimiter="\t")):
            seen = truth.number[truth.strength[:, index] >= 0.05]
            assert (int(row["onset"]), int(row["offset"])) == (seen[0], seen[-1])
            assert truth.strength[truth.number == int(row["apex"]), index] == truth.strength[:, index].max()
            onset, _, _, offset = truth.event_times_s[index]
            assert onset < truth.time_s[truth.number == seen[0]] or onset < 0
            assert offset > truth.time_s[truth.number == seen[-1]]


# Ground truth.


def test_region_displacement_is_that_of_the_field():
    one = next(one for one in plans("tiny-long", 0) if len(one.events) > 2)
    course = Course(one, TINY)
    truth = course.truth()
    row = int(truth.strength.sum(axis=1).argmax())
    field = sum(np.float32(w) * f for w, f in zip(course.strength[row], course.fields, strict=True))
    steps = np.linspace(-RADIUS, RADIUS, 5) * action_units.eye_distance(course.landmarks)
    for region, (x, y) in enumerate(centres(course.landmarks)):
        moved = [
            cv2.getRectSubPix(plane, (1, 1), (x + dx - course.window.left, y + dy - course.window.top))[0, 0]
            for dy in steps for dx in steps for plane in field
        ]  # fmt: skip
        expected = course.pose[:, :2] @ np.reshape(moved, (-1, 2)).mean(axis=0)
        np.testing.assert_allclose(truth.displacement_px[row, region], expected, atol=0.01)
    parts = np.einsum("te,erc->trc", truth.strength, truth.event_px) + np.einsum(
        "ts,src->trc", truth.other, truth.other_px
    )
    np.testing.assert_allclose(truth.displacement_px, parts, atol=1e-4)
    np.testing.assert_allclose(truth.displacement * truth.eye_px, truth.displacement_px, atol=1e-5)
    np.testing.assert_array_equal(truth.head[0], np.eye(3)[:2])


def test_frames_show_the_displacement():
    """Points tracked between a resting frame and the apex, without head motion, move as the ground truth says."""
    one = next(one for one in plans("tiny-long", 0) if len(one.events) > 2)
    scene = RecordingScene(one)
    truth = scene.course.truth()
    scene.course.head[:] = truth.head[0]
    scene.course.yaw[:] = 0
    scene.course.blink[:] = 0
    scene.course.gaze[:] = 0
    quiet = int(np.abs(truth.displacement_px).sum(axis=(1, 2)).argmin())
    event = max(range(len(one.events)), key=lambda index: np.linalg.norm(truth.event_px[index], axis=1).max())
    apex = int(truth.strength[:, event].argmax())
    before, after = (np.clip(scene.frame(t).mean(axis=0), 0, 255).astype(np.uint8) for t in (quiet, apex))
    expected = truth.displacement_px[apex] - truth.displacement_px[quiet]
    region = int(np.linalg.norm(expected, axis=1).argmax())
    around = np.stack(np.meshgrid(*[np.linspace(-RADIUS, RADIUS, 5) * truth.eye_px] * 2), -1).reshape(-1, 1, 2)
    points = (truth.regions[region] + around).astype(np.float32)
    moved, _, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, winSize=(15, 15))
    assert np.linalg.norm(expected[region]) > 0.8
    np.testing.assert_allclose((moved - points).mean(axis=(0, 1)), expected[region], atol=0.25)


def test_a_turned_head_moves_the_nose_further():
    truth = Course(plans("tiny-long", 0)[0], TINY).truth()
    sideways = dict(zip(REGIONS, truth.parallax_px[:, 0] / truth.eye_px, strict=True))
    assert sideways["nose_tip"] - sideways["brow_middle_left"] == pytest.approx(0.015, abs=0.005)
    assert truth.yaw.min() < 0 < truth.yaw.max()
    assert np.abs(truth.yaw).max() <= 1


def test_the_head_moves_the_face_as_the_ground_truth_says():
    one = plans("tiny-long", 0)[0]
    scene = RecordingScene(one)
    truth = scene.course.truth()
    far = int(np.linalg.norm(truth.head[:, :, 2], axis=1).argmax())
    for name in ("strength", "yaw", "blink", "gaze"):
        getattr(scene.course, name)[:] = 0
    first, moved = (np.clip(scene.frame(t).mean(axis=0), 0, 255).astype(np.uint8) for t in (0, far))
    points = truth.regions[:, None]
    tracked, _, _ = cv2.calcOpticalFlowPyrLK(first, moved, points, None, winSize=(21, 21))
    np.testing.assert_allclose(tracked[:, 0], apply(truth.head[far], truth.regions), atol=0.3)


# Frames and files.


def test_gaps_and_repeated_frames_are_those_of_the_plan(tmp_path):
    settings = short(seconds=5.0)
    settings = replace(settings, disturbances=replace(settings.disturbances, dropped=1, repeated=1))
    write_recordings(tmp_path, settings, 3)
    gaps = repeats = 0
    for one in plan(settings, 3):
        sequence = frames.open_frames(tmp_path / one.source)
        rendered = [(frame.number, frame.time_s, frame.image) for frame in sequence]
        assert [number for number, _, _ in rendered] == one.numbers.tolist()
        if one.codec == "mjpeg":
            np.testing.assert_allclose([time for _, time, _ in rendered], one.times, atol=0.002)
        else:
            gaps += len(sequence.issues)
            same = [False] + [np.array_equal(a[2], b[2]) for a, b in itertools.pairwise(rendered)]
            assert same == list(one.repeated)
        repeats += sum(one.repeated)
        truth = read_recording_truth(tmp_path, one.recording_id)
        expected = render_recording(one, settings).truth
        for field in fields(RecordingTruth):
            np.testing.assert_array_equal(getattr(truth, field.name), getattr(expected, field.name), field.name)
    assert sum(len(one.shown) < one.exposures for one in plan(settings, 3)) == 1
    assert repeats > 0


def test_true_time_stamps_of_a_lossless_video(tmp_path):
    settings = replace(short(seconds=4.0), codecs=("ffv1",))
    settings = replace(settings, disturbances=replace(settings.disturbances, dropped=2, repeated=0))
    one = next(one for one in plan(settings, 0) if one.codec == "ffv1")
    store._write_recording(tmp_path, one, settings)
    read = list(frames.open_frames(tmp_path / one.source))
    np.testing.assert_allclose([frame.time_s for frame in read], one.times, atol=0.002)
    assert max(np.diff([frame.time_s for frame in read])) > 0.06
    for frame, expected in itertools.islice(zip(read, render_recording(one, settings).frames, strict=True), 5):
        np.testing.assert_array_equal(frame.image, expected)


def test_bytes_do_not_depend_on_the_number_of_jobs(tmp_path):
    calls = []
    write_recordings(tmp_path / "one", short(), 0, progress=lambda done, total: calls.append((done, total)))
    write_recordings(tmp_path / "two", short(), 0, jobs=2)
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert first.keys() == second.keys()
    assert first == second
    assert calls == [(0, 2), (1, 2), (2, 2)]
    assert {*SHEETS, "synthetic.json"} <= {str(path) for path in first}


def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path):
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.synthetic.test_recordings import short
from mer_features.synthetic.recordings import store, write_recordings
original, count = store.write_image, [0]
def write_image(*arguments):
    count[0] += 1
    if count[0] > 50:
        os._exit(9)
    original(*arguments)
store.write_image = write_image
write_recordings({str(tmp_path)!r}, short(), 0)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    all_plans = plan(short(), 0)
    folder = next(one for one in all_plans if one.codec.startswith("jpg"))
    assert not (tmp_path / folder.source).exists()
    assert not any((tmp_path / name).exists() for name in SHEETS)
    assert not store._complete(tmp_path, folder)
    write_recordings(tmp_path, short(), 0)
    assert len(list((tmp_path / folder.source).iterdir())) == len(folder.shown)
    assert not list((tmp_path / folder.source).parent.glob(".*"))
    assert all((tmp_path / name).exists() for name in SHEETS)


def test_only_an_earlier_rendering_is_replaced(tmp_path):
    (tmp_path / "frames").mkdir()
    with pytest.raises(ValueError, match="not a synthetic rendering"):
        write_recordings(tmp_path, "tiny-long", 0)


def test_clip_presets_do_not_know_recordings():
    with pytest.raises(ValueError, match="unknown preset"):
        clip_preset("long")


@pytest.mark.parametrize("preset", ["tiny-long", "long"])
def test_trivial_detectors_fail_and_an_oracle_succeeds(preset: str):
    """The difficulty table; a detector outside its bounds ends the script with status 1."""
    script = Path(__file__).parents[2] / "benchmarks" / "recordings.py"
    done = subprocess.run([sys.executable, script, preset], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "oracle on true region displacement" in done.stdout
