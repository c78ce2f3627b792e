"""Tracking of regions over many key frames, on pictures that move as a whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mer_features.stages.signals.regions import REGIONS
from mer_features.stages.signals.tracking import Grids, RegionTracker

FPS = 50.0
EYE_PX = 87.0
LANDMARKS = np.random.default_rng(1).uniform(70, 186, (68, 2))


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    picture = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), 2.0)
    return 128 + 30 * picture / picture.std()


def shifted(texture: np.ndarray, x: float, y: float, rng: np.random.Generator) -> np.ndarray:
    moved = cv2.warpAffine(
        texture, np.array([[1.0, 0, x], [0, 1, y]]), (256, 256), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT
    )
    return np.clip(np.rint(moved + rng.normal(0, 2, moved.shape)), 0, 255).astype(np.uint8)


def track(texture: np.ndarray, path: np.ndarray, key_frame_s: float) -> np.ndarray:
    """Measured motion (T, 17, 2) in pixels along a path (T, 2)."""
    rng = np.random.default_rng(2)
    tracker = RegionTracker(Grids.around(LANDMARKS, EYE_PX), FPS, key_frame_s)
    return np.array([tracker.track(shifted(texture, x, y, rng))[0] for x, y in path]) * EYE_PX


def test_many_key_frames_do_not_drift(texture: np.ndarray):
    time_s = np.arange(300) / FPS
    path = np.column_stack([1.5 * np.sin(0.5 * time_s), 0.4 * time_s - 2])
    measured = track(texture, path - path[0], key_frame_s=0.5)
    error = measured - (path - path[0])[:, None]
    assert measured.shape == (300, len(REGIONS), 2)
    assert np.abs(np.median(error, axis=1)).max() < 0.06  # after 6 s and about eleven key frames
    assert np.abs(error).max() < 0.25


def test_a_quick_movement_delays_the_next_key_frame_and_is_measured_in_full(texture: np.ndarray):
    path = np.zeros((120, 2))
    path[46:, 1] = 3.0  # just before the key frame would be renewed
    measured = track(texture, path, key_frame_s=1.0)
    np.testing.assert_allclose(np.median(measured[60:], axis=(0, 1)), [0, 3], atol=0.03)


def test_a_region_that_cannot_be_tracked_is_not_measured(texture: np.ndarray):
    rng = np.random.default_rng(3)
    tracker = RegionTracker(Grids.around(LANDMARKS, EYE_PX), FPS, 2.0)
    first = shifted(texture, 0, 0, rng)
    tracker.track(first)
    other = first.copy()
    chin = Grids.around(LANDMARKS, EYE_PX).regions[REGIONS.index("chin")].mean(axis=0).astype(int)
    rows, columns = slice(chin[1] - 22, chin[1] + 22), slice(chin[0] - 22, chin[0] + 22)
    other[rows, columns] = rng.integers(0, 255, other[rows, columns].shape)
    motion, _ = tracker.track(other)
    assert np.isnan(motion[REGIONS.index("chin")]).all()
    assert np.isfinite(motion).sum() >= 20
    motion, _ = tracker.track(first)
    assert np.abs(motion).max() < 0.002
