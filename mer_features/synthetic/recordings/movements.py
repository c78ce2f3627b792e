"""Plan of one recording: what moves, when, and by how much. Times are in seconds since the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from mer_features.synthetic.action_units import Action
from mer_features.synthetic.presets import stream

#: A movement is visible from this fraction of its peak on: where an annotator sees onset and offset.
VISIBLE = 0.05
#: Part of a raised cosine that lies below :data:`VISIBLE`.
HEAD_START = float(np.arccos(1 - 2 * VISIBLE) / np.pi)


def between(times: np.ndarray, keys: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Values at ``times`` (T,), float64: raised cosines from key to key, 0 before the first and after the last key."""
    at, level = np.asarray(keys), np.asarray(values, np.float64)
    index = np.clip(np.searchsorted(at, times, side="right") - 1, 0, len(at) - 2)
    step = np.maximum(at[index + 1] - at[index], 1e-9)
    share = 0.5 - 0.5 * np.cos(np.pi * np.clip((times - at[index]) / step, 0, 1))
    out = level[index] + (level[index + 1] - level[index]) * share
    return np.where((times < at[0]) | (times > at[-1]), 0.0, out)


@dataclass(frozen=True)
class Movement:
    """Action units with one time course: ``strengths`` at the times ``keys``, raised cosines in between."""

    name: str  # "micro", "macro", "speech", "swallow", "residual"
    actions: tuple[Action, ...]  # peak displacements at strength 1, frame pixels
    keys: tuple[float, ...]
    strengths: tuple[float, ...]

    def strength(self, times: np.ndarray) -> np.ndarray:
        """Strength (T,) float64 at these times; negative where the skin moves the opposite way."""
        return between(times, self.keys, self.strengths)

    def scaled(self, factor: float) -> Self:
        """The movement with other peaks."""
        actions = tuple(Action(a.unit, a.left_px * factor, a.right_px * factor) for a in self.actions)
        return replace(self, actions=actions)

    @property
    def peak_px(self) -> float:
        """Peak displacement of the strongest action unit, frame pixels."""
        return max(action.peak_px for action in self.actions)


@dataclass(frozen=True)
class EventPlan(Movement):
    """An annotated expression; its keys are onset, apex, end of the plateau, and offset."""

    emotion: str = ""
    note: str = ""  # why the event is unusual, for the sheet

    @classmethod
    def between_visible(cls, kind: str, rise: float, plateau: float, fall: float, emotion: str) -> EventPlan:
        """An event whose visible part begins at 0; ``rise`` and ``fall`` are the visible durations in seconds."""
        before, after = (HEAD_START * part / (1 - HEAD_START) for part in (rise, fall))
        keys = (-before, rise, rise + plateau, rise + plateau + fall + after)
        return cls(kind, (), keys, (0.0, 1.0, 1.0, 0.0), emotion)

    def moved(self, seconds: float) -> Self:
        """The event, later by ``seconds``."""
        return replace(self, keys=tuple(key + seconds for key in self.keys))

    @property
    def visible(self) -> tuple[float, float]:
        """First and last time at which the strength is at least 5 % of its peak."""
        onset, apex, plateau_end, offset = self.keys
        return onset + HEAD_START * (apex - onset), offset - HEAD_START * (offset - plateau_end)

    @property
    def seconds(self) -> float:
        """Visible duration."""
        first, last = self.visible
        return last - first

    @property
    def rise(self) -> float:
        """Visible time from onset to apex."""
        return self.keys[1] - self.visible[0]


