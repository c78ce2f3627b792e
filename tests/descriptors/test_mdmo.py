"""MDMO against loops written from its definition and against flow whose main direction is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mer_features.stages.descriptors import mdmo

SIDE = 200


def face() -> np.ndarray:
    """Landmarks of a symmetric face on a crop of 200 pixels; mirrored points differ in x alone."""
    half = {
        0: (25, 80), 1: (27, 100), 2: (30, 118), 3: (35, 136), 4: (44, 152), 5: (56, 166), 6: (70, 177), 7: (84, 184),
        8: (100, 187), 17: (36, 55), 18: (46, 48), 19: (58, 46), 20: (70, 49), 21: (82, 54), 27: (100, 72),
        28: (100, 84), 29: (100, 96), 30: (100, 106), 31: (86, 114), 32: (93, 117), 33: (100, 119), 36: (50, 74),
        37: (58, 69), 38: (68, 69), 39: (76, 75), 40: (67, 78), 41: (58, 78), 48: (70, 142), 49: (81, 136),
        50: (92, 133), 51: (100, 135), 57: (100, 156), 58: (91, 155), 59: (80, 151), 60: (75, 142), 61: (91, 141),
        62: (100, 142), 66: (100, 146), 67: (91, 145),
    }  # fmt: skip
    points = np.zeros((68, 2))
    for index, (x, y) in half.items():
        points[index] = x, y
        points[mdmo.MIRRORED[index]] = SIDE - x, y
    return points


def slow(flows: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The definition, pixel by pixel."""
    means = []
    for inside in mdmo.region_masks(landmarks, flows.shape[2:]):
        total = np.zeros(2)
        for u, v in flows:
            bins: dict[int, list[tuple[float, float]]] = {}
            for y, x in np.argwhere(inside):
                degrees = math.degrees(math.atan2(v[y, x], u[y, x]))
                bins.setdefault(round(degrees / 45) % 8, []).append((u[y, x], v[y, x]))
            main = max(sorted(bins), key=lambda number: len(bins[number]))
            total += np.mean(bins[main], axis=0)
        means.append(total / len(flows))
    magnitudes = [math.hypot(*mean) for mean in means]
    return np.array([*(value / max(magnitudes) for value in magnitudes), *(math.atan2(v, u) for u, v in means)])


def test_equals_the_definition():
    flows = np.random.default_rng(0).normal(size=(2, 2, SIDE, SIDE))
    made = mdmo.describe(flows, face())
    assert made.shape == (mdmo.LENGTH,) == (72,)
    np.testing.assert_allclose(made, slow(flows, face()), atol=1e-12)
    np.testing.assert_allclose(mdmo.describe(5 * flows, face()), made, atol=1e-12)


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 170, -170, -90])
def test_a_shift_is_the_same_in_every_region(degrees: float):
    angle = math.radians(degrees)
    flow = np.broadcast_to(np.array([math.cos(angle), math.sin(angle)])[:, None, None], (2, SIDE, SIDE))
    made = mdmo.describe(0.3 * flow[None], face())
    np.testing.assert_allclose(made[:36], 1)
    np.testing.assert_allclose(made[36:], angle, atol=1e-12)


def test_only_the_main_direction_is_averaged():
    """60 % of the pixels move right by 1 or 3 px, the others much farther down."""
    rows = np.arange(SIDE)[:, None] % 5
    u = np.broadcast_to(np.where(rows < 3, np.where(np.arange(SIDE) % 2, 1.0, 3.0), 0.0), (SIDE, SIDE))
    v = np.broadcast_to(np.where(rows < 3, 0.0, 50.0), (SIDE, SIDE))
    made = mdmo.describe(np.stack([u, v])[None], face())
    np.testing.assert_array_equal(made[36:], 0)
    np.testing.assert_allclose(made[:36], 1, atol=0.1)  # 2 px, up to the number of odd columns of a region


def test_the_means_of_the_frames_are_averaged_as_vectors():
    right, down = np.zeros((2, 2, SIDE, SIDE))
    right[0], down[1] = 4, 3
    left_half = np.arange(SIDE) < SIDE // 2
    down[1, :, ~left_half] = 0
    made = mdmo.describe(np.stack([right, down]), face())
    np.testing.assert_allclose(made[36], math.atan2(3, 4))  # left of the image: (2, 1.5)
    np.testing.assert_allclose(made[:1], 1)
    np.testing.assert_allclose((made[18], made[36 + 18]), (2 / 2.5, 0), atol=1e-12)  # right of it: (2, 0)


def test_a_mirrored_face_swaps_the_halves_and_turns_angles_around():
    rng = np.random.default_rng(1)
    flow = np.kron(rng.normal(size=(2, 25, 25)), np.ones((8, 8)))
    landmarks = np.round(face() + rng.normal(0, 1, (68, 2)))
    mirrored = landmarks[mdmo.MIRRORED] * (-1, 1) + (SIDE - 1, 0)
    made = mdmo.describe(flow[None], landmarks)
    turned = mdmo.describe((flow * [[[-1]], [[1]]])[None, :, :, ::-1], mirrored)
    swapped = [*range(18, 36), *range(18)]
    close = np.isclose(turned[:36], made[:36][swapped], atol=0.15)
    assert close.mean() > 0.8  # a pixel at a border is rounded to the other side
    np.testing.assert_array_equal(mdmo.MIRRORED[mdmo.MIRRORED], np.arange(68))


def test_regions_cover_the_face_and_hardly_overlap():
    masks = mdmo.region_masks(face(), (SIDE, SIDE))
    assert masks.sum(axis=(1, 2)).min() > 60
    count = masks.sum(axis=0)
    assert (count > 1).sum() < 0.2 * (count > 0).sum()  # borders
    assert count.max() <= 5
    jaw = face()[:17]
    assert (count > 0)[int(jaw[:, 1].min()) : int(jaw[8, 1]), 60:140].mean() > 0.8
    np.testing.assert_allclose(masks[:18].sum(axis=(1, 2)), masks[18:].sum(axis=(1, 2)), rtol=0.06)


def test_nothing_moving_and_no_landmarks_are_zeros():
    still, flow = np.zeros((1, 2, SIDE, SIDE)), np.ones((1, 2, SIDE, SIDE))
    np.testing.assert_array_equal(mdmo.describe(still, face()), 0)
    np.testing.assert_array_equal(mdmo.describe(flow, np.full((68, 2), np.nan)), 0)
    outside = mdmo.describe(flow[..., :100], face())  # the right half of the face is not on the crop
    assert np.isfinite(outside).all()
    assert not outside[18 + 3]


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"expected \(F, 2, H, W\)"):
        mdmo.describe(np.zeros((2, 9, 9)), face())
    with pytest.raises(ValueError, match=r"landmarks \(5, 2\)"):
        mdmo.describe(np.zeros((1, 2, 9, 9)), face()[:5])
