"""The spots of one recording, with their times, their regions in words, and what makes them doubtful."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mer_features.commands.find.checks import frame_rate, micro_possible
from mer_features.spotting import KINDS, filters
from mer_features.spotting.options import RegionSpotter
from mer_features.spotting.regions import RATE_HZ, Finding, spot_film
from mer_features.stages.signals import EXPRESSION, MOUTH, REGIONS, Signals

#: Motion of the head within a spot that is named: change of scale, rotation in degrees, shifts in distances between the
#: eyes. Registration removes it, but not the change of perspective that comes with it.
_HEAD_LIMITS = np.array([0.02, 2.0, 0.05, 0.05])
_MAX_UNFOLLOWED = 0.1  # share of the frames of a spot
_BROW = ("inner", "middle", "outer")
_NOUNS = {f"brow_{place}": f"{place} brow" for place in _BROW} | {
    "nose_wing": "nose wing", "mouth_corner": "mouth corner", "cheek": "cheek",
}  # fmt: skip
_MIDDLE = {"upper_lip": "upper lip", "lower_lip": "lower lip", "chin": "chin"}
_EXPRESSION = [REGIONS.index(name) for name in EXPRESSION]


@dataclass(frozen=True)
class Entry:
    """One spot as the table and the page show it."""

    number: int  # 1 for the first spot of the recording
    finding: Finding
    start_s: float
    apex_s: float
    end_s: float
    regions: tuple[str, ...]  # in words, those that move most first
    flags: tuple[str, ...]

    @property
    def kind(self) -> str:
        """``micro`` or ``macro``."""
        return self.finding.spot.kind

    @property
    def score(self) -> float:
        """0..1, from the spotter."""
        return self.finding.spot.score or 0.0

    @property
    def times_noise(self) -> float:
        """Largest motion of a region as a multiple of the noise of this region in the recording."""
        return self.finding.peak / max(self.finding.noise, 1e-6)

    @property
    def mouth_only(self) -> bool:
        """Whether nothing but the mouth moves, as in speech."""
        return set(self.finding.regions) <= set(MOUTH)


@dataclass(frozen=True)
class Search:
    """Everything that was found in a recording."""

    signals: Signals
    options: RegionSpotter
    kinds: tuple[str, ...]  # that were searched
    parts: tuple[filters.Piece, ...]  # stretches in which the face was followed without a gap
    blinks: np.ndarray  # (B, 2), start and end in seconds
    entries: tuple[Entry, ...]


def search(signals: Signals, name: str, options: RegionSpotter) -> Search:
    """Spot the expressions of a recording, without micro-expressions where its frame rate is too low for them."""
    kinds = tuple(kind for kind in KINDS if kind == "macro" or micro_possible(signals))
    findings = [finding for finding in spot_film(signals, name, options) if finding.spot.kind in kinds]
    parts = filters.pieces(signals, options.low_pass_hz, RATE_HZ)
    blinks = filters.blinks(parts)
    entries = tuple(_entry(signals, blinks, number, finding) for number, finding in enumerate(findings, start=1))
    return Search(signals, options, kinds, parts, blinks, entries)


def _entry(signals: Signals, blinks: np.ndarray, number: int, finding: Finding) -> Entry:
    spot = finding.spot
    apex = spot.onset if spot.apex is None else spot.apex
    start, peak, end = np.interp([spot.onset, apex, spot.offset], signals.number, signals.time_s).tolist()
    flags = list(_flags(signals, finding))
    if ((blinks[:, 0] <= end) & (blinks[:, 1] >= start)).any():
        flags.insert(0, "blink")
    return Entry(number, finding, start, peak, end, region_words(finding.regions), tuple(flags))


def region_words(regions: Sequence[str]) -> tuple[str, ...]:
    """Regions in words, both sides together: ``inner brows``, ``left cheek`` (the person's left)."""
    sides: dict[str, list[str]] = {}  # noun -> sides
    for region in regions:
        part, _, side = region.rpartition("_")
        if region in _MIDDLE:
            noun, side = _MIDDLE[region], ""
        elif {f"brow_{place}_{side}" for place in _BROW} <= set(regions) and part.startswith("brow"):
            noun = "brow"
        else:
            noun = _NOUNS[part]
        sides.setdefault(noun, [])
        if side not in sides[noun]:
            sides[noun].append(side)
    return tuple(f"{noun}s" if len(found) == 2 else f"{found[0]} {noun}".strip() for noun, found in sides.items())


def _flags(signals: Signals, finding: Finding) -> Iterator[str]:
    rows = (signals.number >= finding.spot.onset) & (signals.number <= finding.spot.offset)
    if set(finding.regions) <= set(MOUTH):
        yield "mouth only"
    head = signals.head[rows & signals.reliable]
    if len(head) and (np.ptp(head, axis=0) > _HEAD_LIMITS).any():
        yield "head moves"
    if (~signals.reliable[rows]).mean() > _MAX_UNFOLLOWED:
        yield "face not followed throughout"
    if signals.repeated[rows].any():
        yield "repeated frames"


def strength(search: Search) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Motion of the strongest region, as a multiple of the least that counts as an event.

    Yields
    ------
    time_s, strength : ndarray, shape (n,)
        Of each stretch in which the face was followed without a gap.
    """
    if not search.parts:
        return
    options, values = search.options, search.options.values
    scales = {
        "micro": (options.micro_window_s, values.micro_height),
        "macro": (options.macro_window_s, values.macro_height),
    }
    moving = {
        kind: [filters.without_rest(part.motion, part.samples(window_s)) for part in search.parts]
        for kind, (window_s, _) in scales.items()
    }
    noise = values.noise_factor * filters.noise(moving["micro"])
    for place, part in enumerate(search.parts):
        strongest = np.zeros(len(part.time_s))
        for kind in search.kinds:
            size = np.hypot(*np.moveaxis(moving[kind][place], 2, 0)) / np.maximum(scales[kind][1], noise)
            strongest = np.maximum(strongest, size[:, _EXPRESSION].max(axis=1))
        yield part.time_s, strongest


def surroundings(search: Search, entry: Entry, margin_s: float) -> tuple[int, int]:
    """First and last frame of a spot with so many seconds before and after it, within the film and its segment."""
    signals, spot = search.signals, entry.finding.spot
    margin = round(margin_s * frame_rate(signals))
    segment = signals.segment[np.argmin(np.abs(signals.number - spot.onset))]
    inside = signals.number[signals.segment == segment]
    return max(int(inside[0]), spot.onset - margin), min(int(inside[-1]), spot.offset + margin)


def strongest(entries: Iterable[Entry], most: int) -> set[int]:
    """Numbers of the spots with the highest scores, at most so many."""
    return {entry.number for entry in sorted(entries, key=lambda entry: (-entry.score, entry.number))[:most]}
