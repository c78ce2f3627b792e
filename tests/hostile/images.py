"""Clips of four frames of which one is broken: every way a picture can be wrong, in every format that is read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.hostile.cases import Case

SIDE = 48
SUFFIX = {"PNG": "png", "JPEG": "jpg", "BMP": "bmp", "TIFF": "tif"}
BROKEN = 3  # number of the frame that is spoiled
HTML = b"<!DOCTYPE html><html><body>Please log in to download this file.</body></html>"


def picture(size: tuple[int, int] = (SIDE, SIDE), seed: int = 0) -> np.ndarray:
    """A smooth picture (H, W, 3) uint8."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [128 + 100 * np.sin(x / (5 + c) + seed) * np.cos(y / (7 + c)) for c in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE), **options: object) -> bytes:
    """A picture as a file's bytes."""
    out = io.BytesIO()
    Image.fromarray(picture(size)).convert(mode).save(out, kind, **options)
    return out.getvalue()


def clip(kind: str, data: bytes | None) -> Callable[[Path], Path]:
    """Four frames, the third of them with these bytes."""

    def make(folder: Path) -> Path:
        for number in range(1, 5):
            good = encoded(kind)
            (folder / f"img{number}.{SUFFIX[kind]}").write_bytes(
                data if number == BROKEN and data is not None else good
            )
        return folder

    return make


def whole(kind: str, data: bytes) -> Callable[[Path], Path]:
    """Four frames that are all these bytes."""

    def make(folder: Path) -> Path:
        for number in range(1, 5):
            (folder / f"img{number}.{SUFFIX[kind]}").write_bytes(data)
        return folder

    return make


def claiming(kind: str, width: int, height: int) -> bytes:
    """A file of the format whose header claims this size; a few hundred bytes."""
    if kind == "PNG":
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 4096)), (b"IEND", b"")]
        chunks = [
            struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data)) for tag, data in parts
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    data = bytearray(encoded(kind))
    if kind == "JPEG":
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", height, width)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    else:
        _set_tags(data, {256: width, 257: height})
    return bytes(data)


