"""Clips grouped by their sets of action units, for pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mer_features import action_units

NONE, OTHER = "no unit", "other sets"


def grouped(texts: Sequence[str], most: int = 8) -> list[str]:
    """Group of every clip by its owner's text: the set of numbers, e.g. ``4+7``, for the most frequent sets.

    Sides and intensities drop out; units left open do not count.

    Parameters
    ----------
    texts
        Of N clips.
    most
        So many sets have a group of their own (of equally frequent ones those that come first), if they have two clips.

    Returns
    -------
    list of str
        N names: a set, :data:`OTHER`, or :data:`NONE` for a clip without units.
    """
    sets = [tuple(sorted({unit.number for unit in action_units.parse(text).units})) for text in texts]
    counts = Counter(numbers for numbers in sets if numbers)
    own = {numbers for numbers, count in counts.most_common(most) if count > 1}
    return [_name(numbers) if numbers in own or not numbers else OTHER for numbers in sets]


def _name(numbers: tuple[int, ...]) -> str:
    return "+".join(map(str, numbers)) or NONE
