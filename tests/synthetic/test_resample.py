import numpy as np
import pytest
from scipy import ndimage

from mer_features.synthetic import resample

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("factor", [1, 3, 4])
def test_enlarge_is_scipys_interpolating_cubic_spline(factor):
    image = RNG.standard_normal((12, 9)).astype(np.float32)
    rows, columns = (np.arange(factor * size) / factor for size in image.shape)
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    expected = ndimage.map_coordinates(image.astype(float), places, order=3, mode="mirror")
    np.testing.assert_allclose(resample.enlarge(image, factor), expected, atol=2e-5)


def test_enlarge_takes_channels_first():
    planes = RNG.standard_normal((3, 6, 5)).astype(np.float32)
    each = np.stack([resample.enlarge(plane, 2) for plane in planes])
    np.testing.assert_array_equal(resample.enlarge(planes, 2), each)


@pytest.mark.parametrize("shift", [0.02, 0.1, 0.37])
def test_linear_samples_of_an_enlarged_wave_stand_where_they_should(shift):
    # The finest detail that frames hold has a period of about four pixels.
    x, y = resample.grid(24, 96)
    wave = np.cos(2 * np.pi * x / 4)
    fine = resample.enlarge(resample.enlarge(wave, 2)[::2, ::2], 4)
    moved = resample.sample(fine, (x + np.float32(shift)) * 4, y * 4)
    row = moved[12, 16:80]  # away from the mirrored borders
    phase = np.angle(np.sum(row * np.exp(-2j * np.pi * np.arange(16, 80) / 4)))
    assert phase / (2 * np.pi) * 4 == pytest.approx(shift, abs=0.01)


def test_affine_maps_undo_and_chain():
    first = resample.similarity(1.02, 7.0, (3.0, -2.0), np.array([50.0, 40.0]))
    second = resample.similarity(0.9, -30.0, (-1.0, 5.0), np.array([10.0, 0.0]))
    points = RNG.uniform(0, 100, (5, 2))
    chained = resample.apply(resample.compose(second, first), points)
    np.testing.assert_allclose(chained, resample.apply(second, resample.apply(first, points)))
    np.testing.assert_allclose(resample.apply(resample.invert(first), resample.apply(first, points)), points)


def test_polygon_mask_covers_the_polygons_area():
    triangle = np.array([(2.5, 3.0), (27.0, 6.5), (12.0, 25.0)])
    (ax, ay), (bx, by) = triangle[1] - triangle[0], triangle[2] - triangle[0]
    mask = resample.polygon_mask(triangle, (32, 32), 0)
    # OpenCV adds the outline, rather more than half a pixel wide outside the polygon.
    perimeter = np.linalg.norm(triangle - np.roll(triangle, 1, axis=0), axis=1).sum()
    assert abs(ax * by - ay * bx) / 2 == pytest.approx(mask.sum(), abs=0.7 * perimeter)
    assert mask[11, 13] == 1
    assert mask[25, 25] == 0
