"""TV-L1 optical flow for one pair of images, with the energy, schedule and defaults of OpenCV's DualTVL1.

The energy is that of Zach, Pock and Bischof, "A duality based approach for realtime TV-L1 optical flow" (DAGM 2007),
Eq. 4: total variation of the flow plus ``lambda`` times the absolute residual, linearised again at every warp. There
are two differences from OpenCV. Images are sampled with Catmull-Rom interpolation, which has the correct slope at the
pixels; with OpenCV's cubic interpolation (A = -0.75), a shift of 0.1 px becomes 0.136 px. And a pixel whose flow
points outside the image by more than half a pixel has no data term, whereas OpenCV compares it with black.

The kernels are compiled with numba and imported on first use. A call runs on one thread and releases the interpreter
lock, so pairs can be processed in threads; the results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from mer_features.stages.flow.tvl1.parameters import PRESETS, Parameters, pixel_iterations

__all__ = ["PRESETS", "Parameters", "estimate", "pixel_iterations", "residual_motion"]

#: Residual motion is measured on images halved this many times, with an accuracy of a few hundredths of their pixels.
_HALVINGS = 2
_COARSE = Parameters(scales=2, step=0.5, warps=2, epsilon=0.03)


def estimate(
    reference: np.ndarray, moved: np.ndarray, parameters: Parameters = PRESETS["tvl1"]
) -> tuple[np.ndarray, list[int]]:
    """Estimate the flow from one image to another.

    Parameters
    ----------
    reference, moved : ndarray, shape (H, W)
        Grey levels 0..255, uint8 or floating point; sides of at least 16 pixels.
    parameters
        Parameters of the solver.

    Returns
    -------
    flow : ndarray, shape (2, H, W), float32
        u (right) and v (down) in pixels with ``moved(x + flow(x)) = reference(x)``.
    iterations : list of int
        Number of iterations on each level, the finest first; see :func:`pixel_iterations`.

    Notes
    -----
    All operations follow IEEE 754 in a fixed order, so processors with different vector units give identical results.
    """
    from mer_features.stages.flow.tvl1 import kernel  # noqa: PLC0415  # numba takes half a second to import

    sizes = parameters.sizes(reference.shape)
    levels = [np.stack([reference, moved]).astype(np.float32, order="C")]
    for size in sizes[1:]:
        levels.append(_resize(levels[-1], size, (1 / parameters.step,) * 2, 1.0))
    flow = np.zeros((2, *sizes[-1]), np.float32)
    iterations = []
    for level in reversed(levels):
        smooth = parameters.last_median and level is levels[0]
        if flow.shape != level.shape:
            ratio = flow.shape[1] / level.shape[1], flow.shape[2] / level.shape[2]
            flow = _resize(flow, level.shape[1:], ratio, 1 / parameters.step)
        iterations.append(kernel.solve(level[0], level[1], flow, parameters.limits, parameters.weights, smooth))
    return flow, iterations[::-1]


def residual_motion(reference: np.ndarray, moved: np.ndarray) -> float:
    """Remaining head motion between two registered frames, in pixels.

    This is the median length of the flow at a quarter of the size, converted to pixels of the full size. An expression
    moves too small a part of the face to affect the median. Arguments as for :func:`estimate`.
    """
    halves = Parameters(scales=_HALVINGS + 1, step=0.5).sizes(reference.shape)
    images = np.stack([reference, moved]).astype(np.float32, order="C")
    for size in halves[1:]:
        images = _resize(images, size, (2.0, 2.0), 1.0)
    flow, _ = estimate(images[0], images[1], _COARSE)
    result: float = float(np.median(np.hypot(*flow))) * 2 ** (len(halves) - 1)
    return result


def _resize(images: np.ndarray, size: tuple[int, ...], step: tuple[float, float], gain: float) -> np.ndarray:
    from mer_features.stages.flow.tvl1 import kernel  # noqa: PLC0415

    out = np.empty((len(images), *size), np.float32)
    for source, target in zip(images, out, strict=True):
        kernel.resize(source, target, step, np.float32(gain))
    return out
