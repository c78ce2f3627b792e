"""Frames of a video file, with the time stamps stored in the file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.frames.image import MAX_PIXELS, as_frame
from mer_features.frames.sequence import Frame, FrameSequence, inside

#: Containers that store the video themselves. Playlists, which refer to other files, are not read.
_CONTAINERS = (
    "mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mxf", "dv", "nut", "ivf", "rm",
    "gif", "yuv4mpegpipe", "h264", "hevc", "m4v", "mjpeg",
)  # fmt: skip


class VideoFile(FrameSequence):
    """One video file; see :func:`mer_features.frames.open_frames`."""

    def __init__(self, path: Path, first: int | None, last: int | None) -> None:
        super().__init__(path, fps=None)
        self._first, self._last = first, last
        with self._open() as container:
            stream = self._pictures_of(container)
            if stream.width * stream.height > MAX_PIXELS:
                raise ClipRejectedError("unreadable_frame", f"{path.name}: {stream.width} x {stream.height} pixels")
            self.fps = float(stream.average_rate) if stream.average_rate else None
            whole = first is None and last is None
            self.count_hint = stream.frames if whole and stream.frames else None

    def nearest(self, number: int) -> Frame:
        """Decode from the start to the frame with this number, or to the last frame of a shorter video."""
        frame = None
        for _, frame in self._decode():
            if frame.number >= number:
                break
        if frame is None:
            raise ClipRejectedError("no_frames", str(self.source))
        return frame

    def sha256(self) -> str:
        """Digest of the whole file."""
        with self.source.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    def _open(self) -> av.container.InputContainer:
        # With `file:` a name like `concat:a|b` is not interpreted as a protocol.
        url, options = f"file:{self.source}", {"format_whitelist": ",".join(_CONTAINERS)}
        try:
            return av.open(url, metadata_errors="replace", options=options)
        except av.ArgumentError as error:  # FFmpeg's error for a container that is not on the list
            reason = f"not a video file of a supported container ({', '.join(_CONTAINERS)})"
            raise ClipRejectedError("no_frames", f"{self.source}: {reason}") from error
        except (av.FFmpegError, OSError) as error:
            raise ClipRejectedError("no_frames", f"{self.source}: {error.strerror}") from error

    def _pictures_of(self, container: av.container.InputContainer) -> av.VideoStream:
        """The first video stream that is not the cover picture of an audio file."""
        for stream in container.streams.video:
            cover = stream.disposition & av.stream.Disposition.attached_pic
            if not cover and stream.codec_context is not None:  # None: no decoder for this kind of video
                stream.codec_context.thread_count = 1  # one process per core runs already
                # The size of a frame may differ from that in the header of the container.
                stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
                return stream
        raise ClipRejectedError("no_frames", f"{self.source}: no video stream that can be decoded")

    def _decode(self, step: int = 1) -> Iterator[tuple[str, Frame]]:
        numbers: list[int] = []
        times: list[float] = []
        issues: list[Issue] = []
        with self._open() as container:
            stream = self._pictures_of(container)
            converter = _Converter()
            number, start_s, end_s = -1, None, None
            for number, picture in enumerate(_pictures(container, stream, issues)):
                start_s, end_s = picture.time if number == 0 else start_s, picture.time
                if self._last is not None and number > self._last:
                    break
                if inside(number, self._first, self._last):
                    time_s = float("nan") if picture.time is None else float(picture.time)
                    times.append(time_s)
                    if (number - (self._first or 0)) % step:
                        continue
                    numbers.append(number)
                    yield f"frame {number}", Frame(number, time_s, converter(picture, self.source.name))
            else:
                if not issues:
                    issues += _cut_short(container, stream, number + 1, (start_s, end_s))
            issues += _uneven(times, float(stream.time_base))
        self.numbers, self.issues = numbers, tuple(issues)


def _pictures(
    container: av.container.InputContainer, stream: av.VideoStream, issues: list[Issue]
) -> Iterator[av.VideoFrame]:
    """Decoded frames in presentation order, up to the first damaged packet, which is added to ``issues``.

    Frames after the damage are not used, nor are frames that the decoder has buffered for reordering. An unknown number
    of frames is lost, so their numbers would be wrong.
    """
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                issues.append(Issue("truncated_video", "a packet is damaged or truncated"))
                return
            yield from packet.decode()
    except av.FFmpegError as error:
        issues.append(Issue("truncated_video", f"a packet cannot be decoded: {error.strerror}"))


def _cut_short(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    decoded: int,
    span_s: tuple[float | None, float | None],
) -> list[Issue]:
    """An issue if frames are missing at the end, judged by the frame count in the header or else by the duration.

    The tolerance is one per cent and two frames, because durations are rounded and edit lists hide frames.
    """
    if stream.frames:
        short = decoded < 0.99 * stream.frames - 2
        return [Issue("truncated_video", f"{decoded} frames, the header promises {stream.frames}")] if short else []
    promised_s = None
    if stream.duration is not None:
        promised_s = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:  # else it may be that of the audio
        promised_s = container.duration / av.time_base
    start_s, end_s = span_s
    if promised_s is None or start_s is None or end_s is None or not stream.average_rate:
        return []
    if end_s - start_s >= 0.99 * promised_s - 2 / stream.average_rate:
        return []
    return [Issue("truncated_video", f"{end_s - start_s:.2f} s, the header promises {promised_s:.2f} s")]


def _uneven(times: Sequence[float], tick_s: float) -> list[Issue]:
    steps = np.diff(times)
    if len(steps) < 2 or not np.isfinite(steps).all():
        return []
    middle = float(np.median(steps))
    # Time stamps are rounded to ticks. A further deviation of a tenth of the step is not a rounding error.
    if np.abs(steps - middle).max() <= 0.1 * middle + 1.01 * tick_s:
        return []
    return [Issue("variable_frame_rate", f"{steps.min():.4f}..{steps.max():.4f} s between frames")]


class _Converter:
    """Converts decoded pictures to RGB or grey arrays; keeps the tables of the colour conversion between frames."""

    def __init__(self) -> None:
        self._reformatter = av.video.reformatter.VideoReformatter()

    def __call__(self, picture: av.VideoFrame, name: str) -> np.ndarray:
        kind = picture.format.name
        target = "rgb24"
        if kind.startswith("gray"):
            target = "gray" if kind in {"gray", "gray8"} else "gray16le"
        try:
            if kind != target:
                picture = self._reformatter.reformat(picture, format=target)
            image = as_frame(picture.to_ndarray(), name)
        except (av.FFmpegError, ValueError) as error:
            raise ClipRejectedError("unreadable_frame", f"{name}: pixel format {kind}: {error}") from error
        return np.ascontiguousarray(np.rot90(image, round(picture.rotation / 90)))
