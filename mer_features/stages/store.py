"""Stage files: one HDF5 file per stage and shard, a group per clip, written beside its place and renamed.

Layout (private to the workflow; the public product is the cache)::

    /                       attributes: format, stage, options (JSON), fingerprint, complete
    /clip_id                (n,) str, the order of the shard's table
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
import hdf5plugin  # noqa: F401  # registers lz4, with which stage files were packed once
import numpy as np

from mer_features.core import quality
from mer_features.core.files import atomic_file
from mer_features.core.quality import Issue, Status

FORMAT = 1


#: How much smaller data can become on disk: the limit of deflate, which of all usual filters packs the most.
_PACKING = 1100
_LITTLE_BYTES = 1 << 20


def open_hdf5(path: Path) -> h5py.File:
    """An HDF5 file for reading, where its file system knows locks and where it does not.

    A process may open a file only with one locking setting: first the default, which other readers take; without
    locking where the file system refuses locks (read-only, network) or another reader does without. Files appear by
    a rename and are never changed afterwards, so there is nothing to lock against.

    Raises
    ------
    OSError
        If it is not an HDF5 file or a damaged one.
    """
    try:
        return h5py.File(path, "r")
    except OSError:
        return h5py.File(path, "r", locking=False)


def unstored(dataset: h5py.Dataset) -> str:
    """Why reading a dataset would take memory for nothing: it claims far more than is stored. Empty if it does not."""
    stored = dataset.id.get_storage_size()
    if dataset.is_virtual or dataset.nbytes <= max(_LITTLE_BYTES, _PACKING * stored):
        return ""
    return f"claims {dataset.nbytes} bytes, of which {stored} are stored"


@dataclass
class ClipRecord:
    """What one stage found out about one clip.

    ``arrays`` hold numeric data of any shape, ``attrs`` scalars and short texts. A rejected clip has issues only.
    """

    clip_id: str
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()

    @property
    def status(self) -> Status:
        """State of the clip after this stage."""
        return quality.status(self.issues)


class ShardWriter:
    """Writes one stage file; use as a context manager. The file appears only when the block ends well.

    ``durable`` as of :func:`mer_features.core.files.atomic_path`.
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
        self._held = self._atomic.__enter__()
        self._file = h5py.File(self._held, "w", track_order=True)
        return self

    def add(self, record: ClipRecord) -> None:
        """Append one clip; raises ``OSError`` if there is no room for it."""
        group = self._file.create_group(f"clips/{record.clip_id}")
        group.attrs["status"] = str(record.status)
        group.attrs["issues"] = quality.dumps(record.issues)
        for name, value in record.attrs.items():
            group.attrs[name] = value
        # Not packed: lz4 saves a sixth of crops with a camera's noise for a fourteenth of all the work on a clip.
        for name, array in record.arrays.items():
            group.create_dataset(name, data=np.asarray(array))
        self._held.check()
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
    """A clip's record whose arrays stay on disk: ``view["crops"]`` is sliced or iterated frame by frame."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self.status = Status(group.attrs["status"])

    # HDF5 takes longer over an attribute than over a frame, and most readers of a clip want few of them.
    @cached_property
    def issues(self) -> tuple[Issue, ...]:
        """What the stage found wrong with the clip."""
        return quality.loads(self._group.attrs["issues"])

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """Scalars and short texts of the record."""
        return {name: value for name, value in self._group.attrs.items() if name not in {"status", "issues"}}

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return name in self._group

    def __getitem__(self, name: str) -> Any:
        """An array-like that decodes only what is indexed (an h5py dataset)."""
        return _array(self._group, name)


def _array(group: h5py.Group, name: str) -> h5py.Dataset:
    """An array of a clip, refused if its data are not in the file."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a {type(link).__name__}; a stage file holds no links to elsewhere")
    item = group[name]
    if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
        raise ValueError(f"the data of {name} lie in another file; a stage file holds all its data")
    return item


class ShardReader:
    """Reads one stage file; use as a context manager.

    Raises
    ------
    ValueError
        On opening a file that is not a complete stage file of this format.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __enter__(self) -> Self:
        try:
            self._file = open_hdf5(self.path)
        except OSError as error:
            raise ValueError(f"{self.path}: not a readable stage file ({error}); delete it and run again") from error
        found, complete = self._file.attrs.get("format"), self._file.attrs.get("complete", False)
        if np.ndim(found) or found != FORMAT or not complete:
            self._file.close()
            raise ValueError(
                f"{self.path}: not a complete stage file of format {FORMAT} (found format {found}, "
                f"{'complete' if complete else 'incomplete'}); delete it and run again"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def options(self) -> dict[str, Any]:
        """The options the stage ran with."""
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
                raise ValueError(f"found shape {dataset.shape}, expected one text a clip")
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
            wanted = list(group) if names is None else [name for name in names if name in group]
            return ClipRecord(clip_id, {name: view[name][()] for name in wanted}, view.attrs, view.issues)

    def view(self, clip_id: str) -> ClipView:
        """One clip's record without loading its arrays; valid while the file is open."""
        with self._naming(clip_id):
            return ClipView(self._group(clip_id))

    def copy(self, clip_ids: Sequence[str], target: h5py.File) -> None:
        """Write these clips, in this order, into an empty file and make it a complete stage file."""
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
            raise ValueError(f"a {type(link).__name__}; a stage file holds no links to elsewhere")
        return self._file["clips"][clip_id]

    @contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        """Whatever h5py makes of damaged content is reported with the file and the place."""
        try:
            yield
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{self.path}: {what} cannot be read ({error}); delete the file and run again") from error


def drop(path: Path, clip_ids: Collection[str]) -> int:
    """Take clips out of a stage file: it is rewritten without them, since HDF5 gives no space back.

    Returns
    -------
    int
        Number of clips taken out; the file is not touched if it is 0 and removed if no clip is left.

    Raises
    ------
    ValueError
        If the file is not a complete stage file of this format.
    """
    with ShardReader(path) as reader:
        listed = reader.clip_ids
        left = [name for name in listed if name not in clip_ids]
        if not left:
            path.unlink()
        elif len(left) < len(listed):
            with atomic_file(path) as held, h5py.File(held, "w", track_order=True) as target:
                reader.copy(left, target)
    return len(listed) - len(left)
