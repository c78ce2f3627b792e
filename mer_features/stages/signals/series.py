"""Signals of a recording: what is stored for each analysed frame, and what every spotter reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mer_features.stages.signals.regions import LIDS, REGIONS


@dataclass(frozen=True)
class Signals:
    """One row for each of the T analysed frames of a recording.

    Attributes
    ----------
    number : ndarray, shape (T,), int64
        Frame numbers of the recording, ascending. Frames that are missing in the source have a row, too, with NaN.
    time_s : ndarray, shape (T,), float64
        Seconds since the first frame.
    motion : ndarray, shape (T, 17, 2), float32
        Displacement (x to the right of the picture, y down) of each of
        :data:`~mer_features.stages.signals.regions.REGIONS` without the motion of the head, in distances between the
        centres of the eyes; relative to a key frame, so that only its changes within a segment have a meaning. NaN
        where it was not measured.
    lids : ndarray, shape (T, 2), float32
        Opening of the right and left lids (lower minus upper lid, vertical) relative to the key frame, in distances
        between the eyes: negative while an eye is closed. NaN as above.
    head : ndarray, shape (T, 4), float32
        Similarity from the first frame of the segment to this one: scale - 1, rotation in degrees, and the shift in x
        and y in distances between the eyes. NaN as above.
    residual : ndarray, shape (T,), float32
        Error of the registration of the head, in distances between the eyes; NaN where the face was not found.
    reliable : ndarray, shape (T,), bool
        Whether the head was registered well enough to use the row.
    segment : ndarray, shape (T,), int32
        A number that changes where the face was lost and found again. Signals of two segments are not comparable.
    brightness : ndarray, shape (T,), float32
        Mean grey level of the face, 0..255; NaN where no face was found.
    repeated : ndarray, shape (T,), bool
        Whether the frame is a copy of the one before, as in recordings that were encoded again.
    fps : float
        Analysed frames per second.
    eye_px : float
        Distance between the centres of the eyes, in pixels of the recording.
    """

    number: np.ndarray
    time_s: np.ndarray
    motion: np.ndarray
    lids: np.ndarray
    head: np.ndarray
    residual: np.ndarray
    reliable: np.ndarray
    segment: np.ndarray
    brightness: np.ndarray
    repeated: np.ndarray
    fps: float
    eye_px: float


@dataclass(frozen=True)
class Column:
    """One array of :class:`Signals`: the shape of a row, the dtype, and the value of a frame that was not measured."""

    shape: tuple[int, ...]
    dtype: str
    blank: float


_NAN = float("nan")
#: The arrays of :class:`Signals` by name.
COLUMNS: Mapping[str, Column] = {
    "number": Column((), "int64", 0),
    "time_s": Column((), "float64", _NAN),
    "motion": Column((len(REGIONS), 2), "float32", _NAN),
    "lids": Column((len(LIDS),), "float32", _NAN),
    "head": Column((4,), "float32", _NAN),
    "residual": Column((), "float32", _NAN),
    "reliable": Column((), "bool", False),
    "segment": Column((), "int32", 0),
    "brightness": Column((), "float32", _NAN),
    "repeated": Column((), "bool", False),
}


class Sink(Protocol):
    """Takes the rows of a recording, one chunk after the other."""

    def append(self, rows: Signals) -> None:
        """Add rows; ``eye_px`` is NaN as long as no face was found, and then constant."""


class MemorySink:
    """Keeps all rows in memory: 40 MB for an hour at 50 frames per second."""

    def __init__(self) -> None:
        self._chunks: list[Signals] = []

    def append(self, rows: Signals) -> None:
        """Add rows."""
        self._chunks.append(rows)

    def signals(self) -> Signals:
        """All rows; ``ValueError`` if there are none."""
        return concatenate(self._chunks)


class RowBuffer:
    """Collects single rows and appends them to a sink in chunks.

    Parameters
    ----------
    sink : Sink
    fps : float
        Rows per second.
    size : int
        Largest number of rows in a chunk.
    """

    def __init__(self, sink: Sink, fps: float, size: int) -> None:
        self._sink, self._fps, self._size = sink, fps, size
        self.eye_px = _NAN
        self._start()

    def _start(self) -> None:
        self._count = 0
        self._arrays = {
            name: np.full((self._size, *column.shape), column.blank, column.dtype) for name, column in COLUMNS.items()
        }

    def add(self, **values: Any) -> None:
        """Add one row; a column without a value has its blank."""
        for name, value in values.items():
            self._arrays[name][self._count] = value
        self._count += 1
        if self._count == self._size:
            self.flush()

    def flush(self) -> None:
        """Append what was collected."""
        if self._count:
            arrays = {name: array[: self._count] for name, array in self._arrays.items()}
            self._sink.append(Signals(**arrays, fps=self._fps, eye_px=self.eye_px))
            self._start()


def concatenate(parts: Iterable[Signals]) -> Signals:
    """Join consecutive rows; ``eye_px`` is that of the last part. ``ValueError`` without any part."""
    parts = list(parts)
    if not parts:
        raise ValueError("found no rows, expected those of at least one frame")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    return Signals(**arrays, fps=parts[-1].fps, eye_px=parts[-1].eye_px)
