"""Course of a recording: everything that changes from frame to frame, and its ground truth, without any pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer_features.stages.signals.regions import RADIUS, centres
from mer_features.synthetic import action_units, emotions
from mer_features.synthetic.dynamics import wander
from mer_features.synthetic.nuisance import Lighting
from mer_features.synthetic.recordings.movements import EventPlan, Movement, RecordingPlan, between
from mer_features.synthetic.recordings.presets import RecordingPreset
from mer_features.synthetic.render import draw_pose
from mer_features.synthetic.resample import apply, sample, similarity
from mer_features.synthetic.subjects import neutral_landmarks

#: The head moves at most so far, in pixels of a frame in which the face is 165 px high.
REACH_PX = 20.0
#: Points of a region along each axis, over which the ground truth averages.
_POINTS = 5
#: How much further than the brows a turned head moves the tip of the nose, in distances between the eyes.
_PARALLAX = 0.015


@dataclass(frozen=True)
class RecordingTruth:
    """Ground truth of a recording with T frames, E events and S other movements.

    Displacements are those of the regions of :data:`~mer_features.stages.signals.regions.REGIONS` from the resting
    face, without head motion, in pixels of the first frame (x, y): the mean over 5 x 5 points that fill the region. A
    repeated frame shows the picture of the frame before; its row has the values of its own time.

    Attributes
    ----------
    number : ndarray, shape (T,), int64
        Frame numbers; numbers of dropped frames are missing.
    time_s : ndarray, shape (T,), float64
        Seconds since the first frame.
    repeated : ndarray, shape (T,), bool
        Whether the frame shows the picture before.
    event_ids, event_kinds, event_emotions, event_actions : ndarray, shape (E,), str
        As in the sheet of events.
    event_times_s : ndarray, shape (E, 4), float64
        Onset, apex, end of the plateau and offset, where the strength is 0, 1, 1 and 0.
    strength : ndarray, shape (T, E), float32
        Strength of each event, 0..1.
    event_px : ndarray, shape (E, 17, 2), float32
        Displacement by each event at strength 1.
    other_names : ndarray, shape (S,), str
        "speech", "swallow" or "residual".
    other : ndarray, shape (T, S), float32
        Strength of each other movement, -1..1.
    other_px : ndarray, shape (S, 17, 2), float32
        Displacement by each other movement at strength 1.
    displacement_px : ndarray, shape (T, 17, 2), float32
        Displacement by all of them.
    eye_px : float
        Distance between the centres of the eyes, pixels.
    blink : ndarray, shape (T, 2), float32
        Closure of the person's right and left lids, 0..1.
    gaze_px : ndarray, shape (T, 2), float32
        Displacement of the pupils.
    head : ndarray, shape (T, 2, 3), float64
        Similarity of the head from pixels of the first frame to pixels of each frame.
    yaw : ndarray, shape (T,), float32
        Turn of the head to the side, -1..1.
    parallax_px : ndarray, shape (17, 2), float32
        Displacement by a yaw of 1, which belongs to the head motion and not to ``displacement_px``.
    lamp : ndarray, shape (T, 6), float32
        See :class:`~mer_features.synthetic.nuisance.Lighting`.
    black : ndarray, shape (T,), float32
        Black level, grey levels.
    hidden : ndarray, shape (T,), float32
        How far a hand is in front of the face, 0..1.
    landmarks : ndarray, shape (68, 2), float32
        Landmarks on the first frame of the resting face.
    regions : ndarray, shape (17, 2), float32
        Centres of the regions on the first frame of the resting face.
    """

    number: np.ndarray
    time_s: np.ndarray
    repeated: np.ndarray
    event_ids: np.ndarray
    event_kinds: np.ndarray
    event_emotions: np.ndarray
    event_actions: np.ndarray
    event_times_s: np.ndarray
    strength: np.ndarray
    event_px: np.ndarray
    other_names: np.ndarray
    other: np.ndarray
    other_px: np.ndarray
    displacement_px: np.ndarray
    eye_px: float
    blink: np.ndarray
    gaze_px: np.ndarray
    head: np.ndarray
    yaw: np.ndarray
    parallax_px: np.ndarray
    lamp: np.ndarray
    black: np.ndarray
    hidden: np.ndarray
    landmarks: np.ndarray
    regions: np.ndarray

    @property
    def displacement(self) -> np.ndarray:
        """``displacement_px`` in distances between the eyes."""
        return self.displacement_px / np.float32(self.eye_px)


class Course:
    """Fields and time courses of one recording; rows are its frames.

    Parameters
    ----------
    plan : RecordingPlan
    settings : RecordingPreset
        The preset of the plan.
    """

    def __init__(self, plan: RecordingPlan, settings: RecordingPreset) -> None:
        self.plan, self.settings = plan, settings
        self.landmarks = neutral_landmarks(settings.camera, plan.seed, plan.subject)
        self.window = action_units.window(self.landmarks)
        self.pose = draw_pose(self.landmarks, settings.camera, plan.stream("pose"))
        self.rest, _ = action_units.displacement(plan.rest, self.landmarks)
        self.moving: tuple[Movement, ...] = (*plan.events, *plan.movements)
        self.fields = [action_units.displacement(one.actions, self.landmarks)[0] for one in self.moving]
        self.parallax = _parallax(self.landmarks, self.window)
        times = plan.times
        self.strength = np.array([one.strength(times) for one in self.moving]).reshape(-1, len(times)).T
        self.blink = np.max([np.zeros((len(times), 2)), *(one.closure(times) for one in plan.blinks)], axis=0)
        self.gaze = _gaze(plan, times)
        self.hidden = np.zeros(len(times))
        if plan.hidden is not None:
            start, end = plan.hidden
            self.hidden = between(times, (start, start + 0.15, end - 0.15, end), (0, 1, 1, 0))
        shown = np.array(plan.shown)
        pivot = apply(self.pose, self.landmarks[8] + [0.0, 0.4 * settings.camera.face_px])
        self.head, self.yaw = (path[shown] for path in _head(plan, settings, pivot))
        light = _light(plan, settings)
        self.light = Lighting(light.lamp[shown], light.offset[shown])

    def truth(self) -> RecordingTruth:
        """Ground truth of the recording."""
        plan = self.plan
        events = len(plan.events)
        moved = np.array([self._at_regions(field) for field in self.fields]).reshape(
            -1, len(centres(self.landmarks)), 2
        )
        rested = self._on_frame(self.landmarks)
        return RecordingTruth(
            number=plan.numbers,
            time_s=plan.times,
            repeated=np.array(plan.repeated),
            event_ids=np.array(event_ids(plan), dtype=np.str_),
            event_kinds=np.array([event.name for event in plan.events], dtype=np.str_),
            event_emotions=np.array([event.emotion for event in plan.events], dtype=np.str_),
            event_actions=np.array([emotions.text(event.actions) for event in plan.events], dtype=np.str_),
            event_times_s=np.array([event.keys for event in plan.events]).reshape(-1, 4),
            strength=self.strength[:, :events].astype(np.float32),
            event_px=moved[:events].astype(np.float32),
            other_names=np.array([one.name for one in plan.movements], dtype=np.str_),
            other=self.strength[:, events:].astype(np.float32),
            other_px=moved[events:].astype(np.float32),
            displacement_px=np.tensordot(self.strength, moved, axes=1).astype(np.float32),
            eye_px=action_units.eye_distance(rested),
            blink=self.blink.astype(np.float32),
            gaze_px=(self.gaze @ self.pose[:, :2].T).astype(np.float32),
            head=self.head,
            yaw=self.yaw.astype(np.float32),
            parallax_px=self._at_regions(self.parallax).astype(np.float32),
            lamp=self.light.lamp.astype(np.float32),
            black=self.light.offset.astype(np.float32),
            hidden=self.hidden.astype(np.float32),
            landmarks=rested.astype(np.float32),
            regions=self._on_frame(centres(self.landmarks)).astype(np.float32),
        )

    def _at(self, field: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Displacement (..., 2) at points (..., 2) of the neutral face, canvas pixels."""
        x, y = (np.atleast_2d(points[..., i] - corner) for i, corner in enumerate((self.window.left, self.window.top)))
        return np.moveaxis(sample(field, x.astype(np.float32), y.astype(np.float32)), 0, -1).reshape(points.shape)

    def _on_frame(self, points: np.ndarray) -> np.ndarray:
        """Points of the neutral face on the first frame of the resting face."""
        return apply(self.pose, points + self._at(self.rest, points))

    def _at_regions(self, field: np.ndarray) -> np.ndarray:
        """Mean displacement (17, 2) of the regions, frame pixels."""
        steps = np.linspace(-RADIUS, RADIUS, _POINTS) * action_units.eye_distance(self.landmarks)
        around = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        points = centres(self.landmarks)[:, None] + around
        return self._at(field, points).mean(axis=1) @ self.pose[:, :2].T


