"""Whether a recording is good enough to be searched, and where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mer_features.spotting.filters import runs
from mer_features.stages.signals import Signals

#: Frames per second below which micro-expressions are not searched: the shortest would have two or three frames.
MIN_RATE_HZ = 25.0
#: Time stamps are rounded, and a camera may lose a frame.
_RATE_TOLERANCE = 0.98
MIN_EYE_PX = 60.0
MIN_REGISTERED = 0.9
MAX_REPEATED = 0.05
#: Mean grey level of the face; outside, skin has hardly any texture left.
BRIGHTNESS = (25.0, 230.0)
#: Shorter recordings are too short to tell noise from motion, in seconds.
MIN_LENGTH_S = 5.0
#: Spans of bad quality that are shorter are not shown, in seconds.
_SHORTEST_SPAN_S = 0.1


@dataclass(frozen=True)
class Check:
    """One property of a recording: what was found, what was wanted, and what follows if it failed."""

    name: str
    found: str
    wanted: str
    passed: bool
    consequence: str

    @property
    def text(self) -> str:
        """One line for a check that failed."""
        return f"{self.name}: found {self.found}, wanted {self.wanted}. {self.consequence}"


@dataclass(frozen=True)
class Span:
    """An interval of a recording in seconds that is not fit to be searched, and why."""

    start_s: float
    end_s: float
    reason: str


def check(signals: Signals) -> tuple[Check, ...]:
    """Compare a recording with what spotting needs, in a fixed order."""
    rate, length = frame_rate(signals), duration(signals)
    registered, repeated = float(signals.reliable.mean()), float(signals.repeated.mean())
    known = signals.brightness[np.isfinite(signals.brightness)]
    level = float(np.median(known)) if len(known) else float("nan")
    return (
        Check(
            "frame rate", f"{rate:.1f} per second", f"at least {MIN_RATE_HZ:g}", micro_possible(signals),
            "Only macro-expressions were searched.",
        ),
        Check(
            "length", f"{length:.1f} s", f"at least {MIN_LENGTH_S:g} s", length >= MIN_LENGTH_S,
            "The noise of the recording is not well known, so spots are less certain.",
        ),
        Check(
            "distance between the eyes", f"{signals.eye_px:.0f} px", f"at least {MIN_EYE_PX:g} px",
            signals.eye_px >= MIN_EYE_PX, "Small movements are missed; record closer or at a higher resolution.",
        ),
        Check(
            "frames in which the face was followed", f"{registered:.0%}", f"at least {MIN_REGISTERED:.0%}",
            registered >= MIN_REGISTERED, "The other frames were not searched.",
        ),
        Check(
            "frames that repeat the one before", f"{repeated:.0%}", f"at most {MAX_REPEATED:.0%}",
            repeated <= MAX_REPEATED, "The camera recorded fewer pictures than the file has frames.",
        ),
        Check(
            "brightness of the face", f"{level:.0f} of 255", f"{BRIGHTNESS[0]:g} to {BRIGHTNESS[1]:g}",
            BRIGHTNESS[0] <= level <= BRIGHTNESS[1], "Motion cannot be measured well on skin without texture.",
        ),
    )  # fmt: skip


def frame_rate(signals: Signals) -> float:
    """Frames of the recording per second by its time stamps; the nominal rate for a single row."""
    seconds = float(signals.time_s[-1] - signals.time_s[0])
    return float(signals.number[-1] - signals.number[0]) / seconds if seconds > 0 else signals.fps


def duration(signals: Signals) -> float:
    """Length of the recording in seconds, the last frame included."""
    return float(signals.time_s[-1]) + 1 / signals.fps


def micro_possible(signals: Signals) -> bool:
    """Whether the frame rate suffices for micro-expressions."""
    return frame_rate(signals) >= _RATE_TOLERANCE * MIN_RATE_HZ


def bad_spans(signals: Signals) -> tuple[Span, ...]:
    """Where the face was not followed, frames repeat, or the face is too dark or too bright, in the order of time."""
    with np.errstate(invalid="ignore"):
        glaring = (signals.brightness < BRIGHTNESS[0]) | (signals.brightness > BRIGHTNESS[1])
    reasons = {
        "face not followed": ~signals.reliable,
        "too dark or too bright": glaring & signals.reliable,
        "repeated frames": signals.repeated & signals.reliable,
    }
    spans = [span for reason, rows in reasons.items() for span in _spans(signals, rows, reason)]
    return tuple(sorted(spans, key=lambda span: span.start_s))


def _spans(signals: Signals, rows: np.ndarray, reason: str) -> Iterator[Span]:
    for start, stop in runs(rows):
        end_s = float(signals.time_s[stop - 1]) + 1 / signals.fps
        if end_s - signals.time_s[start] >= _SHORTEST_SPAN_S:
            yield Span(float(signals.time_s[start]), end_s, reason)
