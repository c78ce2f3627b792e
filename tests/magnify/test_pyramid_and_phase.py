"""The parts: pyramids add up, phases of sinusoids are known in closed form, displacement is found."""

from __future__ import annotations

import numpy as np
import pytest

from mer_features.stages.magnify.image import luma, to_uint8
from mer_features.stages.magnify.motion import LARGEST, analyse, displacement
from mer_features.stages.magnify.pyramid import collapse, gaussian, laplacian
from mer_features.stages.magnify.riesz import amplitude, phase_difference, phase_gradient, transform

from .pictures import bump, face, grating, moved, shifted, texture


@pytest.mark.parametrize("shape", [(16, 16), (33, 58), (64, 47, 3), (20, 31, 1)])
def test_bands_and_residue_add_up_to_the_image(shape):
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    bands, residue = laplacian(image)
    assert [band.dtype for band in bands] == [np.float32] * len(bands)
    assert min(residue.shape[:2]) < 16
    np.testing.assert_allclose(collapse(bands, residue), image, atol=1e-4)


def test_band_i_is_strongest_for_waves_of_four_times_two_to_the_i():
    for band, wavelength in enumerate((4, 8, 16, 32)):
        bands, _ = laplacian(grating(256, wavelength, 0.3).astype(np.float32))
        assert int(np.argmax([np.square(found).mean() for found in bands])) == band


def test_reduction_stops_before_nothing_is_left():
    shapes = [level.shape for level in gaussian(np.zeros((70, 100), np.float32), 9)]
    assert shapes == [(70, 100), (35, 50), (18, 25)]


def test_levels_between_two_are_right_on_average_and_whole_ones_stay():
    values = np.full((64, 64, 3), 100.0, np.float32)
    values[:32] += 0.25
    values[32:, :, 2] -= 1e-4
    found = to_uint8(values)
    assert set(np.unique(found[:32])) == {100, 101}
    assert found[:32].mean() == pytest.approx(100.25, abs=0.05)
    assert (found[32:] == 100).all()
    assert (found[..., 0] == found[..., 1]).all()
    np.testing.assert_array_equal(to_uint8(values), found)
    assert to_uint8(np.array([[-3.0, 300.0]])).tolist() == [[0, 255]]


def test_luma_is_not_rounded():
    assert luma(np.array([[[1, 1, 2]]], np.uint8))[0, 0] == pytest.approx(1.114)


@pytest.mark.parametrize("degrees", [0, 30, 90, 215])
@pytest.mark.parametrize("turn", [0.3, -1.2, 3.0])
def test_phase_difference_of_a_wave_is_its_turn_along_its_direction(degrees, turn):
    wavelength = 4.0  # where the three-tap Riesz transform has the gain 1
    first, second = (
        transform((grating(64, wavelength, shift, degrees) - 128).astype(np.float32))
        for shift in (0, turn * wavelength / (2 * np.pi))
    )
    found = phase_difference(first, second)[:, 8:-8, 8:-8]
    # With filters [1/2, 0, -1/2] the phase falls along x, so that it rises at a pixel over which the wave moves on.
    along = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    if degrees in (0, 90):
        np.testing.assert_allclose(found, np.broadcast_to((turn * along)[:, None, None], found.shape), atol=2e-3)
    else:  # the gain is 1 along the axes only
        np.testing.assert_allclose(found.mean(axis=(1, 2)), turn * along, atol=0.12 * abs(turn))


def test_phase_difference_knows_no_amplitude_and_its_sign_turns_with_time():
    first, second = (transform(texture(48, seed=seed).astype(np.float32) - 120) for seed in (1, 2))
    expected = phase_difference(first, second)
    np.testing.assert_allclose(phase_difference(7 * first, 0.1 * second), expected, atol=1e-5)
    np.testing.assert_allclose(phase_difference(second, first), -expected, atol=1e-5)
    assert not phase_difference(first, first).any()
    assert not phase_difference(first, np.zeros_like(first)).any()


@pytest.mark.parametrize("wavelength", [3.0, 8.0, 20.0])
def test_phase_gradient_is_the_wave_number_by_axis(wavelength):
    wave = (grating(96, wavelength, 0, 90) - 128).astype(np.float32)
    along_x, along_y = phase_gradient(transform(wave))[:, :, 10:-10, 10:-10]
    np.testing.assert_allclose(along_x, 0, atol=1e-3)
    np.testing.assert_allclose(np.abs(along_y[1]).mean(), 2 * np.pi / wavelength, rtol=0.01)
    np.testing.assert_allclose(along_y[0], 0, atol=1e-3)


def test_amplitude_of_a_wave_is_constant_where_the_transform_is_exact():
    found = amplitude(transform((grating(64, 4.0, 0.7) - 128).astype(np.float32)))[4:-4, 4:-4]
    np.testing.assert_allclose(found, 60, rtol=1e-3)


def _found(reference: np.ndarray, moved_image: np.ndarray, smoothing_px: float = 6.0) -> np.ndarray:
    first, second = (analyse(luma(image)) for image in (reference, moved_image))
    return displacement(first, second, smoothing_px)


@pytest.mark.parametrize("shift", [(0.05, -0.02), (0.3, 0.0), (0.0, -0.7), (-2.5, 1.5), (6.0, 3.0)])
def test_a_shift_is_found_with_its_direction(shift):
    image = texture()
    field = _found(image, shifted(image, *shift))[:, 30:-30, 30:-30]
    np.testing.assert_allclose(field.mean(axis=(1, 2)), shift, atol=0.01)
    assert field.std(axis=(1, 2)).max() < 0.03


def test_a_shift_survives_a_change_of_the_lamp():
    image = texture()
    dimmed = 0.8 * shifted(image, 0.4, -0.2) + np.linspace(0, 20, 160)
    field = _found(image, dimmed)[:, 30:-30, 30:-30]
    np.testing.assert_allclose(field.mean(axis=(1, 2)), (0.4, -0.2), atol=0.01)


def test_a_local_movement_is_found_where_it_is_and_lies_on_the_moved_frame():
    field = bump(160, (0.9, -0.6))
    image = texture()
    found = _found(image, moved(image, field))
    y, x = np.mgrid[:160, :160]
    # The moved frame shows at z what the reference shows at z - w(z): w is the field at the place it came from.
    from_where = moved(field[0], field), moved(field[1], field)
    inside = np.hypot(x - 80, y - 80) < 50
    assert np.hypot(*(found - np.stack(from_where)))[inside].mean() < 0.06
    assert np.hypot(*found)[:20].max() < 0.1


def test_large_pictures_are_compared_reduced_and_give_full_pixels():
    image = texture(LARGEST + 101, sigma=4)[: LARGEST + 40]
    assert len(analyse(image.astype(np.float32)).finer) == 1
    field = _found(image, shifted(image, 1.5, -0.5))
    assert field.shape == (2, *image.shape)
    np.testing.assert_allclose(field[:, 60:-60, 60:-60].mean(axis=(1, 2)), (1.5, -0.5), atol=0.02)


def test_equal_pictures_do_not_move():
    image = face()
    assert not _found(image, image).any()
