"""One colour space for all databases: what a probe that tells databases apart sees before and after."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mer_features.stages.style import aggregate, aggregate_pair, fitted, lab
from mer_features.training.style import folds
from mer_features.workflow.assess import style as measure

from .conftest import smile, warped

COUNT = 16  # faces of each database, two a subject
DATABASES = ["colour"] * COUNT + ["grey"] * COUNT
SUBJECTS = [f"s{number // 2}" for number in range(COUNT)] * 2


def in_grey(image: np.ndarray) -> np.ndarray:
    """The luma of a face as three equal channels."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def faces(people) -> list[np.ndarray]:
    """Faces of one camera: the first half in colour, the second half, of other people, as a grey camera stores them."""
    colour, others = people(COUNT, 31), people(COUNT, 32)
    return [*colour, *map(in_grey, others)]


@pytest.fixture(scope="module")
def fit(faces: list[np.ndarray]) -> fitted.Fitted:
    return fitted.fit(faces, method="statistical", clusters=2, seed=0, source=fitted.Source("all"))


def probed(images: list[np.ndarray]) -> float:
    return measure.accuracy(np.stack([measure.signature(image) for image in images]), DATABASES, SUBJECTS)


def test_a_grey_database_is_told_by_its_colour_unless_all_are_grey(faces: list[np.ndarray], fit: fitted.Fitted):
    chance = 1 / len(set(DATABASES))
    assert probed(faces) == 1
    assert probed([aggregate(face, "statistical", fit) for face in faces]) == 1  # chroma survives
    one_colour = probed([aggregate(face, "statistical", fit, "grey") for face in faces])
    assert abs(one_colour - chance) < 0.2  # 32 faces: two standard errors


@pytest.mark.parametrize("method", ["statistical", "histogram", "clahe", "none"])
def test_a_colour_face_and_its_grey_copy_become_the_same_image(
    method: str, faces: list[np.ndarray], fit: fitted.Fitted
):
    pooled = fitted.fit(faces, method="histogram", clusters=2, seed=0, source=fitted.Source("all"))
    of = {"statistical": fit, "histogram": pooled}.get(method)
    one, other = (aggregate(face, method, of, "grey") for face in (faces[0], in_grey(faces[0])))
    np.testing.assert_array_equal(one, other)
    assert one.shape == faces[0].shape
    assert lab.is_grey(one)
    single = aggregate(in_grey(faces[0])[..., :1], method, of, "grey")
    np.testing.assert_array_equal(single[..., 0], one[..., 0])


def test_the_fit_of_a_fold_uses_the_same_colour(faces: list[np.ndarray], fit: fitted.Fitted):
    apex = warped(faces[0], *smile(1.0))
    crops = {"faces/onset": faces[0], "faces/apex": apex}
    rendered = folds.render(crops, fit, "grey")
    for name, image in zip(("onset", "apex"), aggregate_pair(faces[0], apex, "statistical", fit, "grey"), strict=True):
        np.testing.assert_array_equal(rendered[f"style/{name}"], image)
    assert folds.render(crops, None, "grey")["style/onset"] is faces[0]


def test_an_unknown_colour_is_refused(faces: list[np.ndarray]):
    with pytest.raises(ValueError, match="found colour 'red', expected keep or grey"):
        aggregate(faces[0], "none", None, "red")
