"""Signal files: one private HDF5 file per shard with one group per recording, to which rows are appended.

A file is written under a temporary name and renamed when it is whole, so a kill leaves none. Layout::

    /                              attributes: format, options (JSON), fingerprint, complete
    /recording_id                  (n,) str, in the order of the shard's table
    /recordings/<id>/              attributes: status, issues (JSON), fps, eye_px, rows
    /recordings/<id>/<name>        (rows, ...) for each array of Signals
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from mer_features.core import quality
from mer_features.core.files import HeldFile, atomic_file
from mer_features.core.quality import Issue, Status
from mer_features.stages.signals.series import COLUMNS, Signals
from mer_features.stages.store import open_complete, unstored

FORMAT = 1
#: Rows of a chunk of the datasets.
_CHUNK = 1024


class SignalWriter:
    """Writes one signal file; use as a context manager. The file appears only if the block ends without an error.

    Parameters
    ----------
    path : Path or str
    options : mapping
        Options of the stage, JSON values.
    fingerprint : str
        Of the code that measured.
    durable : bool
        See :func:`mer_features.core.files.atomic_path`.
    """

    def __init__(
        self, path: Path | str, options: Mapping[str, Any], fingerprint: str = "", *, durable: bool = True
    ) -> None:
        self._atomic = atomic_file(path, durable=durable)
        self._header = {"options": json.dumps(options, sort_keys=True), "fingerprint": fingerprint}
        self._ids: list[str] = []

    def __enter__(self) -> Self:
        self._target = self._atomic.__enter__()
        self._file = h5py.File(self._target, "w", track_order=True)
        return self

    @contextmanager
    def recording(self, recording_id: str) -> Iterator[RecordingSink]:
        """A sink for the rows of one recording. If the block fails, the recording is removed from the file.

        Set :attr:`RecordingSink.issues` before the block ends.
        """
        name = f"recordings/{recording_id}"
        sink = RecordingSink(self._file.create_group(name), self._target)
        try:
            yield sink
        except BaseException:
            del self._file[name]
            raise
        sink.finish()
        self._ids.append(recording_id)

    def reject(self, recording_id: str, issues: Sequence[Issue]) -> None:
        """Add a recording that could not be measured."""
        with self.recording(recording_id) as sink:
            sink.issues = tuple(issues)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.create_dataset("recording_id", data=self._ids, dtype=h5py.string_dtype())
            self._file.attrs.update(self._header | {"format": FORMAT, "complete": True})
        self._file.close()
        self._atomic.__exit__(kind, error, trace)


class RecordingSink:
    """Appends the rows of one recording to its group; holds none of them."""

    def __init__(self, group: h5py.Group, target: HeldFile) -> None:
        self._group, self._target = group, target
        self.issues: tuple[Issue, ...] = ()
        self._rows, self._fps, self._eye_px = 0, float("nan"), float("nan")
        for name, column in COLUMNS.items():
            group.create_dataset(
                name, (0, *column.shape), column.dtype, chunks=(_CHUNK, *column.shape), maxshape=(None, *column.shape),
                compression="gzip", compression_opts=1, shuffle=True,
            )  # fmt: skip

    def append(self, rows: Signals) -> None:
        """Add rows; raises ``OSError`` if the disk is full."""
        total = self._rows + len(rows.number)
        for name in COLUMNS:
            dataset = self._group[name]
            dataset.resize(total, axis=0)
            dataset[self._rows :] = getattr(rows, name)
        self._rows, self._fps, self._eye_px = total, rows.fps, rows.eye_px
        self._target.check()

    def finish(self) -> None:
        """Mark the recording as whole."""
        self._group.attrs.update(
            {
                "status": str(quality.status(self.issues)),
                "issues": quality.dumps(self.issues),
                "fps": self._fps,
                "eye_px": self._eye_px,
                "rows": self._rows,
            }
        )
        self._target.check()


class SignalReader:
    """Reads one signal file; use as a context manager.

    Raises
    ------
    ValueError
        When a file is opened that is not a complete signal file of this format.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __enter__(self) -> Self:
        self._file = open_complete(self.path, "signal file", FORMAT)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def options(self) -> dict[str, Any]:
        """The options with which the recordings were measured."""
        with self._naming("options"):
            options: dict[str, Any] = json.loads(self._file.attrs["options"])
            return options

    @property
    def recording_ids(self) -> list[str]:
        """Recordings in the order of the shard's table, with those that were rejected."""
        with self._naming("recording_id"):
            return list(self._file["recording_id"].asstr()[()])

    def status(self, recording_id: str) -> Status:
        """State of one recording."""
        with self._naming(recording_id):
            return Status(self._file["recordings"][recording_id].attrs["status"])

    def issues(self, recording_id: str) -> tuple[Issue, ...]:
        """Issues of one recording."""
        with self._naming(recording_id):
            return quality.loads(self._file["recordings"][recording_id].attrs["issues"])

    def read(self, recording_id: str) -> Signals:
        """All rows of one recording; a rejected recording has none."""
        with self._naming(recording_id):
            group = self._file["recordings"][recording_id]
            rows = int(group.attrs["rows"])
            arrays = {name: _column(group, name, rows) for name in COLUMNS}
            return Signals(**arrays, fps=float(group.attrs["fps"]), eye_px=float(group.attrs["eye_px"]))

    @contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        """Report every error that h5py raises for damaged content with the file and the part of it."""
        try:
            yield
        except (KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise ValueError(f"{self.path}: {what} cannot be read ({error}); delete the file and run again") from error


def read_signals(files: Sequence[Path]) -> tuple[dict[str, Signals], dict[str, tuple[Issue, ...]]]:
    """Signals of all usable recordings of some signal files, and the issues of the others.

    Raises
    ------
    ValueError
        If a file is not a complete signal file.
    """
    signals: dict[str, Signals] = {}
    rejected: dict[str, tuple[Issue, ...]] = {}
    for path in files:
        with SignalReader(path) as reader:
            for name in reader.recording_ids:
                if reader.status(name) is Status.REJECTED:
                    rejected[name] = reader.issues(name)
                else:
                    signals[name] = reader.read(name)
    return signals, rejected


def _column(group: h5py.Group, name: str, rows: int) -> np.ndarray:
    """One array of a recording; ``ValueError`` if it is not what :class:`RecordingSink` writes."""
    dataset, column = group[name], COLUMNS[name]
    found, expected = (dataset.shape, str(dataset.dtype)), ((rows, *column.shape), column.dtype)
    if found != expected:
        raise ValueError(f"{name}: found {found[1]} {found[0]}, expected {expected[1]} {expected[0]}")
    if dataset.external or (claim := unstored(dataset)):
        raise ValueError(f"{name}: {claim if not dataset.external else 'the data are in another file'}")
    values: np.ndarray = dataset[()]
    return values
