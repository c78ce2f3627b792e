"""Still images decoded from the bytes of their files.

A file of a few hundred bytes can claim to hold thousands of megapixels. :func:`decode_image` therefore reads the size
from the header (:func:`pixel_count`) before the decoder allocates memory for it.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from mer_features.core.quality import ClipRejectedError

#: Larger images are not decoded: no camera produces them, and a few bytes can claim any size.
MAX_PIXELS = 64_000_000
#: Larger files are not read: the limit is 64 million uncompressed pixels of four 16-bit channels, plus a header.
MAX_BYTES = 8 * MAX_PIXELS + (1 << 20)

_READ_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH

_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
# Start-of-frame markers: 0xC0..0xCF without tables (C4), an extension (C8) and conditioning (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Image from the bytes of a JPEG, PNG, BMP or TIFF file.

    Returns
    -------
    ndarray, shape (H, W, 3) RGB or (H, W, 1) grey, uint8

    Raises
    ------
    ClipRejectedError
        ``unreadable_frame`` for damaged or truncated data, more than 64 million pixels, or neither 8 nor 16 bits.
    """
    pixels = pixel_count(data)
    if pixels is None:
        raise ClipRejectedError("unreadable_frame", f"{name}: not a complete JPEG, PNG, BMP or TIFF image")
    if pixels > MAX_PIXELS:
        raise ClipRejectedError("unreadable_frame", f"{name}: {pixels} pixels, at most {MAX_PIXELS} are read")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _READ_FLAGS)
    except cv2.error as error:
        raise ClipRejectedError("unreadable_frame", f"{name}: {error}") from error
    if image is None:
        raise ClipRejectedError("unreadable_frame", f"{name}: damaged or truncated")
    if image.ndim == 3:  # the flag for RGB would convert grey images as well
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)  # in place: an allocation takes longer than the swap
    return as_frame(image, name)


def as_frame(image: np.ndarray, name: str) -> np.ndarray:
    """Convert an image (H, W) or (H, W, C) of 8 or 16 bits to (H, W, C) uint8; 65535 becomes 255."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ClipRejectedError("unreadable_frame", f"{name}: {image.dtype} pixels, expected 8 or 16 bits")
    return image.reshape(*image.shape[:2], -1)


def pixel_count(data: bytes) -> int | None:
    """Width times height in the header of a JPEG, PNG, BMP or TIFF file; nothing is decoded.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    int or None
        None for another format, an incomplete header, or a JPEG or PNG file without its end marker (some decoders
        fill the missing part with grey).
    """
    try:
        if data.startswith(_JPEG_START):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
            return width * height if b"IEND" in data[-64:] else None
        if data.startswith(b"BM"):
            return _bmp(data)
        if data[:4] in {b"II*\0", b"MM\0*"}:
            return _tiff(data)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg(data: bytes) -> int | None:
    # Markers cannot occur in the compressed data, but a thumbnail before it has its own end marker.
    if data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        return None
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width * height
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _bmp(data: bytes) -> int:
    header_bytes = struct.unpack_from("<I", data, 14)[0]
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    return abs(width * height)  # a negative height stores the top row first


def _tiff(data: bytes) -> int | None:
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, directory)
    sides: dict[int, int] = {}
    for entry in range(entries):
        position = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(f"{order}HH", data, position)
        if tag in {_TIFF_WIDTH, _TIFF_HEIGHT}:
            sides[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, position + 8)[0]
    return sides[_TIFF_WIDTH] * sides[_TIFF_HEIGHT] if len(sides) == 2 else None
