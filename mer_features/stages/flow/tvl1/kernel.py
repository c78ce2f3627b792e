"""TV-L1 kernels in numba: resizing of pyramid levels, and the solver with warps, medians and primal-dual iterations."""

from __future__ import annotations

import numpy as np

from mer_features.core.compiled import cached, inlined
from mer_features.stages.flow.tvl1 import median
from mer_features.stages.flow.tvl1.parameters import FAR
from mer_features.stages.flow.tvl1.simd import LANES, fma, lane, load, maximum, minimum, splat, sqrt, store, where_less
from mer_features.stages.flow.tvl1.warping import (
    INVERSE,
    IX,
    IY,
    PUX,
    PUY,
    PVX,
    PVY,
    RAMP,
    RHO,
    U,
    V,
    images_of,
    layout,
    put_flow,
    take_flow,
    warp,
    zeros,
)


@cached
def resize(source, target, step, gain):
    """Resize bilinearly and multiply by ``gain``; pixel centre i is at ``(i + 1/2) step - 1/2`` in the source."""
    height, width = target.shape
    row = np.empty(source.shape[1], np.float32)
    for y in range(height):
        top, below = _between(y, step[0], source.shape[0])
        under = min(top + 1, source.shape[0] - 1)
        for x in range(source.shape[1]):
            row[x] = gain * (source[top, x] + below * (source[under, x] - source[top, x]))
        for x in range(width):
            left, right = _between(x, step[1], source.shape[1])
            target[y, x] = row[left] + right * (row[min(left + 1, source.shape[1] - 1)] - row[left])


@inlined
def _between(index, step, count):
    place = min(max((index + 0.5) * step - 0.5, 0.0), count - 1.0)
    whole = np.intp(place)
    return whole, np.float32(place - whole)


@cached
def solve(reference, moved, flow, limits, weights, smooth):
    """Refine a flow on one level.

    Parameters
    ----------
    reference, moved : ndarray, shape (H, W), float32
        Grey levels 0..255.
    flow : ndarray, shape (2, H, W), float32
        Initial flow; overwritten with the result.
    limits : tuple of int
        Numbers of warps, inner iterations and outer iterations.
    weights : tuple of float
        Epsilon, tau, lambda, theta.
    smooth : bool
        Whether to apply the median filter to the result.

    Returns
    -------
    int
        Number of iterations.
    """
    height, width = reference.shape
    warps, inner, outer = limits
    epsilon, tau, lambda_, theta = weights
    limit = epsilon * epsilon * height * width
    state = zeros(height, width)
    put_flow(state, flow)
    images = images_of(reference, moved)
    buffers = median.buffers(height, width)
    steps = np.float32(tau), np.float32(tau / theta), np.float32(lambda_ * theta)
    iterations = 0
    zero = not flow.any()
    for _ in range(warps):
        warp(images, state, height, width)
        change = np.inf
        for _ in range(outer):
            if change <= limit:
                break
            if iterations > 0 or not zero:
                _smooth(state, height, width, buffers)
            remaining = inner
            while remaining > 0 and change > limit:
                count = min(2, remaining) if change > FAR * limit else 1
                change = _iterate(state, height, width, count, steps)
                remaining -= count
                iterations += count
    if smooth:
        _smooth(state, height, width, buffers)
    take_flow(state, flow)
    return iterations


@inlined
def _smooth(state, height, width, buffers):
    first, step, plane = layout(state, height)
    for part in range(2):
        median.filter_plane(state, first + part * plane, step, height, width, buffers)
        for y in range(height):
            _close(state, first + y * step + part * plane + width)


@inlined
def _iterate(state, height, width, count, steps):
    """Compute ``count`` iterations in one sweep; returns the sum of squares of the flow's change in the last one.

    Each iteration runs one row behind the previous one, so that every row is read from memory only once.
    """
    total = 0.0
    for front in range(height + count):
        for number in range(count):
            y = front - number
            if 0 <= y <= height:
                change = _row(state, y, height, width, steps)
                if number == count - 1:
                    total += change
    return total


@inlined
def _row(state, y, height, width, steps):
    """Update the flow of row y, then the dual variables of row y - 1, whose forward differences use row y."""
    tau, ratio, bound = steps
    first, step, plane = layout(state, height)
    row = first + y * step
    squares = splat(np.float32(0))
    if y == height:  # the difference across the last row is 0
        for i in range(row - step, row - step + width, LANES):
            _dual(state, i, plane, load(state, i + U * plane), load(state, i + V * plane), tau, ratio)
        return 0.0
    for i in range(row, row + width, LANES):
        u, v, change = _primal(state, i, step, plane, bound)
        store(state, i + U * plane, u)
        store(state, i + V * plane, v)
        if i + LANES > row + width:
            change = where_less(load(RAMP, 0), splat(np.float32(row + width - i)), change, splat(np.float32(0)))
        squares = squares + change
        if y > 0:
            _dual(state, i - step, plane, u, v, tau, ratio)
    for part in range(2):
        _close(state, row + part * plane + width)
    total = 0.0
    for k in range(LANES):
        total += lane(squares, k)
    return total


@inlined
def _close(state, end):
    """Repeat the last value of a row behind its end, so that the difference across the last column is 0."""
    state[end] = state[end - 1]


@inlined
def _primal(s, i, step, plane, bound):
    """New flow of eight pixels, by thresholding step and divergence, and the squares of its change."""
    u, v = load(s, i + U * plane), load(s, i + V * plane)
    ix, iy = load(s, i + IX * plane), load(s, i + IY * plane)
    rho = fma(ix, u, fma(iy, v, load(s, i + RHO * plane)))
    gain = minimum(maximum(rho * load(s, i + INVERSE * plane), splat(-bound)), splat(bound))
    du = _divergence(s, i + PUX * plane, i + PUY * plane, step)
    dv = _divergence(s, i + PVX * plane, i + PVY * plane, step)
    du, dv = fma(gain, ix, du), fma(gain, iy, dv)
    return u + du, v + dv, fma(du, du, dv * dv)


@inlined
def _divergence(s, x, y, step):
    return (load(s, x) - load(s, x - 1)) + (load(s, y) - load(s, y - step))


@inlined
def _dual(s, i, plane, u_below, v_below, tau, ratio):
    """Update the dual variables of eight pixels from the forward differences of the flow."""
    u, v = load(s, i + U * plane), load(s, i + V * plane)
    ux, uy = load(s, i + 1 + U * plane) - u, u_below - u
    vx, vy = load(s, i + 1 + V * plane) - v, v_below - v
    one, ratio, tau = splat(np.float32(1)), splat(ratio), splat(tau)
    norm_u = fma(ratio, sqrt(fma(ux, ux, uy * uy)), one)
    norm_v = fma(ratio, sqrt(fma(vx, vx, vy * vy)), one)
    inverse = one / (norm_u * norm_v)  # one division instead of two
    by_u, by_v = inverse * norm_v, inverse * norm_u
    store(s, i + PUX * plane, fma(tau, ux, load(s, i + PUX * plane)) * by_u)
    store(s, i + PUY * plane, fma(tau, uy, load(s, i + PUY * plane)) * by_u)
    store(s, i + PVX * plane, fma(tau, vx, load(s, i + PVX * plane)) * by_v)
    store(s, i + PVY * plane, fma(tau, vy, load(s, i + PVY * plane)) * by_v)
