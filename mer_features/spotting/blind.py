"""Baselines that show what a score is worth: intervals chosen without looking at the face, and a relative threshold.

In recordings with many events, intervals at equal distances hit some of them. A spotter has to be better than the best
of these tilings, found on the same training subjects.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mer_features.spotting import filters
from mer_features.spotting.events import KINDS, Recording, Spot
from mer_features.spotting.options import Blind
from mer_features.spotting.regions import RATE_HZ
from mer_features.stages.signals import EXPRESSION, REGIONS, Signals

#: Lengths in seconds that are tried for each kind, and distances between two intervals in lengths.
_LENGTHS_S = {"micro": (0.2, 0.27, 0.35, 0.45, 0.6), "macro": (0.5, 0.8, 1.2, 1.7, 2.5)}
_STRIDES = (1.0, 1.5, 2.0, 3.0)
#: Half the length of an event in seconds, and fractions p of the way from the mean to the largest value.
_HALF_S = {"micro": (0.1, 0.2, 0.3), "macro": (0.5, 1.0, 1.5)}
_FRACTIONS = (0.01, 0.1, 0.25, 0.4, 0.55, 0.8)
_LOW_PASS_HZ = 10.0
_REGIONS = [REGIONS.index(name) for name in EXPRESSION]

#: Values of the micro- and of the macro-expressions; None: no spots of the kind.
Pair = tuple[float, float]
Values = tuple[Pair | None, Pair | None]


@dataclass(frozen=True)
class Fixed:
    """No spots, or one from the first to the last frame for each kind."""

    everything: bool

    def combinations(self) -> Sequence[Values]:
        """One: nothing is searched."""
        return ((None, None),)

    def prepare(self, signals: Signals) -> Signals:
        """The signals, of which only the frame numbers are used."""
        return signals

    def part(self, values: Values, kind: str) -> Hashable:
        """What the spots of a kind depend on."""
        return values[KINDS.index(kind)]

    def spots(self, prepared: Signals, film: Recording, values: Values, kind: str) -> list[Spot]:
        """Spots of a kind in a recording."""
        del values
        ends = int(prepared.number[0]), int(prepared.number[-1])
        return [Spot(film.recording_id, *ends, kind, score=0.5)] if self.everything else []


@dataclass(frozen=True)
class Tiling(Fixed):
    """Intervals of one length at equal distances, from the first frame on; a value is (length, distance) in seconds."""

    everything: bool = False

    def combinations(self) -> Sequence[Values]:
        """Lengths and distances of both kinds, and no spots at all of a kind."""
        choices: list[list[Pair | None]] = [
            [None, *((length, length * times) for length, times in product(_LENGTHS_S[kind], _STRIDES))]
            for kind in KINDS
        ]
        return list(product(choices[0], choices[1]))

    def spots(self, prepared: Signals, film: Recording, values: Values, kind: str) -> list[Spot]:
        """Spots of a kind in a recording."""
        chosen = values[KINDS.index(kind)]
        if chosen is None:
            return []
        length, stride = chosen
        end = float(prepared.time_s[-1])
        starts = np.arange(0.0, end - length + 1e-9, stride)
        onsets = filters.frames_at(prepared, starts)
        offsets = filters.frames_at(prepared, starts + length - 1 / prepared.fps)
        return [
            Spot(film.recording_id, onset, max(onset, offset), kind, score=0.5)
            for onset, offset in zip(onsets.tolist(), offsets.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Relative:
    """Motion above mean + p (largest - mean) of the recording; a value is (half the length in seconds, p).

    The rule of MDMD (the baseline of MEGC 2020), SOFTNet and MEAN, on our signals: the motion within half the length of
    an event, averaged over the third of the regions that move most; minus the mean of its values half a length earlier
    and later; the largest value of each run above the threshold is the middle of a spot. Because the threshold is
    relative to the largest motion, at least one spot is found in every recording, with or without events.
    """

    def combinations(self) -> Sequence[Values]:
        """Half lengths and fractions p of both kinds."""
        choices = [list(product(_HALF_S[kind], _FRACTIONS)) for kind in KINDS]
        return list(product(choices[0], choices[1]))

    def prepare(self, signals: Signals) -> tuple[Signals, dict[float, list[tuple[np.ndarray, np.ndarray]]]]:
        """Signals, and for each half length the times and the contrast of every piece."""
        parts = filters.pieces(signals, _LOW_PASS_HZ, RATE_HZ)
        halves = {half for values in _HALF_S.values() for half in values}
        return signals, {half: [_contrast(part, half) for part in parts] for half in halves}

    def part(self, values: Values, kind: str) -> Hashable:
        """What the spots of a kind depend on."""
        return values[KINDS.index(kind)]

    def spots(
        self,
        prepared: tuple[Signals, dict[float, list[tuple[np.ndarray, np.ndarray]]]],
        film: Recording,
        values: Values,
        kind: str,
    ) -> list[Spot]:
        """Spots of a kind in a recording."""
        chosen = values[KINDS.index(kind)]
        assert chosen is not None
        (half, fraction), (signals, contrasts) = chosen, prepared
        everything = np.concatenate([contrast for _, contrast in contrasts[half]] or [np.zeros(0)])
        if not len(everything):
            return []
        mean, largest = float(everything.mean()), float(everything.max())
        middles, heights = [], []
        for time, contrast in contrasts[half]:
            for start, stop in filters.runs(contrast >= mean + fraction * (largest - mean)):
                peak = start + int(np.argmax(contrast[start:stop]))
                middles.append(time[peak])
                heights.append(contrast[peak] / largest if largest > 0 else 0.0)
        ends = np.array(middles)[:, None] + np.array([-half, 0.0, half]) if middles else np.zeros((0, 3))
        return [
            Spot(film.recording_id, onset, offset, kind, apex, score=float(np.clip(height, 0, 1)))
            for (onset, apex, offset), height in zip(filters.frames_at(signals, ends).tolist(), heights, strict=True)
        ]


def _contrast(part: filters.Piece, half_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and contrast of motion in a piece, (n,) each, both empty if the piece is shorter than an event."""
    lag, motion = part.samples(half_s), part.motion[:, _REGIONS]
    if len(motion) <= 4 * lag:
        return np.zeros(0), np.zeros(0)
    step = np.hypot(*np.moveaxis(motion[lag:] - motion[:-lag], 2, 0))
    around = (step[lag:] + step[:-lag]) / 2  # of samples lag ... n - lag - 1
    largest = np.sort(around, axis=1)[:, -(len(_REGIONS) // 3) :].mean(axis=1)
    contrast = largest[lag:-lag] - (largest[2 * lag :] + largest[: -2 * lag]) / 2
    return part.time_s[2 * lag : -2 * lag], contrast


def baseline(options: Blind) -> Fixed | Tiling | Relative:
    """The baseline of the options."""
    if options.rule == "relative":
        return Relative()
    return Tiling() if options.rule == "tiling" else Fixed(options.rule == "everything")
