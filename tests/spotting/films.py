"""Signals of recordings with known events, generated for the tests of spotters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mer_features.spotting import Event, Recording
from mer_features.stages.signals import REGIONS, Signals

#: Smallest visible fraction of a movement: events begin and end there.
VISIBLE = float(np.arccos(1 - 2 * 0.05) / np.pi)
SMILE = ("mouth_corner_right", "mouth_corner_left", "cheek_right", "cheek_left")
FROWN = ("brow_inner_right", "brow_inner_left", "brow_middle_right")


@dataclass(frozen=True)
class Movement:
    """Regions move along a raised cosine: rise, plateau and fall in seconds; height in distances between the eyes."""

    start: float
    rise: float
    plateau: float
    fall: float
    height: float
    regions: tuple[str, ...] = FROWN
    angle: float = 1.2  # radians

    @property
    def ends(self) -> tuple[float, float, float]:
        """Visible onset, apex and visible offset in seconds."""
        onset, end = self.start + VISIBLE * self.rise, self.start + self.rise + self.plateau + self.fall
        return onset, self.start + self.rise + self.plateau / 2, end - VISIBLE * self.fall

    @property
    def kind(self) -> str:
        return "micro" if self.ends[2] - self.ends[0] <= 0.5 else "macro"

    def profile(self, time: np.ndarray) -> np.ndarray:
        up = np.clip((time - self.start) / self.rise, 0, 1)
        down = np.clip((time - self.start - self.rise - self.plateau) / self.fall, 0, 1)
        return (np.cos(np.pi * down) - np.cos(np.pi * up)) / 2


def film(
    seconds: float = 20,
    fps: float = 30,
    movements: Sequence[Movement] = (),
    *,
    noise: float = 0.0006,
    drift: float = 0.0,
    blinks: Sequence[float] = (),
    speech: Sequence[tuple[float, float]] = (),
    seed: int = 0,
) -> Signals:
    """Signals with these movements, white noise, a slow drift of so many distances, blinks and speech (start, end)."""
    rng = np.random.default_rng(seed)
    n = round(seconds * fps)
    time = np.arange(n) / fps
    motion = rng.normal(0, noise, (n, len(REGIONS), 2))
    if drift:
        phases, periods = rng.uniform(0, 6.28, (2, len(REGIONS), 2)), rng.uniform(9, 25, (2, len(REGIONS), 2))
        for phase, period in zip(phases, periods, strict=True):
            motion += drift * np.sin(2 * np.pi * time[:, None, None] / period + phase) / 2
    for moved in movements:
        step = moved.height * np.array([np.cos(moved.angle), np.sin(moved.angle)])
        for name in moved.regions:
            motion[:, REGIONS.index(name)] += moved.profile(time)[:, None] * step
    lids = rng.normal(0, 0.002, (n, 2))
    for start in blinks:
        closed = Movement(start, 0.08, 0.04, 0.12, 1.0).profile(time)
        lids -= 0.12 * closed[:, None]
        for name in ("brow_inner_right", "brow_inner_left", "cheek_right", "cheek_left"):
            motion[:, REGIONS.index(name), 1] += 0.0032 * closed
    for start, end in speech:
        window = Movement(start, 0.3, end - start - 0.6, 0.3, 1.0).profile(time)
        beat = np.sin(2 * np.pi * 4 * time) + 0.4 * np.sin(2 * np.pi * 5.3 * time)
        for name, size in (("lower_lip", 0.02), ("chin", 0.016), ("mouth_corner_right", 0.006), ("upper_lip", 0.006)):
            motion[:, REGIONS.index(name), 1] += size * window * beat
    return Signals(
        number=np.arange(1, n + 1),
        time_s=time,
        motion=motion.astype(np.float32),
        lids=lids.astype(np.float32),
        head=np.zeros((n, 4), dtype=np.float32),
        residual=rng.uniform(0.0015, 0.0025, n).astype(np.float32),
        reliable=np.ones(n, dtype=bool),
        segment=np.zeros(n, dtype=np.int32),
        brightness=np.full(n, 120, dtype=np.float32),
        repeated=np.zeros(n, dtype=bool),
        fps=fps,
        eye_px=80.0,
    )


def without(signals: Signals, rows: slice) -> Signals:
    """The face was not found in these rows."""
    motion, reliable = signals.motion.copy(), signals.reliable.copy()
    motion[rows], reliable[rows] = np.nan, False
    return replace(signals, motion=motion, reliable=reliable)


def events_of(recording_id: str, movements: Sequence[Movement], fps: float) -> list[Event]:
    """Their events in frame numbers from 1."""
    return [
        Event(recording_id, *(round(moved.ends[end] * fps) + 1 for end in (0, 2)), moved.kind,
              round(moved.ends[1] * fps) + 1, event_id=f"{recording_id}/{number}")
        for number, moved in enumerate(movements)
    ]  # fmt: skip


def database(
    subjects: int = 4, seconds: float = 40, fps: float = 30, seed: int = 0
) -> tuple[dict[str, Signals], list[Recording], list[Event]]:
    """Two recordings of each subject: signals by name, recordings, events. The last subject has no event.

    Events of 0.8 to 6 times the smallest height of the spotter; blinks and speech between them, drift everywhere.
    """
    rng = np.random.default_rng(seed)
    signals, recordings, events = {}, [], []
    for number in range(subjects * 2):
        subject, name = f"s{number // 2}", f"s{number // 2}/{number % 2}"
        movements, talks, closed = [], [], list(np.cumsum(rng.uniform(1.5, 6, int(seconds / 4))))
        start = rng.uniform(1, 3)
        while start < seconds - 6:
            movement = _drawn(rng, float(start))
            if number // 2 < subjects - 1:
                movements.append(movement)
            start = movement.start + movement.rise + movement.plateau + movement.fall + rng.uniform(0.8, 6)
        if number % 3 == 1:
            talks = [(seconds - 5.0, seconds - 1.0)]
        signals[name] = film(
            seconds, fps, movements, drift=0.003, blinks=[time for time in closed if time < seconds - 1], speech=talks,
            noise=float(rng.uniform(0.0004, 0.0009)), seed=seed * 100 + number,
        )  # fmt: skip
        last = len(signals[name].number)
        recordings.append(Recording(name, subject, "films", 1, last, fps))
        events += events_of(name, movements, fps)
    return signals, recordings, events


def _drawn(rng: np.random.Generator, start: float) -> Movement:
    regions = (FROWN, SMILE, ("brow_outer_left", "brow_middle_left"), ("chin", "lower_lip"))[rng.integers(4)]
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        rise, fall = rng.uniform(0.08, 0.22, 2)
        return Movement(start, rise, rng.uniform(0, 0.1), fall, 0.003 * np.exp(rng.uniform(0, 1.9)), regions, angle)
    rise, fall = rng.uniform(0.28, 0.8, 2)
    return Movement(start, rise, rng.uniform(0, 2), fall, 0.012 * np.exp(rng.uniform(0, 2)), regions, angle)
