"""Stage files: one HDF5 file per stage and shard with one group per clip.

A file is written under a temporary name and then renamed. The layout is private to the workflow (the public result is
the feature file)::

    /                       attributes: format, stage, options (JSON), fingerprint, complete
    /clip_id                (n,) str, in the order of the shard's table
    /clips/<clip_id>/       attributes: status, issues (JSON), further scalars
    /clips/<clip_id>/<name> arrays
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import hdf5plugin  # noqa: F401  # registers lz4, with which older stage files are compressed
import numpy as np

from mer_features.core import quality
from mer_features.core.files import atomic_file
from mer_features.core.quality import Issue, Status

FORMAT = 1


#: Largest plausible compression ratio: the limit of deflate, the highest of all common filters.
_MAX_RATIO = 1100
#: Datasets up to this size in bytes are always accepted.
_SMALL_BYTES = 1 << 20


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, whether or not its file system supports locks.

    All readers of a file in one process must use the same locking setting. The default is tried first, because other
    readers use it. If it fails, because the file system refuses locks (read-only or network) or because another reader
    does not use them, the file is opened without locking. Files appear by a rename and are never changed afterwards, so
    locks are not needed.

    Raises
    ------
    OSError
        If the file is not an HDF5 file or is damaged.
    """
    try:
        return h5py.File(path, "r")
    except OSError:
        return h5py.File(path, "r", locking=False)


def open_complete(path: Path, what: str, form: int) -> h5py.File:
    """Open a file of the workflow; ``ValueError`` if it is not a complete one of this format."""
    try:
        file = open_hdf5(path)
    except OSError as error:
        raise ValueError(f"{path}: not a readable {what} ({error}); delete it and run again") from error
    version, complete = file.attrs.get("format"), file.attrs.get("complete", False)
    if np.ndim(version) or version != form or not complete:
        file.close()
        raise ValueError(
            f"{path}: not a complete {what} of format {form} (found format {version}, "
            f"{'complete' if complete else 'incomplete'}); delete it and run again"
        )
    return file


def unstored(dataset: h5py.Dataset) -> str:
    """A message if a dataset claims far more bytes than are stored (reading it would waste memory); otherwise empty."""
    stored = dataset.id.get_storage_size()
    if dataset.is_virtual or dataset.nbytes <= max(_SMALL_BYTES, _MAX_RATIO * stored):
        return ""
    return f"claims {dataset.nbytes} bytes, of which only {stored} are stored"


class StageFailedError(RuntimeError):
    """All of a shard failed inside the stage's own code: a defect or a full disk, not bad input."""


@dataclass
class ClipRecord:
    """Result of one stage for one clip.

    ``arrays`` holds numeric data of any shape, ``attrs`` scalars and short texts. A rejected clip has only issues.
    """

    clip_id: str
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()

    @property
    def status(self) -> Status:
        """State of the clip after this stage."""
        return quality.status(self.issues)

    def __contains__(self, name: str) -> bool:
        """Whether the record has an array of this name."""
        return name in self.arrays

    def __getitem__(self, name: str) -> np.ndarray:
        """One array, as in :class:`ClipView`."""
        return self.arrays[name]


class ShardWriter:
    """Writes one stage file; use as a context manager. The file appears only if the block ends without an error.

    For ``durable`` see :func:`mer_features.core.files.atomic_path`.
    """

    def __init__(
        self,
        path: Path | str,
        stage: str,
        options: Mapping[str, Any],
        fingerprint: str = "",
        *,
        durable: bool = True,
    ) -> None:
        self._atomic = atomic_file(path, durable=durable)
        self._header = {
            "stage": stage,
            "options": json.dumps(options, sort_keys=True),
            "fingerprint": fingerprint,
        }
        self._ids: list[str] = []

    def __enter__(self) -> Self:
        self._target = self._atomic.__enter__()
        self._file = h5py.File(self._target, "w", track_order=True)
        return self

    def add(self, record: ClipRecord) -> None:
        """Append one clip; raises ``OSError`` if the disk is full."""
        group = self._file.create_group(f"clips/{record.clip_id}")
        group.attrs["status"] = str(record.status)
        group.attrs["issues"] = quality.dumps(record.issues)
        for name, value in record.attrs.items():
            group.attrs[name] = value
        # Not compressed: on crops with camera noise, lz4 saves one sixth of the space and takes one fourteenth of the
        # total computing time of a clip.
        for name, array in record.arrays.items():
            group.create_dataset(name, data=np.asarray(array))
        self._target.check()
        self._ids.append(record.clip_id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._file.create_dataset("clip_id", data=self._ids, dtype=h5py.string_dtype())
            self._file.attrs.update(self._header | {"format": FORMAT, "complete": True})
        self._file.close()
        self._atomic.__exit__(kind, error, trace)


class ClipView:
    """A clip's record whose arrays remain on disk: ``view["crops"]`` can be sliced or iterated frame by frame."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self.status = Status(group.attrs["status"])

    # Read on first use: HDF5 takes longer to read an attribute than a frame, and most readers need few attributes.
    @cached_property
    def issues(self) -> tuple[Issue, ...]:
        """Issues that the stage reported for the clip."""
        return quality.loads(self._group.attrs["issues"])

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """Scalars and short texts of the record."""
        return {name: value for name, value in self._group.attrs.items() if name not in {"status", "issues"}}

    def __contains__(self, name: str) -> bool:
        """Whether the record has an array of this name."""
        return name in self._group

    def __getitem__(self, name: str) -> Any:
        """An array-like that decodes only what is indexed (an h5py dataset)."""
        return _array(self._group, name)


def _array(group: h5py.Group, name: str) -> h5py.Dataset:
    """An array of a clip; raises ``ValueError`` if its data are not in the file itself."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a {type(link).__name__}; a stage file must not contain such links")
    item = group[name]
    if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
        raise ValueError(f"the data of {name} are in another file; a stage file must contain all its data")
    return item


