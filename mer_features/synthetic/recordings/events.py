"""Draws the events of all recordings of a preset, combines some of them, and places them in time.

The streams used here serve nothing else, so no disturbance can move an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mer_features.synthetic import emotions
from mer_features.synthetic.action_units import MEDIAL, Action
from mer_features.synthetic.presets import CLASSES, stream
from mer_features.synthetic.recordings.movements import EventPlan
from mer_features.synthetic.recordings.presets import EventSettings, RecordingPreset

#: Units of the lids. They hardly move the regions that are measured, so an event needs another unit at full strength.
_LID_UNITS = frozenset({5, 7})
_WORDS = tuple(word for words in CLASSES.values() for word in words)
#: Smallest time between events that are not combined, seconds.
_GAP_S = 0.4
#: Events fill at most this part of a recording.
_FILLED = 0.7


#: Makes short macro-expressions more frequent: their median is 1.2 s, as in CAS(ME)².
_SHORTER = 1.8
#: Makes weak movements more frequent among macro-expressions.
_WEAKER = 2.2


@dataclass(frozen=True)
class Block:
    """Events with fixed times relative to each other; the first visible one begins at 0."""

    events: tuple[EventPlan, ...]
    place: str = ""  # "start", "end": cut by that end of the film

    def count(self, kind: str) -> int:
        """Number of events of a kind."""
        return sum(event.name == kind for event in self.events)

    @property
    def seconds(self) -> float:
        """Time from the first onset to the last offset."""
        return max(event.visible[1] for event in self.events)


def draw_events(
    preset: RecordingPreset, seed: int, films: Sequence[tuple[float, float]], roles: Sequence[str]
) -> list[tuple[EventPlan, ...]]:
    """Events of each recording, by onset.

    Parameters
    ----------
    films
        Frames per second and seconds of each recording.
    roles
        Role of each recording, see :class:`~mer_features.synthetic.recordings.movements.RecordingPlan`.
    """
    random = stream(preset.name, seed, "events")
    blocks = _blocks(_micros(preset.events, random), _macros(preset.events, random), preset.events, random)
    shares = _share_out(blocks, films, roles, random)
    return [
        _placed(share, seconds, stream(preset.name, seed, index, "places"))
        for index, (share, (_, seconds)) in enumerate(zip(shares, films, strict=True))
    ]


def _spread(count: int, limits: tuple[float, float], random: np.random.Generator, power: float = 1.0) -> np.ndarray:
    """Values that fill the logarithmic range evenly, in random order; with a power above 1 low values are denser."""
    share = ((random.permutation(count) + random.uniform(size=count)) / max(count, 1)) ** power
    return np.exp(np.log(limits[0]) + share * np.log(limits[1] / limits[0]))


def _micros(settings: EventSettings, random: np.random.Generator) -> list[EventPlan]:
    peaks = _spread(settings.micro, settings.micro_px, random)
    fast = _spread(settings.micro - settings.slow_micros, (0.1, 0.44), random)
    durations = np.concatenate([fast, random.uniform(0.55, 0.65, settings.slow_micros)])
    one_sided = random.permutation(settings.micro) < settings.one_sided
    events = []
    for duration, peak, one in zip(durations.tolist(), peaks.tolist(), one_sided.tolist(), strict=True):
        rise = random.uniform(0.07, np.clip(0.7 * duration, 0.0701, 0.25))
        plateau = random.uniform(0, 0.3) * (duration - rise)
        word = str(random.choice(_WORDS))
        event = EventPlan.between_visible("micro", rise, plateau, duration - rise - plateau, word)
        events.append(replace(event, actions=_actions(word, peak, one, random)))
    random.shuffle(events)
    return events


def _macros(settings: EventSettings, random: np.random.Generator) -> list[EventPlan]:
    strong = settings.macro - settings.weak
    peaks = np.concatenate(
        [_spread(strong, settings.macro_px, random, _WEAKER), _spread(settings.weak, settings.weak_px, random)]
    )
    random.shuffle(peaks)
    others = settings.macro - settings.brief_macros - settings.short_macros - settings.inside
    durations = np.concatenate(
        [
            random.uniform(1.9, 4.0, settings.inside),
            random.uniform(0.42, 0.46, settings.brief_macros),
            random.uniform(0.55, 0.67, settings.short_macros),
            _spread(others, (0.75, 4.0), random, _SHORTER),
        ]
    )
    events = []
    for index, (duration, peak) in enumerate(zip(durations.tolist(), peaks.tolist(), strict=True)):
        rise = random.uniform(0.28, np.clip(0.6 * duration, 0.2801, 1.0))
        rest = duration - rise
        plateau = min(2.5, random.uniform(0, 0.7) * rest)
        if index < settings.inside:  # long enough for a micro-expression within the plateau
            rise = random.uniform(0.28, 0.5)
            plateau = min(2.5, duration - rise - random.uniform(0.3, 0.5))
        word = str(random.choice(_WORDS))
        event = EventPlan.between_visible("macro", rise, plateau, duration - rise - plateau, word)
        events.append(replace(event, actions=_actions(word, peak, False, random)))
    return events  # those with a long plateau first


def _actions(word: str, peak: float, one_sided: bool, random: np.random.Generator) -> tuple[Action, ...]:
    """One to three action units of an emotion, the strongest with this peak and not a unit of the lids."""
    while True:
        drawn = sorted(emotions.draw(word, (peak, peak), 0.0, random), key=lambda action: -action.peak_px)[:3]
        seen = drawn[0].unit not in _LID_UNITS and (not one_sided or drawn[0].unit not in MEDIAL)
        if seen:
            break
    left = random.uniform() < 0.5
    actions = [_sided(action, one_sided, left) for action in drawn]
    return tuple(sorted(actions, key=lambda action: action.unit))


def _sided(action: Action, one_sided: bool, left: bool) -> Action:
    peak = action.peak_px
    if action.unit in MEDIAL:
        return action
    if one_sided:
        return Action(action.unit, peak, 0.0) if left else Action(action.unit, 0.0, peak)
    return Action(action.unit, action.left_px or 0.9 * peak, action.right_px or 0.9 * peak)


def _blocks(
    micros: list[EventPlan], macros: list[EventPlan], settings: EventSettings, random: np.random.Generator
) -> list[Block]:
    """Every event in one block; the lists are emptied."""
    blocks = [_inside(macros.pop(0), _take(micros, 0.0, 0.5), random) for _ in range(settings.inside)]
    for index in range(settings.overlapping):
        pool, least = (micros, 0.25) if index % 2 == 0 else (macros, 0.7)
        blocks.append(_overlapping(_take(pool, least), _take(pool, least), random))
    for place, count in zip(("start", "end"), settings.cut, strict=True):
        blocks += [Block((_take(macros, 1.2),), place) for _ in range(count)]
    rest = micros + macros
    random.shuffle(rest)
    for _ in range(settings.near):
        one, other = rest.pop(), rest.pop()
        blocks.append(_pair(one, other, random.uniform(0.08, 0.25), "near another event"))
    return blocks + [Block((event,)) for event in rest]


def _take(pool: list[EventPlan], least: float, most: float = 9.0) -> EventPlan:
    """Remove and return the first event of at least and at most these durations in seconds."""
    return pool.pop(next(index for index, event in enumerate(pool) if least <= event.seconds <= most))


def _inside(macro: EventPlan, micro: EventPlan, random: np.random.Generator) -> Block:
    free = macro.keys[2] - macro.keys[1] - micro.seconds
    later = micro.moved(macro.keys[1] + random.uniform(0.2, 0.8) * free)
    return Block((macro, replace(later, note="within a macro-expression")))


def _overlapping(one: EventPlan, other: EventPlan, random: np.random.Generator) -> Block:
    iou = random.uniform(0.1, 0.2)
    shortest = min(one.seconds, other.seconds)
    common = min(iou * (one.seconds + other.seconds) / (1 + iou), 0.6 * shortest)
    return _pair(one, other, -common, "overlaps another event")


def _pair(one: EventPlan, other: EventPlan, gap: float, note: str) -> Block:
    later = other.moved(one.visible[1] + gap)
    return Block((replace(one, note=note), replace(later, note=note)))


def _share_out(
    blocks: Sequence[Block],
    films: Sequence[tuple[float, float]],
    roles: Sequence[str],
    random: np.random.Generator,
) -> list[list[Block]]:
    """Blocks of each recording; long recordings get more of them. Starts again when a block finds no place."""
    seconds = np.array([length for _, length in films])
    for _ in range(1000):
        shares: list[list[Block]] = [[] for _ in films]
        for index in sorted(random.permutation(len(blocks)), key=lambda index: -len(blocks[index].events)):
            free = map(_fits, shares, [blocks[index]] * len(films), roles, seconds)
            weights = seconds * np.array(list(free))
            if not weights.any():
                break
            shares[random.choice(len(films), p=weights / weights.sum())].append(blocks[index])
        else:
            if all(
                role not in ("micro", "macro") or _total(share, role) for share, role in zip(shares, roles, strict=True)
            ):
                return shares
    raise ValueError(f"{sum(len(block.events) for block in blocks)} events do not fit into these recordings")


def _fits(share: Sequence[Block], block: Block, role: str, seconds: float) -> bool:
    """Whether a block can be added to those of a recording."""
    if role not in ("micro", "macro") or (block.count("micro") and role != "micro"):
        return False
    if block.place and any(block.place == other.place for other in share):
        return False
    together = [*share, block]
    return (
        _total(together, "micro") <= min(6, seconds // 4)
        and _total(together, "macro") <= min(6, seconds // 5)
        and sum(other.seconds + _GAP_S for other in together) <= _FILLED * seconds
    )


def _total(share: Sequence[Block], kind: str) -> int:
    return sum(block.count(kind) for block in share)


def _placed(share: Sequence[Block], seconds: float, random: np.random.Generator) -> tuple[EventPlan, ...]:
    """Events of one recording in random order and with random pauses, by onset."""
    cut = {block.place: block for block in share if block.place}
    middle = [block for block in share if not block.place]
    random.shuffle(middle)
    start, end = 0.2, seconds - 0.2
    events: list[EventPlan] = []
    if "start" in cut:
        event = cut["start"].events[0]
        missing = random.uniform(0.15, 0.3) * event.seconds
        events.append(replace(event.moved(-missing), note="began before the film"))
        start = event.seconds - missing + _GAP_S
    if "end" in cut:
        event = cut["end"].events[0]
        end = seconds - random.uniform(0.7, 0.85) * event.seconds
        events.append(replace(event.moved(end), note="continues after the film"))
        end -= _GAP_S
    spare = end - start - sum(block.seconds for block in middle) - _GAP_S * max(len(middle) - 1, 0)
    pauses = spare * random.dirichlet(np.ones(len(middle) + 1))
    time = start
    for block, pause in zip(middle, pauses, strict=False):
        time += pause
        events += [event.moved(time) for event in block.events]
        time += block.seconds + _GAP_S
    return tuple(sorted(events, key=lambda event: event.visible[0]))
