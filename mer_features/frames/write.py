"""Writes a video frame by frame; each frame has its own time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from mer_features.core.files import atomic_path

#: Suffix -> container, codec, pixel format, options. H.264 with rate factor 12 has no visible loss.
_FORMATS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    ".mp4": ("mp4", "libx264", "yuv420p", {"crf": "12", "preset": "medium"}),
    ".mov": ("mov", "libx264", "yuv420p", {"crf": "12", "preset": "medium"}),
    ".mkv": ("matroska", "ffv1", "bgr0", {}),
}
_MOTION_JPEG = ("matroska", "mjpeg", "yuvj420p", {"qmin": "2", "qmax": "2"})
SUFFIXES = tuple(_FORMATS)

_TICKS = Fraction(1, 90_000)  # the clock of MPEG; no common frame rate needs a finer one
_BT601 = 5  # FFmpeg's number of the colour matrix that its converter uses by default


def write(
    path: Path | str,
    frames: Iterable[tuple[np.ndarray, float]],
    fps: float | None = None,
    *,
    motion_jpeg: bool = False,
) -> int:
    """Write a video, atomically; memory does not grow with its length.

    Parameters
    ----------
    path
        ``.mp4`` or ``.mov``: H.264, rate factor 12, which any player can show; ``.mkv``: FFV1, lossless RGB.
    frames
        Images (H, W, 3) RGB or (H, W, 1) grey, uint8, all of one shape, with their times in seconds, ascending; the
        first is shown at time 0. H.264 needs even sides: for an odd side the last row or column is repeated.
    fps
        Frame rate in the header (default 25); players use the times.
    motion_jpeg
        Write Motion JPEG, as many webcams do, into an ``.mkv`` file.

    Returns
    -------
    int
        Number of frames written.

    Raises
    ------
    ValueError
        For another suffix, without frames, or for Motion JPEG in another file than ``.mkv``.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: found suffix {path.suffix!r}, expected {', '.join(SUFFIXES)}")
    if motion_jpeg and path.suffix.lower() != ".mkv":
        raise ValueError(f"{path}: found suffix {path.suffix!r}, expected .mkv for Motion JPEG")
    container, codec, pixels, options = _MOTION_JPEG if motion_jpeg else _FORMATS[path.suffix.lower()]
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format=container, container_options={"fflags": "+bitexact"}) as out,
    ):
        stream: Any = None
        count, start_s = 0, 0.0
        for image, time_s in frames:
            picture = _picture(image, even=pixels != "bgr0")
            if stream is None:
                rate = Fraction(fps or 25).limit_denominator(1001)
                stream = out.add_stream(codec, rate=rate, options=options)
                _set_up(stream, picture, pixels)
                start_s = time_s
            picture.pts, picture.time_base = round((time_s - start_s) / _TICKS), _TICKS
            out.mux(stream.encode(picture.reformat(format=pixels)))
            count += 1
        if stream is None:
            raise ValueError(f"{path}: found no frames to write, expected at least one")
        out.mux(stream.encode(None))
    return count


def _set_up(stream: Any, picture: av.VideoFrame, pixels: str) -> None:
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, pixels
    context = stream.codec_context
    context.time_base = _TICKS
    context.thread_count = 1  # with more threads, the file depends on their number
    if pixels == "yuv420p":
        context.colorspace = _BT601  # without it, players assume another one for large pictures


def _picture(image: np.ndarray, *, even: bool) -> av.VideoFrame:
    if even:
        image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
    three = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    return av.VideoFrame.from_ndarray(three, format="rgb24")
