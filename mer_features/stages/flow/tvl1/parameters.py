"""Parameters of the TV-L1 solver, and presets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Smallest side of a pyramid level, in pixels.
SMALLEST_LEVEL = 16
#: As long as the flow changes by more than this many times the limit (of the sum of squares), two iterations are
#: computed in one sweep, and only the second is tested for convergence.
FAR = 2.0


@dataclass(frozen=True)
class Parameters:
    """Parameters of the solver; the defaults are those of OpenCV's ``DualTVL1OpticalFlow``.

    Attributes
    ----------
    tau : float
        Step size of the dual variables; above 0.25 the iteration may not converge.
    lambda_ : float
        Weight of the data term for grey levels 0..255; smaller values give smoother flow.
    theta : float
        Coupling of the data term to the smooth flow; smaller values couple more tightly and converge more slowly.
    scales : int
        Number of pyramid levels, reduced if a level would have a side of less than 16 pixels; with more levels,
        larger motion can be followed.
    step : float
        Size of a level relative to the next finer one, less than 1.
    warps : int
        Number of times that the second image is warped and the data term linearised on each level.
    epsilon : float
        The iterations of a warp end when the root mean square of the change of the flow falls to this value, in
        pixels.
    inner, outer : int
        Each warp repeats the following at most ``outer`` times: a 5 x 5 median filter of the flow, then at most
        ``inner`` iterations.
    last_median : bool
        Whether the final flow is filtered as well, which OpenCV does not do.
    """

    tau: float = 0.25
    lambda_: float = 0.15
    theta: float = 0.3
    scales: int = 5
    step: float = 0.8
    warps: int = 5
    epsilon: float = 0.01
    inner: int = 30
    outer: int = 10
    last_median: bool = False

    def sizes(self, shape: Sequence[int]) -> list[tuple[int, int]]:
        """Heights and widths of the pyramid's levels, the finest first."""
        levels = [(shape[0], shape[1])]
        while len(levels) < self.scales:
            height, width = (round(side * self.step) for side in levels[-1])
            if min(height, width) < SMALLEST_LEVEL:
                break
            levels.append((height, width))
        return levels

    @property
    def limits(self) -> tuple[int, int, int]:
        """``warps``, ``inner`` and ``outer``."""
        return self.warps, self.inner, self.outer

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """``epsilon``, ``tau``, ``lambda_`` and ``theta``."""
        return self.epsilon, self.tau, self.lambda_, self.theta


#: Parameters of the methods of :func:`mer_features.stages.flow.methods.estimate` that use this solver, by name.
PRESETS = {
    "tvl1": Parameters(),
    "tvl1_fast": Parameters(theta=0.2, scales=4, step=0.5, warps=3, last_median=True),
    "tvl1_aligned": Parameters(scales=1, warps=3, inner=40, outer=1, last_median=True),
}


def pixel_iterations(parameters: Parameters, shape: Sequence[int], iterations: Sequence[int]) -> int:
    """Sum of pixels times iterations over all levels, a measure of the solver's work."""
    sizes = parameters.sizes(shape)
    return sum(height * width * count for (height, width), count in zip(sizes, iterations, strict=True))
