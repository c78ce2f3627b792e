"""Size of an image from the head of its file, without decoding it.

A few hundred bytes can claim thousands of megapixels, so the claim is read before a decoder allocates for it.
"""

from __future__ import annotations

import struct

_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
# Start-of-frame markers: 0xC0..0xCF but for tables (C4), an extension (C8) and conditioning (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def pixel_count(data: bytes) -> int | None:
    """Width times height that a JPEG, PNG, BMP or TIFF file claims.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    int or None
        None for another format, a header that ends early, or a JPEG or PNG file without its end marker: some
        decoders fill what is missing with grey.
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
    # Markers cannot occur in the compressed data, but a thumbnail before it has an end marker of its own.
    if data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        return None
    place = 2
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width * height
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
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
        place = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(f"{order}HH", data, place)
        if tag in {_TIFF_WIDTH, _TIFF_HEIGHT}:
            sides[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, place + 8)[0]
    return sides[_TIFF_WIDTH] * sides[_TIFF_HEIGHT] if len(sides) == 2 else None
