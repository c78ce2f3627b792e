import numpy as np
import pytest

from mer_features.stages.faces import align, detect, landmarks
from mer_features.stages.faces.register import Registrar, rigid_mask, robust_similarity

METHODS = ("lk", "ecc")


@pytest.fixture(scope="module")
def onset(portrait):
    return portrait.frame(noise=2, seed=100)


@pytest.fixture(scope="module")
def points(portrait):
    still = portrait.frame()
    return landmarks.find(still, detect(still).boxes[0])


def error_px(found, true, points):
    """Distances between where two motions put the landmarks, mean."""
    return np.hypot(*(align.apply(found, points) - align.apply(true, points)).T).mean()


def smile(points):
    """Corners of the mouth and cheeks rise by up to a pixel."""
    eye_px = np.hypot(*(points[45] - points[36])) / 1.4
    centres = [points[48], points[54], (points[48] + points[36]) / 2, (points[54] + points[45]) / 2]
    return bumps(centres, [[-0.9, -0.9], [0.9, -0.9], [0, -0.6], [0, -0.6]], 0.3 * eye_px)


def blink_and_frown(points):
    """Lids fall by two pixels, inner brows are drawn together."""
    lids = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    return bumps([*lids, points[21], points[22]], [[0, 2.0], [0, 2.0], [0.4, 0.6], [-0.4, 0.6]], 9)


def bumps(centres, peaks, width):
    def bend(where):
        total = np.zeros_like(where)
        for centre, peak in zip(centres, peaks, strict=True):
            near = np.exp(-((where - centre) ** 2).sum(axis=-1) / (2 * width**2))
            total += near[..., None] * np.array(peak)
        return total

    return bend


@pytest.mark.parametrize("method", METHODS)
def test_still_head_does_not_jitter(portrait, onset, points, method):
    registrar = Registrar(onset, points, method)
    found = [registrar.register(portrait.frame(noise=2, seed=seed)).matrix for seed in range(8)]
    places = np.array([align.apply(matrix, points) for matrix in found])
    assert places.std(axis=0).mean() < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_drift_is_followed(portrait, onset, points, method):
    registrar = Registrar(onset, points, method)
    errors = []
    for step in np.linspace(0.1, 1, 8):
        true = portrait.rigid(step, x=3 * step, y=-1.5 * step, scale=1 + 0.004 * step)
        motion = registrar.register(portrait.frame(true, noise=2, seed=int(100 * step)))
        assert motion.reliable
        errors.append(error_px(motion.matrix, true, points))
    assert np.mean(errors) < {"lk": 0.03, "ecc": 0.08}[method]


@pytest.mark.parametrize("expression", [smile, blink_and_frown])
def test_expressions_hardly_leak_into_the_motion(portrait, onset, points, expression):
    true = portrait.rigid(0.4, x=1.3, y=-0.7)
    image = portrait.frame(true, expression(points), noise=2)
    motion = Registrar(onset, points, "lk").register(image)
    assert np.hypot(*expression(points)(points).T).max() > 0.5
    assert error_px(motion.matrix, true, points) < 0.06


@pytest.mark.parametrize("method", METHODS)
def test_flicker_is_no_motion(portrait, onset, points, method):
    motion = Registrar(onset, points, method).register(portrait.frame(noise=2, gain=1.08))
    assert error_px(motion.matrix, align.identity(), points) < 0.04


def test_same_frame_is_no_motion_at_all(onset, points):
    motion = Registrar(onset, points, "lk").register(onset)
    np.testing.assert_allclose(motion.matrix, align.identity(), atol=1e-6)
    assert motion.residual_px == pytest.approx(0, abs=1e-4)


def test_jump_is_caught(portrait, onset, points):
    true = portrait.rigid(4, x=-28, y=17)
    motion = Registrar(onset, points, "lk").register(portrait.frame(true, noise=2))
    assert motion.reliable
    assert error_px(motion.matrix, true, points) < 0.05


def test_half_size_steps_follow_the_same_convention(portrait, onset, points):
    """The picture is halved inside; a motion by whole pixels must come out as those pixels."""
    true = portrait.rigid(0, x=3, y=-2)
    motion = Registrar(onset, points, "ecc").register(portrait.frame(true, noise=2))
    np.testing.assert_allclose(align.apply(motion.matrix, points) - points, np.tile([3, -2], (68, 1)), atol=0.08)


@pytest.mark.parametrize("picture", ["noise", "flat"])
def test_frame_without_the_face_keeps_the_motion_before(portrait, onset, points, picture):
    registrar = Registrar(onset, points, "lk")
    before = registrar.register(portrait.frame(portrait.rigid(0, x=2), noise=2))
    other = np.random.default_rng(0).integers(0, 255, onset.shape, dtype=np.uint8)
    motion = registrar.register(other if picture == "noise" else np.full_like(onset, 90))
    assert not motion.reliable
    assert np.isnan(motion.residual_px)
    np.testing.assert_array_equal(motion.matrix, before.matrix)
    after = registrar.register(portrait.frame(portrait.rigid(0, x=2.5), noise=2))
    assert error_px(after.matrix, portrait.rigid(0, x=2.5), points) < 0.05


def test_reference_without_texture_is_reported(points, onset):
    assert not Registrar(np.full_like(onset, 90), points, "lk").register(onset).reliable


@pytest.mark.parametrize(("x", "y"), [(-75, 0), (70, -95)])
def test_face_half_outside_the_frame(portrait, points, x, y):
    there = portrait.rigid(0, x=x, y=y)
    here = align.apply(there, points)
    motion = Registrar(portrait.frame(there), here, "lk").register(portrait.frame(portrait.rigid(0, x=x + 1, y=y)))
    np.testing.assert_allclose(align.apply(motion.matrix, here) - here, np.tile([1, 0], (68, 1)), atol=0.05)


def test_colour_is_registered_like_its_grey(make_portrait, points):
    colour = make_portrait(colour=True)
    motion = Registrar(colour.frame(), points, "lk").register(colour.frame(colour.rigid(0.5, x=1)))
    assert error_px(motion.matrix, colour.rigid(0.5, x=1), points) < 0.03


def test_robust_fit_ignores_a_third_of_the_points():
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 200, (60, 2))
    true = np.array([[1.001, -0.01, 2.0], [0.01, 1.001, -1.0]])
    target = align.apply(true, source) + rng.normal(0, 0.02, (60, 2))
    target[:20] += [0.8, -0.5]
    matrix, rigid = robust_similarity(source, target)
    assert np.abs(align.apply(matrix, source) - align.apply(true, source)).max() < 0.03
    assert not rigid[:20].any()
    assert rigid[20:].mean() > 0.9
    plain = align.similarity(source, target)
    assert np.abs(align.apply(plain, source) - align.apply(true, source)).max() > 0.2


def test_mask_leaves_out_what_moves_most(points):
    mask = rigid_mask((300, 300), points)
    assert set(np.unique(mask)) == {0, 255}
    eyes, mouth = points[36:48], points[48:68]
    inside = lambda where: mask[tuple(np.rint(where).astype(int).T[::-1])]  # noqa: E731
    assert not inside(eyes).any()
    assert not inside(mouth).any()
    assert not inside(points[17:27]).any()  # brows
    assert not inside(points[31:36]).any()  # nostrils
    assert inside(points[28:30]).all()  # bridge of the nose
    assert inside((points[[1, 15]] + points[[31, 35]]) / 2).all()  # cheeks
