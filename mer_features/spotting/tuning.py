"""Spotting with one subject held out at a time: everything that is searched or trained sees other subjects alone.

Values are searched by trying all combinations on the training subjects. Spots of a combination in a recording do not
depend on the fold, so they are counted once, and each fold adds up the counts of its training recordings.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mer_features.spotting import blind, network, regions
from mer_features.spotting.events import KINDS, Event, Recording, Spot, grouped, within
from mer_features.spotting.metrics import best, match
from mer_features.spotting.options import Blind, Network, RegionSpotter, RegionValues
from mer_features.stages.signals import Signals

#: Database and subject.
Subject = tuple[str, str]


@dataclass(frozen=True)
class Fold:
    """Recordings of one subject, and those to learn from.

    Raises
    ------
    ValueError
        If a recording, or the subject, is on both sides; names it.
    """

    subject: Subject
    training: tuple[Recording, ...]
    held_out: tuple[Recording, ...]

    def __post_init__(self) -> None:
        both = {film.recording_id for film in self.training} & {film.recording_id for film in self.held_out}
        if both:
            raise ValueError(
                f"fold {self.name}: recording {min(both)} is among the training recordings and among those held out; "
                "expected it on one side only. Is it listed under two subjects?"
            )
        for film in self.training:
            if (film.database, film.subject) == self.subject:
                raise ValueError(
                    f"fold {self.name}: training recording {film.recording_id} shows the subject that is held out"
                )

    @property
    def name(self) -> str:
        """``database/subject``."""
        return "/".join(filter(None, self.subject))


@dataclass(frozen=True)
class HeldOut:
    """Spots of every recording, made without its subject."""

    spots: dict[str, list[Spot]]  # recording -> spots, in the order of time
    values: dict[str, dict[str, Any]]  # name of a fold -> what was searched or trained in it
    combinations: int  # that were tried in each fold

    def all(self) -> list[Spot]:
        """Spots of all recordings."""
        return [spot for spots in self.spots.values() for spot in spots]


class Searched(Protocol):
    """A spotter with values that are searched."""

    def combinations(self) -> Sequence[Any]:
        """Combinations of values, in a fixed order."""

    def prepare(self, signals: Signals) -> Any:
        """What does not depend on the values."""

    def part(self, values: Any, kind: str) -> Hashable:
        """The values on which the spots of a kind depend."""

    def spots(self, prepared: Any, film: Recording, values: Any, kind: str) -> list[Spot]:
        """Spots of a kind in a recording."""


@dataclass(frozen=True)
class Regions:
    """The region spotter and the values that are searched for it."""

    options: RegionSpotter

    def combinations(self) -> Sequence[RegionValues]:
        """Those of the grid."""
        return self.options.combinations()

    def prepare(self, signals: Signals) -> regions.Prepared:
        """Filtered signals."""
        return regions.prepare(signals, self.options)

    def part(self, values: RegionValues, kind: str) -> Hashable:
        """All values but the height of the other kind."""
        return tuple(value for name, value in values if name != ("macro_height" if kind == "micro" else "micro_height"))

    def spots(self, prepared: regions.Prepared, film: Recording, values: RegionValues, kind: str) -> list[Spot]:
        """Spots of a kind in a recording."""
        return [found.spot for found in regions.spot_regions(prepared, film.recording_id, values, kind)]


def leave_one_out(recordings: Sequence[Recording]) -> tuple[Fold, ...]:
    """A fold for each subject, also for those without an event, in the order of the recordings.

    Raises
    ------
    ValueError
        If the subject of a recording is not known, or a recording is listed under two subjects.
    """
    unknown = [film.recording_id for film in recordings if not film.subject]
    if unknown:
        raise ValueError(f"recording {unknown[0]}: its subject is not known; expected one, to hold it out")
    of = {film: (film.database, film.subject) for film in recordings}
    return tuple(
        Fold(
            subject,
            tuple(film for film in recordings if of[film] != subject),
            tuple(film for film in recordings if of[film] == subject),
        )
        for subject in dict.fromkeys(of.values())
    )


def spot_by_subject(
    signals: Mapping[str, Signals],
    recordings: Sequence[Recording],
    events: Sequence[Event],
    options: RegionSpotter | Blind | Network,
    seed: int = 0,
) -> HeldOut:
    """Spots of every recording from the fold that holds its subject out.

    Parameters
    ----------
    signals
        Recording -> its signals.
    recordings
        All of them, with and without events.
    events
        Ground truth; those of a subject decide nothing about its own spots.
    options
        The spotter.
    seed
        Seed of training, and of shuffled events.

    Raises
    ------
    ValueError
        If a recording lacks signals or a subject or is listed twice, if an event lies in another recording or outside
        its film, or if there is something to search and only one subject; names what was found.
    """
    folds = leave_one_out(recordings)
    _check(signals, recordings, events)
    known = shuffled(events, signals, seed) if options.shuffle_events else list(events)
    if isinstance(options, Network):
        return _by_network(signals, folds, known, options, seed)
    method: Searched = Regions(options) if isinstance(options, RegionSpotter) else blind.baseline(options)
    return _by_search(signals, recordings, folds, known, method)


def _check(signals: Mapping[str, Signals], recordings: Sequence[Recording], events: Sequence[Event]) -> None:
    listed: dict[str, Recording] = {}
    for film in recordings:
        if film.recording_id in listed:
            raise ValueError(f"recording {film.recording_id} is listed twice; expected each recording once")
        if film.recording_id not in signals:
            raise ValueError(f"recording {film.recording_id} has no signals; expected those of every recording")
        numbers = signals[film.recording_id].number
        listed[film.recording_id] = replace(film, first=int(numbers[0]), last=int(numbers[-1]))
    for event in events:
        if event.recording_id not in listed:
            raise ValueError(f"event {event.event_id} lies in {event.recording_id}, which is not a listed recording")
        within(event, listed[event.recording_id])


def shuffled(events: Sequence[Event], signals: Mapping[str, Signals], seed: int) -> list[Event]:
    """The same events at random places of their recordings.

    What is drawn for a recording depends on the seed, its name and its own events alone.
    """
    moved = []
    draws: dict[str, np.random.Generator] = {}
    for event in events:
        name = event.recording_id
        rng = draws.setdefault(name, np.random.default_rng([seed, zlib.crc32(name.encode())]))
        first, last = int(signals[name].number[0]), int(signals[name].number[-1])
        step = int(rng.integers(first, max(first, last - event.frames + 1) + 1)) - event.onset
        apex = None if event.apex is None else event.apex + step
        moved.append(replace(event, onset=event.onset + step, offset=event.offset + step, apex=apex))
    return moved


def _by_search(
    signals: Mapping[str, Signals],
    recordings: Sequence[Recording],
    folds: Sequence[Fold],
    events: Sequence[Event],
    method: Searched,
) -> HeldOut:
    combinations, known = method.combinations(), grouped(events)
    if len(combinations) > 1 and len(folds) < 2:
        raise ValueError(
            f"{len(combinations)} combinations of values to try, but {folds[0].name} is the only subject; expected "
            "another one to choose them on"
        )
    chosen = {fold.name: combinations[0] for fold in folds}
    prepared = {film.recording_id: method.prepare(signals[film.recording_id]) for film in recordings}
    if len(combinations) > 1:
        counts = {film.recording_id: _counts(prepared[film.recording_id], film, known, method) for film in recordings}
        for fold in folds:
            names = [film.recording_id for film in fold.training]
            chosen[fold.name] = combinations[best(np.sum([counts[name] for name in names], axis=0))]
    spots: dict[str, list[Spot]] = {}
    for fold in folds:
        for film in fold.held_out:
            own = prepared[film.recording_id]
            found = [spot for kind in KINDS for spot in method.spots(own, film, chosen[fold.name], kind)]
            spots[film.recording_id] = sorted(found, key=lambda spot: (spot.onset, spot.offset))
    values = {name: _plain(combination) for name, combination in chosen.items()}
    return HeldOut({film.recording_id: spots[film.recording_id] for film in recordings}, values, len(combinations))


def _counts(
    prepared: Any, film: Recording, events: Mapping[tuple[str, str], Sequence[Event]], method: Searched
) -> np.ndarray:
    """Hits, spots and events of each combination in a recording, both kinds together: (C, 3) int64."""
    combinations = method.combinations()
    count = np.zeros((len(combinations), 3), dtype=np.int64)
    for kind in KINDS:
        own = events.get((film.recording_id, kind), [])
        done: dict[Hashable, tuple[int, int, int]] = {}
        for place, values in enumerate(combinations):
            part = method.part(values, kind)
            if part not in done:
                found = match(own, method.spots(prepared, film, values, kind)).counts
                done[part] = found.tp, found.spots, found.events
            count[place] += done[part]
    return count


def _plain(values: RegionValues | blind.Values) -> dict[str, Any]:
    """Values as numbers with names."""
    return values.model_dump() if isinstance(values, RegionValues) else dict(zip(KINDS, values, strict=True))


def _by_network(
    signals: Mapping[str, Signals], folds: Sequence[Fold], events: Sequence[Event], options: Network, seed: int
) -> HeldOut:
    spots: dict[str, list[Spot]] = {}
    thresholds: dict[str, dict[str, Any]] = {}
    films = {
        film.recording_id: network.prepare(signals[film.recording_id], options.rate_hz)
        for fold in folds
        for film in fold.held_out
    }
    for fold in folds:
        trained = network.train(films, fold.training, events, options, seed)
        thresholds[fold.name] = dict(trained.thresholds)
        for film in fold.held_out:
            spots[film.recording_id] = trained.spots(films[film.recording_id], film.recording_id)
    return HeldOut(spots, thresholds, len(network.THRESHOLDS) ** 2)
