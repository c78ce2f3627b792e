"""Published flow maps: pictures whose red, green and blue channels are horizontal flow, vertical flow and strain."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import cv2
import numpy as np

from mer_features.core.quality import ClipRejectedError
from mer_features.frames.image import MAX_BYTES, MAX_PIXELS, pixel_count

#: Channels of a map in their order.
CHANNELS = ("u", "v", "strain")

_PNG = b"\x89PNG\r\n\x1a\n"
_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
_RGB = 2
_ANIMATION = b"acTL"


def read(path: Path) -> tuple[np.ndarray, str]:
    """The map in a file.

    Returns
    -------
    maps : ndarray, shape (3, H, W), uint8
        Horizontal flow, vertical flow and strain, each 0..255 on a scale that was not published.
    digest : str
        SHA-256 of the bytes of the file.

    Raises
    ------
    ClipRejectedError
        ``bad_map`` if it is anything else than an 8-bit RGB PNG picture; nothing is converted.
    OSError
        If the file cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise _bad(path.name, f"{path.stat().st_size} bytes", f"at most {MAX_BYTES}")
    data = path.read_bytes()
    return _decode(data, path.name), hashlib.sha256(data).hexdigest()


def _decode(data: bytes, name: str) -> np.ndarray:
    if not data.startswith(_PNG):
        raise _bad(name, "another kind of file")
    pixels = pixel_count(data)
    if pixels is None or len(data) < 26:
        raise _bad(name, "an incomplete file")
    if not 0 < pixels <= MAX_PIXELS:
        raise _bad(name, f"{pixels} pixels", f"1 to {MAX_PIXELS}")
    depth, kind = struct.unpack_from("BB", data, 24)
    if (depth, kind) != (8, _RGB):
        raise _bad(name, f"{depth}-bit {_KINDS.get(kind, f'colour type {kind}')}")
    if _ANIMATION in data[: data.find(b"IDAT")]:  # the decoder would return its first frame, which may be another
        raise _bad(name, "an animation")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        picture = None
    if picture is None:
        raise _bad(name, "a damaged file")
    if picture.shape[2:] != (3,):  # a transparent colour in its header makes a fourth channel
        raise _bad(name, "a picture with transparency")
    return np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))


def _bad(name: str, found: str, expected: str = "an 8-bit RGB PNG picture") -> ClipRejectedError:
    return ClipRejectedError("bad_map", f"{name}: found {found}, expected {expected}")
