"""Motion over time: profile of the expression, head motion and blinks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mer_features.synthetic.presets import Nuisance
from mer_features.synthetic.resample import similarity


def profile(frames: int, apex: int) -> np.ndarray:
    """Strength of the expression, (T,) float64: 0 at onset and offset, 1 at the apex, raised cosines in between."""
    time = np.arange(frames)
    rise = 0.5 - 0.5 * np.cos(np.pi * time / apex)
    fall = 0.5 + 0.5 * np.cos(np.pi * (time - apex) / (frames - 1 - apex))
    return np.where(time <= apex, rise, fall)


def wander(frames: int, fps: float, seconds: float, random: np.random.Generator) -> np.ndarray:
    """Smooth random path (T,) float64 that starts at 0, with rms 1; ``seconds`` is its correlation time."""
    sigma = seconds * fps
    pad = int(4 * sigma) + 1
    path = ndimage.gaussian_filter1d(random.standard_normal(frames + 2 * pad), sigma)[pad : pad + frames]
    path = path - path[0]
    return path / np.sqrt((path**2).mean())


@dataclass(frozen=True)
class HeadMotion:
    """Amount of head motion in one clip."""

    drift_px: float
    turn_deg: float
    zoom: float
    tremor_px: float

    @classmethod
    def draw(cls, nuisance: Nuisance, random: np.random.Generator) -> HeadMotion:
        """Draw the amount of head motion of one clip."""
        return cls(
            random.uniform(*nuisance.drift_px),
            random.uniform(*nuisance.turn_deg),
            random.uniform(*nuisance.zoom),
            nuisance.tremor_px,
        )


def head_motion(
    motion: HeadMotion, frames: int, fps: float, pivot: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Similarity transforms of the head from the onset frame to each frame.

    Parameters
    ----------
    pivot : ndarray, shape (2,)
        Centre of rotation of the head, frame pixels.

    Returns
    -------
    ndarray, shape (T, 2, 3), float64
        The first one is the identity.
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
    """Closure of the lids, 0..1, (T,) float64: either zero or one blink of about 0.15 s.

    Onset and apex frame have no blink, so that the true flow between them comes from the expression only.
    """
    time = np.arange(frames)
    half = max(1.5, 0.075 * fps)
    centres = [c for c in time if c - half > 0 and abs(c - apex) > half]
    happens, where = random.uniform() < rate, random.uniform()
    if not happens or not centres:
        return np.zeros(frames)
    centre = centres[int(where * len(centres))]
    return np.clip(0.5 + 0.5 * np.cos(np.pi * np.clip(np.abs(time - centre) / half, 0, 1)), 0, 1)
