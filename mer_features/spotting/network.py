"""Spotting with a small temporal convolutional network on the motion of face regions.

The inputs are those of ABPN (Leng et al. 2022): motion of face regions without that of the head. Ours are measured
relative to rest, have one sampling rate and see 10 seconds. The training sees whole recordings, also those without an
event, has a fixed number of epochs, and its thresholds come from training subjects that inner networks have not seen.
Only :mod:`~mer_features.spotting.convolutions` needs PyTorch; it is imported when a network is trained.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mer_features.spotting import filters
from mer_features.spotting.events import KINDS, Event, Recording, Spot, grouped
from mer_features.spotting.metrics import best, match
from mer_features.spotting.options import Network
from mer_features.stages.signals import EXPRESSION, MIRROR, REGIONS, Signals

#: Thresholds that are tried for each kind.
THRESHOLDS = tuple(round(0.15 + 0.05 * step, 2) for step in range(15))
#: Outputs of each kind, as probabilities.
HEADS = ("inside", "onset", "apex", "offset")
#: Lag of the short differences, window of the running median of rest, both in seconds.
_LAG_S, _REST_S = 0.2, 8.0
#: Width (standard deviation) of the targets of onset, apex and offset in seconds.
_WIDTH_S = {"micro": 0.04, "macro": 0.12}
#: How far onset and offset may lie from the ends of a run above the threshold; shortest spot. In seconds.
_REFINE_S, _SHORTEST_S = 0.15, 0.08
_REGIONS = [REGIONS.index(name) for name in EXPRESSION]
_MOTION = 4 * len(_REGIONS)
#: Motion, closure of the lids, registration error, speed of the head in x and y, and whether the face was followed.
CHANNELS = _MOTION + 5


@dataclass(frozen=True)
class Film:
    """Inputs of the network for one recording.

    Attributes
    ----------
    values : ndarray, shape (65, n), float32
        Channels at a constant rate; 0 where the face was not followed. The last channel is 1 where it was.
    rate_hz : float
        Samples per second; the first is at 0 s.
    signals : Signals
        Where they come from.
    """

    values: np.ndarray
    rate_hz: float
    signals: Signals

    def seconds(self, frames: Sequence[int]) -> np.ndarray:
        """Times of frames by number."""
        return np.asarray(np.interp(frames, self.signals.number, self.signals.time_s))


def prepare(signals: Signals, rate_hz: float) -> Film:
    """Inputs for the network: resampled without aliasing, nothing compared across gaps and segments."""
    n = int(signals.time_s[-1] * rate_hz + 1e-6) + 1
    grid = np.arange(n) / rate_hz
    values = np.zeros((CHANNELS, n), dtype=np.float32)
    parts = filters.pieces(signals, 0.4 * rate_hz, rate_hz)
    for part, closed in zip(parts, filters.closures(parts), strict=True):
        inside = (grid >= part.time_s[0] - 1e-9) & (grid <= part.time_s[-1] + 1e-9)
        motion = part.motion[:, _REGIONS] * part.known[:, _REGIONS, None]
        lag = part.samples(_LAG_S)
        short = np.zeros_like(motion)
        short[lag:] = motion[lag:] - motion[:-lag]
        slow = filters.without_rest(motion, part.samples(_REST_S))
        speed = np.gradient(part.head[:, 2:], part.time_s, axis=0)
        rows = [short.reshape(len(short), -1), slow.reshape(len(slow), -1), closed, part.residual, speed]
        for channel, row in enumerate(np.column_stack(rows).T):
            values[channel, inside] = np.interp(grid[inside], part.time_s, row)
        values[-1, inside] = 1
    return Film(values, rate_hz, signals)


def mirrored(values: np.ndarray) -> np.ndarray:
    """Channels, shape (65, ...), of the mirrored face: sides change places, and motion in x its sign."""
    order = [EXPRESSION.index(MIRROR[name]) for name in EXPRESSION]
    result = values.copy()
    motion = values[:_MOTION].reshape(2, len(order), 2, *values.shape[1:])[:, order]
    motion = motion * np.array([-1, 1]).reshape(1, 1, 2, *[1] * (values.ndim - 1))
    result[:_MOTION] = motion.reshape(_MOTION, *values.shape[1:])
    result[_MOTION + 2] *= -1
    return result


def scale(films: Sequence[Film]) -> np.ndarray:
    """Robust size of each channel over recordings, (65, 1) float32, the same for both sides of the face."""
    together = np.concatenate([film.values[:, film.values[-1] > 0] for film in films], axis=1)
    if not together.shape[1]:
        raise ValueError("the face was followed in none of the training recordings; expected signals to learn from")
    size = np.maximum(1.4826 * np.median(np.abs(together), axis=1), 0.2 * together.std(axis=1))
    size = np.maximum((size + np.abs(mirrored(size))) / 2, 1e-6)
    size[-1] = 1
    return np.asarray(size[:, None], dtype=np.float32)


def targets(film: Film, events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray]:
    """What the network should say at each sample, and how much each value counts.

    Parameters
    ----------
    film
        Recording of the events.
    events
        All events of the recording.

    Returns
    -------
    targets, weights : ndarray, shape (8, n), float32
        ``HEADS`` of micro-, then of macro-expressions. ``inside`` is 1 in an event; the others have a Gaussian around
        each moment. Without an annotated apex, its weight is 0 during the event.
    """
    times = np.arange(film.values.shape[1]) / film.rate_hz
    wanted = np.zeros((len(KINDS), len(HEADS), len(times)), dtype=np.float32)
    weights = np.ones_like(wanted)
    for event in events:
        kind = KINDS.index(event.kind)
        onset, offset = film.seconds([event.onset, event.offset])
        half = 0.5 / film.signals.fps
        inside = (times >= onset - half) & (times <= offset + half)
        wanted[kind, 0, inside] = 1
        moments = {1: onset, 3: offset}
        if event.apex is None:
            weights[kind, 2, inside] = 0
        else:
            moments[2] = film.seconds([event.apex])[0]
        for head, moment in moments.items():
            near = np.exp(-0.5 * ((times - moment) / _WIDTH_S[event.kind]) ** 2)
            wanted[kind, head] = np.maximum(wanted[kind, head], near)
    return wanted.reshape(-1, len(times)), weights.reshape(-1, len(times))


class Stretches:
    """Batches of stretches of the training recordings, half of them with an event.

    Parameters
    ----------
    films
        Recordings to learn from.
    events
        Recording -> its events.
    options
        Size of a batch, length of a stretch, augmentation.
    seed
        Seed of the draws.
    """

    def __init__(
        self, films: Mapping[str, Film], events: Mapping[str, Sequence[Event]], options: Network, seed: Sequence[int]
    ) -> None:
        self.films, self.options = films, options
        self.rng = np.random.default_rng(seed)
        self.scale = scale(list(films.values()))
        self.targets = {name: np.concatenate(targets(film, events[name])) for name, film in films.items()}
        self.names = list(films)
        lengths = np.array([film.values.shape[1] for film in films.values()], dtype=np.float64)
        self.chances = lengths / lengths.sum()
        of_kinds = [[event for name in self.names for event in events[name] if event.kind == kind] for kind in KINDS]
        self.kinds = [own for own in of_kinds if own]

    def batch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs (B, 65, n), targets and weights (B, 8, n), float32."""
        rows = [self._stretch(centred=place % 2 == 0 and bool(self.kinds)) for place in range(self.options.batch)]
        inputs, wanted, weights = (np.stack(column) for column in zip(*rows, strict=True))
        return inputs, wanted, weights

    def _stretch(self, *, centred: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng, options = self.rng, self.options
        n = round(options.stretch_s * options.rate_hz)
        step = (rng.uniform(0.85, 1.15) if options.augment else 1.0) / options.rate_hz
        if centred:
            own = self.kinds[rng.integers(len(self.kinds))]
            event = own[rng.integers(len(own))]
            name = event.recording_id
            start = self.films[name].seconds([event.onset])[0] - rng.uniform(0.1, 0.8) * n * step
        else:
            name = self.names[rng.choice(len(self.names), p=self.chances)]
            start = rng.uniform(-0.2, max(0.0, self.films[name].signals.time_s[-1] - 0.8 * n * step))
        times = start + step * np.arange(n)
        values = _at(self.films[name].values, times * options.rate_hz) / self.scale
        wanted, weights = np.split(_at(self.targets[name], times * options.rate_hz), 2)
        weights = weights * (values[-1] == 1)
        return self._augment(values, n, step) if options.augment else values, wanted, weights

    def _augment(self, values: np.ndarray, n: int, step: float) -> np.ndarray:
        rng = self.rng
        if rng.random() < 0.5:
            values = mirrored(values)
        values[:_MOTION] *= rng.uniform(0.8, 1.2)
        if rng.random() < 0.25:
            name = self.names[rng.choice(len(self.names), p=self.chances)]
            last = max(0.0, float(self.films[name].signals.time_s[-1]) - n * step)
            places = (rng.uniform(0, last) + step * np.arange(n)) * self.options.rate_hz
            if _at(self.targets[name], places)[: len(KINDS) * len(HEADS)].max() < 0.01:
                values[:_MOTION] += (_at(self.films[name].values, places) / self.scale)[:_MOTION] * values[-1]
        if rng.random() < 0.5:
            lost = rng.random(len(_REGIONS)) < 0.1
            values[:_MOTION].reshape(2, len(_REGIONS), 2, n)[:, lost] = 0
        return values


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Columns of (C, n) at places between the samples, (C, len(places)) float32; 0 outside."""
    last = values.shape[1] - 1
    left = np.clip(np.floor(places).astype(np.int64), 0, last)
    share = (places - left).astype(np.float32)
    between = values[:, left] * (1 - share) + values[:, np.minimum(left + 1, last)] * share
    return np.asarray(between * ((places >= 0) & (places <= last)), dtype=np.float32)


@dataclass(frozen=True)
class Trained:
    """A network with its thresholds."""

    model: Any  # a convolutions.Model
    scale: np.ndarray
    thresholds: dict[str, float]  # kind -> probability above which a frame lies in an event

    def probabilities(self, film: Film) -> np.ndarray:
        """Outputs (8, n) for a recording, 0 to 1, in the order of :func:`targets`."""
        return np.asarray(self.model.probabilities(film.values / self.scale))

    def spots(self, film: Film, recording_id: str) -> list[Spot]:
        """Spots of a recording, in the order of time."""
        probabilities = self.probabilities(film)
        found = [
            spot for kind in KINDS for spot in decode(probabilities, film, recording_id, kind, self.thresholds[kind])
        ]
        return sorted(found, key=lambda spot: (spot.onset, spot.offset))


def decode(probabilities: np.ndarray, film: Film, recording_id: str, kind: str, threshold: float) -> list[Spot]:
    """Spots of a kind: runs of frames that lie in an event with at least this probability.

    Onset and offset are the most probable ones within 0.15 s of the ends of the run, and the score is the mean
    probability in the run. However many runs there are, each is a spot.

    Parameters
    ----------
    probabilities : ndarray, shape (8, n)
        As :func:`targets` has them, at the samples of the film.
    film
        Its recording.
    recording_id, kind
        For the spots.
    threshold
        0 to 1.
    """
    inside, onset, apex, offset = probabilities.reshape(len(KINDS), len(HEADS), -1)[KINDS.index(kind)]
    near = round(_REFINE_S * film.rate_hz)
    spots = []
    for start, stop in filters.runs((inside >= threshold) & (film.values[-1] > 0)):
        first = _highest(onset, max(0, start - near), min(start + near, (start + stop) // 2) + 1)
        last = _highest(offset, max(stop - 1 - near, (start + stop) // 2, first), min(len(offset), stop + near))
        if last - first < _SHORTEST_S * film.rate_hz:
            continue
        times = np.array([first, _highest(apex, first, last + 1), last]) / film.rate_hz
        begin, middle, end = filters.frames_at(film.signals, times).tolist()
        spots.append(Spot(recording_id, begin, end, kind, middle, score=float(inside[start:stop].mean())))
    return spots


def _highest(values: np.ndarray, start: int, stop: int) -> int:
    return start + int(np.argmax(values[start:stop])) if stop > start else start


def train(
    films: Mapping[str, Film], training: Sequence[Recording], events: Sequence[Event], options: Network, seed: int
) -> Trained:
    """Train a network on recordings, and choose its thresholds on the same subjects by inner networks.

    Parameters
    ----------
    films
        Recording -> its inputs; of others than the training recordings nothing is used.
    training
        Recordings to learn from, of at least two subjects.
    events
        Events of any recordings.
    options, seed
        Equal ones give equal networks.

    Raises
    ------
    ValueError
        With fewer than two subjects, or if the face was followed in no recording.
    """
    training = sorted(training, key=lambda film: film.recording_id)
    subjects = sorted({(film.database, film.subject) for film in training})
    if len(subjects) < 2:
        raise ValueError(f"a network is to learn from {len(subjects)} subject; expected at least 2, for its thresholds")
    name = zlib.crc32(repr(subjects).encode())
    groups = np.random.default_rng([seed, name]).permutation(len(subjects)) % min(options.inner_folds, len(subjects))
    counts = np.zeros((len(THRESHOLDS), len(KINDS), 3), dtype=np.int64)
    for group in range(groups.max() + 1):
        own = {subject for subject, number in zip(subjects, groups, strict=True) if number == group}
        seen, unseen = ([f for f in training if ((f.database, f.subject) in own) == held] for held in (False, True))
        inner = _fit(films, seen, events, options, [seed, name, group + 1])
        for film in unseen:
            counts += _counted(inner, films[film.recording_id], film.recording_id, events)
    micro, macro = np.divmod(np.arange(len(THRESHOLDS) ** 2), len(THRESHOLDS))
    chosen = best(counts[micro, 0] + counts[macro, 1])
    whole = _fit(films, training, events, options, [seed, name, 0])
    thresholds = {"micro": THRESHOLDS[micro[chosen]], "macro": THRESHOLDS[macro[chosen]]}
    return Trained(whole.model, whole.scale, thresholds)


def _fit(
    films: Mapping[str, Film],
    training: Sequence[Recording],
    events: Sequence[Event],
    options: Network,
    seed: Sequence[int],
) -> Trained:
    """A network without chosen thresholds."""
    from mer_features.spotting import convolutions  # noqa: PLC0415  # torch, only where a network is trained

    names = [film.recording_id for film in training]
    of_films = grouped(events, kinds=False)
    own = {name: of_films.get((name, ""), []) for name in names}
    stretches = Stretches({name: films[name] for name in names}, own, options, seed)
    model = convolutions.fit(stretches.batch, CHANNELS, options, seed)
    return Trained(model, stretches.scale, dict.fromkeys(KINDS, 0.5))


def _counted(trained: Trained, film: Film, recording_id: str, events: Sequence[Event]) -> np.ndarray:
    """Hits, spots and events of a recording by threshold and kind, (thresholds, 2, 3) int64."""
    probabilities = trained.probabilities(film)
    counts = np.zeros((len(THRESHOLDS), len(KINDS), 3), dtype=np.int64)
    for number, kind in enumerate(KINDS):
        own = [event for event in events if event.recording_id == recording_id and event.kind == kind]
        for place, threshold in enumerate(THRESHOLDS):
            found = match(own, decode(probabilities, film, recording_id, kind, threshold)).counts
            counts[place, number] = found.tp, found.spots, found.events
    return counts
