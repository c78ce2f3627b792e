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
        self._images: list[np.ndarray] = []
        self._file: BinaryIO | None = None
        self._shape: tuple[int, ...] | None = None
        self._count = 0

    def append(self, image: np.ndarray) -> None:
        """Add an image, shape (H, W, C), uint8; all of one shape."""
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ValueError(f"image of shape {image.shape} in a buffer of {self._shape}")
        self._count += 1
        self._images.append(image)
        if self._file is None and self._count * image.nbytes > self._memory_bytes:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the buffer
        if self._file is not None:
            self._file.writelines(held.tobytes() for held in self._images)
            self._images.clear()

    def stack(self) -> np.ndarray:
        """All images, shape (T, H, W, C), uint8; backed by the temporary file if they outgrew memory."""
        if self._file is None or self._shape is None:
            return np.stack(self._images)
        self._file.flush()
        return np.memmap(self._file, np.uint8, "r", shape=(self._count, *self._shape))
