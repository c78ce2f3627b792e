"""Plan of all recordings of a preset: roles, events, everything that disturbs, and what the camera does.

Every purpose has its own random stream, so that changing one disturbance changes nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mer_features.synthetic import action_units, emotions
from mer_features.synthetic.action_units import Action
from mer_features.synthetic.presets import stream
from mer_features.synthetic.recordings.events import draw_events
from mer_features.synthetic.recordings.movements import (
    BlinkPlan,
    EventPlan,
    HeadPlan,
    LampPlan,
    Movement,
    RecordingPlan,
    between,
)
from mer_features.synthetic.recordings.presets import RecordingPreset, recording_preset
from mer_features.synthetic.render import MAX_SLOPE
from mer_features.synthetic.subjects import neutral_landmarks

#: Share of the largest slope that the events of a recording may use together.
_EVENT_SHARE = 0.8
#: Slope kept for the parallax of a turned head.
_PARALLAX_SLOPE = 0.06
#: Videos need much space, so they are chosen among recordings of at most this length, at 30 frames/s.
_VIDEO_S = 30.0


def plan(preset: str | RecordingPreset, seed: int) -> list[RecordingPlan]:
    """Plans of all recordings of a preset, two of each subject, in the order of subjects and names.

    The counts of the preset are exact. Which recording has which events, disturbances, lamps and codec is drawn
    independently.

    Raises
    ------
    ValueError
        If the preset is unknown, or its events do not fit into its recordings.
    """
    settings = recording_preset(preset) if isinstance(preset, str) else preset
    count = len(settings.films)
    films = [settings.films[index] for index in _permutation(settings, seed, "films", count)]
    roles = _roles(settings, seed)
    names = [(subject, f"r{take}") for subject in settings.camera.subjects for take in (1, 2)]
    films = _beating(settings, seed, films)
    codecs = _codecs(settings, seed, films)
    events = draw_events(settings, seed, films, roles)
    bare = [
        _bare(settings, seed, name, film, role, codec)
        for name, film, role, codec in zip(names, films, roles, codecs, strict=True)
    ]
    plans = [_limited(replace(one, events=own), settings) for one, own in zip(bare, events, strict=True)]
    plans = _with_movements(plans, settings, seed)
    plans = _with_blinks(plans, settings, seed)
    return _with_defects(plans, settings, seed)


def _permutation(settings: RecordingPreset, seed: int, purpose: str, count: int) -> list[int]:
    return [int(index) for index in stream(settings.name, seed, purpose).permutation(count)]


def _roles(settings: RecordingPreset, seed: int) -> list[str]:
    count = len(settings.films)
    roles = [*settings.quiet, *["macro"] * settings.macro_only]
    roles += ["micro"] * (count - len(roles))
    return [roles[index] for index in _permutation(settings, seed, "roles", count)]


def _beating(settings: RecordingPreset, seed: int, films: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Some recordings at 30 frames/s get 29.97, at which lamps with 120 Hz beat slowly."""
    slow = [index for index in _permutation(settings, seed, "lamps", len(films)) if films[index][0] == 30.0]
    beats = set(slow[: settings.disturbances.beats])
    return [(30000 / 1001 if index in beats else fps, seconds) for index, (fps, seconds) in enumerate(films)]


def _codecs(settings: RecordingPreset, seed: int, films: Sequence[tuple[float, float]]) -> list[str]:
    order = _permutation(settings, seed, "codecs", len(films))
    videos = [index for index in order if films[index][0] <= 30.0 and films[index][1] <= _VIDEO_S]
    chosen = dict(zip(videos, settings.codecs, strict=False))
    folders = [index for index in order if index not in chosen]
    chosen |= dict.fromkeys(folders[: settings.disturbances.coarse], "jpg75")
    return [chosen.get(index, "jpg95") for index in range(len(films))]


