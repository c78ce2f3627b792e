"""A causal temporal band for changes that arrive frame by frame, at any and even at a varying frame rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


class Band:
    """First-order band-pass of every number of a stream of arrays: two low-passes, the slow taken from the fast.

    ``y = G (L_high x - L_low x)``, each low-pass the bilinear transform of ``1 / (1 + s / ω)`` with its corner put
    exactly where it belongs at the frame rate of the moment; ``G = (K_high + K_low) / (K_high - K_low)`` with
    ``K = tan(π f Δt)`` makes the gain 1, without delay, in the middle of the band (the f with ``K² = K_low K_high``,
    near ``sqrt(low high)``), so that a magnification factor keeps its meaning there. Towards either side the gain
    falls by a factor of 2 an octave. It needs no future frame and keeps two arrays a stream.

    Parameters
    ----------
    low_hz
        Slower changes (drift, posture) are taken away; 0 keeps them.
    high_hz
        Faster changes (noise, flicker) are taken away; ``None`` keeps them.

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
        """Filter the changes of one more frame; before the first all were 0.

        Parameters
        ----------
        changes
            Arrays of any shapes, the same at every step.
        step_s
            Seconds since the frame before, > 0; the corners must stay below half the frame rate.

        Raises
        ------
        ValueError
            If they do not.
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
                f"found a corner of {hertz:g} Hz at {1 / step_s:.4g} frames/s, expected less than half of it"
            )
        return math.tan(math.pi * hertz * step_s)


def _low_pass(now: np.ndarray, before: np.ndarray, output: np.ndarray, corner: float) -> np.ndarray:
    if math.isinf(corner):
        return now
    kept, taken = np.float32((1 - corner) / (1 + corner)), np.float32(corner / (1 + corner))
    result: np.ndarray = kept * output + taken * (now + before)
    return result