class ShardReader:
    """Reads one stage file; use as a context manager.

    Raises
    ------
    ValueError
        When a file is opened that is not a complete stage file of this format.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __enter__(self) -> Self:
        self._file = open_complete(self.path, "stage file", FORMAT)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def options(self) -> dict[str, Any]:
        """The options with which the stage ran."""
        with self._naming("options"):
            options = json.loads(self._file.attrs["options"])
            if not isinstance(options, dict):
                raise TypeError(f"found a {type(options).__name__}, expected a mapping")
            return options

    @property
    def clip_ids(self) -> list[str]:
        """Clips in the order of the shard's table."""
        with self._naming("clip_id"):
            dataset = self._file["clip_id"]
            if claim := unstored(dataset):
                raise ValueError(claim)
            if dataset.ndim != 1:
                raise ValueError(f"found shape {dataset.shape}, expected one text per clip")
            return list(dataset.asstr()[()])

    def status(self, clip_id: str) -> Status:
        """State of one clip."""
        with self._naming(clip_id):
            return Status(self._file["clips"][clip_id].attrs["status"])

    def read(self, clip_id: str, names: Sequence[str] | None = None) -> ClipRecord:
        """One clip's record, with all its arrays or only those in ``names``."""
        with self._naming(clip_id):
            group = self._group(clip_id)
            view = ClipView(group)
            selected = list(group) if names is None else [name for name in names if name in group]
            return ClipRecord(clip_id, {name: view[name][()] for name in selected}, view.attrs, view.issues)

    def view(self, clip_id: str) -> ClipView:
        """One clip's record without loading its arrays; valid as long as the file is open."""
        with self._naming(clip_id):
            return ClipView(self._group(clip_id))

    def copy(self, clip_ids: Sequence[str], target: h5py.File) -> None:
        """Write these clips in this order to an empty file, which becomes a complete stage file."""
        for clip_id in clip_ids:
            parent, _, name = f"clips/{clip_id}".rpartition("/")
            group = self._group(clip_id)
            for array in group:
                _array(group, array)
            self._file.copy(group, target.require_group(parent), name)
        target.create_dataset("clip_id", data=list(clip_ids), dtype=h5py.string_dtype())
        target.attrs.update(dict(self._file.attrs))

    def _group(self, clip_id: str) -> h5py.Group:
        link = self._file["clips"].get(clip_id, getlink=True)
        if link is not None and not isinstance(link, h5py.HardLink):
            raise ValueError(f"found a {type(link).__name__}; a stage file must not contain such links")
        return self._file["clips"][clip_id]

    @contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        """Report every error that h5py raises for damaged content with the file and the part of it."""
        try:
            yield
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{self.path}: {what} cannot be read ({error}); delete the file and run again") from error


def drop(path: Path, clip_ids: Collection[str]) -> int:
    """Remove clips from a stage file. The file is rewritten without them, because HDF5 does not free space.

    Returns
    -------
    int
        Number of clips removed. If it is 0 the file is not changed; if no clip is left the file is deleted.

    Raises
    ------
    ValueError
        If the file is not a complete stage file of this format.
    """
    with ShardReader(path) as reader:
        listed = reader.clip_ids
        remaining = [name for name in listed if name not in clip_ids]
        if not remaining:
            path.unlink()
        elif len(remaining) < len(listed):
            with atomic_file(path) as file, h5py.File(file, "w", track_order=True) as target:
                reader.copy(remaining, target)
    return len(listed) - len(remaining)
