"""Pictures of flow maps: 8-bit RGB PNG files are read byte by byte, and anything else is refused and named."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer_features.core.quality import ClipRejectedError
from mer_features.frames import flow_map

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (28, 28, 3), dtype=np.uint8)


def _read(folder: Path, data: bytes) -> np.ndarray:
    path = folder / "x.png"
    path.write_bytes(data)
    maps, digest = flow_map.read(path)
    assert digest == hashlib.sha256(data).hexdigest()
    return maps


def _interlaced() -> bytes:
    """PNG's Adam7 order, in which the first pass holds every eighth pixel of every eighth row."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [PIXELS[y::down, x::right] for y, x, down, right in passes]
    return b"".join(b"\0" + row.tobytes() for part in parts for row in part)


def test_bytes_are_read_as_they_are(sample: ModuleType, tmp_path: Path):
    maps = _read(tmp_path, sample.png(PIXELS))
    assert (maps.shape, maps.dtype, maps.flags.c_contiguous) == ((3, 28, 28), np.uint8, True)
    np.testing.assert_array_equal(maps, PIXELS.transpose(2, 0, 1))


def test_other_writers_of_the_same_pixels(sample: ModuleType, tmp_path: Path):
    """OpenCV's own files, an interlaced one, and one whose remarks on brightness must not change a value."""
    header = sample.chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 2, 0, 0, 1))
    packed = sample.chunk(b"IDAT", zlib.compress(_interlaced()))
    for data in (
        cv2.imencode(".png", PIXELS[..., ::-1])[1].tobytes(),
        sample.png_file(header, packed, sample.chunk(b"IEND")),
        sample.png(PIXELS, sample.chunk(b"gAMA", struct.pack(">I", 45455)), sample.chunk(b"sRGB", b"\0")),
        sample.png(PIXELS, sample.chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0)), sample.chunk(b"tEXt", b"a\0acIDA")),
    ):
        np.testing.assert_array_equal(_read(tmp_path, data), PIXELS.transpose(2, 0, 1))


def test_the_name_of_the_file_does_not_matter(sample: ModuleType, tmp_path: Path):
    path = tmp_path / "006_006_1_2 .jpg"
    path.write_bytes(sample.png(PIXELS))
    np.testing.assert_array_equal(flow_map.read(path)[0], PIXELS.transpose(2, 0, 1))


def _bad(sample: ModuleType) -> dict[str, tuple[bytes, str]]:
    good = sample.png(PIXELS)
    grey = PIXELS[..., :1]
    frame = struct.pack(">IIIIIHHBB", 0, 28, 28, 0, 0, 1, 10, 0, 0)
    other = zlib.compress(b"".join(b"\0" + bytes(84) for _ in range(28)))
    flipped = bytearray(good)
    flipped[500] ^= 1
    half = zlib.compress(b"".join(b"\0" + row.tobytes() for row in PIXELS[:14]))
    header = sample.chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 2, 0, 0, 0))
    huge = sample.chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    return {
        "16 bits": (sample.png(PIXELS.astype(">u2"), depth=16), "16-bit RGB"),
        "grey": (sample.png(grey, colour=0), "8-bit grey"),
        "grey, 16 bits": (sample.png(grey.astype(">u2"), depth=16, colour=0), "16-bit grey"),
        "palette": (sample.png(grey % 2, sample.chunk(b"PLTE", bytes(6)), colour=3), "8-bit palette"),
        "grey with alpha": (sample.png(PIXELS[..., :2], colour=4), "8-bit grey with alpha"),
        "RGB with alpha": (sample.png(np.dstack([PIXELS, grey]), colour=6), "8-bit RGB with alpha"),
        "unknown colours": (sample.png(PIXELS, colour=5), "8-bit colour type 5"),
        "transparent colour": (sample.png(PIXELS, sample.chunk(b"tRNS", bytes(6))), "a picture with transparency"),
        "animation": (
            sample.png_file(
                header,
                sample.chunk(b"acTL", struct.pack(">II", 1, 0)),
                good[33:-12],  # the pixels, which belong to no frame of the animation
                sample.chunk(b"fcTL", frame),
                sample.chunk(b"fdAT", struct.pack(">I", 1) + other),
                sample.chunk(b"IEND"),
            ),
            "an animation",
        ),
        "cut off": (good[: len(good) // 2], "an incomplete file"),
        "cut off in the last chunk": (good[:-3], "a damaged file"),
        "header alone": (good[:20], "an incomplete file"),
        "half of the rows": (
            sample.png_file(header, sample.chunk(b"IDAT", half), sample.chunk(b"IEND")),
            "a damaged file",
        ),
        "no pixels": (sample.png_file(header, sample.chunk(b"IEND")), "a damaged file"),
        "a wrong bit": (bytes(flipped), "a damaged file"),
        "JPEG": (cv2.imencode(".jpg", PIXELS)[1].tobytes(), "another kind of file"),
        "BMP": (cv2.imencode(".bmp", PIXELS)[1].tobytes(), "another kind of file"),
        "text": (b"<html>not found</html>", "another kind of file"),
        "empty": (b"", "another kind of file"),
        "size 0": (sample.png(PIXELS[:, :0]), "0 pixels"),
        "huge": (
            sample.png_file(huge, sample.chunk(b"IDAT"), sample.chunk(b"IEND")),
            "10000000000 pixels",
        ),
    }


def test_each_other_file_is_refused_with_what_it_is(sample: ModuleType, tmp_path: Path):
    for name, (data, found) in _bad(sample).items():
        with pytest.raises(ClipRejectedError) as caught:
            _read(tmp_path, data)
        issue = caught.value.issue
        expected = "1 to 64000000" if "pixels" in found else "an 8-bit RGB PNG picture"
        assert (issue.code, issue.detail) == ("bad_map", f"x.png: found {found}, expected {expected}"), name


def test_a_file_of_gigabytes_is_not_read(sample: ModuleType, tmp_path: Path):
    path = tmp_path / "x.png"
    path.write_bytes(sample.png(PIXELS))
    with path.open("r+b") as handle:
        handle.truncate(2**40)  # a hole, which takes no space
    with pytest.raises(ClipRejectedError, match=f"found {2**40} bytes, expected at most 513048576"):
        flow_map.read(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), value=st.integers(1, 255), cut=st.booleans())
def test_damage_never_changes_a_value(sample: ModuleType, tmp_path: Path, place: int, value: int, cut: bool):
    """A wrong byte or a missing end gives the true maps or an error, and never other maps."""
    data = bytearray(sample.png(PIXELS))
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] ^= value
    with contextlib.suppress(ClipRejectedError):
        np.testing.assert_array_equal(_read(tmp_path, bytes(data)), PIXELS.transpose(2, 0, 1))


def test_what_is_not_there_is_the_business_of_the_caller(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        flow_map.read(tmp_path / "x.png")