def _bare(
    settings: RecordingPreset,
    seed: int,
    name: tuple[str, str],
    film: tuple[float, float],
    role: str,
    codec: str,
) -> RecordingPlan:
    """A recording without movements and blinks, in which every exposure is shown once."""
    subject, take = name
    fps, seconds = film
    keys = (settings.name, seed, f"{subject}/{take}")
    exposures = round(seconds * fps)
    first = 0 if not codec.startswith("jpg") else int(stream(*keys, "first").integers(1, 2000))
    return RecordingPlan(
        preset=settings.name,
        seed=seed,
        subject=subject,
        name=take,
        fps=fps,
        seconds=seconds,
        role=role,
        codec=codec,
        first=first,
        shown=tuple(range(exposures)),
        repeated=(False,) * exposures,
        events=(),
        movements=(),
        rest=emotions.rest(settings.camera.nuisance.rest_px * settings.scale, stream(*keys, "rest")),
        blinks=(),
        gaze=_gaze(settings, seconds, stream(*keys, "gaze")),
        head=_head(settings, seconds, role, stream(*keys, "head")),
        lamp=_lamp(settings, fps, stream(*keys, "lamp")),
        hidden=None,
    )


def _gaze(
    settings: RecordingPreset, seconds: float, random: np.random.Generator
) -> tuple[tuple[float, float, float], ...]:
    fixations = [(0.0, 0.0, 0.0)]
    while (time := fixations[-1][0] + random.uniform(0.4, 4.0)) < seconds:
        reach = settings.disturbances.gaze_px * settings.scale
        fixations.append((time, random.uniform(-reach, reach), random.uniform(-0.4, 0.4) * reach))
    return tuple(fixations)


def _head(settings: RecordingPreset, seconds: float, role: str, random: np.random.Generator) -> HeadPlan:
    disturb, scale = settings.disturbances, settings.scale
    nods = random.poisson(random.uniform(*disturb.nods_per_minute) * seconds / 60)
    often = disturb.many_postures_per_minute if role == "postures" else disturb.postures_per_minute
    postures = random.poisson(random.uniform(*often) * seconds / 60) + (role == "postures")
    return HeadPlan(
        fast_px=random.uniform(*disturb.fast_px) * scale,
        slow_px=random.uniform(*disturb.slow_px) * scale / 2,  # the excursion to either side
        slow_seconds=random.uniform(0.4, 1.0),
        lean=random.uniform(*disturb.lean),
        turn_deg=random.uniform(*disturb.turn_deg),
        yaw=random.uniform(*disturb.yaw),
        nods=tuple(
            (random.uniform(0, seconds), random.uniform(0.3, 0.8), random.uniform(2, 6) * scale) for _ in range(nods)
        ),
        postures=_postures(postures, seconds, scale, random),
    )


def _postures(
    count: int, seconds: float, scale: float, random: np.random.Generator
) -> tuple[tuple[float, float, float, float], ...]:
    """Steps of 5 to 20 px between places at most 10 px from the middle, at least 1 s apart."""
    starts = np.sort(random.uniform(0, max(seconds - 1.0 * count, 1.0), count)) + 1.0 * np.arange(count)
    place, steps = np.zeros(2), []
    for start in starts:
        while True:
            radius, angle = 10 * scale * np.sqrt(random.uniform()), random.uniform(0, 2 * np.pi)
            new = radius * np.array([np.cos(angle), np.sin(angle)])
            if np.linalg.norm(new - place) >= 5 * scale:
                break
        steps.append((float(start), random.uniform(0.5, 1.0), float(new[0]), float(new[1])))
        place = new
    return tuple(steps)


def _lamp(settings: RecordingPreset, fps: float, random: np.random.Generator) -> LampPlan:
    disturb = settings.disturbances
    return LampPlan(
        mains_hz=120.0 if fps not in (30.0, 200.0) else 100.0,
        ripple=random.uniform(*disturb.ripple),
        slow=random.uniform(*disturb.slow_lamp),
        step=None,
    )


