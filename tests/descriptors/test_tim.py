"""Temporal interpolation against its closed form and against the published way over singular vectors."""

from __future__ import annotations

import numpy as np
import pytest

from mer_features.stages.descriptors import tim


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 37])
def test_the_same_length_returns_the_frames(n: int):
    frames = np.random.default_rng(n).normal(size=(n, 5, 4))
    np.testing.assert_allclose(tim.resample(frames, n), frames, atol=1e-9)


@pytest.mark.parametrize(("n", "count"), [(9, 10), (30, 10), (5, 23)])
def test_equals_the_model_over_singular_vectors(n: int, count: int):
    frames = np.random.default_rng(0).normal(size=(n, 40))
    mean = frames.mean(axis=0)
    basis, values, axes = np.linalg.svd(frames - mean, full_matrices=False)
    coordinates = (basis * values)[:, : n - 1]

    def curve(s: float) -> list[float]:
        return [np.sin(np.pi * k * s + np.pi * (n - k) / (2 * n)) for k in range(1, n)]

    known = np.array([curve(i / n) for i in range(1, n + 1)])
    linear = np.linalg.lstsq(known, coordinates)[0]
    wanted = np.array([curve(s) for s in np.linspace(1 / n, 1, count)]) @ linear @ axes[: n - 1] + mean
    np.testing.assert_allclose(tim.resample(frames, count), wanted, atol=1e-8)


def test_ends_stay_and_a_ramp_stays_monotone():
    ramp = np.linspace(0, 1, 24)[:, None] * np.ones((24, 6))
    made = tim.resample(ramp, 10)
    assert made.shape == (10, 6)
    np.testing.assert_allclose(made[[0, -1]], ramp[[0, -1]], atol=1e-9)
    assert (np.diff(made, axis=0) > 0).all()


def test_two_frames_are_interpolated_linearly_and_one_is_repeated():
    np.testing.assert_allclose(tim.resample(np.array([[0.0], [9.0]]), 4).ravel(), [0, 3, 6, 9])
    np.testing.assert_array_equal(tim.resample(np.array([[7.0, 8.0]]), 3), [[7, 8]] * 3)


@pytest.mark.parametrize(("n", "count"), [(0, 5), (5, 0)])
def test_nothing_is_refused(n: int, count: int):
    with pytest.raises(ValueError, match="expected at least 1"):
        tim.resample(np.zeros((n, 3)), count)
