"""Layout of the solver's state on one pyramid level.

One flat array: for every image row, with a row of zeros above and below, the rows of its planes one after the
other, each with eight zeros before its first pixel. All that an iteration reads and writes lies together, and no
neighbour of a pixel needs a test for the border.
"""

from __future__ import annotations

import numpy as np

from mer_features.compiled import inlined
from mer_features.tvl1.simd import LANES

#: Planes: the flow, its dual variables times theta, the warped image's gradient, minus one over the gradient's square,
#: and the part of the residual that does not depend on the flow.
U, V, PUX, PUY, PVX, PVY, IX, IY, INVERSE, RHO = range(10)
PLANES = 10


@inlined
def zeros(height, width):
    """An empty state."""
    stride = LANES + (width + LANES - 1) // LANES * LANES
    return np.zeros((height + 2) * PLANES * stride, np.float32)


@inlined
def layout(state, height):
    """Index of the first pixel, and the ways from row to row and from plane to plane."""
    step = state.size // (height + 2)
    return step + LANES, step, step // PLANES


@inlined
def put_flow(state, flow):
    """Copy a flow (2, H, W) into the state."""
    _, height, width = flow.shape
    first, step, plane = layout(state, height)
    for part in range(2):
        for y in range(height):
            for x in range(width):
                state[first + y * step + part * plane + x] = flow[part, y, x]


@inlined
def take_flow(state, flow):
    """Copy the state's flow to (2, H, W)."""
    _, height, width = flow.shape
    first, step, plane = layout(state, height)
    for part in range(2):
        for y in range(height):
            for x in range(width):
                flow[part, y, x] = state[first + y * step + part * plane + x]
