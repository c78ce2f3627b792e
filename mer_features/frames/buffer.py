"""A growing stack of images that does not outgrow memory."""

from __future__ import annotations

import tempfile
from typing import BinaryIO

import numpy as np


class FrameBuffer:
    """Collects images of one size and moves to an unnamed temporary file when they outgrow memory.

    Parameters
    ----------
    memory_bytes : int
        Images are kept in memory up to this many bytes.
    """

    def __init__(self, memory_bytes: int = 256 * 2**20) -> None:
        self._memory_bytes = memory_bytes
        self._held = bytearray()
        self._file: BinaryIO | None = None
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def append(self, image: np.ndarray) -> None:
        """Add an image, shape (H, W, C), uint8; all of one shape, and none after :meth:`stack`."""
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ValueError(f"image of shape {image.shape} in a buffer of {self._shape}")
        self._count += 1
        if self._file is None and len(self._held) + image.nbytes > self._memory_bytes:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the buffer
            self._file.write(self._held)
            self._held = bytearray()
        if self._file is None:
            self._held += np.ascontiguousarray(image).data
        else:
            self._file.write(np.ascontiguousarray(image).data)

    def stack(self) -> np.ndarray:
        """All images, shape (T, H, W, C), uint8; backed by the temporary file if they outgrew memory."""
        shape = (self._count, *self._shape)
        if self._file is None:
            return np.frombuffer(self._held, np.uint8).reshape(shape)
        self._file.flush()
        return np.memmap(self._file, np.uint8, "r", shape=shape)