def _set_tags(data: bytearray, values: dict[int, int]) -> None:
    """Overwrite entries of a little-endian TIFF's first directory, as 32-bit numbers."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for entry in range(count):
        place = directory + 2 + 12 * entry
        (tag,) = struct.unpack_from("<H", data, place)
        if tag in values:
            struct.pack_into("<HII", data, place + 2, 4, 1, values[tag])


def _tagged(values: dict[int, int]) -> bytes:
    data = bytearray(encoded("TIFF"))
    _set_tags(data, values)
    return bytes(data)


def _looping_tiff() -> bytes:
    """A TIFF whose only directory names itself as the next one."""
    data = bytearray(encoded("TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", data, directory + 2 + 12 * count, directory)
    return bytes(data)


def _spoiled(kind: str) -> bytes:
    """A file whose middle is overwritten; the length stays."""
    data = bytearray(encoded(kind))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff\xd8\x00\xaa" * 10
    return bytes(data)


def _sixteen(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture()[..., 0].astype(np.uint16) * 257).save(out, kind)
    return out.getvalue()


def _floating() -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture()[..., 0].astype(np.float32)).save(out, "TIFF")
    return out.getvalue()


def _instead(act: Callable[[Path], None], kind: str = "PNG") -> Callable[[Path], Path]:
    """Four frames, the third of them no ordinary file."""

    def make(folder: Path) -> Path:
        clip(kind, None)(folder)
        path = folder / f"img{BROKEN}.{SUFFIX[kind]}"
        path.unlink()
        act(path)
        return folder

    return make


def _sparse(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)  # a TB that takes no place


def _renamed(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        clip("PNG", None)(folder)
        (folder / "img4.png").rename(folder / name)
        return folder

    return make


def _added(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        clip("PNG", None)(folder)
        (folder / name).write_bytes(data)
        return folder

    return make


def _each_format() -> list[Case]:
    cases = []
    for kind in SUFFIX:
        good = encoded(kind)
        spoiled: dict[str, tuple[bytes, str, str]] = {
            "truncated": (good[: len(good) // 2], "rejected", "unreadable_frame"),
            "cut by one byte in ten": (good[: len(good) * 9 // 10], "rejected", "unreadable_frame"),
            "header only": (good[:24], "rejected", "unreadable_frame"),
            "zero bytes": (b"", "rejected", "unreadable_frame"),
            "only NUL bytes": (b"\0" * 4096, "rejected", "unreadable_frame"),
            "text": (b"frame three\n", "rejected", "unreadable_frame"),
            "html": (HTML, "rejected", "unreadable_frame"),
            "a gif": (encoded("GIF", "P"), "rejected", "unreadable_frame"),
            "a webp": (encoded("WEBP"), "rejected", "unreadable_frame"),
            "20000 x 20000 in the header": (claiming(kind, 20_000, 20_000), "rejected", "unreadable_frame"),
            "0 x 0 in the header": (claiming(kind, 0, 0), "rejected", "unreadable_frame"),
            "1 x 1 mid-clip": (encoded(kind, size=(1, 1)), "rejected", "frame_size_changed"),
            "another size mid-clip": (encoded(kind, size=(SIDE, SIDE + 2)), "rejected", "frame_size_changed"),
            "grey among colour": (encoded(kind, "L"), "rejected", "frame_size_changed"),
        }
        cases += [
            Case("image", f"{kind} {name}", clip(kind, data), state, code)
            for name, (data, state, code) in spoiled.items()
        ]
        cases.append(Case("image", f"{kind} all frames 1 x 1", whole(kind, encoded(kind, size=(1, 1))), "ok"))
    return cases


CASES: list[Case] = [
    *_each_format(),
    # Valid files that are unusual: they are read.
    Case("image", "JPEG CMYK", whole("JPEG", encoded("JPEG", "CMYK")), "ok"),
    Case("image", "TIFF CMYK", whole("TIFF", encoded("TIFF", "CMYK")), "ok"),
    Case("image", "PNG 16 bits", whole("PNG", _sixteen("PNG")), "ok"),
    Case("image", "TIFF 16 bits", whole("TIFF", _sixteen("TIFF")), "ok"),
    Case("image", "PNG alpha", whole("PNG", encoded("PNG", "RGBA")), "ok"),
    Case("image", "TIFF alpha", whole("TIFF", encoded("TIFF", "RGBA")), "ok"),
    Case("image", "BMP alpha", whole("BMP", encoded("BMP", "RGBA")), "ok"),
    Case("image", "PNG palette", whole("PNG", encoded("PNG", "P")), "ok"),
    Case("image", "PNG one bit", whole("PNG", encoded("PNG", "1")), "ok"),
    Case("image", "JPEG progressive", whole("JPEG", encoded("JPEG", progressive=True)), "ok"),
    Case("image", "JPEG named png", whole("PNG", encoded("JPEG")), "ok"),
    Case("image", "TIFF that names itself the next page", whole("TIFF", _looping_tiff()), "ok"),
    # Valid heads, wrong bodies.
    Case("image", "TIFF floating point", clip("TIFF", _floating()), "rejected", "unreadable_frame"),
    Case("image", "PNG overwritten middle", clip("PNG", _spoiled("PNG")), "rejected", "unreadable_frame"),
    Case("image", "TIFF 60000 channels", clip("TIFF", _tagged({277: 60_000})), "rejected", "unreadable_frame"),
    Case("image", "JPEG 65500 x 65500", clip("JPEG", claiming("JPEG", 65_500, 65_500)), "rejected", "unreadable_frame"),
    Case("image", "PNG 2 ** 31 - 1 wide", clip("PNG", claiming("PNG", 2**31 - 1, 1)), "rejected", "unreadable_frame"),
    Case("image", "BMP negative width", clip("BMP", claiming("BMP", -SIDE, SIDE)), "rejected", "unreadable_frame"),
    # No ordinary files.
    Case("image", "a folder named img3.png", _instead(Path.mkdir), "warned", "missing_frame"),
    Case("image", "a pipe named img3.png", _instead(os.mkfifo), "warned", "missing_frame"),
    Case("image", "a dangling link", _instead(lambda path: path.symlink_to("gone")), "warned", "missing_frame"),
    Case("image", "a link in a circle", _instead(lambda path: path.symlink_to(path.name)), "warned", "missing_frame"),
    Case("image", "a file of a TB", _instead(_sparse), "rejected", "unreadable_frame"),
    Case("image", "a frame is missing", _instead(str), "warned", "missing_frame"),
    # Names.
    Case("image", "frame number of 30 digits", _renamed(f"img{'9' * 30}.png"), "rejected", "unreadable_frame"),
    Case("image", "frame number of 200 digits", _renamed(f"img{'1' * 200}.png"), "rejected", "unreadable_frame"),
    Case("image", "one number twice", _added("other3.png", encoded("PNG")), "rejected", "duplicate_frame"),
    Case("image", "macOS and Windows litter", _added("._img5.png", b"\0\5\x16\7"), "ok"),
    Case("image", "name without digits", _added("thumb.png", b"x"), "ok"),
    Case("image", "Arabic digits in a name", _added("img٣.png", encoded("PNG")), "ok"),
    Case("image", "no frame at all", lambda folder: folder, "rejected", "no_frames"),
]  # fmt: skip
