"""Every method means the same by the factor; the phase method reaches what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mer_features.stages import flow
from mer_features.stages.magnify import classical, magnify
from mer_features.stages.magnify.eulerian import Linear
from mer_features.stages.magnify.phase import Rotation, Transport, carried
from mer_features.stages.magnify.sequence import pair
from mer_features.stages.options import Magnify

from .pictures import bump, face, grating, grating_shift, moved, registered, shifted, stored, texture

TRANSPORT = Magnify()
ROTATION = Magnify(phase_synthesis="rotation")
SETTINGS = [("phase", TRANSPORT), ("phase", ROTATION), ("eulerian", TRANSPORT)]
IDS = ["transport", "rotation", "eulerian"]


def _pair(peak: tuple[float, float] = (0.8, -0.5)) -> tuple[np.ndarray, np.ndarray]:
    picture = face()
    return stored(picture, noise=1, seed=1), stored(moved(picture, bump(128, peak)), noise=1, seed=2)


@pytest.mark.parametrize(("method", "options"), SETTINGS, ids=IDS)
def test_factor_one_is_the_moved_frame_and_still_frames_stay(method, options):
    reference, later = _pair()
    np.testing.assert_array_equal(magnify(reference, later, 1, method, options), later)
    for factor in (0, 0.5, 3, 20):
        np.testing.assert_array_equal(magnify(later, later, factor, method, options), later)


@pytest.mark.parametrize(
    ("method", "options", "levels"), [(*s, e) for s, e in zip(SETTINGS, (1.6, 2.0, 0.0), strict=True)], ids=IDS
)
def test_factor_zero_is_the_reference(method, options, levels):
    """Exactly for the linear method; but for noise (1 level on both frames) for those that move the picture back."""
    reference, later = _pair()
    back = magnify(reference, later, 0, method, options).astype(float)
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(back - reference)[inner].mean() <= levels
    assert np.abs(back - reference)[inner].mean() < 0.8 * np.abs(later.astype(float) - reference)[inner].mean()


@pytest.mark.parametrize(
    ("degrees", "wavelength", "shift", "factor"),
    [
        (0, 16, 0.3, 6),
        (0, 16, -0.3, 6),
        (90, 32, 0.3, 6),
        (40, 12, 0.1, 20),
        (90, 16, 0.9, 6),
        (40, 48, 1.0, 10),
        (0, 8, 1.0, 2),
        (215, 32, 1.0, 20),
    ],
)
def test_a_grating_moves_by_exactly_the_factor(degrees, wavelength, shift, factor):
    """Up to the stated limits: wavelengths from 8 px, shifts up to an eighth of one at 8 px, any product."""
    # Noise, as every camera has: rounding alone gives waves along the axes harmonics that stand still.
    first, second = (stored(grating(160, wavelength, s, degrees), 0.5, seed) for seed, s in enumerate((0, shift)))
    out = magnify(first, second, factor)
    # A grating looks the same after a wavelength.
    off = (grating_shift(out, wavelength, degrees) - factor * shift + wavelength / 2) % wavelength - wavelength / 2
    assert abs(off) < 0.05 * abs(factor * shift)


@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_rotation_moves_a_grating_by_the_factor_below_its_limit(shift):
    # A quarter of the wavelength is 2 px. The three-tap Riesz transform is exact for one wavelength of each band.
    first, second = (stored(grating(160, 8, s)) for s in (0, shift))
    out = magnify(first, second, 6, "phase", ROTATION)
    assert grating_shift(out, 8) == pytest.approx(6 * shift, rel=0.15)


def test_rotation_stops_at_a_quarter_of_a_wavelength():
    first, second = (stored(grating(160, 12, s)) for s in (0, 1.0))
    assert grating_shift(magnify(first, second, 20, "phase", ROTATION), 12) == pytest.approx(1 + 3, abs=0.5)


@pytest.mark.parametrize(("right", "down", "factor"), [(0.3, 0.1, 2), (-0.2, 0.25, 6), (0.05, -0.3, 6), (0.2, 0.2, 15)])
def test_a_shifted_photograph_moves_on_along_its_direction(right, down, factor):
    """Two instruments agree: registration by least squares, and flow."""
    picture = face(160)
    first, second = stored(picture), stored(shifted(picture, right, down))
    out = magnify(first, second, factor)
    wanted = factor * np.array([right, down])
    np.testing.assert_allclose(registered(first, out), wanted, atol=0.03 * np.linalg.norm(wanted))
    if np.linalg.norm(wanted) <= 2:
        seen = np.median(flow.estimate(first, out, "dis")[:, 24:-24, 24:-24], axis=(1, 2))
        np.testing.assert_allclose(seen, wanted, atol=0.1 * np.linalg.norm(wanted))


@pytest.mark.parametrize(("peak", "factor"), [((1.0, 0.0), 6), ((-0.3, 0.2), 10), ((0.1, -0.1), 20)])
def test_a_movement_of_a_face_is_magnified_within_fifteen_per_cent(peak, factor):
    """Least-squares size of the true displacement in the measured flow, against the same for the true picture."""
    picture = face(160)
    field = bump(160, peak, 24.0)
    first, second = stored(picture, 1, 1), stored(moved(picture, field), 1, 2)
    wanted = factor * field
    truth = stored(moved(picture, wanted), 1, 2)
    where = np.hypot(*field) > 0.3 * np.hypot(*peak)

    def size(image: np.ndarray) -> float:
        found = flow.estimate(first, image, "dis")
        return float((found * wanted)[:, where].sum() / np.square(wanted)[:, where].sum())

    assert size(magnify(first, second, factor)) == pytest.approx(size(truth), rel=0.15)
    # The methods it replaces do not get there, which is why it is the default.
    assert size(magnify(first, second, factor, "phase", ROTATION)) < 0.8 * size(truth)
    assert size(magnify(first, second, factor, "eulerian")) < 0.8 * size(truth)


@pytest.mark.parametrize(("gain", "added"), [(1.0, 12), (1.08, 0), (0.9, 5)])
def test_a_change_of_the_lamp_is_no_motion_to_phases_and_amplified_by_the_linear_method(gain, added):
    picture = np.clip(face(), 20, 200)
    first, second = stored(picture), stored(gain * picture + added)
    for options in (TRANSPORT, ROTATION):
        off = np.abs(magnify(first, second, 6, "phase", options).astype(int) - second)
        # What is left is the rounding to 8 bits, which a gain makes differ between the frames.
        assert (off > 1).mean() < (0.002 if gain != 1 else 1e-9)
        assert off.max() <= 3
    linear = Linear(motion_px=1e-3)  # no band limited
    brighter = magnify(first, second, 3, "eulerian", Magnify(eulerian_motion_px=1e-3)).astype(float)
    free = (brighter > 0) & (brighter < 255)
    expected = first + 3 * (second.astype(float) - first)
    np.testing.assert_allclose(brighter[free], expected[free], atol=1)
    assert abs((brighter - expected)[free].mean()) < 0.01
    assert linear.limited(3, 0) == 3


def test_the_linear_method_limits_bands_by_the_bound_of_the_paper():
    linear = Linear(motion_px=0.5)
    # Band i holds wavelengths around 4 * 2^i px; the bound is m * 0.5 < wavelength / 8.
    assert [linear.limited(6, band) for band in range(5)] == [1, 2, 4, 6, 6]
    assert linear.limited(0.5, 0) == 0.5


def test_the_linear_method_moves_a_long_wave_by_the_factor():
    first, second = (stored(grating(256, 64, s)) for s in (0, 1.0))
    out = magnify(first, second, 3, "eulerian", Magnify(eulerian_motion_px=0.2))
    assert grating_shift(out, 64) == pytest.approx(3, rel=0.05)


def test_noise_is_not_amplified():
    """The network aside, the linear method multiplies noise; a moved picture keeps its own."""
    picture = face(160)
    first, second = stored(picture, 1, 1), stored(picture, 1, 2)
    error = {}
    for name, options in zip(IDS, (TRANSPORT, ROTATION, Magnify(eulerian_motion_px=0.05)), strict=True):
        method = "eulerian" if name == "eulerian" else "phase"
        out = magnify(first, second, 6, method, options)
        error[name] = float(np.sqrt(np.mean(np.square(out - picture))))
    still = float(np.sqrt(np.mean(np.square(second - picture))))
    assert error["transport"] < 1.6 * still
    assert error["rotation"] < 3 * still
    assert error["eulerian"] > 4 * still


def test_a_moved_edge_does_not_ring():
    x = np.mgrid[:128, :128][1]
    step, later = (60 + 120 / (1 + np.exp(-(x - 64 - s) / 0.8)) for s in (0, 0.4))
    out = magnify(stored(step), stored(later), 8)
    assert (out.min(), out.max()) >= (58, 0)
    assert out.max() <= 182


def test_grey_and_colour_agree():
    reference, later = (image[..., 0] for image in _pair())
    expected = magnify(reference, later, 6)
    assert expected.shape == reference.shape
    np.testing.assert_array_equal(magnify(reference[..., None], later[..., None], 6), expected[..., None])
    three = magnify(*(np.repeat(image[..., None], 3, axis=2) for image in (reference, later)), 6)
    assert np.abs(three.astype(int) - expected[..., None]).max() <= 1  # luma of three equal channels is rounded
    np.testing.assert_array_equal(three[..., 0], three[..., 2])


def test_colours_move_with_the_picture():
    picture = face(160)
    field = bump(160, (0.5, 0.5), 24.0)
    out = magnify(stored(picture), stored(moved(picture, field)), 6)
    truth = moved(picture, 6 * field)
    error = np.abs(out - truth).mean(axis=(0, 1))
    assert (error < 0.6 * np.abs(picture - truth).mean(axis=(0, 1))).all()
    assert error.max() < 1.5


def test_turned_pictures_give_turned_results():
    reference, later = _pair((0.8, 0.0))
    out = magnify(reference, later, 6).astype(int)
    for turn in (lambda image: image[:, ::-1], lambda image: image.transpose(1, 0, 2)):
        turned = magnify(np.ascontiguousarray(turn(reference)), np.ascontiguousarray(turn(later)), 6)
        difference = (turned - turn(out))[4:-4, 4:-4]
        # Which of two levels is taken hangs on the place; their means over a few pixels do not.
        assert np.abs(ndimage.uniform_filter(difference.astype(float), (9, 9, 0))).max() < 0.5
        assert np.abs(difference).mean() < 0.5


@pytest.mark.parametrize("slope", [0.011, -0.3, 0.9, -0.5])
def test_what_arrives_has_been_carried_by_the_field_where_it_left(slope):
    """A displacement a + b x: what arrives at p left at (p - a) / (1 + b), to far less than 1/32 px."""
    field = np.zeros((2, 48, 60), np.float32)
    field[0] = 0.7 + slope * np.arange(60)
    field[1] = -0.4
    right, down = carried(field)
    left_at = (np.arange(60) - 0.7) / (1 + slope)
    inside = (left_at > 1) & (left_at < 58)
    np.testing.assert_allclose(right[20, inside], 0.7 + slope * left_at[inside], atol=0.012)
    np.testing.assert_allclose(down, -0.4, atol=0.004)


def test_a_factor_too_large_for_the_movement_still_gives_a_picture():
    """The picture folds: no value outside of what there is, nothing not finite."""
    picture = texture()
    out = magnify(stored(picture), stored(moved(picture, bump(160, (2.0, 0.0), 8.0))), 60)
    assert out.min() >= 30
    assert out.max() <= 210


@pytest.mark.parametrize("shape", [(16, 16), (17, 40, 3), (33, 21, 1)])
@pytest.mark.parametrize(("method", "options"), SETTINGS, ids=IDS)
def test_any_size_and_content_keeps_its_shape(method, options, shape):
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    for a, b in ((first, second), (np.zeros_like(first), np.full_like(first, 255))):
        out = magnify(a, b, 6, method, options)
        assert (out.shape, out.dtype) == (shape, np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": np.zeros((20, 20), np.float32)}, "reference: found dtype float32, expected uint8"),
        ({"moved": np.zeros((20, 21), np.uint8)}, r"\(20, 20\) and \(20, 21\)"),
        ({"reference": np.zeros((8, 20), np.uint8)}, "8 x 20 px, expected sides >= 16"),
        ({"reference": np.zeros((20, 20, 4), np.uint8)}, r"shape \(20, 20, 4\)"),
        ({"factor": -1}, "found factor -1"),
        ({"factor": float("nan")}, "found factor nan"),
        ({"method": "magic"}, "'magic', expected phase, eulerian or learned"),
        ({"method": "none"}, "'none', expected phase"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"reference": np.zeros((20, 20), np.uint8), "moved": np.zeros((20, 20), np.uint8), "factor": 2}
    with pytest.raises(ValueError, match=message):
        magnify(**given | change)


@pytest.mark.parametrize(
    ("method", "options", "built"),
    [
        ("phase", Magnify(phase_smoothing_px=3), Transport(3)),
        ("phase", ROTATION, Rotation()),
        ("eulerian", Magnify(eulerian_motion_px=0.2), Linear(0.2)),
    ],
)
def test_settings_reach_their_methods(method, options, built):
    reference, later = _pair()
    assert type(classical(method, options)) is type(built)
    found = magnify(reference, later, 6, method, options)
    np.testing.assert_array_equal(found, pair(reference, later, 6, built))
    assert (found != magnify(reference, later, 6, method)).any()
