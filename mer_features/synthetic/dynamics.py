"""How things move over time: the expression's profile, the head, the lids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mer_features.synthetic.presets import Nuisance
from mer_features.synthetic.resample import similarity


def profile(frames: int, apex: int) -> np.ndarray:
    """Strength of the expression, 0 at onset and offset, 1 at the apex, raised cosines between; (T,) float64."""
    time = np.arange(frames)
    rise = 0.5 - 0.5 * np.cos(np.pi * time / apex)
    fall = 0.5 + 0.5 * np.cos(np.pi * (time - apex) / (frames - 1 - apex))
    return np.where(time <= apex, rise, fall)


def wander(frames: int, fps: float, seconds: float, random: np.random.Generator) -> np.ndarray:
    """A smooth random path from 0 with rms 1; ``seconds`` is its correlation time; (T,) float64."""
    sigma = seconds * fps
    pad = int(4 * sigma) + 1
    path = ndimage.gaussian_filter1d(random.standard_normal(frames + 2 * pad), sigma)[pad : pad + frames]
    path = path - path[0]
    return path / np.sqrt((path**2).mean())


@dataclass(frozen=True)
class HeadMotion:
    """Ranges as drawn for one clip."""

    drift_px: float
    turn_deg: float
    zoom: float
    tremor_px: float

    @classmethod
    def draw(cls, nuisance: Nuisance, random: np.random.Generator) -> HeadMotion:
        """One clip's amount of head motion."""
        return cls(
            random.uniform(*nuisance.drift_px),
            random.uniform(*nuisance.turn_deg),
            random.uniform(*nuisance.zoom),
            nuisance.tremor_px,
        )


def head_motion(
    motion: HeadMotion, frames: int, fps: float, pivot: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Similarity that takes a point of the head from the onset frame to each frame.

    Parameters
    ----------
    pivot : ndarray, shape (2,)
        What the head turns about, frame pixels.

    Returns
    -------
    ndarray, shape (T, 2, 3), float64
        The first is the identity.
    """
    x, y, turn, zoom = (wander(frames, fps, 0.15, random) for _ in range(4))
    tremor = motion.tremor_px * random.standard_normal((frames, 2))
    tremor -= tremor[0]
    along = np.sqrt(0.5) * motion.drift_px
    return np.stack(
        [
            similarity(
                1 + motion.zoom * zoom[t],
                motion.turn_deg * turn[t],
                (along * x[t] + tremor[t, 0], along * y[t] + tremor[t, 1]),
                pivot,
            )
            for t in range(frames)
        ]
    )


def blink(frames: int, apex: int, fps: float, rate: float, random: np.random.Generator) -> np.ndarray:
    """How far the lids are closed, 0..1, (T,) float64: zero throughout, or one blink of about 0.15 s.

    The onset and the apex frame are kept free of it, so that the true flow between them is the expression's alone.
    """
    time = np.arange(frames)
    half = max(1.5, 0.075 * fps)
    free = [c for c in time if c - half > 0 and abs(c - apex) > half]
    happens, where = random.uniform() < rate, random.uniform()
    if not happens or not free:
        return np.zeros(frames)
    centre = free[int(where * len(free))]
    return np.clip(0.5 + 0.5 * np.cos(np.pi * np.clip(np.abs(time - centre) / half, 0, 1)), 0, 1)
