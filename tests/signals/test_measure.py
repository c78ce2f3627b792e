"""Signals of rendered films against their ground truth; lengths are in pixels of the 256 px crop unless stated."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mer_features.core.quality import ClipRejectedError
from mer_features.frames import Frame, open_frames
from mer_features.frames.write import write
from mer_features.stages.faces.align import EYE_DISTANCE
from mer_features.stages.faces.detection import Detections, detect
from mer_features.stages.options import SignalOptions
from mer_features.stages.signals import EXPRESSION, REGIONS, MemorySink, Signals, measure
from mer_features.synthetic.action_units import Action
from mer_features.synthetic.presets import preset
from tests.signals.films import CALM, FPS, STILL, Film, Rendered, bump, render

#: Pixels of the crop per distance between the eyes.
CROP_PX = 256 * EYE_DISTANCE
DEMO = replace(preset("demo").nuisance, blink_rate=0.0)
#: Flicker, gradients and noise of ``demo``, but a head at rest.
STILL_HEAD = replace(DEMO, drift_px=STILL, turn_deg=STILL, zoom=STILL, tremor_px=0.0)
BROWS = [REGIONS.index(name) for name in REGIONS if name.startswith("brow")]


def signals_of(images: np.ndarray, numbers=None, options=None, fps=FPS) -> Signals:
    sink = MemorySink()
    measure(Film(images, numbers), options, sink=sink, fps=fps)
    return sink.signals()


def motion_px(signals: Signals, rest: slice) -> np.ndarray:
    """Motion (T, 17, 2) since the mean over the frames of ``rest``."""
    motion = signals.motion.astype(float)
    return (motion - motion[rest].mean(axis=0)) * CROP_PX


@pytest.fixture(scope="module")
def smile() -> Rendered:
    """1.8 s with a moving head; brows and mouth move from frame 45 to 70."""
    actions = (Action(1, 1.2, 0.8), Action(12, 1.6, 0.9))
    return render(bump(90, 45, 10, 4, 12), actions, nuisance=DEMO)


@pytest.fixture(scope="module")
def smile_signals(smile: Rendered) -> Signals:
    return signals_of(smile.images)


def test_the_motion_follows_the_expression(smile: Rendered, smile_signals: Signals):
    measured, true = motion_px(smile_signals, slice(40)), smile.motion * CROP_PX
    error = np.sqrt(((measured - true) ** 2).mean(axis=(0, 2)))
    assert error.max() < 0.12  # as large as the noise
    assert np.median(error) < 0.06
    strong = np.abs(true).max(axis=0) > 0.8
    assert strong.sum() >= 4
    gains = [(true[:, r, a] @ measured[:, r, a]) / (true[:, r, a] @ true[:, r, a]) for r, a in np.argwhere(strong)]
    # A window sees skin around the region, which moves less.
    assert 0.75 < min(gains) < max(gains) < 1.05


def test_the_larger_side_moves_more(smile_signals: Signals):
    apex = motion_px(smile_signals, slice(40))[54:60].mean(axis=0)
    left, right = (np.hypot(*apex[REGIONS.index(f"mouth_corner_{side}")]) for side in ("left", "right"))
    assert left > 1.4 * right > 0.5


def test_noise_of_a_resting_face():
    film = render(np.zeros(70), nuisance=STILL_HEAD, size=320)
    measured = signals_of(film.images).motion.astype(float) * CROP_PX
    noise = np.sqrt(measured.var(axis=0).mean(axis=1))
    assert np.median(noise) < 0.04
    assert noise.max() < 0.06
    assert noise.min() > 0.003  # that is, something was measured


def test_a_moving_head_gives_almost_no_motion():
    film = render(np.zeros(60), nuisance=replace(CALM, drift_px=(3.0, 3.0), turn_deg=(1.0, 1.0), zoom=(0.004, 0.004)))
    signals = signals_of(film.images)
    moved = motion_px(signals, slice(0, 60))
    shift = np.ptp(signals.head[:, 2:], axis=0).max() * CROP_PX
    assert shift > 8
    assert np.sqrt((moved**2).mean(axis=(0, 2))).max() < 0.05
    turn = np.degrees(np.arctan2(film.head[:, 1, 0], film.head[:, 0, 0]))
    np.testing.assert_allclose(signals.head[:, 1], turn - turn[0], atol=0.03)
    scale = np.hypot(film.head[:, 0, 0], film.head[:, 1, 0])
    np.testing.assert_allclose(signals.head[:, 0], scale / scale[0] - 1, atol=0.0007)
    assert signals.reliable.all()
    assert signals.eye_px == pytest.approx(film.eye_px, rel=0.03)


def test_a_blink_is_seen_in_the_lids_and_not_in_the_brows():
    film = render(np.zeros(80), blink=bump(80, 40, 5, 1, 6), nuisance=STILL_HEAD)
    signals = signals_of(film.images)
    lids = (signals.lids - np.median(signals.lids, axis=0)) * CROP_PX
    assert lids.shape == (80, 2)
    assert lids[43:47].max() < -4
    assert np.abs(lids[:39]).max() < 0.2
    assert np.abs(lids[54:]).max() < 0.2
    outer = [REGIONS.index(f"brow_outer_{side}") for side in ("right", "left")]
    assert np.abs(motion_px(signals, slice(35))[:, BROWS]).max() < 0.8
    assert np.abs(motion_px(signals, slice(35))[:, outer]).max() < 0.25


def test_missing_frames_have_rows_without_values(smile: Rendered, smile_signals: Signals):
    kept = [number for number in range(60) if number not in (20, 21, 22, 50)]
    signals = signals_of(smile.images[kept], [100 + number for number in kept])
    assert signals.number.tolist() == list(range(100, 160))
    np.testing.assert_allclose(signals.time_s, np.arange(60) / FPS)
    gaps = [20, 21, 22, 50]
    assert np.isnan(signals.motion[gaps]).all()
    assert np.isnan(signals.lids[gaps]).all()
    assert not signals.reliable[gaps].any()
    assert signals.reliable[[number for number in range(60) if number not in gaps]].all()
    assert not np.isnan(np.delete(signals.motion, gaps, axis=0)).any()
    assert set(signals.segment) == {0}


def test_copies_of_a_frame_are_marked(smile: Rendered):
    order = [*range(30), 29, *range(31, 50)]
    signals = signals_of(smile.images[order])
    assert np.flatnonzero(signals.repeated).tolist() == [30]
    np.testing.assert_array_equal(signals.motion[30], signals.motion[29])


def test_the_number_of_threads_changes_nothing(smile: Rendered):
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = signals_of(smile.images[:50])
        cv2.setNumThreads(2)
        two = signals_of(smile.images[:50])
    finally:
        cv2.setNumThreads(before)
    for name in ("motion", "lids", "head", "residual"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_video_and_a_folder_give_the_same(smile: Rendered, tmp_path):
    images = smile.images[:24]
    write(tmp_path / "film.mkv", ((image, number / FPS) for number, image in enumerate(images)), FPS)
    (tmp_path / "film").mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(tmp_path / "film" / f"img{number + 7:03d}.png"), image)
    sinks = MemorySink(), MemorySink()
    measure(open_frames(tmp_path / "film.mkv"), sink=sinks[0])
    measure(open_frames(tmp_path / "film"), sink=sinks[1], fps=FPS)
    video, folder = (sink.signals() for sink in sinks)
    np.testing.assert_allclose(video.time_s, folder.time_s, atol=0.001)
    np.testing.assert_array_equal(video.number, folder.number - 7)
    np.testing.assert_array_equal(video.motion, folder.motion)
    assert video.fps == pytest.approx(folder.fps)


@pytest.mark.parametrize(
    ("fps", "step"), [(200, 4), (100, 2), (120, 2), (60, 1), (50, 1), (30, 1), (29.97, 1), (25, 1), (15, 1)]
)
def test_about_fifty_frames_per_second_are_analysed(fps: float, step: int):
    assert SignalOptions().step(fps) == step


def test_a_fast_recording_is_thinned_out(smile: Rendered):
    signals = signals_of(smile.images[:40], range(3, 43), fps=200)
    assert signals.number.tolist() == list(range(3, 43, 4))
    np.testing.assert_allclose(signals.time_s, np.arange(10) * 0.02)
    assert signals.fps == 50


def test_a_video_stored_for_slow_playback_has_the_times_of_the_recording(smile: Rendered):
    sink = MemorySink()
    measure(Film(smile.images[:30], fps=10.0), sink=sink, fps=FPS)
    np.testing.assert_allclose(sink.signals().time_s, np.arange(30) / FPS)


def test_a_face_that_was_hidden_starts_a_segment(smile: Rendered):
    rest = smile.images[:40]
    moved = np.roll(rest, 25, axis=2)
    hidden = np.full((45, *rest.shape[1:]), 90, np.uint8)
    hidden[::2] += 3  # so that no frame is a copy
    signals = signals_of(np.concatenate([rest, hidden, moved]), options=SignalOptions(anchor_s=0.3))
    assert signals.reliable[:40].all()
    assert not signals.reliable[40:85].any()
    assert np.isnan(signals.motion[40:85]).all()
    assert signals.reliable[-20:].all()
    assert set(signals.segment[:40]) == {0}
    assert set(signals.segment[-20:]) == {1}
    assert len(signals.number) == 125
    assert np.abs(signals.head[-20:, 2:]).max() < 0.2  # relative to the first frame of its segment


def test_a_film_without_a_face_is_rejected():
    with pytest.raises(ClipRejectedError, match="no_face"):
        signals_of(np.full((12, 120, 120, 1), 90, np.uint8))


def test_a_folder_needs_a_frame_rate(smile: Rendered):
    with pytest.raises(ValueError, match="film: the frame rate is not known"):
        measure(Film(smile.images[:5]), sink=MemorySink())


def test_an_enormous_gap_is_an_error(smile: Rendered):
    with pytest.raises(ClipRejectedError, match="frames 5 to 8999999 are missing"):
        signals_of(smile.images[:6], [0, 1, 2, 3, 4, 9_000_000])


def test_the_sink_gets_chunks(smile: Rendered, smile_signals: Signals, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mer_features.stages.signals.recording.CHUNK", 16)
    sizes, rows = [], []

    class Chunks:
        def append(self, chunk: Signals) -> None:
            sizes.append(len(chunk.number))

    measure(Film(smile.images), None, rows.append, sink=Chunks(), fps=FPS)
    assert sizes == [16, 16, 16, 16, 16, 10]
    assert rows == list(range(1, 91))


def test_few_frames_are_held_at_a_time(smile: Rendered):
    """Apart from those that the anchor is chosen from, which are copied."""
    handed: list[weakref.ref] = []
    alive: list[int] = []

    class Counting(Film):
        def _decode(self, step: int = 1) -> Iterator[tuple[str, Frame]]:
            for name, frame in super()._decode(step):
                image = frame.image.copy()
                handed.append(weakref.ref(image))
                alive.append(sum(reference() is not None for reference in handed))
                yield name, replace(frame, image=image)

    measure(Counting(smile.images[:60]), SignalOptions(anchor_s=0.4), sink=MemorySink(), fps=FPS)
    assert len(alive) == 60
    assert max(alive) <= 4


def test_doubtful_frames_are_searched_for_the_face(smile: Rendered, monkeypatch: pytest.MonkeyPatch):
    searched: list[int] = []

    def counting(*values, **names) -> Detections:
        result = detect(*values, **names)
        searched.append(len(result))
        return result

    monkeypatch.setattr("mer_features.stages.signals.segment.detect", counting)
    assert signals_of(smile.images[:30]).reliable.all()
    assert searched == []  # none is doubtful
    monkeypatch.setattr("mer_features.stages.signals.segment._LEAST_ALIKE", 1.1)
    assert signals_of(smile.images[:60]).reliable.all()
    assert searched == [1, 1]  # every second


def test_a_face_that_the_detector_does_not_see_is_given_up(smile: Rendered, monkeypatch: pytest.MonkeyPatch):
    nothing = Detections(np.empty((0, 4)), np.empty(0))
    monkeypatch.setattr("mer_features.stages.signals.segment.detect", lambda *_, **__: nothing)
    monkeypatch.setattr("mer_features.stages.signals.segment._LEAST_ALIKE", 1.1)  # every frame is doubtful
    signals = signals_of(smile.images[:60])
    assert not signals.reliable.any()
    assert np.isfinite(signals.motion[:20]).all()  # the points could be tracked
    assert signals.segment[[0, 25, 26, 51, 52]].tolist() == [0, 0, 1, 1, 2]


def test_all_expression_regions_are_measured(smile_signals: Signals):
    places = [REGIONS.index(name) for name in EXPRESSION]
    assert np.isfinite(smile_signals.motion[:, places]).all()
    assert 40 < smile_signals.brightness.mean() < 200
    assert np.nanmax(smile_signals.residual) < 0.01