def fields(movements: Sequence[Movement], landmarks: np.ndarray) -> tuple[list[np.ndarray], list[tuple[Action, ...]]]:
    """Displacement fields (2, h, w) at strength 1, and the actions with the peaks that their slopes allow."""
    pairs = [action_units.displacement(movement.actions, landmarks) for movement in movements]
    return [field for field, _ in pairs], [actions for _, actions in pairs]


def _weights(movements: Sequence[Movement], seconds: float) -> np.ndarray:
    """Absolute strengths (S, T) on a grid of 100 Hz."""
    times = np.arange(0, seconds, 0.01)
    return np.array([np.abs(movement.strength(times)) for movement in movements]).reshape(-1, len(times))


def _limited(one: RecordingPlan, settings: RecordingPreset) -> RecordingPlan:
    """Weaken macro-expressions where the skin would fold.

    The slope of a sum of fields is at most the sum of their slopes, which is tested at all times.
    """
    landmarks = neutral_landmarks(settings.camera, one.seed, one.subject)
    drawn, actions = fields(one.events, landmarks)
    events = [replace(event, actions=own) for event, own in zip(one.events, actions, strict=True)]
    slopes = np.array([action_units.slope(field) for field in drawn])
    weights = _weights(events, one.seconds)
    macro = np.array([event.name == "macro" for event in events])
    limit = _EVENT_SHARE * MAX_SLOPE
    while events and (total := slopes @ weights).max() > limit:
        worst = int(total.argmax())
        active = weights[:, worst] > 0
        chosen = active & macro if (active & macro).any() else active
        factor = max(0.5, 0.999 * limit / total[worst])
        slopes[chosen] *= factor
        events = [event.scaled(factor) if pick else event for event, pick in zip(events, chosen, strict=True)]
    return replace(one, events=tuple(events))


def _with_movements(plans: list[RecordingPlan], settings: RecordingPreset, seed: int) -> list[RecordingPlan]:
    """Add speech, swallows and slow residual smiles."""
    order = _permutation(settings, seed, "speech", len(plans))
    quiet = [index for index in order if plans[index].role == "speech"]
    others = [index for index in order if plans[index].role in ("micro", "macro")]
    speaking = {*quiet, *others[: settings.disturbances.speech - len(quiet)]}
    swallowing = _permutation(settings, seed, "swallows", len(plans))[: settings.disturbances.swallows]
    out = []
    for index, one in enumerate(plans):
        movements = [_residuals(one, settings)]
        if index in speaking:
            movements += _speech(one, settings)
        if index in swallowing:
            movements.append(_swallow(one, settings))
        out.append(_within_slope(replace(one, movements=tuple(movements)), settings))
    return out


def _swallow(one: RecordingPlan, settings: RecordingPreset) -> Movement:
    """The chin rises by 2 px for half a second."""
    start = one.stream("swallow").uniform(0, one.seconds - 0.5)
    peak = 2.0 * settings.scale
    return Movement("swallow", (Action(17, peak, peak),), (start, start + 0.2, start + 0.3, start + 0.5), (0, 1, 1, 0))


def _residuals(one: RecordingPlan, settings: RecordingPreset) -> Movement:
    """Slow changes of the resting mouth, which no annotator would mark."""
    random = one.stream("residuals")
    disturb = settings.disturbances
    count = max(1, round(random.uniform(*disturb.residuals_per_minute) * one.seconds / 60))
    keys, strengths = [0.0], [0.0]
    for slot in range(count):
        length = random.uniform(2.0, 4.0)
        start = (slot + random.uniform(0, 1)) * (one.seconds - 4.0 * count) / count + 4.0 * slot
        keys += [start + 0.01, start + 0.4 * length, start + 0.6 * length, start + length]
        level = random.uniform(0.5, 1.0)
        strengths += [0.0, level, level, 0.0]
    peak = random.uniform(*disturb.residual_px) * settings.scale
    return Movement("residual", (Action(12, peak, peak),), tuple(keys), tuple(strengths))


