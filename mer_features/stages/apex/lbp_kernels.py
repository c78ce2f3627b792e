"""Compiled loops of local binary patterns, called by :mod:`mer_features.stages.apex.lbp` and the descriptors."""

from __future__ import annotations

import numpy as np

from mer_features.core.compiled import cached, inlined


@cached
def circle(patch, radius, low, high, weights_y, weights_x, table, out):
    """Code eight samples on a circle around every pixel; bit 0 is to the right, the others follow counter-clockwise.

    Parameters
    ----------
    patch : ndarray, shape (H + 2 radius, W + 2 radius)
        Pixels with a margin of ``radius`` on every side, any real dtype.
    low, high : int
        Diagonal samples lie between two rows (columns). ``low`` is the first of the two for the upper (left) samples,
        ``high`` for the lower (right) samples, counted from ``radius`` rows above (columns left of) the pixel.
    weights_y : ndarray, shape (2, H), float64
        Weight of the second row, for the upper and for the lower diagonal samples.
    weights_x : ndarray, shape (2, W), float64
        Weight of the second column, for the left and for the right diagonal samples.
    table : ndarray, shape (256,), uint8
        Output value of every pattern.
    out : ndarray, shape (H, W), uint8
        The output values are written here.
    """
    height, width = out.shape
    stride = width + 2 * radius
    # Ring buffers of the rows that contain a pixel's samples; row y is stored at y modulo ``rows``.
    rows = 2 * radius + 1
    pixels = np.empty(rows * stride)
    mixed = np.empty(rows * 2 * width)  # interpolated between columns: left of every pixel, then right of it
    corners = np.empty(width, np.int64)
    axes = np.empty(width, np.uint8)
    source = patch.reshape(patch.size)
    for row in range(height + 2 * radius):
        start, place = row % rows * stride, row % rows * 2 * width
        _copy(source, row * stride, pixels, start, stride)
        _between(pixels, start + low, weights_x[0], mixed, place)
        _between(pixels, start + high, weights_x[1], mixed, place + width)
        y = row - 2 * radius
        if y < 0:
            continue
        middle = y + radius
        upper = (y + low) % rows * 2 * width, (y + low + 1) % rows * 2 * width, weights_y[0, y]
        lower = (y + high) % rows * 2 * width, (y + high + 1) % rows * 2 * width, weights_y[1, y]
        _corners(mixed, upper, lower, pixels, middle % rows * stride + radius, corners)
        _axes(source, middle * stride + radius, radius, radius * stride, axes)
        _look_up(table, corners, axes, out[y])


@cached
def planes(volume, rims, places, weights, corners, out):
    """Code the samples around every voxel of a volume in several planes.

    Parameters
    ----------
    volume : ndarray, shape (T, H, W)
        Any real dtype.
    rims : tuple of int
        Number of voxels without a pattern at both ends of the axes t, y and x.
    places : ndarray, shape (planes, samples, 4), int64
        Positions of the up to four voxels between which a sample lies, relative to the centre voxel, in the flattened
        volume.
    weights : ndarray, shape (planes, samples, 4), float64
        Interpolation weights of these voxels.
    corners : ndarray, shape (planes, samples), int64
        Number of these voxels, 1 to 4.
    out : ndarray, shape (planes, T - 2 rt, H - 2 ry, W - 2 rx), uint8
        Patterns are written here; sample 0 is bit 0.
    """
    _, height, width = volume.shape
    voxels = volume.reshape(volume.size)
    _, frames, rows, columns = out.shape
    difference, between, on = np.empty(columns), np.empty(columns), np.empty(columns, np.uint8)
    for t in range(frames):
        for y in range(rows):
            centre = ((t + rims[0]) * height + y + rims[1]) * width + rims[2]
            for plane in range(len(places)):
                on[:] = 0
                between[:] = 0
                for sample in range(places.shape[1]):
                    if corners[plane, sample] == 1:
                        _add_voxel(voxels, centre, centre + places[plane, sample, 0], np.uint8(1 << sample), on)
                        continue
                    difference[:] = 0
                    for corner in range(corners[plane, sample]):
                        place = centre + places[plane, sample, corner]
                        _add_difference(voxels, centre, place, weights[plane, sample, corner], difference)
                    _add_bit(difference, float(1 << sample), between)
                row = out[plane, t, y]
                for x in range(columns):
                    row[x] = on[x] | np.uint8(np.int32(between[x]))


