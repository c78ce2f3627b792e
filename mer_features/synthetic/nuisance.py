"""Lighting and camera: flicker, brightness gradients, black level and sensor noise of a rendered frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mer_features.synthetic.dynamics import wander
from mer_features.synthetic.presets import Nuisance


@dataclass(frozen=True)
class Lighting:
    """Lighting of each frame: image * lamp + offset.

    ``lamp`` (T, 6) holds one row per frame with the factors of 1, x, y, x², xy and y² (x and y in -1..1 over the
    frame), about (1, 0, 0, 0, 0, 0). ``offset`` (T,) is the black level, grey levels.
    """

    lamp: np.ndarray
    offset: np.ndarray

    @classmethod
    def draw(cls, nuisance: Nuisance, frames: int, fps: float, random: np.random.Generator) -> Lighting:
        """Draw the lighting of one clip: slow changes, and a faster flicker of a third of their size."""
        flicker, gradient, uneven, offset = (
            random.uniform(*limits)
            for limits in (nuisance.flicker, nuisance.gradient, nuisance.uneven, nuisance.offset_levels)
        )
        steady = 1 + random.normal(scale=0.03)
        gain = steady + flicker * (wander(frames, fps, 0.12, random) + 0.33 * random.standard_normal(frames))
        slopes = [gradient * (wander(frames, fps, 0.15, random) + random.normal()) for _ in range(2)]
        curves = [uneven * wander(frames, fps, 0.15, random) for _ in range(3)]
        return cls(np.column_stack([gain, *slopes, *curves]), offset * wander(frames, fps, 0.1, random))

    def apply(self, planes: np.ndarray, frame: int) -> np.ndarray:
        """Apply the lighting of frame ``frame`` to an image (C, H, W) float32."""
        x = np.linspace(-1, 1, planes.shape[2], dtype=np.float32)
        y = np.linspace(-1, 1, planes.shape[1], dtype=np.float32)[:, None]
        one, along_x, along_y, bend_x, twist, bend_y = self.lamp[frame].astype(np.float32)
        lit = planes * ((one + along_x * x + bend_x * x**2) + (along_y * y + bend_y * y**2) + twist * y * x)
        lit += np.float32(self.offset[frame])
        return lit


class Sensor:
    """Noise with variance read² + shot * signal.

    A pool of noise is drawn once per clip, and each frame uses a window of it at a random position. This takes a tenth
    of the time of new noise for each frame.
    """

    _EXTRA = 61

    def __init__(self, nuisance: Nuisance, shape: tuple[int, int, int], random: np.random.Generator) -> None:
        self._read, self._shot = nuisance.read_noise, nuisance.shot_noise
        self._random = random
        channels, height, width = shape
        pool = (channels, height + self._EXTRA, width + self._EXTRA)
        self._pool = random.standard_normal(pool, dtype=np.float32)

    def expose(self, planes: np.ndarray) -> np.ndarray:
        """Convert a frame (C, H, W) of float32 grey levels to the stored image (H, W, C), uint8."""
        row, column = self._random.integers(self._EXTRA, size=2)
        noise = self._pool[:, row : row + planes.shape[1], column : column + planes.shape[2]]
        np.clip(planes, 0, 255, out=planes)
        spread = np.sqrt(np.float32(self._read**2) + np.float32(self._shot) * planes)
        spread *= noise
        planes += spread
        planes += np.float32(0.5)
        stored = np.clip(planes, 0, 255, out=planes).astype(np.uint8)
        return np.atleast_3d(cv2.merge(list(stored)))
