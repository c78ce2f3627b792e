import numpy as np
import pytest

from mer_features.stages.faces import align

RNG = np.random.default_rng(0)


def turn_scale_shift(degrees, scale, shift):
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, shift])


def canonical_landmarks(eye_px=100.0, shift=(200.0, 150.0)):
    """68 landmarks whose anchors form the mean face exactly; points that nothing reads are zero."""
    points = np.zeros((68, 2))
    places = [
        (slice(36, 42), (-0.5, 0)),
        (slice(42, 48), (0.5, 0)),
        (33, (0, 0.77)),
        (slice(17, 22), (-0.57, -0.30)),
        (slice(22, 27), (0.57, -0.30)),
        (slice(48, 60), (0, 1.11)),
        (8, (0, 1.84)),
    ]
    for part, place in places:
        points[part] = np.array(place) * eye_px + shift
    return points


BOX = np.array([90.0, 80.0, 220.0, 270.0])


def test_similarity_is_recovered_exactly():
    true = turn_scale_shift(37, 1.8, [4, -9])
    source = RNG.normal(size=(7, 2))
    np.testing.assert_allclose(align.similarity(source, align.apply(true, source)), true, atol=1e-12)


def test_similarity_is_the_least_squares_one():
    source, target = RNG.normal(size=(2, 9, 2))
    x, y = source.T
    # q = a p + b p_perpendicular + shift, linear in (a, b, shift): solved by another routine.
    rows = [np.column_stack([x, -y, np.ones(9), np.zeros(9)]), np.column_stack([y, x, np.zeros(9), np.ones(9)])]
    a, b, u, v = np.linalg.lstsq(np.concatenate(rows), target.T.ravel(), rcond=None)[0]
    np.testing.assert_allclose(align.similarity(source, target), [[a, -b, u], [b, a, v]], atol=1e-12)


def test_weight_zero_ignores_a_point_and_weight_two_doubles_it():
    source, target = RNG.normal(size=(2, 5, 2))
    weighted = align.similarity(source, target, np.array([2.0, 1, 1, 1, 0]))
    rows = [0, 0, 1, 2, 3]
    np.testing.assert_allclose(weighted, align.similarity(source[rows], target[rows]), atol=1e-12)


def test_similarity_never_reflects():
    source = RNG.normal(size=(6, 2))
    assert np.linalg.det(align.similarity(source, source * [-1, 1])[:, :2]) >= 0


def test_compose_and_invert():
    first, second = turn_scale_shift(10, 2, [1, 2]), turn_scale_shift(-40, 0.3, [7, 1])
    points = RNG.normal(size=(4, 2))
    together = align.apply(align.compose(second, first), points)
    np.testing.assert_allclose(together, align.apply(second, align.apply(first, points)))
    np.testing.assert_allclose(align.compose(align.invert(first), first), align.identity(), atol=1e-12)


@pytest.mark.parametrize("size", [64, 256])
def test_mean_face_lands_on_the_template(size):
    upright = canonical_landmarks()
    turned = align.apply(turn_scale_shift(25, 0.4, [30, 60]), upright)
    for points in (upright, turned):
        landed = align.apply(align.aligned(points, size), points)
        eyes = np.stack([landed[36:42].mean(axis=0), landed[42:48].mean(axis=0)])
        expected = np.array([[0.5 - 0.17, 0.30], [0.5 + 0.17, 0.30]]) * size - 0.5
        np.testing.assert_allclose(eyes, expected, atol=1e-6)
        assert landed[8, 1] < 0.95 * size  # the chin is inside
        assert landed[17:27, 1].min() > 0.1 * size  # and so are the brows


def test_square_maps_the_edges_of_the_box_to_those_of_the_crop():
    matrix = align.square(np.array([10.0, 20.0, 30.0, 60.0]), 0.25, 45)
    # Side 60 + 2 * 15 = 90 around (25, 50); edges lie half a pixel before the first pixel centre.
    np.testing.assert_allclose(align.apply(matrix, np.array([[-20, 5], [70, 95]]) - 0.5), [[-0.5, -0.5], [44.5, 44.5]])


def test_whole_maps_the_edges_of_the_frame_to_those_of_the_crop():
    matrix = align.whole((100, 40), 200)
    corners = align.apply(matrix, np.array([[-0.5, -0.5], [39.5, 99.5]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [199.5, 199.5]])


def test_mean_face_is_plausible_at_any_usual_tilt():
    for degrees in (-20, 0, 20):
        points = align.apply(turn_scale_shift(degrees, 1, [100, 0]), canonical_landmarks())
        assert align.geometry_problem(points, BOX) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p * [1, -1], "mouth lies above the eyes"),
        (lambda p: p * 0.2, "of the box's width"),
        (lambda p: p + np.where(np.arange(68)[:, None] == 33, [90.0, 0.0], 0.0), "mean face"),
        (lambda p: p * [0.45, 1], "mean face"),
    ],
)
def test_what_is_no_frontal_face_is_said(change, message):
    assert message in align.geometry_problem(change(canonical_landmarks()), BOX)


@pytest.mark.parametrize(("shift", "share"), [(0, 0.0), (16, 0.25), (64, 1.0)])
def test_share_outside_the_frame(shift, share):
    matrix = np.array([[1.0, 0, shift], [0, 1, 0]])
    assert align.outside_share(matrix, (64, 64), 64) == pytest.approx(share)