def _speech(one: RecordingPlan, settings: RecordingPreset) -> list[Movement]:
    """Bursts of 1 to 6 s with 3 to 6 syllables a second: lips and jaw open, and the lips change their shape."""
    random = one.stream("speech")
    peak = random.uniform(*settings.disturbances.speech_px) * settings.scale
    shape = int(random.choice([20, 23, 24]))
    keys, opening, shaping = [random.uniform(0.3, 3.0)], [0.0], [0.0]
    while keys[-1] < one.seconds - 2.0:
        end = min(keys[-1] + random.uniform(1.0, 6.0), one.seconds - 0.5)
        while keys[-1] < end:
            half = 0.5 / random.uniform(3.0, 6.0)
            keys += [keys[-1] + half, keys[-1] + 2 * half]
            opening += [random.uniform(0.3, 1.0), random.uniform(0.0, 0.15)]
            shaping += [random.uniform(0.0, 0.6), random.uniform(0.0, 0.6)]
        opening[-1] = shaping[-1] = 0.0
        keys.append(keys[-1] + 0.8 + random.exponential(1.5 if one.role == "speech" else 8.0))
        opening.append(0.0)
        shaping.append(0.0)
    # The chin moves down, against the direction of unit 17.
    units = ((25, opening), (17, [-0.6 * value for value in opening]), (shape, shaping))
    return [Movement("speech", (Action(unit, peak, peak),), tuple(keys), tuple(level)) for unit, level in units]


def _within_slope(one: RecordingPlan, settings: RecordingPreset) -> RecordingPlan:
    """Weaken the movements that are not events to what slope the events, rest and parallax leave."""
    landmarks = neutral_landmarks(settings.camera, one.seed, one.subject)
    drawn, actions = fields(one.movements, landmarks)
    movements = [replace(movement, actions=own) for movement, own in zip(one.movements, actions, strict=True)]
    rest, _ = action_units.displacement(one.rest, landmarks)
    event_fields, _ = fields(one.events, landmarks)
    used = np.array([action_units.slope(field) for field in event_fields]) @ _weights(one.events, one.seconds)
    left = MAX_SLOPE - _PARALLAX_SLOPE - action_units.slope(rest) - used
    weights = _weights(movements, one.seconds)
    needed = np.array([action_units.slope(field) for field in drawn]) @ weights
    share = np.minimum(1.0, left / np.maximum(needed, 1e-9))
    factors = [float(share[active > 0].min(initial=1.0)) for active in weights]
    scaled = (movement.scaled(factor) for movement, factor in zip(movements, factors, strict=True))
    return replace(one, movements=tuple(scaled))


def _with_blinks(plans: list[RecordingPlan], settings: RecordingPreset, seed: int) -> list[RecordingPlan]:
    disturb = settings.disturbances
    blinks = [_blinks(one, settings) for one in plans]
    random = stream(settings.name, seed, "unusual blinks")
    inside = []
    for film, event in _long_micros(plans, random)[: disturb.blinks_inside]:
        length = random.uniform(0.1, 0.13)
        first, last = event.visible
        blink = _blink(first + random.uniform(0.1, 0.9) * (last - first - length), length)
        blinks[film] = [one for one in blinks[film] if one.offset < blink.onset or one.onset > blink.offset]
        inside.append((film, blink))
    places = [(film, index) for film, own in enumerate(blinks) for index in range(len(own))]
    for order, place in enumerate(random.permutation(len(places))[: disturb.half_blinks + disturb.winks]):
        film, index = places[place]
        eye = str(random.choice(["right", "left"]))
        half = order < disturb.half_blinks
        blinks[film][index] = replace(blinks[film][index], **({"depth": 0.5} if half else {"eyes": eye}))
    for film, blink in inside:
        blinks[film].append(blink)
    return [
        replace(one, blinks=tuple(sorted(own, key=lambda blink: blink.onset)))
        for one, own in zip(plans, blinks, strict=True)
    ]


