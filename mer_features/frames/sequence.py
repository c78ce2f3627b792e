"""Frames with their numbers and times, read one at a time, and a buffer for them.

:class:`FrameSequence` is the common base of image folders and video files and yields :class:`Frame` objects.
:class:`FrameBuffer` collects the images of a long clip without filling memory.
"""

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
    """Frames in the order of their numbers; an iteration decodes them one by one, in constant memory.

    A sequence can be iterated more than once. What is only known at the end (``numbers`` and ``issues`` of a video, and
    :meth:`sha256`) describes the last complete iteration.
    """

    def __init__(self, source: Path, fps: float | None) -> None:
        self.source = source
        self.fps = fps  # frames per second; None for an image folder
        self.count_hint: int | None = None  # expected number of frames, if known before decoding
        self.numbers: list[int] = []
        self.issues: tuple[Issue, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        """Decode the frames.

        Raises
        ------
        ClipRejectedError
            ``unreadable_frame``, ``frame_size_changed`` or ``no_frames``.
        """
        return self.every(1)

    def every(self, step: int) -> Iterator[Frame]:
        """Decode only frames whose number differs from the first one by a multiple of ``step``, at least 1.

        The files of the frames in between are not read, and those of a video are not converted to pixels. Errors are
        those of :meth:`__iter__`.
        """
        expected: tuple[int, ...] | None = None
        for name, frame in self._decode(step):
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
        """The frame with this number, or with the closest one (the lower of two)."""

    @abstractmethod
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes that the frames were decoded from."""

    @abstractmethod
    def _decode(self, step: int = 1) -> Iterator[tuple[str, Frame]]:
        """Frames of :meth:`every`, each with its name for messages."""


def inside(number: int, first: int | None, last: int | None) -> bool:
    """Whether a frame number is in the range first..last, both inclusive; ``None`` means no limit."""
    return (first is None or number >= first) and (last is None or number <= last)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} {'grey' if shape[2] == 1 else 'colour'}"


class FrameBuffer:
    """Collects images of one shape in memory, and in an unnamed temporary file once they exceed a limit.

    Parameters
    ----------
    memory_bytes : int
        Limit for the images in memory, in bytes.
    """

    def __init__(self, memory_bytes: int = 256 * 2**20) -> None:
        self._memory_bytes = memory_bytes
        self._data = bytearray()
        self._file: BinaryIO | None = None
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def append(self, image: np.ndarray) -> None:
        """Add an image, shape (H, W, C), uint8. All must have the same shape; add none after :meth:`stack`."""
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ValueError(f"image of shape {image.shape} in a buffer of {self._shape}")
        self._count += 1
        if self._file is None and len(self._data) + image.nbytes > self._memory_bytes:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the buffer
            self._file.write(self._data)
            self._data = bytearray()
        if self._file is None:
            self._data += np.ascontiguousarray(image).data
        else:
            self._file.write(np.ascontiguousarray(image).data)

    def stack(self) -> np.ndarray:
        """All images, shape (T, H, W, C), uint8; a memory map of the temporary file if there is one."""
        shape = (self._count, *self._shape)
        if self._file is None:
            return np.frombuffer(self._data, np.uint8).reshape(shape)
        with self._file:  # the mapping keeps the file open for itself
            self._file.flush()
            return np.memmap(self._file, np.uint8, "r", shape=shape)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()  # of a buffer that was never stacked
