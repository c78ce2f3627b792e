"""Reads a cache file: thin, safe in forked and spawned workers, nothing decoded before it is asked for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from mer_features.core import clips as clip_tables
from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.features import layout
from mer_features.features.schema import NAME, VERSION, CacheError
from mer_features.stages.store import open_hdf5, unstored

#: How netCDF-4 marks the dataset behind a dimension without a coordinate variable.
_BARE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"
_SELECTION = re.compile(r"(?P<name>[^\[\]]+)(?:\[(?P<label>[^\[\]]+)\])?")


@dataclass(frozen=True)
class ClipRow:
    """One clip of a cache; ``pandas.DataFrame(features.clips)`` makes them a table."""

    clip_id: str
    database: str
    subject: str
    emotion: str
    action_units_text: str
    onset: int
    apex: int
    offset: int
    first_frame: int
    n_frames: int
    fps: float
    apex_source: str
    status: str
    quality_text: str
    source_sha256: str

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What was found wrong with the clip; raises ``ValueError`` for a code this package does not know yet."""
        return quality.loads(self.quality_text)

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the issues, known to this package or not."""
        return tuple(item["code"] for item in json.loads(self.quality_text))


@dataclass(frozen=True)
class Rejection:
    """One clip that is not in the cache, and why."""

    clip_id: str
    subject: str
    code: str
    detail: str
    quality_text: str


class FeatureVariable:
    """One variable with a row a clip; ``variable[i]`` is decoded, flow and strain to float32.

    Parameters
    ----------
    dataset
        The data on disk.
    position
        Position along the second dimension to read alone, or all of it.
    """

    def __init__(self, dataset: h5py.Dataset, position: int | None = None) -> None:
        self._dataset = dataset
        self._position = position
        self._scale = np.float32(_scalar(dataset, "scale_factor")) if "scale_factor" in dataset.attrs else None
        self._texts = h5py.check_string_dtype(dataset.dtype) is not None

    def __len__(self) -> int:
        return int(self._dataset.shape[0])

    def __getitem__(self, index: int | slice) -> Any:
        """Row or rows of clips: an array, a number or a text."""
        where = index if self._position is None else (index, self._position)
        if self._texts:
            return self._dataset.asstr()[where]
        stored = self._dataset[where]
        return stored if self._scale is None else layout.unpack(stored, self._scale)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        names = dimension_names(self._dataset)
        return names if self._position is None else (names[0], *names[2:])

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions."""
        shape = tuple(self._dataset.shape)
        return shape if self._position is None else (shape[0], *shape[2:])

    @property
    def dtype(self) -> np.dtype:
        """Type after decoding; object for texts."""
        return np.dtype(np.float32) if self._scale is not None else self._dataset.dtype

    @property
    def attrs(self) -> dict[str, Any]:
        """What the variable is: long_name, units, source and more."""
        hidden = {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"}
        return {name: value for name, value in self._dataset.attrs.items() if name[0] != "_" and name not in hidden}


class Features:
    """An open cache; see :func:`open_features`.

    The file is opened when first used and once per process: an object that crossed a fork or was pickled to a worker
    opens its own.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._handle: h5py.File | None = None
        self._process = -1
        self._variables: dict[str, FeatureVariable] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_handle": None, "_process": -1, "_variables": {}}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; using the object again opens it again."""
        if self._handle is not None:
            # In a forked child this closes the child's copies only; the parent's stay open.
            self._handle.close()
        self._handle = None
        self._variables = {}

    @property
    def _file(self) -> h5py.File:
        if self._handle is None or self._process != os.getpid():
            self.close()
            self._handle, self._process = open_file(self.path), os.getpid()
        return self._handle

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the file."""
        return {name: value for name, value in self._file.attrs.items() if not name.startswith("_")}

    def group_attrs(self, name: str) -> dict[str, Any]:
        """Attributes of a group, e.g. ``style``: its method and options; raises ``KeyError`` if it is not there."""
        group = open_object(self._file, name)
        return {key: value for key, value in group.attrs.items() if not key.startswith("_")}

    def variables(self) -> tuple[str, ...]:
        """Names of all variables with one row per clip, e.g. ``flow/u``."""
        return tuple(name for name, dataset in self._datasets() if dimension_names(dataset)[:1] == ("clip",))

    def _datasets(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Variables of the root and of its groups by path."""
        for group in ("", *sorted(_names(self._file, h5py.Group))):
            for name in _names(open_object(self._file, group), h5py.Dataset):
                path = f"{group}/{name}".lstrip("/")
                dataset = open_object(self._file, path)
                if not is_bare_dimension(dataset):
                    yield path, dataset

    def __getitem__(self, name: str) -> FeatureVariable:
        """One variable by path, or one entry of its second dimension by label: ``flow/u[onset_apex]``.

        Raises
        ------
        KeyError
            If there is no such variable or label; names those there are.
        """
        file = self._file
        if name not in self._variables:
            self._variables[name] = self._select(file, name)
        return self._variables[name]

    def _select(self, file: h5py.File, name: str) -> FeatureVariable:
        parts = _SELECTION.fullmatch(name)
        path = parts["name"] if parts else name
        try:
            dataset = open_object(file, path)
        except KeyError:
            raise KeyError(f"{self.path}: no variable {path!r}; there are {', '.join(self.variables())}") from None
        if not isinstance(dataset, h5py.Dataset) or dimension_names(dataset)[:1] != ("clip",):
            raise KeyError(f"{self.path}: {path!r} has no row a clip; those that have: {', '.join(self.variables())}")
        if parts is None or parts["label"] is None:
            return FeatureVariable(dataset)
        labels = self.labels(f"{path.rpartition('/')[0]}/{dimension_names(dataset)[1]}")
        if parts["label"] not in labels:
            raise KeyError(f"{self.path}: {path} has no {parts['label']!r}; there are {', '.join(labels)}")
        return FeatureVariable(dataset, labels.index(parts["label"]))

    def coordinates(self) -> tuple[str, ...]:
        """Names of all variables that label a dimension, e.g. ``flow/pair``."""
        return tuple(name for name, dataset in self._datasets() if dataset.is_scale)

    def labels(self, name: str) -> tuple[str, ...]:
        """Labels along a dimension, e.g. of ``flow/pair``; raises ``KeyError`` if it has none."""
        try:
            dataset = open_object(self._file, name)
        except KeyError:
            dataset = None
        if not isinstance(dataset, h5py.Dataset) or not dataset.is_scale or is_bare_dimension(dataset):
            raise KeyError(f"{self.path}: no labels {name!r}; there are {', '.join(self.coordinates())}")
        return tuple(map(str, _column(dataset)))

    @cached_property
    def clips(self) -> tuple[ClipRow, ...]:
        """All clips, in the order of the rows."""
        return self._rows("", ClipRow)

    @cached_property
    def rejected(self) -> tuple[Rejection, ...]:
        """Clips of the database that could not be used."""
        return self._rows("rejected/", Rejection)

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {clip.clip_id: row for row, clip in enumerate(self.clips)}

    def index(self, clip_id: str) -> int:
        """Row of a clip; raises ``KeyError``."""
        if clip_id not in self._index:
            raise KeyError(f"{self.path}: no clip {clip_id!r}")
        return self._index[clip_id]

    def _rows(self, prefix: str, kind: type[Any]) -> tuple[Any, ...]:
        names = [item.name for item in fields(kind)]
        columns = [_column(open_object(self._file, prefix + name)) for name in names]
        return tuple(kind(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True))

    def flow(self, clip_id: str, pair: str = "onset_apex") -> np.ndarray:
        """Flow of one clip, (2, H, W) float32, u (right) then v (down), pixels of the crop."""
        row = self.index(clip_id)
        return np.stack([self[f"flow/{name}[{pair}]"][row] for name in ("u", "v")])


def open_features(path: Path | str) -> Features:
    """Open a cache for reading; use as a context manager or call ``close``.

    Raises
    ------
    CacheError
        If the file is not a complete cache of a version this package reads.
    """
    features = Features(path)
    _ = features.attrs
    return features


def open_file(path: Path) -> h5py.File:
    """The HDF5 file behind a cache, its header checked; raises :class:`CacheError`."""
    if not path.is_file():
        raise CacheError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        file = open_hdf5(path)
    except OSError as error:
        if "unable to lock" in str(error):  # the environment insists on locks, and HDF5 heeds it more than the call
            raise CacheError(f"{path}: cannot be locked; set HDF5_USE_FILE_LOCKING=FALSE to read it anyway") from error
        raise CacheError(f"{path}: not an HDF5 file, or a damaged one ({error})") from error
    if problem := header_problem(file):
        file.close()
        raise CacheError(f"{path}: {problem}")
    return file


def header_problem(file: h5py.File) -> str:
    """Why a file is not a complete cache of a version that can be read; empty if it is one."""
    if _scalar(file, "schema") != NAME:
        return f"not a {NAME}: attribute schema is {_scalar(file, 'schema')!r}"
    found = _scalar(file, "schema_version")
    if not isinstance(found, int) or found < 1:
        return f"attribute schema_version is {found!r}, expected a number from 1 to {VERSION}"
    if found > VERSION:
        return f"format version {found} is newer than this package reads ({VERSION}); update mer-features"
    return "" if _scalar(file, "complete") == 1 else "incomplete: its writer did not finish"


def _scalar(item: h5py.HLObject, name: str) -> Any:
    value = item.attrs.get(name)
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value


def is_bare_dimension(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is only a netCDF dimension and not a variable."""
    return bool(dataset.attrs.get("NAME", b"").startswith(_BARE_DIMENSION))


def dimension_names(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of a dataset's dimensions by their attached scales; empty for one that has none."""
    names = []
    for dimension in dataset.dims:
        names.append(dimension[0].name.rpartition("/")[2] if len(dimension) else "")
    if not any(names) and dataset.ndim == 1 and dataset.is_scale:
        return (dataset.name.rpartition("/")[2],)
    return tuple(names)


def _names(group: h5py.Group, kind: type[h5py.HLObject]) -> list[str]:
    """Names of a group's own groups or datasets; links to elsewhere are refused when opened, so left out here."""
    hard = (name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink))
    return [name for name in hard if group.get(name, getclass=True) is kind]


def _column(dataset: h5py.Dataset) -> list[Any]:
    values = dataset.asstr()[()] if h5py.check_string_dtype(dataset.dtype) else dataset[()]
    result: list[Any] = values.tolist()
    return result


# Opens what is inside a cache file and nothing outside it.


def open_object(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset:
    """The object at a path of ordinary links.

    Raises
    ------
    KeyError
        If there is none.
    CacheError
        If the path crosses a soft or external link or the object's data lie outside the file.
    """
    node = file
    walked = ""
    for part in filter(None, name.split("/")):
        walked += f"/{part}"
        if not isinstance(node, h5py.Group) or part not in node.keys():  # noqa: SIM118  # `in` on a group follows links
            raise KeyError(f"{walked} is not in the file")
        check_link(node, part, walked)
        node = node[part]
    if isinstance(node, h5py.Dataset):
        check_storage(node, walked)
    return node


def check_link(group: h5py.Group, name: str, where: str) -> None:
    """Refuse anything but an ordinary (hard) link."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise CacheError(f"{where}: a {type(link).__name__}; a cache holds no links to elsewhere")


def check_storage(dataset: h5py.Dataset, where: str) -> None:
    """Refuse data that lie in other files, or nowhere."""
    if dataset.is_virtual or dataset.external:
        raise CacheError(f"{where}: its data lie in another file; a cache holds all its data")
    if claim := unstored(dataset):
        raise CacheError(f"{where}: {claim}; a cache holds all its data")


# Which clips of the clip tables made it into the feature caches.


def usable_clips(tables: Iterable[Path | str], caches: Iterable[Path | str]) -> tuple[Clip, ...]:
    """Clips of full clip tables, labels included, that have a row in one of the caches.

    Parameters
    ----------
    tables
        Clip tables (``results/clips/<database>.tsv``).
    caches
        The feature caches of the same databases.
    """
    kept: set[tuple[str, str]] = set()
    for path in caches:
        with open_features(path) as features:
            kept |= {(row.database, row.clip_id) for row in features.clips}
    return tuple(clip for table in tables for clip in clip_tables.read(table) if (clip.database, clip.clip_id) in kept)
