"""What an image folder and a video file have in common: frames with numbers and times, one at a time."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mer_features.core.quality import ClipRejectedError, Issue


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes
    ----------
    number : int
        The last digit group of the file name, or the zero-based presentation index in a video.
    time_s : float
        Presentation time in seconds; NaN for an image folder.
    image : ndarray, shape (H, W, C), uint8
        RGB for C = 3, grey for C = 1.
    """

    number: int
    time_s: float
    image: np.ndarray


class FrameSequence(ABC):
    """Frames in the order of their numbers; iterating decodes them one after the other, in constant memory.

    A sequence may be iterated more than once. What is known only at the end (``numbers`` and ``issues`` of a
    video, :meth:`sha256`) refers to the last complete iteration.
    """

    def __init__(self, source: Path, fps: float | None) -> None:
        self.source = source
        self.fps = fps  # frames a second; None for an image folder
        self.count_hint: int | None = None  # how many frames to expect, where that is known beforehand
        self.numbers: list[int] = []
        self.issues: tuple[Issue, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        """Decode the frames.

        Raises
        ------
        ClipRejectedError
            ``unreadable_frame``, ``frame_size_changed`` or ``no_frames``.
        """
        expected: tuple[int, ...] | None = None
        for name, frame in self._decode():
            expected = expected or frame.image.shape
            if frame.image.shape != expected:
                raise ClipRejectedError(
                    "frame_size_changed", f"{name} is {_size(frame.image.shape)}, expected {_size(expected)}"
                )
            yield frame
        if expected is None:
            raise ClipRejectedError("no_frames", str(self.source))

    @abstractmethod
    def nearest(self, number: int) -> Frame:
        """The frame with this number, or the one closest to it (the earlier of two)."""

    @abstractmethod
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes the frames come from."""

    @abstractmethod
    def _decode(self) -> Iterator[tuple[str, Frame]]:
        """Frames and what to call each in a message."""


def inside(number: int, first: int | None, last: int | None) -> bool:
    """Whether a frame number lies in first..last, both inclusive, ``None`` for no limit."""
    return (first is None or number >= first) and (last is None or number <= last)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} {'grey' if shape[2] == 1 else 'colour'}"


# A growing stack of images that does not outgrow memory.


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
        with self._file:  # the mapping keeps the file open for itself
            self._file.flush()
            return np.memmap(self._file, np.uint8, "r", shape=shape)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()  # of a buffer that was never stacked
