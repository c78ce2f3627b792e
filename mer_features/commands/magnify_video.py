"""Magnifies the motion in a whole video or frame folder, frame by frame: memory does not grow with its length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer_features.core.jobs import track
from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.frames import Frame, open_frames, write
from mer_features.stages import magnify
from mer_features.stages.magnify import sequence
from mer_features.stages.magnify.temporal import Band
from mer_features.stages.options import Magnify


@dataclass(frozen=True)
class Written:
    """Number of frames written, and issues of the source."""

    frames: int
    issues: tuple[Issue, ...]


def magnify_video(
    source: Path, output: Path, options: Magnify, *, band: Band | None = None, fps: float | None = None
) -> Written:
    """Write a video whose motion is ``options.factor`` times that of the source.

    Parameters
    ----------
    source
        A video or a folder of numbered frames. The rotation recorded by the camera is applied; sound is dropped.
    output
        The video to write, atomically; see :func:`mer_features.frames.write.write` for the formats.
    options
        Method, factor and settings.
    band
        Temporal frequency band to magnify, in hertz. Without a lower limit, motion is measured against the first
        frame. Must be empty for ``learned``, which always compares with the first frame.
    fps
        Frame rate of a folder in frames per second; for a video, its own time stamps are used.

    Raises
    ------
    ValueError
        If the first frame of the source cannot be read, if source and output are the same file, if the frames have no
        time stamps and ``fps`` is not set, if the band does not fit the frame rate or the method, and for the reasons
        of :func:`mer_features.frames.write.write`.
    """
    if output.resolve() == source.resolve():
        raise ValueError(f"{output}: the output would overwrite the source")
    try:
        frames = open_frames(source)
        rate = fps or frames.fps
        timed = _with_times(track(frames, frames.count_hint, "magnify"), rate)
        count = write.write(output, _magnify(timed, options, band or Band()), rate)
    except ClipRejectedError as error:
        raise ValueError(f"{source}: {error}") from error
    return Written(count, frames.issues)


def _with_times(frames: Iterator[Frame], fps: float | None) -> Iterator[tuple[np.ndarray, float]]:
    for frame in frames:
        time_s = frame.time_s
        if not math.isfinite(time_s):
            if not fps:
                raise ValueError("Image folders carry no frame rate: add e.g. `--fps 200`")
            time_s = frame.number / fps
        yield frame.image, time_s


def _magnify(
    frames: Iterator[tuple[np.ndarray, float]], options: Magnify, band: Band
) -> Iterator[tuple[np.ndarray, float]]:
    """Magnified images, each with the time in seconds of its source frame."""
    if options.method == "learned":
        if band.low_hz or band.high_hz:
            raise ValueError("method learned compares each frame with the first; omit the band or use method phase")
        return _against_first(frames, options)
    return sequence.magnify(frames, options.factor, magnify.classical(options.method, options), band)


def _against_first(frames: Iterator[tuple[np.ndarray, float]], options: Magnify) -> Iterator[tuple[np.ndarray, float]]:
    first: np.ndarray | None = None
    for image, time_s in frames:
        first = image if first is None else first
        yield magnify.magnify(first, image, options.factor, options.method, options), time_s
