"""Reads feature files.

:func:`open_features` returns :class:`Features`, which decodes a variable only when it is accessed and is safe in forked
and spawned workers. :func:`usable_clips` selects the clips of clip tables that have features.
"""

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
from mer_features.features.access import (
    child_names,
    column,
    dimension_names,
    has_recordings,
    is_bare_dimension,
    open_file,
    open_object,
    scalar,
)
from mer_features.features.schema import CLIP_ID, GROUPS, RECORDING_GROUPS, CacheError

_SELECTION = re.compile(r"(?P<name>[^\[\]]+)(?:\[(?P<label>[^\[\]]+)\])?")


@dataclass(frozen=True)
class ClipRow:
    """One clip of a feature file; ``pandas.DataFrame(features.clips)`` gives a table of all clips."""

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
        """Issues of the clip; raises ``ValueError`` for a code that this version of the package does not know."""
        return quality.loads(self.quality_text)

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the issues, known to this package or not."""
        return tuple(item["code"] for item in json.loads(self.quality_text))


@dataclass(frozen=True)
class Rejection:
    """One clip that could not be used, and the reason."""

    clip_id: str
    subject: str
    code: str
    detail: str
    quality_text: str


class FeatureVariable:
    """One variable with a row per clip; ``variable[i]`` is decoded, flow and strain to float32.

    Parameters
    ----------
    dataset
        The data on disk.
    position
        The only position along the second dimension to read; ``None`` reads all of them.
    """

    def __init__(self, dataset: h5py.Dataset, position: int | None = None) -> None:
        self._dataset = dataset
        self._position = position
        self._scale = np.float32(scalar(dataset, "scale_factor")) if "scale_factor" in dataset.attrs else None
        self._texts = h5py.check_string_dtype(dataset.dtype) is not None

    def __len__(self) -> int:
        return int(self._dataset.shape[0])

    def __getitem__(self, index: int | slice) -> Any:
        """Values of one or more clips: an array, a number or a text."""
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
        """Data type after decoding; object for texts."""
        return np.dtype(np.float32) if self._scale is not None else self._dataset.dtype

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes that describe the variable: long_name, units, source and more."""
        hidden = {"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"}
        return {name: value for name, value in self._dataset.attrs.items() if name[0] != "_" and name not in hidden}


