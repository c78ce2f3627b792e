"""Webcam-like films of a rendered face: still frames, and between them an expression, with head motion and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from mer_features.frames import write
from mer_features.synthetic import plan, render_clip
from mer_features.synthetic.action_units import Action
from mer_features.synthetic.presets import Nuisance, preset

FPS = 30.0
_STILL = (0.0, 0.0)
_CALM = Nuisance(
    drift_px=_STILL, turn_deg=_STILL, zoom=_STILL, tremor_px=0.0, flicker=_STILL, gradient=_STILL, uneven=_STILL,
    offset_levels=_STILL, read_noise=0.0, shot_noise=0.0, blink_rate=0.0, distractor_rate=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Film:
    """Frames (T, H, W, 3) uint8 at :data:`FPS` frames per second; events as (onset, apex, offset), frame numbers."""

    images: np.ndarray
    events: tuple[tuple[int, int, int], ...]

    def write(self, path: Path, fps: float = FPS) -> Path:
        """Store it as a video in which frame n is shown n / fps seconds after the first."""
        write.write(path, ((image, number / fps) for number, image in enumerate(self.images)), fps)
        return path


@cache
def expression(unit: int = 4, size_px: float = 1.6, frames: int = 12) -> tuple[np.ndarray, tuple[int, int, int]]:
    """One rendered expression without head motion and noise, (T, H, W, 3), and its onset, apex, offset."""
    settings = replace(
        preset("demo"),
        fps=FPS,
        size=(256, 256),
        face_px=140.0,
        frames=(frames, frames),
        nuisance=_CALM,
    )
    clip = replace(
        plan(settings, 0)[0], actions=(Action(unit, size_px, size_px),), frames=frames, apex_index=frames // 2
    )
    rendered = render_clip(clip, settings)
    truth = rendered.truth
    first = truth.onset
    return rendered.frames, (0, truth.apex - first, truth.offset - first)


def film(
    seconds: float,
    starts: Sequence[float] = (),
    *,
    head_px: float = 1.5,
    noise: float = 1.5,
    flicker: float = 0.0,
    seed: int = 0,
    size_px: float = 1.6,
) -> Film:
    """A film of a face at rest with an expression at each of ``starts`` (seconds).

    ``head_px`` is the amplitude of a slow drift of the head, ``noise`` the standard deviation of the sensor in grey
    levels, ``flicker`` the relative change of brightness by a lamp.
    """
    random = np.random.default_rng(seed)
    clip, (onset, apex, offset) = expression(size_px=size_px)
    count = round(seconds * FPS)
    place = np.zeros(count, dtype=int)
    events = []
    for start in starts:
        first = round(start * FPS)
        place[first : first + len(clip)] = np.arange(len(clip))
        events.append((first + onset, first + apex, first + offset))
    time = np.arange(count) / FPS
    phases = random.uniform(0, 2 * np.pi, 5)
    shift = [
        head_px * np.sin(2 * np.pi * rate * time + phase) for rate, phase in ((0.21, phases[0]), (0.13, phases[1]))
    ]
    turn = 0.4 * head_px * np.sin(2 * np.pi * 0.17 * time + phases[2])  # degrees
    lamp = 1 + flicker * np.sin(2 * np.pi * 1.3 * time + phases[3])
    height, width = clip.shape[1:3]
    grain = random.normal(0, noise, (4, *clip.shape[1:]))
    images = []
    for number in range(count):
        move = cv2.getRotationMatrix2D((width / 2, height / 2), float(turn[number]), 1.0)
        move[:, 2] += [shift[0][number], shift[1][number]]
        picture = cv2.warpAffine(
            clip[place[number]], move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        noisy = picture * lamp[number] + np.roll(grain[number % 4], random.integers(0, height, 2), axis=(0, 1))
        images.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return Film(np.stack(images), tuple(events))
