import numpy as np
import pytest
from skimage import data
from skimage.feature import local_binary_pattern

from mer_features.stages.apex.lbp import BINS, Box, codes, histograms

RNG = np.random.default_rng(0)
IMAGES = {
    "noise": RNG.integers(0, 256, (64, 50), dtype=np.uint8),
    "few levels, so many ties": RNG.integers(0, 3, (41, 67), dtype=np.uint8),
    "flat patches": np.kron(RNG.integers(0, 256, (6, 6)), np.ones((11, 13))).astype(np.uint8),
    "photograph": data.camera()[100:260, 180:340],
    "constant": np.full((40, 300), 200, np.uint8),
    "slope, a tie at every pixel": np.add.outer(np.arange(70) // 2, np.arange(530) // 5).astype(np.uint8),
    "signed": RNG.integers(-4, 4, (33, 45), dtype=np.int16),
    "smaller than the circle": np.array([[7]], np.uint8),
}


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
def test_codes_equal_scikit_image(image, radius):
    expected = local_binary_pattern(image, 8, radius, method="nri_uniform")
    found = codes(image, radius)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("box", [Box(0, 0, 30, 20), Box(17, 11, 90, 180), Box(70, 130, 100, 200), Box(5, 6, 6, 7)])
def test_codes_of_a_box_are_those_of_the_whole_image(box):
    image = np.random.default_rng(1).integers(0, 3, (100, 200), dtype=np.uint8)  # many ties
    expected = codes(image)[box.top : box.bottom, box.left : box.right]
    np.testing.assert_array_equal(codes(image, box=box), expected)


def test_every_code_occurs_and_brightness_does_not_matter():
    noise = RNG.integers(0, 120, (300, 300), dtype=np.uint8)
    found = codes(noise)[1:-1, 1:-1]
    assert set(np.unique(found)) == set(range(BINS))
    np.testing.assert_array_equal(codes(2 * noise + 10)[1:-1, 1:-1], found)


def test_a_horizontal_edge_has_the_code_of_its_half_circle():
    # Bright above: samples right (0) to left (4), counter-clockwise over the top, are not darker than a bright
    # pixel at the edge; its three lower ones are. Five ones from sample 0: 1 + 8 * 4 + 0.
    image = np.zeros((6, 6), np.uint8)
    image[:3] = 100
    assert codes(image)[2, 2] == 33


def test_histograms_count_each_box_apart():
    image = IMAGES["noise"]
    boxes = [Box(0, 0, 10, 10), Box(20, 5, 64, 50)]
    found = histograms(image, boxes)
    assert found.shape == (2 * BINS,)
    for box, part in zip(boxes, np.split(found, 2), strict=True):
        expected = np.bincount(codes(image)[box.top : box.bottom, box.left : box.right].ravel(), minlength=BINS)
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize(
    ("shape", "radius", "box"),
    [
        ((8, 8, 3), 1, None),
        ((8, 8), 0, None),
        ((8, 8), 1, Box(0, 0, 9, 8)),
        ((8, 8), 1, Box(-1, 0, 4, 4)),
        ((8, 8), 1, Box(4, 4, 4, 8)),
    ],
)
def test_bad_input_is_named(shape, radius, box):
    with pytest.raises(ValueError, match="expected"):
        codes(np.zeros(shape, np.uint8), radius, box)
