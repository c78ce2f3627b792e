"""Sequences: the band keeps what it should at any frame rate, memory stays flat, drift is left alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import signal

from mer_features.stages.magnify.eulerian import Linear
from mer_features.stages.magnify.phase import Rotation, Transport
from mer_features.stages.magnify.sequence import magnify, pair
from mer_features.stages.magnify.temporal import Band

from .pictures import bump, face, moved, registered, shifted, stored, texture

METHODS = [Transport(), Rotation(), Linear(0.3)]
IDS = ["transport", "rotation", "eulerian"]


def _filtered(band: Band, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The band's answer to a signal that starts at 0."""
    steps = np.diff(times, prepend=times[0] - (times[1] - times[0]))
    return np.array([band.step([np.float64(value)], float(step))[0] for value, step in zip(values, steps, strict=True)])


def _images(pairs) -> list[np.ndarray]:
    return [image for image, _ in pairs]


def _middle(low: float, high: float, rate: float) -> float:
    return float(np.arctan(np.sqrt(np.tan(np.pi * low / rate) * np.tan(np.pi * high / rate))) * rate / np.pi)


@pytest.mark.parametrize(("low", "high", "rate"), [(0.5, 10, 100), (1, 3, 30), (2, 14, 30)])
def test_the_middle_of_the_band_passes_unchanged_and_the_rest_falls_off(low, high, rate):
    times = np.arange(int(40 * rate / low)) / rate
    settled = len(times) // 2

    def gain(hertz: float) -> tuple[float, float]:
        wave = np.exp(2j * np.pi * hertz * times)
        found = _filtered(Band(low, high), times, wave.real)[settled:]
        projected = 2 * np.mean(found * np.conj(wave[settled:]))
        return abs(projected), np.angle(projected)

    size, delay = gain(_middle(low, high, rate))
    assert size == pytest.approx(1, rel=0.02)
    assert delay == pytest.approx(0, abs=0.02)
    assert gain(low / 8)[0] < 0.25 * (1 + high / (high - low))
    assert gain(low / 8)[0] < 0.6 * gain(low / 4)[0]


def test_the_band_is_the_textbook_one_at_a_constant_rate():
    """scipy's bilinear transform of G s (K_h - K_l) / ((s + K_l)(s + K_h)) with the corners warped beforehand."""
    low, high, rate = 0.8, 6.0, 50.0
    corners = 2 * rate * np.tan(np.pi * np.array([low, high]) / rate)
    analogue = [corners.sum(), 0], np.poly(-corners)
    expected = signal.lfilter(*signal.bilinear(*analogue, rate), values := np.random.default_rng(0).normal(size=200))
    np.testing.assert_allclose(_filtered(Band(low, high), np.arange(200) / rate, values), expected, atol=1e-5)


def test_an_uneven_frame_rate_changes_little():
    even = np.arange(0, 12, 0.01)
    uneven = np.sort(even + np.random.default_rng(0).uniform(-0.004, 0.004, len(even)))
    wave = lambda times: np.sin(2 * np.pi * 2 * times)  # noqa: E731
    expected = _filtered(Band(0.5, 8), even, wave(even))
    found = _filtered(Band(0.5, 8), uneven, wave(uneven))
    assert np.abs(np.interp(even, uneven, found) - expected)[200:-5].max() < 0.05


def test_an_open_band_passes_everything_and_a_drift_dies_out():
    times = np.arange(400) / 50
    ramp = 3 * times
    np.testing.assert_array_equal(_filtered(Band(), times, ramp), ramp)
    left = _filtered(Band(1.0, None), times, ramp)
    assert left[-1] == pytest.approx(3 / (2 * np.pi), rel=0.05)  # the ramp's lag behind the slow low-pass
    np.testing.assert_allclose(_filtered(Band(1.0, None), times, np.ones(400))[-1], 0, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2), (2, 2), (float("nan"), 1)])
