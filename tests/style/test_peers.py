"""The plain peers, the geometry measure and the style gap."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mer_features.stages import style
from mer_features.stages.style import geometry, lab, peers
from mer_features.stages.style.fitted import Source, fit
from mer_features.workflow.assess import style as gap

from .conftest import restyled, warped


@pytest.fixture(scope="module")
def faces(people) -> np.ndarray:
    return people(4, 3)


def test_matching_to_one_s_own_histogram_changes_nothing(faces: np.ndarray):
    own = fit([faces[0]], method="histogram", clusters=1, seed=0, source=Source("all"))
    np.testing.assert_array_equal(style.aggregate(faces[0], "histogram", own), faces[0])


def test_matching_brings_the_pooled_histogram(faces: np.ndarray):
    pooled = fit(restyled(faces), method="histogram", clusters=1, seed=0, source=Source("all"))
    out = style.aggregate(faces[0], "histogram", pooled)
    for channel in range(3):
        wanted = np.cumsum(pooled.histogram[channel])
        found = np.cumsum(np.bincount(out[..., channel].ravel(), minlength=256)) / out[..., 0].size
        assert np.abs(found - wanted).max() < 0.05
    tables = peers.histogram_tables(faces[0], pooled.histogram)
    assert (np.diff(tables.astype(int), axis=1) >= 0).all()


def test_clahe_equalises_lightness_and_leaves_colour(faces: np.ndarray):
    dull = (0.4 * faces[0] + 70).astype(np.uint8)
    before, after = lab.planes(dull), lab.planes(style.aggregate(dull, "clahe"))
    assert after[0].std() > 1.5 * before[0].std()
    assert np.median(np.abs(after[1:] - before[1:])) < 0.5
    assert style.aggregate(dull[..., :1], "clahe").shape == (*dull.shape[:2], 1)


def test_the_geometry_measure_sees_a_shift_under_a_change_of_tone(faces: np.ndarray):
    shift = np.full(faces[0].shape[:2], 0.5)
    moved = restyled(warped(faces[0], shift, -shift)[None])[0]
    field = geometry.displacement(faces[0], moved)
    assert np.median(field[0]) == pytest.approx(0.5, abs=0.1)
    assert np.median(field[1]) == pytest.approx(-0.5, abs=0.1)
    assert geometry.median_length(geometry.displacement(faces[0], faces[0])) == 0
    toned = np.clip(0.7 * faces[0] + 30, 0, 255).astype(np.uint8)
    assert geometry.median_length(geometry.displacement(faces[0], toned)) < 0.05


def test_the_gap_between_two_cameras_closes(people):
    one, other = people(16, 4), restyled(people(16, 5))
    crops = np.concatenate([one, other])
    databases = ["one"] * 16 + ["other"] * 16
    subjects = [f"s{number // 2}" for number in range(16)] * 2
    fitted = fit(crops, method="statistical", clusters=3, seed=0, source=Source("all"))
    before = np.stack([gap.signature(crop) for crop in crops])
    after = np.stack([gap.signature(style.aggregate(crop, fitted=fitted)) for crop in crops])
    assert gap.accuracy(before, databases, subjects) > 0.95
    assert gap.accuracy(after, databases, subjects) < 0.85  # 1 before; noise and focus differ still
    assert gap.colour_distance(after, databases) < 0.2 * gap.colour_distance(before, databases)


def test_the_probe_is_at_chance_where_there_is_nothing_to_see():
    random = np.random.default_rng(0)
    signatures = random.standard_normal((200, 12))
    databases = ["a", "b"] * 100
    subjects = [f"s{number // 4}" for number in range(200)]
    assert abs(gap.accuracy(signatures, databases, subjects) - 0.5) < 0.12
    signatures[::2, 3] += 10
    assert gap.accuracy(signatures, databases, subjects) == 1


def test_blur_is_seen_in_the_rings(faces: np.ndarray):
    blurred = cv2.GaussianBlur(faces[0], (0, 0), 1.0)
    change = gap.signature(blurred) - gap.signature(faces[0])
    assert change[-1] < -0.5
    assert abs(change[4]) < 0.05