@cached
def count(codes, counts):
    """Add the number of occurrences of each code in ``codes`` (T, H, W), uint8, to ``counts`` (bins,), int64."""
    # Four tables, so that consecutive equal codes do not depend on each other.
    tables = np.zeros((4, 256), np.int64)
    frames, height, width = codes.shape
    whole = width // 4 * 4
    for t in range(frames):
        for y in range(height):
            for x in range(0, whole, 4):
                for lane in range(4):
                    tables[lane, codes[t, y, x + lane]] += 1
            for x in range(whole, width):
                tables[0, codes[t, y, x]] += 1
    for code in range(len(counts)):
        counts[code] += tables[0, code] + tables[1, code] + tables[2, code] + tables[3, code]


# These loops are written so that the compiler can vectorise them: they use flat arrays and unsigned indices (a negative
# index would count from the end), bits of interpolated samples have the width of the samples, and each loop uses few
# arrays and writes only one.


@inlined
def _copy(source, start, pixels, place, count):
    for i in range(count):
        x = np.uint64(i)
        pixels[np.uint64(place) + x] = source[np.uint64(start) + x]


@inlined
def _between(pixels, start, weight, mixed, place):
    for i in range(len(weight)):
        x = np.uint64(i)
        w = weight[x]
        a = np.uint64(start) + x
        mixed[np.uint64(place) + x] = (1 - w) * pixels[a] + w * pixels[a + np.uint64(1)]


@inlined
def _corners(mixed, upper, lower, pixels, middle, bits):
    """Bits of the four diagonal samples; ``upper`` and ``lower`` are two rows and the weight of the second row."""
    width = np.uint64(len(bits))
    second, first = upper[2], 1 - upper[2]
    fourth, third = lower[2], 1 - lower[2]
    for i in range(len(bits)):
        x = np.uint64(i)
        c = pixels[np.uint64(middle) + x]
        a, b = np.uint64(upper[0]) + x, np.uint64(upper[1]) + x
        code = np.int64(2) if first * mixed[a + width] + second * mixed[b + width] >= c else np.int64(0)
        code |= np.int64(8) if first * mixed[a] + second * mixed[b] >= c else np.int64(0)
        a, b = np.uint64(lower[0]) + x, np.uint64(lower[1]) + x
        code |= np.int64(32) if third * mixed[a] + fourth * mixed[b] >= c else np.int64(0)
        code |= np.int64(128) if third * mixed[a + width] + fourth * mixed[b + width] >= c else np.int64(0)
        bits[x] = code


@inlined
def _axes(source, middle, across, down, bits):
    for i in range(len(bits)):
        x = np.uint64(i)
        c = source[np.uint64(middle) + x]
        code = np.uint8(1) if source[np.uint64(middle + across) + x] >= c else np.uint8(0)
        code |= np.uint8(4) if source[np.uint64(middle - down) + x] >= c else np.uint8(0)
        code |= np.uint8(16) if source[np.uint64(middle - across) + x] >= c else np.uint8(0)
        code |= np.uint8(64) if source[np.uint64(middle + down) + x] >= c else np.uint8(0)
        bits[x] = code


@inlined
def _look_up(table, corners, axes, codes):
    for i in range(len(codes)):
        x = np.uint64(i)
        codes[x] = table[np.uint64(corners[x]) | np.uint64(axes[x])]


@inlined
def _add_voxel(voxels, centre, place, bit, bits):
    for i in range(len(bits)):
        x = np.uint64(i)
        bits[x] |= bit if voxels[np.uint64(place) + x] >= voxels[np.uint64(centre) + x] else np.uint8(0)


@inlined
def _add_difference(voxels, centre, place, weight, difference):
    for i in range(len(difference)):
        x = np.uint64(i)
        difference[x] += weight * (np.float64(voxels[np.uint64(place) + x]) - np.float64(voxels[np.uint64(centre) + x]))


@inlined
def _add_bit(difference, bit, bits):
    for i in range(len(bits)):
        x = np.uint64(i)
        bits[x] += bit if difference[x] >= 0 else 0.0
