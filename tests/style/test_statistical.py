"""Check list of the method without training: identity, geometry, motion, idempotence, odd images."""

from __future__ import annotations

import numpy as np
import pytest

from mer_features.stages import flow, style
from mer_features.stages.flow import light
from mer_features.stages.style import geometry, lab, statistical, statistics
from mer_features.stages.style.fitted import Source, fit

from .conftest import restyled, smile, warped


@pytest.fixture(scope="module")
def faces(people) -> np.ndarray:
    plain = people(6, 1)
    return np.concatenate([plain[:3], restyled(plain[3:])])


@pytest.fixture(scope="module")
def fitted(faces: np.ndarray):
    return fit(faces, method="statistical", clusters=2, seed=0, source=Source("all"))


def _levels(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other)


def test_lab_there_and_back_is_exact():
    random = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for image in (random, grey, np.repeat(grey, 3, axis=2)):
        np.testing.assert_array_equal(lab.image(lab.planes(image), image.shape[2]), image)


def test_its_own_style_leaves_an_image_as_it_is(faces: np.ndarray):
    for face in faces:
        assert _levels(statistical.render(face, statistics.measure(face)), face).max() <= 1


def test_none_is_the_image_itself(faces: np.ndarray):
    np.testing.assert_array_equal(style.aggregate(faces[0], "none"), faces[0])


def test_a_rendering_has_the_style_it_was_given(faces: np.ndarray):
    target = statistics.measure(faces[0])
    found = statistics.measure(statistical.render(faces[4], target))
    np.testing.assert_allclose(found.mean, target.mean, atol=0.3)
    np.testing.assert_allclose(found.detail, target.detail, atol=0.3)
    np.testing.assert_allclose(found.low, target.low, atol=0.3)
    np.testing.assert_allclose(found.form, target.form, atol=0.15)


def test_the_phase_of_the_lowest_frequencies_is_the_image_s_own(faces: np.ndarray):
    target = statistics.measure(faces[0])
    before = statistics.low_coefficients(lab.planes(faces[4]))
    after = statistics.low_coefficients(lab.planes(statistical.render(faces[4], target)))
    strong = np.abs(before) > 1
    turned = np.angle(after[strong] / before[strong])
    assert strong.sum() > 4
    assert np.abs(turned).max() < 0.1


def test_edges_stay_where_they_are(faces: np.ndarray, fitted):
    moved = [
        geometry.median_length(geometry.displacement(face, style.aggregate(face, fitted=fitted))) for face in faces
    ]
    assert np.median(moved) < 0.1, moved


def test_motion_is_kept(faces: np.ndarray, fitted):
    for face in faces[1::3]:
        apex = warped(face, *smile(1.0))
        after = style.aggregate_pair(face, apex, fitted=fitted)
        flows = [flow.estimate(one, light.match(one, two)) for one, two in ((face, apex), after)]
        assert np.median(np.hypot(*(flows[1] - flows[0]))) < 0.1
        assert np.abs(flows[1]).max() > 0.4


def test_onset_and_apex_share_one_change(faces: np.ndarray, fitted):
    onset, apex = style.aggregate_pair(faces[0], faces[0], fitted=fitted)
    np.testing.assert_array_equal(onset, apex)
    change = statistical.transform(faces[0], fitted.references)
    np.testing.assert_array_equal(
        style.aggregate_pair(faces[0], faces[1], fitted=fitted)[1], statistical.apply(faces[1], change)
    )


def test_a_second_aggregation_changes_next_to_nothing(faces: np.ndarray, fitted):
    for face in faces:
        once = style.aggregate(face, fitted=fitted)
        difference = _levels(style.aggregate(once, fitted=fitted), once)
        assert np.mean(difference <= 2) > 0.999
        assert difference.max() <= 6  # colours at the edge of sRGB


def test_the_mean_style_is_the_mean_of_the_renderings(faces: np.ndarray):
    # Two styles of one spectral form: everything is then linear in the parameters.
    one = statistics.measure(faces[0])
    two = statistics.Statistics(
        one.mean + np.array([8, 3, -3]), one.std, one.third, 0.8 * one.detail, 0.8 * one.low, one.bands
    )
    renderings = [lab.planes(statistical.render(faces[0], reference)) for reference in (one, two)]
    both = lab.planes(statistical.apply(faces[0], statistical.transform(faces[0], [one, two])))
    difference = np.abs(np.mean(renderings, axis=0) - both)
    assert np.quantile(difference, 0.99) < 0.7


def test_grey_stays_grey(faces: np.ndarray, fitted):
    grey = faces[0][..., :1]
    out = style.aggregate(grey, fitted=fitted)
    assert out.shape == grey.shape
    three = style.aggregate(np.repeat(grey, 3, axis=2), fitted=fitted)
    np.testing.assert_array_equal(three, np.repeat(out, 3, axis=2))


def test_grey_styles_say_nothing_about_colour(faces: np.ndarray):
    grey = fit(faces[..., :1], method="statistical", clusters=2, seed=0, source=Source("all"))
    before, after = (lab.planes(image) for image in (faces[0], style.aggregate(faces[0], fitted=grey)))
    inside = np.abs(after[0] - 50) < 30  # where sRGB holds every chroma the face has
    assert np.abs(after[1:] - before[1:])[:, inside].max() < 4
    assert abs(after[0].mean() - grey.references[0].mean[0]) < 15


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_constant_image_has_an_answer(fitted, level: int, channels: int):
    flat = np.full((96, 96, channels), level, np.uint8)
    out = style.aggregate(flat, fitted=fitted)
    assert np.ptp(out.reshape(-1, channels), axis=0).max() <= 1
    change = statistical.transform(flat, fitted.references)
    assert np.isfinite(change.field).all()
    assert np.isfinite(change.lightness).all()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((96, 96), np.uint8), "expected uint8"),
        (np.zeros((96, 96, 3), np.float32), "float32"),
        (np.zeros((96, 96, 2), np.uint8), "expected uint8"),
        (np.zeros((256, 256, 3), np.uint8), "another size"),
    ],
)
def test_other_images_are_refused(fitted, image: np.ndarray, said: str):
    with pytest.raises(ValueError, match=said):
        style.aggregate(image, fitted=fitted)


def test_a_method_needs_its_fit(faces: np.ndarray, fitted):
    with pytest.raises(ValueError, match="needs a fit"):
        style.aggregate(faces[0])
    with pytest.raises(ValueError, match="fit, which is for 'statistical'"):
        style.aggregate(faces[0], "histogram", fitted)