def test_a_band_that_is_none_is_refused(low, high):
    with pytest.raises(ValueError, match="expected 0 <= low < high"):
        Band(low, high)


def test_a_band_beyond_the_frame_rate_is_refused():
    with pytest.raises(ValueError, match="20 Hz at 30 frames/s"):
        Band(0, 20).step([np.zeros(1)], 1 / 30)


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_without_a_band_every_frame_is_a_pair_with_the_first(method):
    picture = face()
    frames = [stored(moved(picture, size * bump(128, (0.8, 0.4)))) for size in (0, 0.5, 1, 0.3)]
    out = _images(magnify(((frame, index / 10) for index, frame in enumerate(frames)), 5, method))
    np.testing.assert_array_equal(out[0], frames[0])
    for found, frame in zip(out[1:], frames[1:], strict=True):
        np.testing.assert_array_equal(found, pair(frames[0], frame, 5, method))


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_factor_one_gives_the_frames_back_and_still_frames_stay(method):
    picture = texture(96)
    still, later = stored(picture), stored(shifted(picture, 0.5, 0))
    for frames, factor in (([still, later, still], 1), ([still] * 4, 12)):
        out = magnify(((frame, index / 10) for index, frame in enumerate(frames)), factor, method, Band(0.5, 4))
        np.testing.assert_array_equal(_images(out), frames)


def test_the_band_magnifies_a_tremor_and_leaves_a_drift():
    """A head that drifts by 3 px/s and trembles by 0.2 px at the middle of the band."""
    picture = texture(96, sigma=2.5)
    rate, low, high = 25.0, 1.0, 6.0
    hertz = _middle(low, high, rate)
    times = np.arange(44) / rate
    drift = np.column_stack([3 * times, 0 * times])
    tremor = 0.2 * np.sin(2 * np.pi * hertz * times)
    frames = [stored(shifted(picture, x, tremble)) for (x, _), tremble in zip(drift, tremor, strict=True)]
    out = _images(magnify(zip(frames, times, strict=True), 5, Transport(), Band(low, high)))
    settled = range(24, 44)
    places = np.array([registered(stored(shifted(picture, *drift[t])), out[t], 20) for t in settled])
    size = np.linalg.lstsq(tremor[24:, None], places[:, 1])[0][0]
    assert size == pytest.approx(5, rel=0.1)
    # Along x only the lag of a drift is left: 4 x 3 px/s / (2 pi 1 Hz) at most, and the same for every frame.
    assert np.std(places[:, 0]) < 0.1
    assert np.abs(places[:, 0]).max() < 4 * 3 / (2 * np.pi * low) + 0.3


def test_frames_are_read_one_at_a_time():
    read = []

    def frames():
        for index in range(1000):
            read.append(index)
            yield np.full((16, 16), 100, np.uint8), index / 30

    out = magnify(frames(), 3, Transport(), Band(0.5))
    for expected, _ in zip(range(3), out, strict=False):
        assert read == list(range(expected + 1))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([(np.zeros((16, 16), np.uint8), 0.0), (np.zeros((16, 17), np.uint8), 0.1)], r"\(16, 17\) at 0.1 s"),
        ([(np.zeros((16, 16), np.uint8), 0.0), (np.zeros((16, 16), np.uint8), 0.0)], "at 0 s after"),
        ([(np.zeros((16, 16), np.float32), 0.0)], "frame at 0.000 s: found dtype float32"),
    ],
)
def test_bad_frames_are_named(frames, message):
    with pytest.raises(ValueError, match=message):
        list(magnify(frames, 2, Transport()))


def test_every_frame_differs_where_every_frame_moves():
    picture = texture(96)
    frames = [(stored(shifted(picture, 0.3 * np.sin(index), 0)), index / 30) for index in range(5)]
    out = _images(magnify(frames, 4, Transport(), Band(0.2)))
    assert all((first != second).any() for first, second in pairwise(out))
