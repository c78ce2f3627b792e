"""Sorting networks of the 5 x 5 median: pairs (low, high) of wires; the smaller value goes to ``low``."""

from __future__ import annotations

#: Sorts five values (Knuth, The Art of Computer Programming 3, section 5.3.4).
SORT_5 = ((0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3))

#: Median of 25 values on wires 5 r + c whose columns c are sorted, and the wire it comes out on: each row is sorted as
#: far as needed, and of the 13 values that can then be the median the seventh is found. From networks for 5 and 13
#: values by a random search over their wirings, dropping what the sorted columns make idle: 100 minima and maxima.
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
