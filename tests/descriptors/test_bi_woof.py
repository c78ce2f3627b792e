"""Bi-WOOF against its definition in loops and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mer_features.stages.descriptors import bi_woof


def slow(u: np.ndarray, v: np.ndarray, strain: np.ndarray) -> np.ndarray:
    height, width = u.shape
    out = np.zeros((5, 5, 8))
    total = np.zeros((5, 5))
    for y in range(height):
        for x in range(width):
            row, column = y * 5 // height, x * 5 // width
            angle = math.degrees(math.atan2(v[y, x], u[y, x]))
            bin_ = next(b for b in range(8) if -180 + 45 * b < angle <= -135 + 45 * b)
            out[row, column, bin_] += math.hypot(u[y, x], v[y, x])
            total[row, column] += strain[y, x]
    out = out / out.sum(axis=-1, keepdims=True) * total[..., None]
    return out.ravel() / np.linalg.norm(out)


def test_equals_the_definition():
    u, v = np.random.default_rng(0).normal(size=(2, 23, 31))
    strain = np.random.default_rng(1).random((23, 31))
    made = bi_woof.describe(u, v, strain)
    assert made.shape == (bi_woof.LENGTH,) == (200,)
    np.testing.assert_allclose(made, slow(u, v, strain), atol=1e-12)
    np.testing.assert_allclose(bi_woof.describe(3 * u, 3 * v, strain), made, atol=1e-12)
    np.testing.assert_allclose(bi_woof.describe(u, v, 3 * strain), made, atol=1e-12)


@pytest.mark.parametrize(
    ("angle", "bin_"),
    [(180, 7), (-180, 7), (-170, 0), (-135, 0), (-130, 1), (-10, 3), (0, 3), (10, 4), (90, 5), (100, 6)],
)
def test_uniform_flow_fills_one_bin_of_every_block_alike(angle: float, bin_: int):
    exact = {180: (-1.0, 0.0), -180: (-1.0, -0.0), -135: (-1.0, -1.0), 0: (1.0, 0.0), 90: (0.0, 1.0)}
    u, v = exact.get(angle, (math.cos(math.radians(angle)), math.sin(math.radians(angle))))
    ones = np.ones((20, 20), np.float32)
    made = bi_woof.describe(u * ones, v * ones, 0.1 * ones).reshape(25, 8)
    wanted = np.zeros((25, 8))
    wanted[:, bin_] = 0.2
    np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_strain_weighs_blocks_against_each_other():
    ones = np.ones((10, 10))
    strain = ones.copy()
    strain[:2, :2] = 5
    made = bi_woof.describe(ones, 0 * ones, strain).reshape(25, 8).sum(axis=1)
    assert made[0] == pytest.approx(5 * made[1])


def test_nothing_moving_is_zeros_not_nan():
    zeros, ones = np.zeros((10, 10)), np.ones((10, 10))
    np.testing.assert_array_equal(bi_woof.describe(ones, ones, zeros), 0)
    np.testing.assert_array_equal(bi_woof.describe(zeros, zeros, ones), 0)
    half = ones.copy()
    half[:2, :2] = 0
    made = bi_woof.describe(half, 0 * ones, ones)
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made[:8], 0)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="expected equal shapes"):
        bi_woof.describe(np.zeros((10, 10)), np.zeros((10, 11)), np.zeros((10, 10)))