class Features:
    """An open feature file; see :func:`open_features`.

    The file is opened on first use, once per process: after a fork, or after pickling to a worker, the object opens the
    file again.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._handle: h5py.File | None = None
        self._process = -1
        self._variables: dict[str, FeatureVariable] = {}
        self._checked: set[str] = set()  # groups whose rows are those of the root

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_handle": None, "_process": -1, "_variables": {}, "_checked": set()}

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

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that the file has, e.g. ``faces`` and ``flow``."""
        return tuple(child_names(self._file, h5py.Group))

    @property
    def of_recordings(self) -> bool:
        """Whether the rows are recordings and not clips; see :func:`mer_features.features.open_recordings`."""
        return has_recordings(self._file)

    def require(self, *groups: str, purpose: str = "") -> None:
        """Check that the file has these groups.

        Parameters
        ----------
        groups
            Names of the groups.
        purpose
            What needs them, for the message.

        Raises
        ------
        CacheError
            Naming the groups that the file lacks and those that it has.
        """
        if missing := [name for name in groups if name not in self.groups]:
            raise CacheError(
                f"{self.path}: {purpose or 'this'} needs {_slashed(missing)}; the file has {_slashed(self.groups)}"
            )

    def group_attrs(self, name: str) -> dict[str, Any]:
        """Attributes of a group, e.g. the method and options of ``style``; raises ``CacheError`` without the group."""
        self.require(name, purpose="reading its attributes")
        group = open_object(self._file, name)
        return {key: value for key, value in group.attrs.items() if not key.startswith("_")}

    def variables(self, *rows: str) -> tuple[str, ...]:
        """Names of all variables with one row per clip, e.g. ``flow/u``; the copies of ``clip_id`` are left out.

        ``rows`` are other dimensions that may be the first, instead of ``clip``.
        """
        return tuple(
            name
            for name, dataset in self._datasets()
            if dimension_names(dataset)[:1] in [(row,) for row in rows or ("clip",)]
            and name.partition("/")[2] != CLIP_ID.name
        )

    def _datasets(self) -> Iterator[tuple[str, h5py.Dataset]]:
        """Variables of the root and of its groups by path."""
        for group in ("", *sorted(child_names(self._file, h5py.Group))):
            for name in child_names(open_object(self._file, group), h5py.Dataset):
                path = f"{group}/{name}".lstrip("/")
                dataset = open_object(self._file, path)
                if not is_bare_dimension(dataset):
                    yield path, dataset

    def __getitem__(self, name: str) -> FeatureVariable:
        """One variable by path, or one entry of its second dimension by label: ``flow/u[onset_apex]``.

        Raises
        ------
        KeyError
            If the variable or label does not exist; the message lists the existing ones.
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
            raise KeyError(f"{self.path}: {self._missing(path)}; there are {', '.join(self.variables())}") from None
        if not isinstance(dataset, h5py.Dataset) or dimension_names(dataset)[:1] != ("clip",):
            raise KeyError(f"{self.path}: {path!r} has no row per clip; those that have: {', '.join(self.variables())}")
        self._check_rows(path.strip("/").rpartition("/")[0])
        if parts is None or parts["label"] is None:
            return FeatureVariable(dataset)
        labels = self.labels(f"{path.rpartition('/')[0]}/{dimension_names(dataset)[1]}")
        if parts["label"] not in labels:
            raise KeyError(f"{self.path}: {path} has no {parts['label']!r}; there are {', '.join(labels)}")
        return FeatureVariable(dataset, labels.index(parts["label"]))

    def _check_rows(self, group: str) -> None:
        """Refuse a group whose copy of `clip_id` differs from the root's: its rows would be those of other clips."""
        if not group or group in self._checked:
            return
        copy = f"{group}/{CLIP_ID.name}"
        if CLIP_ID.name in child_names(open_object(self._file, group), h5py.Dataset):
            own, root = (column(open_object(self._file, name)) for name in (copy, CLIP_ID.name))
            if own != root:
                raise CacheError(
                    f"{self.path}: /{copy} differs from /{CLIP_ID.name}; the rows of /{group} are mixed up"
                )
        self._checked.add(group)

    def _missing(self, path: str) -> str:
        """Why the variable does not exist: its whole group may be missing."""
        group = path.strip("/").rpartition("/")[0]
        lacks = group in {*GROUPS, *RECORDING_GROUPS} - {"", *self.groups}
        return f"no group /{group}, so no {path!r}" if lacks else f"no variable {path!r}"

    def coordinates(self) -> tuple[str, ...]:
        """Names of all variables that label a dimension, e.g. ``flow/pair``."""
        return tuple(name for name, dataset in self._datasets() if dataset.is_scale)

    def labels(self, name: str) -> tuple[str, ...]:
        """Labels along a dimension, e.g. ``flow/pair``; raises ``KeyError`` if there are none."""
        try:
            dataset = open_object(self._file, name)
        except KeyError:
            dataset = None
        if not isinstance(dataset, h5py.Dataset) or not dataset.is_scale or is_bare_dimension(dataset):
            there = ", ".join(self.coordinates()) or "none"
            group, _, own = name.rpartition("/")
            lacks = f"no group /{group}, so no labels {own!r}"
            reason = lacks if group in {*GROUPS, *RECORDING_GROUPS} - {"", *self.groups} else f"no labels {name!r}"
            raise KeyError(f"{self.path}: {reason}; there are {there}")
        return tuple(map(str, column(dataset)))

    @cached_property
    def clips(self) -> tuple[ClipRow, ...]:
        """All clips, in the order of the rows; raises ``CacheError`` for a file of recordings."""
        if self.of_recordings:
            there = _slashed(self.groups)
            raise CacheError(f"{self.path}: this needs a row per clip; the file is of recordings and has {there}")
        return self._rows("", ClipRow)

    @cached_property
    def rejected(self) -> tuple[Rejection, ...]:
        """All clips of the database that could not be used; none if the file does not have the group."""
        return self._rows("rejected/", Rejection) if "rejected" in self.groups else ()

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
        columns = [column(open_object(self._file, prefix + name)) for name in names]
        return tuple(kind(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True))

    def flow(self, clip_id: str, pair: str = "onset_apex") -> np.ndarray:
        """Flow of one clip, (2, H, W) float32: u (right) and v (down) in pixels of the crop.

        Raises
        ------
        CacheError
            If the file has no group `/flow`.
        KeyError
            For an unknown clip or pair.
        """
        self.require("flow", purpose="flow in pixels")
        row = self.index(clip_id)
        return np.stack([self[f"flow/{name}[{pair}]"][row] for name in ("u", "v")])


def open_features(path: Path | str) -> Features:
    """Open a feature file for reading; use it as a context manager or call ``close``.

    Raises
    ------
    CacheError
        If the file is not a complete feature file of a version that this package reads.
    """
    features = Features(path)
    _ = features.attrs
    return features


def usable_clips(tables: Iterable[Path | str], caches: Iterable[Path | str]) -> tuple[Clip, ...]:
    """Clips of full clip tables, with labels, that have a row in one of the feature files.

    Parameters
    ----------
    tables
        Clip tables (``results/clips/<database>.tsv``).
    caches
        The feature files of the same databases.
    """
    usable: set[tuple[str, str]] = set()
    for path in caches:
        with open_features(path) as features:
            usable |= {(row.database, row.clip_id) for row in features.clips}
    return tuple(
        clip for table in tables for clip in clip_tables.read(table) if (clip.database, clip.clip_id) in usable
    )


def _slashed(groups: Iterable[str]) -> str:
    return ", ".join(f"/{name}" for name in groups) or "no groups"
