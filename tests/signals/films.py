"""Rendered films of a face with known motion, as frame sequences in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mer_features.frames import Frame, FrameSequence
from mer_features.stages.signals import centres
from mer_features.stages.signals.regions import RADIUS
from mer_features.synthetic import plan
from mer_features.synthetic.action_units import Action
from mer_features.synthetic.nuisance import Lighting, Sensor
from mer_features.synthetic.presets import Nuisance, Preset, preset
from mer_features.synthetic.render import _ClipScene

STILL = (0.0, 0.0)
#: Head at rest, steady light, no noise.
CALM = Nuisance(
    drift_px=STILL, turn_deg=STILL, zoom=STILL, tremor_px=0.0, flicker=STILL, gradient=STILL, uneven=STILL,
    offset_levels=STILL, read_noise=0.0, shot_noise=0.0, blink_rate=0.0,
)  # fmt: skip
FPS = 50.0


class Film(FrameSequence):
    """Frames in memory; ``numbers`` as the file names of a folder would give them."""

    def __init__(self, images: np.ndarray, numbers: Sequence[int] | None = None, fps: float | None = None) -> None:
        super().__init__(Path("film"), fps)
        self._images = images
        self.numbers = list(range(len(images)) if numbers is None else numbers)

    def nearest(self, number: int) -> Frame:
        place = min(range(len(self.numbers)), key=lambda index: (abs(self.numbers[index] - number), index))
        return Frame(self.numbers[place], float("nan"), self._images[place])

    def sha256(self) -> str:
        return hashlib.sha256(self._images.tobytes()).hexdigest()

    def _decode(self, step: int = 1) -> Iterator[tuple[str, Frame]]:
        for number, image in zip(self.numbers, self._images, strict=True):
            if (number - self.numbers[0]) % step == 0:
                time_s = float("nan") if self.fps is None else number / self.fps
                yield f"frame {number}", Frame(number, time_s, image)


@dataclass(frozen=True)
class Rendered:
    """Images (T, H, W, C) uint8 and the ground truth.

    ``motion`` (T, 17, 2) is the displacement of the regions by the expression in distances between the eyes, ``head``
    (T, 2, 3) the transforms of the head, ``eye_px`` the distance between the eyes in the frame.
    """

    images: np.ndarray
    motion: np.ndarray
    head: np.ndarray
    eye_px: float


def render(
    profile: np.ndarray,
    actions: Sequence[Action] = (Action(1, 0.5, 0.5),),
    *,
    blink: np.ndarray | None = None,
    nuisance: Nuisance = CALM,
    size: int = 240,
) -> Rendered:
    """Render one square frame for each value of ``profile`` (T,), 0..1; the size of the face is that of ``demo``."""
    settings = look(nuisance, size)
    count = len(profile)
    clip = replace(plan(settings, 0)[0], actions=tuple(actions), frames=count, apex_index=count // 2)
    scene = _ClipScene(clip, settings)
    scene.profile, scene.blink = profile, np.zeros(count) if blink is None else blink
    light = Lighting.draw(nuisance, count, FPS, clip.stream("light"))
    sensor = Sensor(nuisance, (1, *settings.size), clip.stream("sensor"))
    images = np.stack([sensor.expose(light.apply(scene.frame(t), t)) for t in range(count)])
    truth = scene.truth()
    eyes = [truth.landmarks[part].mean(axis=0) for part in (slice(36, 42), slice(42, 48))]
    eye_px = float(np.hypot(*(eyes[1] - eyes[0])))
    y, x = np.indices(settings.size)
    flow = []
    for place in centres(truth.landmarks):
        near = (abs(x - place[0]) <= RADIUS * eye_px) & (abs(y - place[1]) <= RADIUS * eye_px)
        flow.append(np.median(truth.flow[:, near], axis=1))
    return Rendered(images, profile[:, None, None] * np.array(flow) / eye_px, scene.motion, eye_px)


def look(nuisance: Nuisance, size: int) -> Preset:
    """The preset ``demo`` in grey, at 50 frames per second, scaled to a square of this side."""
    settings = preset("demo")
    style = replace(settings.style, colour=False, oversample=2)
    return replace(
        settings,
        fps=FPS,
        size=(size, size),
        face_px=settings.face_px * size / settings.size[0],
        style=style,
        nuisance=nuisance,
    )


def bump(count: int, start: int, rise: int, plateau: int, fall: int) -> np.ndarray:
    """Strength (T,) of an expression: raised cosines around a plateau."""
    profile = np.zeros(count)
    up = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, rise + 1) / rise)
    down = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    course = np.concatenate([up, np.ones(plateau), down])
    profile[start : start + len(course)] = course
    return profile