def event_ids(plan: RecordingPlan) -> list[str]:
    """Identifiers of the events of a recording, in their order."""
    return [f"{plan.recording_id}/e{number:02d}" for number in range(1, len(plan.events) + 1)]


def apex_number(plan: RecordingPlan, event: EventPlan) -> int:
    """Number of the first frame of a recording with the largest visible strength of an event."""
    return int(plan.numbers[event.strength(plan.times).argmax()])


def _parallax(landmarks: np.ndarray, window: action_units.Window) -> np.ndarray:
    """Displacement field (2, h, w), float32, by a head turned by a yaw of 1: the nearer, the further sideways.

    Depth is a bump at the nose and a slope towards the cheeks; the border of the window does not move.
    """
    length = action_units.eye_distance(landmarks)
    x = (np.arange(window.width) + window.left)[None] - landmarks[30, 0]
    y = (np.arange(window.height) + window.top)[:, None] - landmarks[30, 1]
    nose = np.exp(-0.5 * ((x / (0.22 * length)) ** 2 + (y / (0.32 * length)) ** 2))
    cheeks = np.exp(-0.5 * (((np.abs(x) - 0.75 * length) / (0.3 * length)) ** 2 + (y / (0.6 * length)) ** 2))
    field = np.zeros((2, window.height, window.width), np.float32)
    field[0] = _PARALLAX * length * (nose - 0.5 * cheeks)
    edges = [np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.12 * n) for n in (window.height, window.width)]
    field[0] *= np.clip(edges[0], 0, 1)[:, None] * np.clip(edges[1], 0, 1)
    return field


