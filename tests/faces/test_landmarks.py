import numpy as np
import pytest

from mer_features.stages.faces import align, detect, landmarks


@pytest.fixture(scope="module")
def still(portrait):
    return portrait.frame()


@pytest.fixture(scope="module")
def points(still):
    return landmarks.find(still, detect(still).boxes[0])


def eye_centres(points):
    return np.stack([points[landmarks.LEFT_EYE].mean(axis=0), points[landmarks.RIGHT_EYE].mean(axis=0)])


def test_eyes_lie_where_another_detector_sees_them(points, eyes):
    assert (
        np.abs(eye_centres(points) - eyes).max() < 6
    )  # 6 % of their distance; that one answers in whole pixels of a smaller picture


def test_order_is_that_of_300w(points):
    brow, eye, nose, mouth, chin = (
        points[part].mean(axis=0)
        for part in (landmarks.BROWS, slice(36, 48), slice(31, 36), landmarks.MOUTH, slice(7, 10))
    )
    assert brow[1] < eye[1] < nose[1] < mouth[1] < chin[1]
    assert points[landmarks.JAW][0, 0] < points[landmarks.LEFT_EYE][:, 0].min()
    assert points[landmarks.JAW][-1, 0] > points[landmarks.RIGHT_EYE][:, 0].max()


@pytest.mark.parametrize("turn", [-12, 12])
def test_landmarks_turn_with_the_face(portrait, points, turn):
    motion = portrait.rigid(turn, x=5, y=-3)
    turned = portrait.frame(motion)
    found = landmarks.find(turned, detect(turned).boxes[0])
    assert np.hypot(*(found - align.apply(motion, points)).T).mean() < 2


def test_colour_and_grey_agree(make_portrait):
    colour = make_portrait(colour=True).frame()
    box = detect(colour).boxes[0]
    in_colour, in_grey = landmarks.find(colour, box), landmarks.find(colour.mean(axis=2).astype(np.uint8), box)
    assert np.hypot(*(in_colour - in_grey).T).mean() < 1.5


def test_landmarks_hardly_depend_on_the_box(portrait):
    still = portrait.frame(noise=2)
    box = detect(still).boxes[0]
    rng = np.random.default_rng(1)
    found = [landmarks.find(still, box + rng.normal(0, 0.05, 4) * box[2]) for _ in range(8)]
    assert np.std(found, axis=0).mean() < 0.4


def test_missing_model_is_named(still, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.dat"):
        landmarks.find(still, np.array([0, 0, 9, 9]), tmp_path / "none.dat")


def test_damaged_model_is_named(still, tmp_path):
    damaged = tmp_path / "damaged.dat"
    damaged.write_bytes(landmarks.packaged_model().read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"damaged\.dat is not a dlib shape predictor"):
        landmarks.find(still, np.array([0, 0, 9, 9]), damaged)


def test_model_with_other_points_is_refused(still):
    five = landmarks.packaged_model().with_name("shape_predictor_5_face_landmarks.dat")
    with pytest.raises(ValueError, match="predicts 5 points, expected 68"):
        landmarks.find(still, np.array([0, 0, 9, 9]), five)


def test_face_at_the_corner_of_the_image_is_no_error(still):
    points = landmarks.find(still, np.array([-40.0, -40.0, 60.0, 60.0]))
    assert np.isfinite(points).all()
