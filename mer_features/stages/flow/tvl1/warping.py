"""State of the TV-L1 solver on one pyramid level: its layout in memory, and the warp that updates its data term.

The state is one flat array. For every image row, and for a row of zeros above and below the image, it holds the rows of
all planes one after the other, each with eight zeros before its first pixel. The data of one iteration are therefore
close together in memory, and no access to a neighbour of a pixel needs a test for the border.

A warp samples the moved image and its gradient at the positions given by the flow, with Catmull-Rom interpolation, and
linearises the data term there.
"""

from __future__ import annotations

import numpy as np

from mer_features.core.compiled import inlined
from mer_features.stages.flow.tvl1.simd import (
    LANES,
    absolute,
    fma,
    load,
    maximum,
    minimum,
    nearest,
    splat,
    store,
    where_equal,
    where_less,
)

#: Planes of the state: the flow, its dual variables times theta, the gradient of the warped image, minus one over the
#: squared gradient, and the part of the residual that does not depend on the flow.
U, V, PUX, PUY, PVX, PVY, IX, IY, INVERSE, RHO = range(10)
PLANES = 10

#: 0, 1 .. 7, the positions of the pixels of a vector.
RAMP = np.arange(LANES, dtype=np.float32)
#: Squared gradients below this value count as 0, as in OpenCV.
FLAT = np.finfo(np.float32).eps


@inlined
def zeros(height, width):
    """A state of zeros."""
    stride = LANES + (width + LANES - 1) // LANES * LANES
    return np.zeros((height + 2) * PLANES * stride, np.float32)


@inlined
def layout(state, height):
    """Index of the first pixel, and the strides from row to row and from plane to plane."""
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
    """Copy the flow of the state to ``flow`` (2, H, W)."""
    _, height, width = flow.shape
    first, step, plane = layout(state, height)
    for part in range(2):
        for y in range(height):
            for x in range(width):
                flow[part, y, x] = state[first + y * step + part * plane + x]


@inlined
def images_of(reference, moved):
    """The input of a warp, row by row: the moved image, its central differences in x and y, and the reference.

    Returns a flat array of the shape (H + 4, 4, W + 4), with borders replicated by two pixels for cubic sampling, and
    with space for one vector at both ends.
    """
    height, width = reference.shape
    wide = width + 4
    out = np.zeros((height + 4) * 4 * wide + 2 * LANES, np.float32)
    half = np.float32(0.5)
    for row in range(height + 4):
        y = min(max(row - 2, 0), height - 1)
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        start = row * 4 * wide + 2 + LANES
        planes = out[start : start + 4 * wide].reshape(4, wide)
        planes[0, :width] = moved[y]
        planes[2, :width] = half * (moved[below] - moved[above])
        planes[3, :width] = reference[y]
        _replicate(out, start, width)
        planes[1, 0] = half * (moved[y, 1] - moved[y, 0])
        planes[1, 1:width] = half * (planes[0, 2 : width + 1] - planes[0, : width - 1])
        _replicate(out, start + wide, width)
        _replicate(out, start + 2 * wide, width)
    return out


@inlined
def _replicate(out, start, width):
    for k in range(2):
        out[start - 1 - k] = out[start]
        out[start + width + k] = out[start + width - 1]


@inlined
def warp(images, state, height, width):
    """Sample image and gradient at the positions given by the flow, and linearise the residual there.

    For positions more than half a pixel outside the image, the gradient is 0, so that only the smoothness term acts.
    """
    first, step, plane = layout(state, height)
    wide = width + 4
    none, half, one, flat = splat(np.float32(0)), splat(np.float32(0.5)), splat(np.float32(1)), splat(FLAT)
    right, bottom = splat(np.float32(width - 1)), splat(np.float32(height - 1))
    buffer = np.empty(3 * LANES, np.float32)
    ramp = load(RAMP, 0)
    for y in range(height):
        for x in range(0, width, LANES):
            i, here = first + y * step + x, (y + 2) * 4 * wide + 2 + LANES + x
            u, v = load(state, i + U * plane), load(state, i + V * plane)
            here_x, here_y = splat(np.float32(x)) + ramp, splat(np.float32(y))
            there_x, there_y = here_x + u, here_y + v
            at_x, at_y = minimum(maximum(there_x, none), right), minimum(maximum(there_y, none), bottom)
            padding = where_less(right, here_x, one, none)
            value, ix, iy = _sample(images, here, wide, at_x - here_x, at_y - here_y, padding, buffer)
            beyond = maximum(absolute(there_x - at_x), absolute(there_y - at_y))
            ix, iy = where_less(half, beyond, none, ix), where_less(half, beyond, none, iy)
            square = fma(ix, ix, iy * iy)
            store(state, i + IX * plane, ix)
            store(state, i + IY * plane, iy)
            store(state, i + INVERSE * plane, where_less(flat, square, none - one / maximum(square, flat), none))
            store(state, i + RHO * plane, value - ix * u - iy * v - load(images, here + 3 * wide))


