"""LBP-TOP against loops written from its definition, bit for bit, and against what its patterns must show."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from mer_features.stages.descriptors import lbp_top
from mer_features.stages.descriptors.lbp_top import Parameters


def slow(volume: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Voxel by voxel, sample by sample, block by block."""
    length, height, width = volume.shape
    rx, ry, rt = parameters.radii
    radius = {"X": rx, "Y": ry, "T": rt}
    uniform = [
        code
        for code in range(2**parameters.points)
        if sum((code >> i & 1) != (code >> (i + 1) % parameters.points & 1) for i in range(parameters.points)) <= 2
    ]
    rows, columns = parameters.blocks
    out = np.zeros((rows, columns, 3, parameters.bins))
    for t, y, x in itertools.product(range(rt, length - rt), range(ry, height - ry), range(rx, width - rx)):
        row = max(r for r in range(rows) if y >= round(r * height / rows))
        column = max(c for c in range(columns) if x >= round(c * width / columns))
        for number, plane in enumerate(("XY", "XT", "YT")):
            code = 0
            for point in range(parameters.points):
                angle = 2 * math.pi * point / parameters.points
                place = {"T": 0.0, "Y": 0.0, "X": 0.0}
                place[plane[0]] = round(radius[plane[0]] * math.cos(angle), 5)
                place[plane[1]] = round(radius[plane[1]] * math.sin(angle), 5)
                difference = 0.0
                for up in itertools.product((0, 1), repeat=3):
                    weight, voxel = 1.0, []
                    for value, centre, step in zip(place.values(), (t, y, x), up, strict=True):
                        share = value - math.floor(value)
                        weight *= share if step else 1 - share
                        voxel.append(centre + math.floor(value) + step)
                    if weight > 0:
                        difference += weight * (float(volume[tuple(voxel)]) - float(volume[t, y, x]))
                code |= (difference >= 0) << point
            if parameters.uniform:
                code = uniform.index(code) if code in uniform else parameters.bins - 1
            out[row, column, number, code] += 1
    return (out / out.sum(axis=-1, keepdims=True)).ravel()


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(),
        Parameters(uniform=False),
        Parameters((1, 1, 1), 8, (2, 2)),
        Parameters((3, 3, 3), 8, (1, 2)),
        Parameters((3, 2, 1), 4, (3, 1)),
    ],
)
def test_equals_the_definition_to_the_bit(parameters: Parameters):
    volume = np.random.default_rng(0).integers(0, 8, (10, 12, 13)).astype(np.uint8)  # many ties
    np.testing.assert_array_equal(lbp_top.describe(volume, parameters), slow(volume, parameters))


def test_lengths_are_the_published_ones():
    assert Parameters().length == 1125
    assert Parameters(uniform=False).length == 1200
    assert Parameters((3, 3, 3), 8).length == 25 * 3 * 59
    assert len(lbp_top.describe(np.zeros((10, 20, 20)))) == 1125


@pytest.mark.parametrize("points", [4, 8])
@pytest.mark.parametrize("radius", [1, 3])
@pytest.mark.parametrize("plane", ["XY", "XT", "YT"])
def test_patterns_of_a_plane_are_scikit_images(plane: str, radius: int, points: int):
    volume = np.random.default_rng(1).integers(0, 256, (21, 22, 23)).astype(np.uint8)
    made = lbp_top.patterns(volume, Parameters((radius,) * 3, points, (1, 1), uniform=False))
    centre = 9  # the plane through this voxel
    slices = {"XY": volume[centre], "XT": volume[:, centre], "YT": volume[:, :, centre]}
    inside = centre - radius
    codes = {"XY": made[0, inside], "XT": made[1, :, inside], "YT": made[2, :, :, inside]}
    # scikit-image samples counter-clockwise with y upwards; here the second axis of a plane points down.
    theirs = local_binary_pattern(slices[plane][::-1], points, radius, "default").astype(int)[::-1]
    rim = np.s_[radius:-radius, radius:-radius]
    assert (codes[plane] == theirs[rim]).mean() > 0.99  # samples that equal their voxel may differ in the last bit


def test_a_constant_volume_has_all_bits_set():
    parameters = Parameters((1, 1, 2), 8, (2, 2))
    made = lbp_top.describe(np.full((6, 9, 9), 77, np.uint8), parameters).reshape(4, 3, -1)
    ones = np.zeros(parameters.bins)
    ones[57] = 1
    np.testing.assert_array_equal(made, np.broadcast_to(ones, made.shape))


def test_a_static_clip_has_both_temporal_bits_set():
    image = np.random.default_rng(2).integers(0, 256, (12, 12)).astype(np.uint8)
    codes = lbp_top.patterns(np.stack([image] * 10), Parameters(uniform=False))
    for plane in (1, 2):
        assert (codes[plane] & 0b1010 == 0b1010).all()
    assert not (codes[0] & 0b1010 == 0b1010).all()


def test_light_and_contrast_do_not_matter():
    volume = np.random.default_rng(3).integers(0, 100, (10, 15, 15)).astype(float)
    made = lbp_top.describe(volume)
    np.testing.assert_array_equal(lbp_top.describe(volume + 20), made)
    np.testing.assert_array_equal(lbp_top.describe(volume * 2), made)
    assert (lbp_top.describe(-volume) != made).any()
    np.testing.assert_allclose(made.reshape(75, 15).sum(axis=1), 1)


@pytest.mark.parametrize("shape", [(8, 20, 20), (10, 4, 20), (10, 20)])
def test_too_small_volumes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="found a volume of shape"):
        lbp_top.describe(np.zeros(shape))
