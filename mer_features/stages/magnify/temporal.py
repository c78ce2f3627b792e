"""A causal temporal band-pass filter for changes that arrive frame by frame, also at a varying frame rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


class Band:
    """First-order band-pass filter of every element of a stream of arrays: the difference of two low-pass filters.

    ``y = G (L_high x - L_low x)``, where each low-pass filter is the bilinear transform of ``1 / (1 + s / ω)`` with its
    corner frequency exact for the current frame rate. ``G = (K_high + K_low) / (K_high - K_low)`` with
    ``K = tan(π f Δt)`` makes the gain 1, without delay, in the middle of the band (the f with ``K² = K_low K_high``,
    near ``sqrt(low high)``), so that the magnification factor is exact there. Outside the band, the gain falls by a
    factor of 2 per octave. The filter needs no future frames and stores the last input and the outputs of both filters.

    Parameters
    ----------
    low_hz
        Lower limit in hertz: slower changes (drift, posture) are removed; 0 keeps them.
    high_hz
        Upper limit in hertz: faster changes (noise, flicker) are removed; ``None`` keeps them.

    Raises
    ------
    ValueError
        Unless 0 <= low < high.
    """

    def __init__(self, low_hz: float = 0.0, high_hz: float | None = None) -> None:
        if not 0 <= low_hz < (math.inf if high_hz is None else high_hz):
            raise ValueError(f"found a band from {low_hz:g} to {high_hz} Hz, expected 0 <= low < high")
        self.low_hz, self.high_hz = low_hz, high_hz
        self._last: list[np.ndarray] = []
        self._slow: list[np.ndarray] = []
        self._fast: list[np.ndarray] = []

    def step(self, changes: Sequence[np.ndarray], step_s: float) -> tuple[np.ndarray, ...]:
        """Filter the changes of the next frame; changes before the first frame are taken as 0.

        Parameters
        ----------
        changes
            Arrays of any shapes; the shapes must be the same at every step.
        step_s
            Time since the previous frame in seconds, > 0.

        Raises
        ------
        ValueError
            If a limit of the band is not below half the frame rate.
        """
        low, high = self._corner(self.low_hz, step_s), self._corner(self.high_hz, step_s)
        if not self._last:
            self._last, self._slow, self._fast = ([np.zeros_like(item) for item in changes] for _ in range(3))
        self._slow = [_low_pass(*item, low) for item in zip(changes, self._last, self._slow, strict=True)]
        self._fast = [_low_pass(*item, high) for item in zip(changes, self._last, self._fast, strict=True)]
        self._last = list(changes)
        gain = np.float32(1 if math.isinf(high) else (high + low) / (high - low))
        return tuple(gain * (fast - slow) for fast, slow in zip(self._fast, self._slow, strict=True))

    @staticmethod
    def _corner(hertz: float | None, step_s: float) -> float:
        if hertz is None:
            return math.inf
        if hertz * step_s >= 0.5:
            raise ValueError(
                f"found a band limit of {hertz:g} Hz at {1 / step_s:.4g} frames/s, expected less than half the rate"
            )
        return math.tan(math.pi * hertz * step_s)


def _low_pass(now: np.ndarray, before: np.ndarray, output: np.ndarray, corner: float) -> np.ndarray:
    if math.isinf(corner):
        return now
    feedback, weight = np.float32((1 - corner) / (1 + corner)), np.float32(corner / (1 + corner))
    result: np.ndarray = feedback * output + weight * (now + before)
    return result
