"""The 5 x 5 median of a plane, borders replicated, by comparators on vectors of eight pixels."""

from __future__ import annotations

import numpy as np

from mer_features.compiled import inlined
from mer_features.tvl1.comparators import MEDIAN_OF_SORTED_COLUMNS, MEDIAN_WIRE, SORT_5
from mer_features.tvl1.simd import LANES, network, store

_sort_column = network(5, SORT_5, (0, 1, 2, 3, 4))
_median = network(25, MEDIAN_OF_SORTED_COLUMNS, (MEDIAN_WIRE,))


@inlined
def buffers(height, width):
    """Room for a plane with its border, and for the sorted columns of one row."""
    wide = 2 * LANES + (width + LANES - 1) // LANES * LANES
    return np.zeros((height + 4) * wide, np.float32), np.zeros(5 * wide, np.float32)


@inlined
def filter_plane(state, first, step, height, width, room):
    """Filter in place the plane whose row y starts at ``first + y * step``."""
    copy, columns = room
    wide = columns.size // 5
    _copy_with_border(state, first, step, height, width, copy)
    for y in range(height):
        for x in range(0, wide, LANES):
            i = y * wide + x
            ranks = _sort_column(copy, (i, i + wide, i + 2 * wide, i + 3 * wide, i + 4 * wide))
            for rank in range(5):
                store(columns, rank * wide + x, ranks[rank])
        for x in range(0, width, LANES):
            a = x + LANES - 2
            b, c, d, e = a + wide, a + 2 * wide, a + 3 * wide, a + 4 * wide
            places = (
                a, a + 1, a + 2, a + 3, a + 4, b, b + 1, b + 2, b + 3, b + 4, c, c + 1, c + 2, c + 3, c + 4,
                d, d + 1, d + 2, d + 3, d + 4, e, e + 1, e + 2, e + 3, e + 4,
            )  # fmt: skip
            store(state, first + y * step + x, _median(columns, places)[0])


@inlined
def _copy_with_border(state, first, step, height, width, copy):
    wide = copy.size // (height + 4)
    for y in range(height + 4):
        source = first + min(max(y - 2, 0), height - 1) * step
        target = y * wide + LANES
        for x in range(width):
            copy[target + x] = state[source + x]
        for x in range(2):
            copy[target - 1 - x] = state[source]
            copy[target + width + x] = state[source + width - 1]
