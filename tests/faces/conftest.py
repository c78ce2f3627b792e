"""A real face at a known place: scikit-image's portrait, resampled by splines onto a canvas of any size."""

from collections.abc import Callable

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from mer_features.stages.faces import align

# In the portrait: the point between the eyes, and the eyes as libfacedetection's own five landmarks give them.
MIDDLE = np.array([224.5, 102.5])
EYES = np.array([[201.0, 102.0], [248.0, 103.0]])


class Portrait:
    """Frames of the portrait under a known motion; ``scale`` canvas pixels per pixel of the portrait."""

    def __init__(self, size: tuple[int, int] = (300, 300), scale: float = 2.0, *, colour: bool = False) -> None:
        self.size, self.scale = size, scale
        picture = skimage.data.astronaut().astype(float)
        planes = np.moveaxis(picture, 2, 0) if colour else picture.mean(axis=2)[None]
        self._planes = [ndimage.spline_filter(plane, 3, mode="mirror") for plane in planes]
        self._middle = np.array([size[1] / 2 - 0.5, size[0] * 0.42])

    def place(self, points: np.ndarray) -> np.ndarray:
        """Canvas pixels of points of the portrait, on the frame without motion."""
        return (points - MIDDLE) * self.scale + self._middle

    def rigid(self, turn_deg: float = 0.0, x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Motion (2, 3): turn and scale about the point between the eyes, then a shift in pixels."""
        turn = scale * np.exp(1j * np.deg2rad(turn_deg))
        linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
        return np.column_stack([linear, self._middle + np.array([x, y]) - linear @ self._middle])

    def frame(
        self,
        motion: np.ndarray | None = None,
        bend: Callable[[np.ndarray], np.ndarray] | None = None,
        noise: float = 0.0,
        seed: int = 0,
        gain: float = 1.0,
    ) -> np.ndarray:
        """Frame (H, W, C) uint8 in which the still face's point p lies at ``motion(p + bend(p))``."""
        points = np.moveaxis(np.mgrid[: self.size[0], : self.size[1]][::-1], 0, 2).astype(float)
        if motion is not None:
            points = align.apply(align.invert(motion), points)
        if bend is not None:
            moved = points
            for _ in range(4):  # p + bend(p) = moved, solved for p
                points = moved - bend(points)
        x, y = np.moveaxis((points - self._middle) / self.scale + MIDDLE, 2, 0)
        planes = [ndimage.map_coordinates(p, [y, x], order=3, mode="mirror", prefilter=False) for p in self._planes]
        image = gain * np.stack(planes, axis=2)
        image += np.random.default_rng(seed).normal(0, noise, image.shape) if noise else 0.0
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def portrait() -> Portrait:
    """Grey, 300 x 300, eyes 94 px apart."""
    return Portrait()


@pytest.fixture(scope="session")
def make_portrait() -> type[Portrait]:
    return Portrait


@pytest.fixture(scope="session")
def eyes(portrait: Portrait) -> np.ndarray:
    """Centres of the eyes on the still frame, (2, 2)."""
    return portrait.place(EYES)
