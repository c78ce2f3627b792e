"""Reads the feature file of a set of recordings: its table, the signals of one recording, and all events and spots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mer_features.features.access import column, open_object
from mer_features.features.reader import Features
from mer_features.features.schema import RECORDING_GROUPS, CacheError
from mer_features.stages.signals.series import COLUMNS, Signals


@dataclass(frozen=True)
class RecordingRow:
    """One recording of a feature file; ``pandas.DataFrame(file.recordings)`` gives a table of all."""

    recording_id: str
    subject: str
    database: str
    first: int  # -1: not known
    last: int  # -1: not known
    fps: float  # NaN: not known
    minutes: float  # NaN: not known
    status: str  # ok, warned or rejected
    quality_text: str

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the issues, known to this package or not."""
        return tuple(item["code"] for item in json.loads(self.quality_text))


@dataclass(frozen=True)
class EventRow:
    """One annotated event (source ``annotated``) or one spot (source: name of the spotter)."""

    recording_id: str
    onset: int
    apex: int  # -1: not known
    offset: int
    start_s: float  # times since the first frame; NaN: not known
    apex_s: float
    end_s: float
    kind: str  # micro or macro
    emotion: str
    action_units: str
    source: str
    score: float  # NaN: annotated, or without a score


class RecordingFeatures(Features):
    """An open feature file of recordings; see :func:`open_recordings`. Safe in workers, as :class:`Features`."""

    @cached_property
    def recordings(self) -> tuple[RecordingRow, ...]:
        """All recordings, in the order of the rows, those that were rejected included."""
        with self._naming("the table of recordings"):
            return self._rows("", RecordingRow)

    @cached_property
    def events(self) -> tuple[EventRow, ...]:
        """All annotated events and all spots."""
        with self._naming("/events"):
            return self._rows("events/", EventRow)

    @property
    def spotters(self) -> tuple[str, ...]:
        """Names of the spotters that searched the recordings, whether or not they found anything."""
        return tuple(str(self.group_attrs("events")["spotters"]).split())

    def signals(self, recording_id: str) -> Signals:
        """Signals of one recording; those of a rejected recording have no rows.

        Raises
        ------
        KeyError
            If the recording is not in the file.
        CacheError
            If its part of the file is damaged.
        """
        if recording_id not in self._ranges:
            known = ", ".join(list(self._ranges)[:3])
            raise KeyError(f"{self.path}: no recording {recording_id!r}; the first are {known}")
        row, rows = self._ranges[recording_id]
        with self._naming(f"/signals of {recording_id}"):
            arrays = {name: self._part(name, rows) for name in COLUMNS}
            fps, eye_px = (float(self._signals(name)[row]) for name in ("fps", "eye_px"))
            return Signals(**arrays, fps=fps, eye_px=eye_px)

    @cached_property
    def _ranges(self) -> Mapping[str, tuple[int, slice]]:
        """Row and frames of each recording."""
        names = [item.recording_id for item in self.recordings]
        with self._naming("/signals"):
            sizes, copy = (column(self._signals(name)) for name in ("row_size", "recording_id"))
            total = len(self._signals("number"))
            if copy != names:
                raise ValueError("recording_id differs from that of the root")
            if sum(sizes) != total or min(sizes, default=0) < 0:
                raise ValueError(f"row_size adds up to {sum(sizes)} frames, found {total}")
        ends = np.cumsum(sizes).tolist()
        ranges = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        return dict(zip(names, enumerate(ranges), strict=True))

    def _signals(self, name: str) -> Any:
        return open_object(self._file, f"signals/{name}")

    def _part(self, name: str, rows: slice) -> np.ndarray:
        """One array of one recording, as it was measured."""
        expected = COLUMNS[name]
        stored: np.ndarray = self._signals(name)[rows]
        shape = (rows.stop - rows.start, *expected.shape)
        if stored.shape != shape:
            raise ValueError(f"{name} has the shape {stored.shape}, expected {shape}")
        if expected.dtype not in ("bool", stored.dtype.name):
            raise ValueError(f"{name} is {stored.dtype}, expected {expected.dtype}")
        return stored.astype(expected.dtype, copy=False)

    @contextmanager
    def _naming(self, part: str) -> Iterator[None]:
        """Report every error that h5py raises for damaged content with the file and the part of it."""
        try:
            yield
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, OSError) as error:
            reason = error.args[0] if error.args else error
            raise CacheError(f"{self.path}: {part} cannot be read ({reason})") from error


def open_recordings(path: Path | str) -> RecordingFeatures:
    """Open the feature file of a set of recordings; use it as a context manager or call ``close``.

    Raises
    ------
    CacheError
        If the file is not a complete feature file of a version that this package reads, or is one of clips.
    """
    file = RecordingFeatures(path)
    try:
        if not file.of_recordings:
            file.require(*RECORDING_GROUPS, purpose="reading recordings")
            raise CacheError(f"{path}: reading recordings needs a row per recording; the rows of this file are clips")
    except CacheError:
        file.close()
        raise
    return file
