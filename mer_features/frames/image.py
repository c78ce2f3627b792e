"""Still images from the bytes of their files."""

from __future__ import annotations

import cv2
import numpy as np

from mer_features.frames.header import pixel_count
from mer_features.quality import ClipRejectedError

#: A larger image is not decoded: no camera writes it, and a few bytes can claim any size.
MAX_PIXELS = 64_000_000

#: A larger file is not read: 64 million pixels of four channels of 16 bits, uncompressed, and room for a header.
MAX_BYTES = 8 * MAX_PIXELS + (1 << 20)

_READ_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Image from the bytes of a JPEG, PNG, BMP or TIFF file.

    Returns
    -------
    ndarray, shape (H, W, 3) RGB or (H, W, 1) grey, uint8

    Raises
    ------
    ClipRejectedError
        ``unreadable_frame`` for damaged or cut-off data, more than 64 million pixels or other than 8 or 16 bits.
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
        raise ClipRejectedError("unreadable_frame", f"{name}: damaged or cut off")
    if image.ndim == 3:  # the flag that asks for RGB would turn grey images into colour as well
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)  # in place: new memory costs more than the swap
    return as_frame(image, name)


def as_frame(image: np.ndarray, name: str) -> np.ndarray:
    """Image (H, W) or (H, W, C) of 8 or 16 bits as (H, W, C) uint8; 65535 becomes 255."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ClipRejectedError("unreadable_frame", f"{name}: {image.dtype} pixels, expected 8 or 16 bits")
    return image.reshape(*image.shape[:2], -1)
