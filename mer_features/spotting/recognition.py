"""Scores of spot-then-recognise: micro-expressions are found in a recording, and the class of each is predicted.

STRS is the product of the F1 of spotting and the F1 of the analysis, which sees the hits alone (Liong et al. 2022,
"Spot-then-recognize", and the challenges MEGC 2024 and 2025). The joint F1 is our own: a hit also needs the right
class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mer_features.spotting.metrics import Counts, Matching, Pair

#: Which classes the means of the analysis are over: ``fixed``, all of them, the way of the challenges, or ``present``,
#: those with an event that was hit.
Variant = Literal["fixed", "present"]
VARIANTS: tuple[Variant, ...] = ("fixed", "present")


@dataclass(frozen=True)
class Analysis:
    """Recognition of the events that were hit; all values 0 to 1, NaN if no event of a class was hit."""

    precision: float  # mean over classes
    recall: float  # mean over classes, also called UAR
    f1: float  # 2 P R / (P + R) of these two means
    uf1: float  # mean over classes of the F1 of each
    clips: int  # hits of which the event has one of the classes
    outside: int  # hits that are left out because the event lacks them


def analyse(pairs: Sequence[Pair], classes: Sequence[str], variant: Variant = "fixed") -> Analysis:
    """Score the predicted classes of the hits.

    An event without a class is left out. A prediction outside the classes is a miss of the event's class, and no false
    positive of any class.

    Parameters
    ----------
    pairs
        The hits; events and spots have their class as ``emotion``.
    classes
        The classes of the analysis.
    variant
        Whether the means are over all ``classes``, of which one without hits adds 0, or over those with a hit event.
    """
    labels = [(pair.event.emotion, pair.spot.emotion) for pair in pairs if pair.event.emotion in classes]
    outside = len(pairs) - len(labels)
    if not labels:
        return Analysis(math.nan, math.nan, math.nan, math.nan, 0, outside)
    hit = {actual for actual, _ in labels}
    chosen = [name for name in classes if variant == "fixed" or name in hit]
    of_class = [
        Counts(
            tp=sum(actual == predicted == name for actual, predicted in labels),
            fp=sum(actual != name == predicted for actual, predicted in labels),
            fn=sum(actual == name != predicted for actual, predicted in labels),
        )
        for name in chosen
    ]
    precision, recall, uf1 = (
        float(np.mean([value if not math.isnan(value) else 0.0 for value in values]))
        for values in zip(*((item.precision, item.recall, item.f1) for item in of_class), strict=True)
    )
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Analysis(precision, recall, f1, uf1, len(labels), outside)


def strs(spotting: Counts, analysis: Analysis) -> float:
    """F1 of spotting times F1 of the analysis: 0 if no event of a class was hit, NaN without events and spots."""
    if not spotting.spots and not spotting.events:
        return math.nan
    return 0.0 if math.isnan(analysis.f1) else spotting.f1 * analysis.f1


def joint(matching: Matching, classes: Sequence[str]) -> Counts:
    """Counts in which a hit also has the right class.

    Events of no class are left out, and so are the spots that hit them. A hit with the wrong class is a false spot and
    a missed event.
    """
    inside = [pair for pair in matching.pairs if pair.event.emotion in classes]
    right = sum(pair.event.emotion == pair.spot.emotion for pair in inside)
    missed = sum(event.emotion in classes for event in matching.missed)
    return Counts(right, len(inside) + len(matching.false) - right, len(inside) + missed - right)