@dataclass(frozen=True)
class BlinkPlan:
    """A blink: closure ``depth`` of the lids of one or both eyes at ``closed``."""

    onset: float
    closed: float
    offset: float
    depth: float = 1.0
    eyes: str = "both"  # "right" and "left" are the person's

    def closure(self, times: np.ndarray) -> np.ndarray:
        """Closure of the person's right and left lids, (T, 2) float64, 0..1."""
        shut = between(times, (self.onset, self.closed, self.offset), (0.0, self.depth, 0.0))
        return shut[:, None] * [self.eyes != "left", self.eyes != "right"]

    @property
    def visible(self) -> tuple[float, float]:
        """First and last time at which the closure is at least 5 % of its peak."""
        return (
            self.onset + HEAD_START * (self.closed - self.onset),
            self.offset - HEAD_START * (self.offset - self.closed),
        )

    @property
    def note(self) -> str:
        """What is unusual about the blink."""
        return f"wink, {self.eyes} eye" if self.eyes != "both" else "half" if self.depth < 1 else ""


@dataclass(frozen=True)
class HeadPlan:
    """Path of the head; lengths in frame pixels."""

    fast_px: float
    slow_px: float
    slow_seconds: float
    lean: float
    turn_deg: float
    yaw: float
    nods: tuple[tuple[float, float, float], ...]  # start, duration, height
    postures: tuple[tuple[float, float, float, float], ...]  # start, duration, new place in x and y


@dataclass(frozen=True)
class LampPlan:
    """Brightness over time."""

    mains_hz: float
    ripple: float
    slow: float
    step: tuple[float, float] | None  # time and fraction of a sudden change of exposure


@dataclass(frozen=True)
class RecordingPlan:
    """Everything that is drawn before a recording is rendered.

    ``shown`` are the exposures that the recording has, counted from 0 at the rate of the camera; dropped frames are
    missing. ``repeated`` says for each of them whether it shows the picture before again.
    """

    preset: str
    seed: int
    subject: str
    name: str
    fps: float
    seconds: float
    role: str  # "micro", "macro" (without micro-expressions), or what happens in a recording without events
    codec: str  # "jpg95", "jpg75", "ffv1" or "mjpeg"
    first: int  # number of the first frame
    shown: tuple[int, ...]
    repeated: tuple[bool, ...]
    events: tuple[EventPlan, ...]
    movements: tuple[Movement, ...]
    rest: tuple[Action, ...]
    blinks: tuple[BlinkPlan, ...]
    gaze: tuple[tuple[float, float, float], ...]  # times of new fixations, and the displacement of the pupils
    head: HeadPlan
    lamp: LampPlan
    hidden: tuple[float, float] | None  # from when to when a hand hides the face

    @property
    def recording_id(self) -> str:
        """Subject and name; unique in the database."""
        return f"{self.subject}/{self.name}"

    @property
    def source(self) -> str:
        """Folder or video file, relative to the root."""
        return f"{'frames' if self.codec.startswith('jpg') else 'videos'}/{self.recording_id}" + (
            "" if self.codec.startswith("jpg") else ".mkv"
        )

    @property
    def exposures(self) -> int:
        """Number of exposures of the camera, with those that were dropped."""
        return round(self.seconds * self.fps)

    @property
    def times(self) -> np.ndarray:
        """Times (T,) float64 of the frames that the recording has."""
        return np.array(self.shown) / self.fps

    @property
    def numbers(self) -> np.ndarray:
        """Frame numbers (T,) int64: those of the files in a folder, 0, 1, 2, ... in a video file."""
        if self.codec.startswith("jpg"):
            return self.first + np.array(self.shown, np.int64)
        return np.arange(len(self.shown), dtype=np.int64)

    def frames_in(self, visible: tuple[float, float]) -> tuple[int, int]:
        """Numbers of the first and last frame within these times.

        An interval between two frames gets the frame that is nearest to its middle.
        """
        times = self.times
        index = np.flatnonzero((times >= visible[0]) & (times <= visible[1]))
        if not len(index):
            index = np.array([np.abs(times - sum(visible) / 2).argmin()])
        return int(self.numbers[index[0]]), int(self.numbers[index[-1]])

    def stream(self, purpose: str) -> np.random.Generator:
        """Random generator of this recording for one purpose."""
        return stream(self.preset, self.seed, self.recording_id, purpose)