def _long_micros(plans: Sequence[RecordingPlan], random: np.random.Generator) -> list[tuple[int, EventPlan]]:
    """Micro-expressions of at least 0.28 s with the number of their recording, in random order."""
    events = [(film, event) for film, one in enumerate(plans) for event in one.events if event.name == "micro"]
    return [events[index] for index in random.permutation(len(events)) if events[index][1].seconds >= 0.28]


def _blinks(one: RecordingPlan, settings: RecordingPreset) -> list[BlinkPlan]:
    """Blinks in clusters: pauses of very different lengths, independent of everything else."""
    random = one.stream("blinks")
    disturb = settings.disturbances
    limits = disturb.many_blinks_per_minute if one.role == "blinks" else disturb.blinks_per_minute
    count = round(random.uniform(*limits) * one.seconds / 60)
    lengths = random.uniform(0.1, 0.3, count)
    pauses = random.gamma(0.6, size=count + 1)
    pauses *= (one.seconds - lengths.sum() - 0.1 * count) / pauses.sum()
    starts = np.cumsum(pauses[:-1] + 0.1) + np.cumsum(lengths) - lengths
    return [_blink(float(start), float(length)) for start, length in zip(starts, lengths, strict=True)]


def _blink(start: float, seconds: float) -> BlinkPlan:
    return BlinkPlan(start, start + 0.4 * seconds, start + seconds)


def _with_defects(plans: list[RecordingPlan], settings: RecordingPreset, seed: int) -> list[RecordingPlan]:
    disturb = settings.disturbances
    plans = list(plans)
    for index in _permutation(settings, seed, "dropped", len(plans))[: disturb.dropped]:
        plans[index] = _with_dropped(plans[index])
    whole = [index for index in _permutation(settings, seed, "repeated", len(plans)) if plans[index].fps < 100]
    for index in [index for index in whole if len(plans[index].shown) == plans[index].exposures][: disturb.repeated]:
        plans[index] = _with_repeated(plans[index])
    for index in _permutation(settings, seed, "hidden", len(plans))[: disturb.hidden]:
        plans[index] = replace(plans[index], hidden=_hidden(plans[index]))
    for index in _permutation(settings, seed, "exposure", len(plans))[: disturb.exposure_steps]:
        random = plans[index].stream("exposure")
        step = (random.uniform(0.1, 0.9) * plans[index].seconds, float(random.choice([-0.08, 0.08])))
        plans[index] = replace(plans[index], lamp=replace(plans[index].lamp, step=step))
    return plans


def _with_dropped(one: RecordingPlan) -> RecordingPlan:
    """Without 0.5 % of the exposures; never the first or the last."""
    inner = one.stream("dropped").permutation(np.arange(1, one.exposures - 1))
    gone = set(inner[: max(1, round(0.005 * one.exposures))].tolist())
    shown = tuple(index for index in one.shown if index not in gone)
    return replace(one, shown=shown, repeated=(False,) * len(shown))


def _with_repeated(one: RecordingPlan) -> RecordingPlan:
    """As re-encoded from a camera whose rate varies between 24 and 30 frames/s."""
    random = one.stream("repeated")
    count = len(one.shown)
    knots = np.arange(0, one.seconds + 6.0, 5.0)
    rate = between(np.array(one.shown) / one.fps, knots, random.uniform(0.8, 1.0, len(knots)))
    repeated = random.uniform(size=count) > rate
    repeated[0] = False
    return replace(one, repeated=tuple(repeated.tolist()))


def _hidden(one: RecordingPlan) -> tuple[float, float]:
    """0.7 s without an event."""
    random = one.stream("hidden")
    while True:
        start = random.uniform(1.0, one.seconds - 2.0)
        if all(event.visible[1] < start or event.visible[0] > start + 0.7 for event in one.events):
            return start, start + 0.7