def _gaze(plan: RecordingPlan, times: np.ndarray) -> np.ndarray:
    """Displacement of the pupils (T, 2) by the fixations; the eyes turn within 50 ms."""
    keys: list[float] = []
    places: list[Sequence[float]] = []
    for time, *place in plan.gaze:
        keys += [time, time + 0.05]
        places += [places[-1] if places else place, place]
    keys.append(plan.seconds + 1.0)
    places.append(places[-1])
    return np.column_stack([between(times, keys, [place[axis] for place in places]) for axis in (0, 1)])


def _head(plan: RecordingPlan, settings: RecordingPreset, pivot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarities (N, 2, 3) of the head since the first of the N exposures, and its yaw (N,)."""
    count, fps, path = plan.exposures, plan.fps, plan.head
    random = plan.stream("head path")
    times = np.arange(count) / fps
    slow = [wander(count, fps, path.slow_seconds, random) for _ in range(5)]
    x, y, lean, turn, yaw = (one / np.abs(one).max() for one in slow)
    shift = path.slow_px * np.column_stack([x, y])
    shift += path.fast_px * np.column_stack([wander(count, fps, 0.15, random) for _ in range(2)])
    for start, seconds, height in path.nods:
        keys = (start, start + 0.4 * seconds, start + seconds)
        shift[:, 1] += between(times, keys, (0, height, 0))
    place = np.zeros(2)
    for start, seconds, *new in path.postures:
        moved = 0.5 - 0.5 * np.cos(np.pi * np.clip((times - start) / seconds, 0, 1))
        shift += moved[:, None] * (np.array(new) - place)
        place = np.array(new)
    shift -= shift[0]
    shift *= min(1.0, REACH_PX * settings.scale / np.linalg.norm(shift, axis=1).max())
    tremor = settings.camera.nuisance.tremor_px * random.standard_normal((count, 2))
    shift += tremor - tremor[0]
    motion = [
        similarity(1 + path.lean * zoom, path.turn_deg * angle, (float(dx), float(dy)), pivot)
        for zoom, angle, (dx, dy) in zip(lean, turn, shift, strict=True)
    ]
    return np.stack(motion), path.yaw * yaw


def _light(plan: RecordingPlan, settings: RecordingPreset) -> Lighting:
    """Lighting of every exposure: mains ripple, a slowly changing lamp and gradient, a step of exposure."""
    count, fps, lamp = plan.exposures, plan.fps, plan.lamp
    nuisance = settings.camera.nuisance
    random = plan.stream("light")
    times = np.arange(count) / fps
    ripple = lamp.ripple * np.sin(2 * np.pi * lamp.mains_hz * times + random.uniform(0, 2 * np.pi))
    slow = lamp.slow * wander(count, fps, 2.0, random)
    gain = (1 + random.normal(scale=0.03)) * (1 + ripple + slow + 0.001 * random.standard_normal(count))
    if lamp.step is not None:
        gain *= 1 + lamp.step[1] * (times >= lamp.step[0])
    gradient, uneven, black = (
        random.uniform(*limits) for limits in (nuisance.gradient, nuisance.uneven, nuisance.offset_levels)
    )
    slopes = [gradient * (wander(count, fps, 1.5, random) + random.normal()) for _ in range(2)]
    curves = [uneven * wander(count, fps, 1.5, random) for _ in range(3)]
    return Lighting(np.column_stack([gain, *slopes, *curves]), black * wander(count, fps, 1.0, random))
