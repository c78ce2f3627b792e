"""Derived channels of made signals, whose result is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mer_features.stages.signals import MOUTH, REGIONS, Signals, channels

FPS = 50.0
BROW = REGIONS.index("brow_inner_left")


def made(course: np.ndarray, lids: np.ndarray | None = None, fps: float = FPS) -> Signals:
    """Signals in which every region moves vertically by ``course`` (T,)."""
    count = len(course)
    motion = np.zeros((count, len(REGIONS), 2), np.float32)
    motion[..., 1] = course[:, None]
    return Signals(
        number=np.arange(count),
        time_s=np.arange(count) / fps,
        motion=motion,
        lids=np.zeros((count, 2), np.float32) if lids is None else lids.astype(np.float32),
        head=np.zeros((count, 4), np.float32),
        residual=np.full(count, 0.001, np.float32),
        reliable=np.ones(count, bool),
        segment=np.zeros(count, np.int32),
        brightness=np.full(count, 100, np.float32),
        repeated=np.zeros(count, bool),
        fps=fps,
        eye_px=60.0,
    )


def hidden(signals: Signals, rows: slice) -> Signals:
    """The same signals with rows that were not measured."""
    motion, lids, reliable = signals.motion.copy(), signals.lids.copy(), signals.reliable.copy()
    motion[rows], lids[rows], reliable[rows] = np.nan, np.nan, False
    return replace(signals, motion=motion, lids=lids, reliable=reliable)


def sine(hz: float, seconds: float = 10, fps: float = FPS) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * fps)) / fps)


@pytest.mark.parametrize(("hz", "gain"), [(1, 1.0), (2, 1.0), (5, 0.5), (12, 0.0)])
def test_low_pass_keeps_slow_motion_at_its_time(hz: float, gain: float):
    course = sine(hz)
    passed = channels.low_pass(made(course))[100:400, BROW, 1]
    np.testing.assert_allclose(passed, gain * course[100:400], atol=0.02)


def test_low_pass_depends_on_seconds_and_not_on_the_frame_rate():
    course = np.exp(-((np.arange(300) / 100 - 1.5) ** 2) / (2 * 0.1**2))
    fine = channels.low_pass(made(course, fps=100.0))[::2, BROW, 1]
    np.testing.assert_allclose(channels.low_pass(made(course[::2]))[:, BROW, 1], fine, atol=0.005)


def test_the_baseline_is_removed_and_a_short_movement_is_not():
    time_s = np.arange(500) / FPS
    bump = 0.02 * np.exp(-((time_s - 5) ** 2) / (2 * 0.08**2))
    moved = channels.without_baseline(made(3 + 0.004 * time_s + bump))[:, BROW, 1]
    assert moved.argmax() == 250
    assert moved[250] == pytest.approx(0.02, rel=0.15)
    assert np.abs(np.delete(moved, range(220, 281))).max() < 0.0015  # the bump shifts the median after it


def test_a_short_gap_is_interpolated_and_a_long_one_is_not():
    course = sine(1)
    signals = hidden(hidden(made(course), slice(100, 105)), slice(300, 330))
    passed = channels.low_pass(signals)[:, BROW, 1]
    assert np.isnan(passed[300:330]).all()
    assert np.isfinite(np.delete(passed, range(300, 330))).all()
    np.testing.assert_allclose(passed[90:115], course[90:115], atol=0.05)
    np.testing.assert_allclose(passed[285:300], course[285:300], atol=0.1)


def test_copies_of_a_frame_are_interpolated():
    course = sine(1)
    held = course.copy()
    repeated = np.zeros(len(course), bool)
    for row in range(5, len(course), 5):
        held[row], repeated[row] = held[row - 1], True
    passed = channels.low_pass(replace(made(held), repeated=repeated))[50:450, BROW, 1]
    np.testing.assert_allclose(passed, course[50:450], atol=0.01)


def test_nothing_is_filtered_across_segments():
    course = np.where(np.arange(400) < 200, 0.0, 5.0)
    signals = replace(made(course), segment=(np.arange(400) >= 200).astype(np.int32))
    np.testing.assert_allclose(channels.low_pass(signals)[:, BROW, 1], course, atol=1e-9)
    np.testing.assert_allclose(channels.without_baseline(signals)[:, BROW, 1], 0, atol=1e-9)


def test_uneven_times_are_respected():
    time_s = np.arange(500) / FPS
    time_s[250:] += 0.06  # three frames were dropped
    signals = replace(made(np.sin(2 * np.pi * time_s)), time_s=time_s)
    passed = channels.low_pass(signals)[:, BROW, 1]
    np.testing.assert_allclose(passed[100:400], np.sin(2 * np.pi * time_s)[100:400], atol=0.03)


@pytest.mark.parametrize("fps", [25.0, 50.0, 200.0])
def test_noise_is_that_of_white_noise_above_the_limit(fps: float):
    rng = np.random.default_rng(0)
    signals = made(np.zeros(int(60 * fps)), fps=fps)
    scale = np.linspace(0.001, 0.003, len(REGIONS))
    motion = rng.normal(size=signals.motion.shape) * scale[:, None]
    bump = np.exp(-((signals.time_s - 30) ** 2) / (2 * 0.1**2))  # an event does not change it
    motion[..., 1] += 0.05 * bump[:, None]
    share = np.sqrt(1 - 5 / (fps / 2))
    measured = channels.noise(replace(signals, motion=motion.astype(np.float32)))
    np.testing.assert_allclose(measured, scale * share, rtol=0.12)


def test_noise_of_constant_and_of_missing_signals():
    signals = made(np.full(200, 0.3))
    np.testing.assert_allclose(channels.noise(signals), 0, atol=1e-12)
    motion = signals.motion.copy()
    motion[30:, BROW] = np.nan
    measured = channels.noise(replace(signals, motion=motion))
    assert np.flatnonzero(np.isnan(measured)).tolist() == [BROW]


def blinking(rows: list[int], eyes: tuple[int, ...] = (0, 1), depth: float = 0.08, width_s: float = 0.05) -> Signals:
    time_s = np.arange(1000) / FPS
    lids = np.random.default_rng(0).normal(0, 0.0004, (1000, 2))
    lids += 0.01 * np.sin(0.5 * time_s)[:, None]  # slow drift
    for row in rows:
        lids[:, list(eyes)] -= depth * np.exp(-((time_s - time_s[row]) ** 2) / (2 * width_s**2))[:, None]
    return made(np.zeros(1000), lids)


def test_blinks_are_found_where_they_are():
    blinks = channels.blinks(blinking([100, 420, 700]))
    assert [(blink.first + blink.last) / 2 for blink in blinks] == pytest.approx([100, 420, 700], abs=1)
    assert {blink.eyes for blink in blinks} == {"both"}
    # Above 0.4 of the peak: sqrt(-2 ln 0.4) = 1.35 standard deviations on each side.
    assert [blink.last - blink.first for blink in blinks] == pytest.approx([6.8] * 3, abs=2)


def test_a_wink_names_its_eye():
    assert [blink.eyes for blink in channels.blinks(blinking([300], eyes=(1,)))] == ["left"]


@pytest.mark.parametrize(
    "signals",
    [
        blinking([]),
        blinking([300], depth=0.01),
        blinking([300], width_s=0.5),  # the eyes are closed for more than a second
        hidden(blinking([300]), slice(None)),
        made(np.zeros(300)),
        made(np.zeros(1)),
    ],
    ids=["open", "slight", "long", "nothing measured", "constant", "one frame"],
)
def test_what_is_not_a_blink(signals: Signals):
    assert channels.blinks(signals) == []


def test_closure_is_the_distance_from_the_open_eye():
    closed = channels.closure(blinking([300]))
    assert closed[300] == pytest.approx([0.08, 0.08], abs=0.006)
    assert closed.min() >= 0
    assert np.median(closed) < 0.004


def talking(hz: float, amplitude: float, rows: slice) -> Signals:
    signals = made(np.zeros(600))
    signals.motion[rows, REGIONS.index("lower_lip"), 1] += amplitude * np.sin(2 * np.pi * hz * signals.time_s[rows])
    return signals


def test_speech_is_where_the_lips_swing():
    score = channels.speech(talking(4, 0.03, slice(200, 400)))
    assert score[230:370].min() > 0.7
    assert score[:130].max() == pytest.approx(0, abs=0.01)
    assert score[470:].max() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    "change",
    [
        lambda time_s: 0.03 * np.exp(-((time_s - 6) ** 2) / (2 * 0.1**2)),  # one movement
        lambda time_s: 0.03 * np.clip((time_s - 6) / 0.2, 0, 1),  # a lasting one
        lambda time_s: 0.03 * np.sin(2 * np.pi * 0.5 * time_s),  # too slow
        lambda time_s: np.random.default_rng(0).normal(0, 0.0006, len(time_s)),  # noise
        lambda time_s: np.full(len(time_s), np.nan),
    ],
    ids=["single", "lasting", "slow", "noise", "missing"],
)
def test_what_is_not_speech(change: Callable[[np.ndarray], np.ndarray]):
    signals = made(np.zeros(600))
    for name in MOUTH:
        signals.motion[:, REGIONS.index(name), 1] += change(signals.time_s)
    score = channels.speech(signals)
    assert np.isfinite(score).all()
    assert score.max() < 0.1


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_very_short_signals(count: int):
    signals = made(np.linspace(0, 1, count))
    assert np.isfinite(channels.low_pass(signals)).all()
    assert np.isfinite(channels.without_baseline(signals)).all()
    assert channels.speech(signals).shape == (count,)
    assert np.isnan(channels.noise(signals)).all()