@inlined
def _sample(images, here, wide, u, v, finished, buffer):
    """Image and gradient (three vectors) at displacements from eight neighbouring pixels, by Catmull-Rom.

    All pixels with the same integer part of the displacement are sampled together, because their neighbours are
    contiguous in memory; usually these are all eight. ``finished`` is 1 for lanes that need no sample.
    """
    whole_x, whole_y = nearest(u), nearest(v)
    wx, wy = _catmull_rom(u - whole_x), _catmull_rom(v - whole_y)
    store(buffer, 0, whole_x)
    store(buffer, LANES, whole_y)
    none, half, one = splat(np.float32(0)), splat(np.float32(0.5)), splat(np.float32(1))
    value, slope_x, slope_y = none, none, none
    for k in range(LANES):
        store(buffer, 2 * LANES, finished)
        if buffer[2 * LANES + k] > 0:
            continue
        x, y = buffer[k], buffer[LANES + k]
        a, b, c = _taps(images, here + np.intp(y) * 4 * wide + np.intp(x), wide, wx, wy)
        match = where_equal(whole_x, splat(x), where_equal(whole_y, splat(y), one, none), none)
        value, slope_x = where_less(half, match, a, value), where_less(half, match, b, slope_x)
        slope_y = where_less(half, match, c, slope_y)
        finished = maximum(finished, match)
    return value, slope_x, slope_y


@inlined
def _taps(images, base, wide, wx, wy):
    """Weighted sums over 5 x 5 neighbours in the three planes: image, x and y gradient."""
    row = 4 * wide
    a0, b0, c0 = _line(images, base - 2 * row, wide, wx)
    a1, b1, c1 = _line(images, base - row, wide, wx)
    a2, b2, c2 = _line(images, base, wide, wx)
    a3, b3, c3 = _line(images, base + row, wide, wx)
    a4, b4, c4 = _line(images, base + 2 * row, wide, wx)
    return _weighted(wy, a0, a1, a2, a3, a4), _weighted(wy, b0, b1, b2, b3, b4), _weighted(wy, c0, c1, c2, c3, c4)


@inlined
def _line(images, base, wide, w):
    return _along(images, base, w), _along(images, base + wide, w), _along(images, base + 2 * wide, w)


@inlined
def _along(images, i, w):
    neighbours = load(images, i - 2), load(images, i - 1), load(images, i), load(images, i + 1), load(images, i + 2)
    return _weighted(w, *neighbours)


@inlined
def _weighted(w, a, b, c, d, e):
    return fma(w[0], a, fma(w[1], b, fma(w[3], d, fma(w[4], e, w[2] * c))))


@inlined
def _catmull_rom(f):
    """Weights of the pixels at -2 .. 2 for fractions f in [-1/2, 1/2]: four cubic weights, and 0 on the far side."""
    none, one = splat(np.float32(0)), splat(np.float32(1))
    t = absolute(f)
    rest = one - t
    hill = splat(np.float32(0.5)) * t * rest
    behind, beyond = none - hill * rest, none - hill * t
    ahead = t + behind - (beyond + beyond)
    here = one - behind - ahead - beyond
    before = where_less(f, none, ahead, behind)
    after = where_less(f, none, behind, ahead)
    return where_less(f, none, beyond, none), before, here, after, where_less(f, none, none, beyond)
