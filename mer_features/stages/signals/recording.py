"""Signals of a whole recording in one pass, in memory that does not depend on its length."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mer_features.core.grey import levels
from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.frames import FrameBuffer, FrameSequence
from mer_features.stages.options import Faces, SignalOptions
from mer_features.stages.signals.segment import Segment, find_anchor
from mer_features.stages.signals.series import RowBuffer, Sink

#: Rows that are collected before they are given to the sink.
CHUNK = 1024
#: Longest gap in seconds that is filled with rows.
LONGEST_GAP_S = 600.0
# Frames that are held until the anchor is found: in memory up to this size, then in a temporary file.
_AHEAD_BYTES = 48 * 2**20
# A recording whose time stamps say another frame rate than its annotation was stored for slow playback.
_SLOW_MOTION = 0.05


@dataclass(frozen=True)
class _Sample:
    """One analysed frame; ``image`` (H, W, 1), uint8, is None if it is missing."""

    number: int
    time_s: float
    image: np.ndarray | None = None
    repeated: bool = False


def measure(
    frames: FrameSequence,
    options: SignalOptions | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    sink: Sink,
    faces: Faces | None = None,
    fps: float | None = None,
) -> tuple[Issue, ...]:
    """Measure the motion of the face regions in every analysed frame of a recording.

    Of a recording with more than 50 frames per second only every second, third ... frame is analysed, so that about 50
    remain. The head is registered to an anchor frame, the crop is resampled without the motion of the head, its light
    is made even, and points are tracked from a key frame (:mod:`~mer_features.stages.signals.tracking`).

    Parameters
    ----------
    frames : FrameSequence
        Decoded once, one frame at a time; those from which the anchor is chosen are kept in grey until they are
        measured.
    options : SignalOptions, optional
    progress : callable, optional
        Called with the number of rows after each row.
    sink : Sink
        Takes the rows in chunks of :data:`CHUNK`.
    faces : Faces, optional
        Detector and landmark model, and whether the frames are cropped already; the other keys are not used.
    fps : float, optional
        Frames per second; needed for an image folder. The times of a video are its time stamps, unless its rate differs
        from ``fps`` by more than 5 % (a recording stored for slow playback).

    Returns
    -------
    tuple of Issue
        Issues of the frames.

    Raises
    ------
    ClipRejectedError
        If the frames cannot be read, if the face is found in none of them (``no_face``), or if numbers are missing for
        more than ten minutes (``unreadable_frame``). The rows up to there were given to the sink.
    ValueError
        If the frame rate is not known.
    """
    options, faces = options or SignalOptions(), faces or Faces()
    rate = fps or frames.fps
    if not rate:
        raise ValueError(f"{frames.source}: the frame rate is not known; found none in the source, expected `fps`")
    step = options.step(rate)
    rows = _Rows(RowBuffer(sink, rate / step, CHUNK), progress)
    by_number = frames.fps is None or abs(frames.fps / rate - 1) > _SLOW_MOTION
    stream = _Stream(_samples(frames, step, rate, by_number=by_number))
    while ahead := stream.take(max(1, round(options.anchor_s * rate / step))):
        pictures = [(place, sample.image) for place, sample in enumerate(ahead) if sample.image is not None]
        anchor = find_anchor([image for _, image in pictures], faces)
        first = len(ahead) if anchor is None else pictures[anchor.first][0]
        for sample in ahead[:first]:
            rows.add(sample, {})
        if anchor is not None:
            stream.put_back(ahead[first:])
            rows.start_segment(anchor.eye_px)
            _follow(stream, Segment(anchor, options, faces, rate / step), rows)
    rows.buffer.flush()
    if not rows.segments:
        raise ClipRejectedError("no_face", f"{frames.source}: in none of the frames that were searched")
    return frames.issues


class _Rows:
    """Adds samples to a buffer, with the number of their segment."""

    def __init__(self, buffer: RowBuffer, progress: Callable[[int], None] | None) -> None:
        self.buffer, self.segments = buffer, 0
        self._progress, self._count = progress, 0

    def start_segment(self, eye_px: float) -> None:
        """Count one segment more; the first gives the recording's distance between the eyes."""
        self.segments += 1
        if self.segments == 1:
            self.buffer.eye_px = eye_px

    def add(self, sample: _Sample, columns: Mapping[str, Any]) -> None:
        """Add the row of one sample."""
        self.buffer.add(
            number=sample.number,
            time_s=sample.time_s,
            repeated=sample.repeated,
            segment=max(self.segments - 1, 0),
            **columns,
        )
        self._count += 1
        if self._progress is not None:
            self._progress(self._count)


class _Stream:
    """Samples in temporal order, of which some can be taken in advance and put back."""

    def __init__(self, samples: Iterator[_Sample]) -> None:
        self._samples, self._again = samples, deque[_Sample]()

    def __iter__(self) -> Iterator[_Sample]:
        return self

    def __next__(self) -> _Sample:
        return self._again.popleft() if self._again else next(self._samples)

    def take(self, count: int) -> list[_Sample]:
        """The next samples, at most ``count`` of them; their images are in a temporary file if they are large."""
        buffer, samples, pictured = FrameBuffer(_AHEAD_BYTES), list[_Sample](), list[int]()
        for sample in itertools.islice(self, count):
            samples.append(replace(sample, image=None))
            if sample.image is not None:
                buffer.append(sample.image)
                pictured.append(len(samples) - 1)
        for place, image in zip(pictured, buffer.stack(), strict=True):
            samples[place] = replace(samples[place], image=image)
        return samples

    def put_back(self, samples: Sequence[_Sample]) -> None:
        """Let these samples come next."""
        self._again.extendleft(reversed(samples))


def _follow(stream: _Stream, segment: Segment, rows: _Rows) -> None:
    """Measure samples until the face is lost."""
    columns: Mapping[str, Any] = {}
    for sample in stream:
        if sample.image is not None and not (sample.repeated and columns):
            columns = segment.measure(sample.image)
        rows.add(sample, {} if sample.image is None else columns)
        if segment.lost:
            return


def _samples(frames: FrameSequence, step: int, rate: float, *, by_number: bool) -> Iterator[_Sample]:
    """The analysed frames, in grey, and those that are missing between them."""
    last: _Sample | None = None
    first, start_s = 0, 0.0
    for frame in frames.every(step):
        if last is None:
            first, start_s = frame.number, frame.time_s
        missing = range(last.number + step, frame.number, step) if last is not None else range(0)
        if len(missing) * step > LONGEST_GAP_S * rate:
            gap = f"{frames.source}: frames {missing[0]} to {missing[-1]} are missing"
            raise ClipRejectedError("unreadable_frame", f"{gap}, at most {LONGEST_GAP_S:g} s are bridged")
        for number in missing:
            yield _Sample(number, (number - first) / rate)
        time_s = frame.time_s - start_s
        if by_number or np.isnan(time_s):
            time_s = (frame.number - first) / rate
        if last is not None and time_s <= last.time_s:  # time stamps that do not ascend
            time_s = last.time_s + step / rate
        image = levels(frame.image)[..., None]
        repeated = last is not None and last.image is not None and np.array_equal(image, last.image)
        last = _Sample(frame.number, time_s, image, repeated)
        yield last
