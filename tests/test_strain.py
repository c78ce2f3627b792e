import numpy as np
import pytest

from mer_features.stages.flow.strain import magnitude

Y, X = np.mgrid[:40, :50].astype(np.float32)


def linear(a, b, c, d):
    """Strain magnitude of u = a x + b y, v = c x + d y."""
    return magnitude(a * X + b * Y, c * X + d * Y)


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        ((0.0, 0.0, 0.0, 0.0), 0.0),
        ((0.02, 0.0, 0.0, 0.0), 0.02),  # stretch along x
        ((0.0, 0.0, 0.0, -0.03), 0.03),  # squeeze along y
        ((0.03, 0.0, 0.0, 0.04), 0.05),  # both: the root of the sum of squares
        ((0.0, 0.02, 0.0, 0.0), 0.02 / np.sqrt(2)),  # simple shear
        ((0.0, 0.02, 0.02, 0.0), 0.02 * np.sqrt(2)),  # pure shear
        ((0.0, 0.02, -0.02, 0.0), 0.0),  # infinitesimal rotation
    ],
)
def test_linear_fields_have_their_closed_form(gradient, expected):
    found = linear(*gradient)
    assert found.shape == X.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_shift_adds_nothing():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 30, 30)).astype(np.float32)
    np.testing.assert_allclose(magnitude(u + 3, v - 7), magnitude(u, v), atol=1e-5)


def test_a_small_rotation_strains_by_the_square_of_its_angle():
    # u_x = v_y = cos a - 1 and no shear, so the magnitude is sqrt(2) (1 - cos a).
    angle = np.deg2rad(2)
    found = linear(np.cos(angle) - 1, -np.sin(angle), np.sin(angle), np.cos(angle) - 1)
    np.testing.assert_allclose(found, np.sqrt(2) * (1 - np.cos(angle)), atol=1e-5)


def test_derivatives_are_central_differences():
    u = 0.01 * X**2
    found = magnitude(u, np.zeros_like(u))
    np.testing.assert_allclose(found[:, 1:-1], 0.02 * X[:, 1:-1], atol=1e-5)


def test_transposing_the_axes_transposes_the_strain():
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=(2, 12, 17))
    np.testing.assert_allclose(magnitude(v.T, u.T), magnitude(u, v).T, rtol=1e-5)


@pytest.mark.parametrize("shapes", [((4, 5), (5, 4)), ((3, 4, 4), (3, 4, 4)), ((1, 9), (1, 9))])
def test_bad_shapes_are_named(shapes):
    with pytest.raises(ValueError, match="expected two equal shapes"):
        magnitude(*(np.zeros(shape) for shape in shapes))
