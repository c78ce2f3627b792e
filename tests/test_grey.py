import numpy as np
import pytest

from mer_features.core.grey import levels


def test_grey_uint8_is_returned_as_it_is():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(levels(image), image)
    np.testing.assert_array_equal(levels(image[:, :, None]), image)


def test_colour_becomes_rounded_luma():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    luma = image @ np.array([0.299, 0.587, 0.114])
    found = levels(image)
    assert found.dtype == np.uint8
    assert np.abs(found - luma).max() <= 0.51
    as_float = levels(image / 255)
    assert as_float.dtype == np.float32
    np.testing.assert_allclose(as_float, luma, atol=1e-3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 1), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "shape"),
        (np.zeros((4, 4), np.int16), "dtype int16"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), 128.0), "values 128..128"),
        (np.full((4, 4), -0.1), r"values -0\.1"),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(ValueError, match=f"^moved: found .*{message}"):
        levels(image, "moved")
