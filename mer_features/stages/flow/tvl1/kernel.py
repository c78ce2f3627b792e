"""TV-L1 on the levels of a pyramid in numba: resizing, and warps, medians and primal-dual iterations."""

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
    """Bilinear, pixel centres on ``(i + 1/2) step - 1/2`` of the source, the result times ``gain``."""
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
        The start; replaced by the result.
    limits : tuple of int
        Warps, inner and outer iterations.
    weights : tuple of float
        Epsilon, tau, lambda, theta.
    smooth : bool
        Whether to filter the result once more.

    Returns
    -------
    int
        Iterations done.
    """
    height, width = reference.shape
    warps, inner, outer = limits
    epsilon, tau, lambda_, theta = weights
    enough = epsilon * epsilon * height * width
    state = zeros(height, width)
    put_flow(state, flow)
    images = images_of(reference, moved)
    room = median.buffers(height, width)
    steps = np.float32(tau), np.float32(tau / theta), np.float32(lambda_ * theta)
    done = 0
    still = not flow.any()
    for _ in range(warps):
        warp(images, state, height, width)
        change = np.inf
        for _ in range(outer):
            if change <= enough:
                break
            if done > 0 or not still:
                _smooth(state, height, width, room)
            left = inner
            while left > 0 and change > enough:
                count = min(2, left) if change > FAR * enough else 1
                change = _iterate(state, height, width, count, steps)
                left -= count
                done += count
    if smooth:
        _smooth(state, height, width, room)
    take_flow(state, flow)
    return done


@inlined
def _smooth(state, height, width, room):
    first, step, plane = layout(state, height)
    for part in range(2):
        median.filter_plane(state, first + part * plane, step, height, width, room)
        for y in range(height):
            _close(state, first + y * step + part * plane + width)


@inlined
def _iterate(state, height, width, count, steps):
    """Some iterations over the level in one sweep; the sum of squares of the flow's change in the last.

    Each follows one row behind the one before, so that a row is fetched from memory once for all of them.
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
    """Flow of row y, then the dual variables of row y - 1, whose differences reach down to it."""
    tau, ratio, bound = steps
    first, step, plane = layout(state, height)
    row = first + y * step
    squares = splat(np.float32(0))
    if y == height:  # no difference across the last row
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
    """No difference across the last column: the value behind it repeats it."""
    state[end] = state[end - 1]


@inlined
def _primal(s, i, step, plane, bound):
    """New flow of eight pixels and the squares of its change: thresholding step plus divergence."""
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
    """Dual variables of eight pixels from the forward differences of the flow."""
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
