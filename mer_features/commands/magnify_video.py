"""Magnifies the motion of a whole video or frame folder, streaming: memory does not grow with its length."""

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
    """What was written, and what was found odd about the source."""

    frames: int
    issues: tuple[Issue, ...]


def magnify_video(
    source: Path, output: Path, options: Magnify, *, band: Band | None = None, fps: float | None = None
) -> Written:
    """Write a video whose motion is ``options.factor`` times that of the source.

    Parameters
    ----------
    source
        A video, or a folder of numbered frames. Rotation noted by the camera is applied; sound is left out.
    output
        The video to write, atomically; :func:`mer_features.frames.write.write` says which formats.
    options
        Method, factor and settings.
    band
        Temporal band that is magnified; without a lower corner motion is measured against the first frame. Not
        for ``learned``, which always compares with the first frame.
    fps
        Frames a second, for a folder; a video's own time stamps are used.

    Raises
    ------
    ValueError
        If the source cannot be read to its first frame, is the output, or has no times and ``fps`` is not given;
        for a band that does not fit the frame rate or the method; as :func:`mer_features.frames.write.write` does.
    """
    if output.resolve() == source.resolve():
        raise ValueError(f"{output}: the output would replace the source")
    try:
        frames = open_frames(source)
        rate = fps or frames.fps
        timed = _timed(track(frames, frames.count_hint, "magnify"), rate)
        count = write.write(output, _magnified(timed, options, band or Band()), rate)
    except ClipRejectedError as error:
        raise ValueError(f"{source}: {error}") from error
    return Written(count, frames.issues)


def _timed(frames: Iterator[Frame], fps: float | None) -> Iterator[tuple[np.ndarray, float]]:
    for frame in frames:
        time_s = frame.time_s
        if not math.isfinite(time_s):
            if not fps:
                raise ValueError("the frames have no times: say how many there are a second (--fps)")
            time_s = frame.number / fps
        yield frame.image, time_s


def _magnified(
    frames: Iterator[tuple[np.ndarray, float]], options: Magnify, band: Band
) -> Iterator[tuple[np.ndarray, float]]:
    """Magnified images with the times of the frames they come from."""
    if options.method == "learned":
        if band.low_hz or band.high_hz:
            raise ValueError("learned: it compares each frame with the first; leave out the band, or take phase")
        return _against_first(frames, options)
    return sequence.magnify(frames, options.factor, magnify.classical(options.method, options), band)


def _against_first(frames: Iterator[tuple[np.ndarray, float]], options: Magnify) -> Iterator[tuple[np.ndarray, float]]:
    first: np.ndarray | None = None
    for image, time_s in frames:
        first = image if first is None else first
        yield magnify.magnify(first, image, options.factor, options.method, options), time_s
