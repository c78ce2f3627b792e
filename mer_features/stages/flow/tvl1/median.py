"""5 x 5 median filter of a plane with replicated borders, by sorting networks on vectors of eight pixels.

A sorting network is a sequence of comparators, pairs (low, high) of wires: the smaller of the two values goes to the
wire ``low``, the larger to ``high``. The filter first sorts every column of five pixels, once for all windows that
contain the column, and then finds the median of five sorted columns.
"""

from __future__ import annotations

import numpy as np

from mer_features.core.compiled import inlined
from mer_features.stages.flow.tvl1.simd import LANES, network, store

#: Sorts five values (Knuth, The Art of Computer Programming 3, section 5.3.4).
SORT_5 = ((0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3))

#: Network for the median of 25 values on wires 5 r + c whose columns c are sorted, and its output wire. Each row is
#: sorted as far as needed, and then the seventh of the 13 values that can still be the median is found. It was built
#: from networks for 5 and 13 values by a random search over their wirings, without the comparators that the sorted
#: columns make unnecessary: 100 minima and maxima.
MEDIAN_OF_SORTED_COLUMNS = (
    (3, 4), (0, 2), (3, 1), (0, 4), (3, 0), (1, 2), (0, 1), (4, 2), (1, 4),
    (9, 7), (5, 8), (9, 6), (5, 7), (9, 5), (6, 8), (5, 6), (7, 8), (6, 7),
    (14, 11), (12, 13), (14, 10), (12, 11), (14, 12), (10, 13), (12, 10), (11, 13), (10, 11),
    (15, 17), (19, 18), (15, 16), (19, 17), (15, 19), (16, 18), (19, 16), (17, 18), (16, 17),
    (21, 22), (23, 24), (21, 20), (23, 22), (21, 23), (20, 24), (23, 20),
    (15, 6), (10, 21), (23, 11), (12, 7), (7, 6), (19, 2), (8, 16), (2, 23), (21, 8), (19, 4), (2, 7), (23, 8),
    (10, 4), (23, 6), (7, 21), (4, 23), (4, 7), (23, 21), (23, 7),
)  # fmt: skip
MEDIAN_WIRE = 23


_sort_column = network(5, SORT_5, (0, 1, 2, 3, 4))
_median = network(25, MEDIAN_OF_SORTED_COLUMNS, (MEDIAN_WIRE,))


@inlined
def buffers(height, width):
    """Buffers for a plane with its border, and for the sorted columns of one row."""
    wide = 2 * LANES + (width + LANES - 1) // LANES * LANES
    return np.zeros((height + 4) * wide, np.float32), np.zeros(5 * wide, np.float32)


@inlined
def filter_plane(state, first, step, height, width, buffers):
    """Filter a plane in place; its row y starts at ``first + y * step``."""
    copy, columns = buffers
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
