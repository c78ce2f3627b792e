"""Small faces of many people from the one portrait, moved and recoloured by known amounts."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import data

SIDE = 96


def warped(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The image whose content has moved by (u, v) pixels: out(x + u, y + v) = image(x, y), for smooth small fields."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float64)
    planes = [ndimage.map_coordinates(plane, (y - v, x - u), order=3, mode="nearest") for plane in _planes(image)]
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)


def _planes(image: np.ndarray) -> np.ndarray:
    return np.moveaxis(image.astype(np.float64), -1, 0)


def smile(pixels: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth displacement of at most so many pixels around the mouth."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    bump = np.exp(-((x - 0.5) ** 2 + (y - 0.7) ** 2) / 0.03)
    return pixels * bump * np.sign(x - 0.5) * np.minimum(1, np.abs(x - 0.5) * 8), -0.5 * pixels * bump


@pytest.fixture(scope="session")
def people() -> Callable[[int, int], np.ndarray]:
    """So many textured faces (N, 96, 96, 3), uint8, each of another shape, complexion and light, by seed."""
    portrait = data.astronaut()[20:260, 110:350]

    def make(count: int, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        faces = []
        for _ in range(count):
            bend = [3 * ndimage.zoom(random.standard_normal((4, 4)), 60, order=3) for _ in range(2)]
            light = ndimage.zoom(random.uniform(0.85, 1.15, (3, 3)), 80, order=1)
            tint = random.uniform(0.93, 1.07, 3)
            face = np.clip(warped(portrait, *bend) * light[..., None] * tint, 0, 255)
            small = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            focused = cv2.GaussianBlur(small, (0, 0), random.uniform(0.3, 0.8))
            noisy = 0.8 * focused + 20 + random.normal(scale=random.uniform(0.6, 2.4), size=small.shape)
            faces.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        return np.stack(faces)

    return make


def restyled(faces: np.ndarray) -> np.ndarray:
    """The same faces by another camera: gain, gamma, colour cast, blur, and noise of its own."""
    random = np.random.default_rng(len(faces))
    toned = 255 * (0.8 * (faces / 255.0) ** 1.3) * np.array([1.12, 1.0, 0.85])
    blurred = np.stack([cv2.GaussianBlur(face, (0, 0), 0.7) for face in toned])
    noise = random.uniform(0.6, 1.8, (len(faces), 1, 1, 1)) * random.standard_normal(faces.shape)
    return np.clip(np.rint(blurred + noise), 0, 255).astype(np.uint8)
