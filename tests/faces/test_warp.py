import cv2
import numpy as np
import pytest
from scipy import ndimage

from mer_features.stages.faces.warp import warp

SIZE = 96


def placed(scale, x, y):
    """Crop pixels to source pixels: ``scale`` crop pixels a source pixel, the crop's first pixel at (x, y)."""
    return np.array([[1 / scale, 0, x], [0, 1 / scale, y]])


def as_pixels(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)[:, :, None]


def measured_shift(first, second):
    """Sub-pixel shift (x, y) between two images by Gauss-Newton on quintic splines, converged to 1e-4 px."""
    first, second = first[:, :, 0].astype(float), second[:, :, 0].astype(float)
    spline = ndimage.spline_filter(first, 5, mode="mirror")
    y, x = np.mgrid[8 : SIZE - 8, 8 : SIZE - 8].astype(float)

    def at(shift):
        points = [y + shift[1], x + shift[0]]
        return ndimage.map_coordinates(spline, points, order=5, mode="mirror", prefilter=False).ravel()

    shift = np.zeros(2)
    for _ in range(4):
        slopes = [(at(shift + step) - at(shift - step)) / 0.1 for step in 0.05 * np.eye(2)]
        rest = second[8:-8, 8:-8].ravel() - at(shift)
        shift = shift + np.linalg.lstsq(np.stack(slopes, axis=1), rest, rcond=None)[0]
    return shift


def cubic(image, matrix, size):
    """OpenCV's cubic interpolation."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (size, size), flags=flags)[:, :, None]


def linear(image, matrix, size):
    """OpenCV's linear interpolation."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (size, size), flags=flags)[:, :, None]


def worst_bias(resample, image, scale):
    """Largest error in source pixels when the crop moves by 0.1 px, over positions between pixels."""
    errors = []
    for phase in (0.0, 0.25, 0.5, 0.75):
        before = resample(image, placed(scale, 60 + phase, 60 + phase), SIZE)
        after = resample(image, placed(scale, 60.1 + phase, 60.1 + phase), SIZE)
        errors.append(measured_shift(before, after) / scale - 0.1)
    return np.abs(errors).max()


@pytest.mark.parametrize("scale", [0.6, 0.8, 1.0, 1.3])
def test_a_tenth_of_a_pixel_is_rendered_within_five_thousandths(make_portrait, scale):
    face = make_portrait((300, 300), scale=2.0).frame()
    assert worst_bias(warp, face, scale) < 0.005


def test_other_interpolations_fail_that_test(make_portrait):
    face = make_portrait((300, 300), scale=1.5).frame()
    assert worst_bias(cubic, face, 1.0) > 0.01
    assert worst_bias(linear, face, 1.0) > 0.005
    assert worst_bias(warp, face, 1.0) < 0.005


def test_blur_is_the_same_at_every_position():
    x = np.arange(200)
    wave = as_pixels(np.broadcast_to(128 + 80 * np.sin(x * 2 * np.pi / 5), (200, 200)))
    spreads = [warp(wave, placed(1.0, 40 + phase, 40), 50).std() for phase in np.linspace(0, 1, 9)]
    plain = [linear(wave, placed(1.0, 40 + phase, 40), 50).std() for phase in np.linspace(0, 1, 9)]
    assert np.ptp(spreads) < 0.4 * np.ptp(plain)


@pytest.mark.parametrize("scale", [0.35, 0.7, 1.0, 1.7])
def test_a_ramp_keeps_its_place_and_slope(scale):
    ramp = as_pixels(np.broadcast_to(0.5 * np.arange(400), (400, 400)))
    crop = warp(ramp, placed(scale, 50.4, 20), SIZE)[:, :, 0]
    place = 50.4 + np.arange(SIZE) / scale
    # The ramp itself is in whole grey levels, so it is up to half a level (one pixel) off.
    assert np.abs(crop - 0.5 * place).max() <= 1
    slope, start = np.polyfit(place, crop.mean(axis=0), 1)
    assert slope == pytest.approx(0.5, abs=0.005)
    assert start == pytest.approx(0, abs=0.35)


def test_reduction_does_not_alias():
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 2, (600, 600)) * 255
    crop = warp(as_pixels(texture), placed(0.2, 20, 20), SIZE)
    sampled = linear(as_pixels(texture), placed(0.2, 20, 20), SIZE)
    assert crop.std() < 0.35 * sampled.std()
    assert crop.mean() == pytest.approx(127.5, abs=2)


def test_turned_crop_agrees_with_a_spline(portrait):
    face = portrait.frame()
    angle = np.deg2rad(17)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 110.3], [np.sin(angle), np.cos(angle), 80.8]])
    smooth = ndimage.gaussian_filter(face[:, :, 0].astype(float), 0.5)
    spline = ndimage.affine_transform(smooth, matrix[::-1, 1::-1], matrix[::-1, 2], (SIZE, SIZE), order=3)
    assert np.abs(warp(face, matrix, SIZE)[:, :, 0] - spline).mean() < 1


def test_stretching_by_different_factors(portrait):
    face = portrait.frame()
    crop = warp(face, np.array([[3.0, 0, 1.0], [0, 1.0, 100.0]]), SIZE)
    smooth = ndimage.gaussian_filter(face[:, :, 0].astype(float), [0.5, 1.2])
    expected = smooth[100 : 100 + SIZE, 1 : 1 + 3 * SIZE : 3]
    assert np.abs(crop[:, :, 0] - expected).mean() < 1


def test_channels_do_not_mix():
    rng = np.random.default_rng(0)
    planes = [ndimage.gaussian_filter(rng.uniform(0, 255, (150, 150)), 2) * 3 - 250 for _ in range(3)]
    images = [as_pixels(plane) for plane in planes]
    together = warp(np.concatenate(images, axis=2), placed(1.1, 10.3, 12.7), SIZE)
    for channel, image in enumerate(images):
        np.testing.assert_array_equal(together[:, :, channel : channel + 1], warp(image, placed(1.1, 10.3, 12.7), SIZE))


@pytest.mark.parametrize(("x", "y", "level"), [(-500, 10, 10), (900, 10, 200), (-30.5, -70.2, 10)])
def test_border_is_repeated_outside_the_image(x, y, level):
    image = np.full((101, 103, 1), 10, np.uint8)
    image[:, 80:] = 200
    crop = warp(image, placed(1.0, x, y), SIZE)
    assert crop.shape == (SIZE, SIZE, 1)
    assert crop[0, 0, 0] == level
