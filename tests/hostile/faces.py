"""Clips that show no face, several, a tiny one, one at the border, turned away or moving."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from tests.hostile.cases import Case

SIZE = 240


@cache
def _portrait() -> np.ndarray:
    """The portrait's head, grey, with the face in the middle."""
    grey = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey[0:220, 110:330], (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def still(
    shift: tuple[float, float] = (0, 0), scale: float = 1.0, turn_deg: float = 0.0, squeeze: float = 1.0
) -> np.ndarray:
    """The head on a grey ground: shifted, scaled, turned in the plane, squeezed sideways as by a turn of the head."""
    middle = (SIZE / 2, SIZE / 2)
    matrix = cv2.getRotationMatrix2D(middle, turn_deg, scale)
    matrix[0] = matrix[0] * squeeze + np.array([0, 0, middle[0] * (1 - squeeze)])
    matrix[:, 2] += shift
    return cv2.warpAffine(_portrait(), matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderValue=127)


def frames(*images: np.ndarray) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for number, image in enumerate(images, start=1):
            cv2.imwrite(str(folder / f"img{number}.png"), image)
        return folder

    return make


def _twice(*images: Callable[[], np.ndarray]) -> Callable[[Path], Path]:
    """Made only when asked for; a single picture is a clip of two equal frames."""

    def make(folder: Path) -> Path:
        made = [image() for image in images]
        return frames(*(made if len(made) > 1 else made * 2))(folder)

    return make


def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), dtype=np.uint8)


CASES: list[Case] = [
    Case("face", "in the middle", _twice(still), "ok"),
    Case("face", "none, noise", _twice(_noise), "rejected", "no_face"),
    Case("face", "none, black", _twice(lambda: np.zeros((SIZE, SIZE), np.uint8)), "rejected", "no_face"),
    Case("face", "none, frames of 2 x 2", _twice(lambda: np.zeros((2, 2), np.uint8)), "rejected", "no_face"),
    Case("face", "none, frames 4000 x 3", _twice(lambda: np.zeros((3, 4000), np.uint8)), "rejected", "no_face"),
    Case("face", "two", _twice(lambda: np.hstack([still(), still(scale=0.8)])), "warned", "several_faces"),
    Case("face", "tiny", _twice(lambda: still(scale=0.04)), "rejected", "no_face"),
    Case("face", "at the border", _twice(lambda: still((-70, 0))), "warned", "face_at_border"),
    Case("face", "upside down", _twice(lambda: still(turn_deg=180)), "rejected", "no_face"),
    Case("face", "profile", _twice(lambda: still(squeeze=0.3)), "rejected", "no_face"),
    Case("face", "head moves", _twice(still, lambda: still((14, 0)), lambda: still((28, 0))), "warned", "head_motion"),
    Case("face", "leaves the picture", _twice(still, lambda: still((230, 0))), "warned", "registration_failed"),
    Case("face", "cut to another scene", _twice(still, _noise), "warned", "registration_failed"),
]  # fmt: skip
