"""Frames of one recording, and their ground truth.

Geometry as for clips (:mod:`mer_features.synthetic.render`), with a sum of expressions: a point X of the neutral face
is at M_t(H(X + R(X) + Σ p_t E(X) + Σ q_t S(X) + y_t P(X))) in frame t. E are the events, S speech and other movements,
P the parallax of a head that turns by the yaw y_t.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

from mer_features.synthetic import action_units
from mer_features.synthetic.nuisance import Sensor
from mer_features.synthetic.recordings.course import REACH_PX, Course, RecordingTruth
from mer_features.synthetic.recordings.movements import RecordingPlan
from mer_features.synthetic.recordings.presets import RecordingPreset, recording_preset
from mer_features.synthetic.render import Scene, iterations
from mer_features.synthetic.resample import apply, compose, sample
from mer_features.synthetic.subjects import subject


@dataclass(frozen=True)
class RenderedRecording:
    """Frames (H, W, C) uint8, RGB or grey, each rendered when it is asked for, and their ground truth."""

    frames: Iterator[np.ndarray]
    truth: RecordingTruth


def render_recording(plan: RecordingPlan, preset: RecordingPreset | None = None) -> RenderedRecording:
    """Render one recording; the same plan and preset give the same bytes.

    Parameters
    ----------
    plan
        One of :func:`~mer_features.synthetic.recordings.planning.plan`.
    preset
        The preset of the plan; by default the one with its name.
    """
    scene = RecordingScene(plan, preset)
    return RenderedRecording(scene.frames(), scene.course.truth())


class RecordingScene(Scene):
    """Geometry of one recording."""

    def __init__(self, plan: RecordingPlan, preset: RecordingPreset | None = None) -> None:
        settings = preset or recording_preset(plan.preset)
        self.course = Course(plan, settings)
        reach = ceil((REACH_PX + 5) * settings.scale)
        face = subject(settings.camera, plan.seed, plan.subject)
        super().__init__(face, settings.camera, self.course.pose, reach)
        self._slopes, self._lengths = (
            np.array([measure(field) for field in (*self.course.fields, self.course.rest, self.course.parallax)])
            for measure in (action_units.slope, _longest)
        )

    def frames(self) -> Iterator[np.ndarray]:
        """All frames, with light and noise."""
        camera, plan = self.course.settings.camera, self.course.plan
        sensor = Sensor(camera.nuisance, (3 if camera.style.colour else 1, *camera.size), plan.stream("sensor"))
        image = np.empty(0)
        for t, repeated in enumerate(plan.repeated):
            if not repeated:
                image = sensor.expose(self.course.light.apply(self.frame(t), t))
            yield image

    def frame(self, t: int) -> np.ndarray:
        """Frame in row t before lighting and sensor, (C, H, W) float32 grey levels."""
        course = self.course
        weights = np.append(course.strength[t], (1.0, course.yaw[t]))
        field = course.rest + np.float32(course.yaw[t]) * course.parallax
        for index in np.flatnonzero(course.strength[t]):
            field += np.float32(course.strength[t, index]) * course.fields[index]
        steps = iterations(float(np.abs(weights) @ self._lengths), float(np.abs(weights) @ self._slopes))
        right, left = course.blink[t].tolist()
        dx, dy = course.gaze[t].tolist()
        planes = self.draw(course.head[t], field, steps, (right, left), (dx, dy))
        return self._behind_hand(planes, t) if course.hidden[t] > 0 else planes

    def _before_motion(self, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As for clips, but the area that moves with the head follows it, because it goes further than in a clip."""
        dx, dy = self._way_back(motion)
        x, y = self._x[self._head], self._y[self._head]
        weight = sample(self.face.head, x + dx, y + dy, cv2.BORDER_CONSTANT)
        return x + weight * dx, y + weight * dy

    def _behind_hand(self, planes: np.ndarray, t: int) -> np.ndarray:
        """Put a hand in front of the face, which comes from below."""
        length = action_units.eye_distance(self.face.landmarks)
        middle = apply(compose(self.course.head[t], self.pose), self.face.landmarks[30])
        height, width = planes.shape[1:]
        x = (np.arange(width) - middle[0])[None] / length
        y = (np.arange(height) - middle[1])[:, None] / length - 3.0 * (1 - self.course.hidden[t])
        radius = np.hypot(x / 1.1, y / 1.45)
        cover = np.clip((1.0 - radius) * 12, 0, 1).astype(np.float32)
        fingers = (1 - 0.12 * np.cos(2 * np.pi * x / 0.5) ** 8 - 0.25 * radius**2).astype(np.float32)
        k = self.preset.style.oversample
        cheek = (self.face.landmarks[[31, 35]].mean(axis=0) * k).astype(int)
        skin = self.face.texture[:, cheek[1] - 4 * k : cheek[1], cheek[0] - 4 * k : cheek[0] + 4 * k].mean(axis=(1, 2))
        return planes + cover * (skin[:, None, None] * fingers - planes)


def _longest(field: np.ndarray) -> float:
    return float(np.linalg.norm(field, axis=0).max())
