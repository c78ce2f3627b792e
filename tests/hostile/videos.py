"""Videos that are cut, lie in their header, or are something else."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.hostile.cases import Case, written
from tests.hostile.images import HTML, encoded, picture


def video(
    path: Path, count: int = 30, times_ms: list[int] | None = None, codec: str = "libx264", pixels: str = "yuv420p"
) -> Path:
    """A small video of `count` frames at 25 frames a second, or at these times."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture((48, 64), number), format="rgb24")
            if times_ms:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _spoiled(spoil: Callable[[bytes], bytes], name: str = "v.mp4") -> Callable[[Path], Path]:
    """A sound video whose bytes are changed."""

    def make(folder: Path) -> Path:
        path = video(folder / name, codec="mpeg4" if name.endswith("avi") else "libx264")
        path.write_bytes(spoil(path.read_bytes()))
        return path

    return make


def _duration(data: bytes, ticks: int) -> bytes:
    """Durations of the file, the track and the medium set to this."""
    out = bytearray(data)
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        struct.pack_into(">I", out, out.index(box) + offset, ticks)
    return bytes(out)


def _samples(data: bytes, count: int) -> bytes:
    """The number of samples that the table of times claims."""
    out = bytearray(data)
    struct.pack_into(">I", out, out.index(b"stts") + 12, count)
    return bytes(out)


def _size(data: bytes, width: int, height: int) -> bytes:
    """The picture size that the sample description claims; the pictures know better."""
    out = bytearray(data)
    struct.pack_into(">HH", out, out.index(b"avc1", out.index(b"stsd")) + 28, width, height)
    return bytes(out)


def _bomb(number: int) -> Callable[[Path], Path]:
    """A video of JPEG pictures, of which those from this number on claim 20000 x 20000."""

    def make(folder: Path) -> Path:
        path = video(folder / "v.avi", codec="mjpeg", pixels="yuvj420p")
        data = bytearray(path.read_bytes())
        places = [found.start() for found in re.finditer(b"\xff\xc0", data)]
        for place in places[number:]:
            struct.pack_into(">HH", data, place + 5, 20_000, 20_000)
        path.write_bytes(data)
        return path

    return make


def _turned(data: bytes) -> bytes:
    """Rotated by a quarter in the track's display matrix."""
    out = bytearray(data)
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    place = out.index(b"tkhd") + 44
    out[place : place + 36] = matrix
    return bytes(out)


def _overwritten(data: bytes) -> bytes:
    out = bytearray(data)
    start = out.index(b"mdat") + 4
    middle = start + int.from_bytes(out[start - 8 : start - 4], "big") // 2
    out[middle : middle + 400] = b"\xa5" * 400
    return bytes(out)


def _sound(folder: Path) -> Path:
    path = folder / "v.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _headless(folder: Path) -> Path:
    """A video whose header is there and whose frames are not."""
    path = video(folder / "v.avi", codec="mpeg4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])
    return path


def _uneven(folder: Path) -> Path:
    times_ms = [0, 40, 80, 300, 340, 700, 740, 780, 1200, 1240, 1280, 1320]
    return video(folder / "v.mp4", len(times_ms), times_ms)


def _playlist(text: str, name: str) -> Callable[[Path], Path]:
    """A text that FFmpeg would take for a list of other files to open."""

    def make(folder: Path) -> Path:
        (folder / "in").mkdir()
        video(folder / "outside.mp4")
        path = folder / "in" / name
        path.write_text(text.format(outside=folder / "outside.mp4"))
        return path

    return make


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{outside}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile ../outside.mp4\n"

CASES: list[Case] = [
    Case("video", "zero bytes", written("v.mp4", b""), "rejected", "no_frames"),
    Case("video", "text", written("v.mp4", b"video one\n"), "rejected", "no_frames"),
    Case("video", "html", written("v.avi", HTML), "rejected", "no_frames"),
    Case("video", "only NUL bytes", written("v.mp4", b"\0" * 10_000), "rejected", "no_frames"),
    Case("video", "a still picture", written("v.mp4", encoded("PNG")), "rejected", "no_frames"),
    Case("video", "index cut off", _spoiled(lambda data: data[: len(data) // 2]), "rejected", "no_frames"),
    Case("video", "mkv cut off", _spoiled(lambda d: d[: len(d) * 4 // 5], "v.mkv"), "warned", "truncated_video"),
    Case("video", "avi cut off", _spoiled(lambda d: d[: len(d) * 4 // 5], "v.avi"), "warned", "truncated_video"),
    Case("video", "damaged in the middle", _spoiled(_overwritten), "warned", "truncated_video"),
    Case("video", "header without frames", _headless, "rejected", "no_frames"),
    Case("video", "sound only", _sound, "rejected", "no_frames"),
    Case("video", "variable frame rate", _uneven, "warned", "variable_frame_rate"),
    Case("video", "rotated", _spoiled(_turned), "ok"),
    Case("video", "duration of 49 days in the header", _spoiled(lambda d: _duration(d, 0xFFFFFFFE)), "ok"),
    Case("video", "a billion frames in the header", _spoiled(lambda d: _samples(d, 10**9)), "warned", "truncated_video"),
    Case("video", "60000 x 60000 in the container only", _spoiled(lambda d: _size(d, 60_000, 60_000)), "ok"),
    Case("video", "pictures of 20000 x 20000", _bomb(0), "rejected", "no_frames"),
    Case("video", "pictures of 20000 x 20000 after the tenth", _bomb(10), "warned", "truncated_video"),
    Case("video", "one frame", lambda folder: video(folder / "v.mp4", 1), "rejected", "few_frames"),
    Case("video", "a playlist of files elsewhere", _playlist(HLS, "v.mp4"), "rejected", "no_frames"),
    Case("video", "a playlist named so", _playlist(HLS, "v.m3u8"), "rejected", "no_frames"),
    Case("video", "a list of files to join", _playlist(CONCAT, "v.mp4"), "rejected", "no_frames"),
    Case("video", "percent signs in the name", lambda folder: video(folder / "img%03d.mp4"), "ok"),
    Case("video", "a colon in the name", lambda folder: video(folder / "concat:a|b.mp4"), "ok"),
]  # fmt: skip
