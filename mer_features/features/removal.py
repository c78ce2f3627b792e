"""Removes clips from a feature file. The file is rewritten without them, because HDF5 does not free their space."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np

from mer_features.core.files import atomic_path
from mer_features.features.access import dimension_names, open_file, open_object
from mer_features.features.schema import CacheError

#: Dimension -> positions that remain; along other dimensions all positions remain.
Remaining = Mapping[str, np.ndarray]

#: Dimension -> variable with the identifiers of its clips.
_IDENTIFIERS = {"clip": "clip_id", "rejected": "rejected/clip_id"}


def drop(path: Path, clip_ids: Collection[str]) -> int:
    """Remove clips, used or rejected, from a feature file; the values and the order of the other rows do not change.

    Returns
    -------
    int
        Number of clips removed; if it is 0, the file is not changed.

    Raises
    ------
    CacheError
        If the file is not a complete feature file, or no clip would be left.
    """
    with open_file(path) as source:
        remaining = _remaining(source, clip_ids)
        gone = sum(
            len(open_object(source, _IDENTIFIERS[name])) - len(rows)
            for name, rows in remaining.items()
            if name in _IDENTIFIERS
        )
        if not gone:
            return 0
        if not len(remaining["clip"]):
            raise CacheError(f"{path}: no clip would be left; delete the file")
        with atomic_path(path) as temporary:
            with h5netcdf.File(path, "r") as old, h5netcdf.File(temporary, "w") as new:
                _lay_out(old, new, source, remaining)
            with h5py.File(temporary, "r+") as target:
                for name in _variables(source):
                    _fill(open_object(source, name), target[name], remaining)
                target.attrs["complete"] = np.array([1], np.int32)
    return gone


def _remaining(file: h5py.File, clip_ids: Collection[str]) -> Remaining:
    masks = {
        dimension: np.array([name not in clip_ids for name in open_object(file, names).asstr()[()]], dtype=bool)
        for dimension, names in _IDENTIFIERS.items()
        if dimension == "clip" or dimension in file  # a file may be without the group of rejected clips
    }
    # A column for an action unit that only the removed clips have would reveal something about them.
    units = open_object(file, "action_units")[()][masks["clip"]].any(axis=0)
    return {name: np.flatnonzero(mask) for name, mask in (masks | {"au": units}).items()}


def _lay_out(old: h5netcdf.Group, new: h5netcdf.Group, source: h5py.File, remaining: Remaining) -> None:
    """Create the groups, dimensions, empty variables and attributes of the old file."""
    for name, value in old.attrs.items():
        if name != "complete":  # written last
            new.attrs[name] = value
    sizes = {name: len(remaining[name]) if name in remaining else item.size for name, item in old.dimensions.items()}
    for name, item in old.dimensions.items():
        new.dimensions[name] = None if item.isunlimited() else sizes[name]
    for name, variable in old.variables.items():
        _create(new, name, variable, open_object(source, variable.name), len(remaining["clip"]))
    for name, item in old.dimensions.items():
        if item.isunlimited():
            new.resize_dimension(name, sizes[name])
    for name, group in old.groups.items():
        _lay_out(group, new.create_group(name), source, remaining)


def _create(new: h5netcdf.Group, name: str, variable: h5netcdf.Variable, stored: h5py.Dataset, clips: int) -> None:
    attributes = dict(variable.attrs)
    storage: dict[str, Any] = {"fillvalue": attributes.pop("_FillValue", None)}
    if stored.chunks:  # a chunk may not be longer than a dimension of fixed length
        pairs = zip(variable.dimensions, stored.chunks, strict=True)
        storage["chunks"] = tuple(min(length, clips) if dimension == "clip" else length for dimension, length in pairs)
    if stored.compression:
        storage |= {"compression": stored.compression, "compression_opts": stored.compression_opts}
        storage["shuffle"] = stored.shuffle
    text = h5py.check_string_dtype(stored.dtype) is not None
    target = new.create_variable(name, variable.dimensions, h5py.string_dtype() if text else stored.dtype, **storage)
    for key, value in attributes.items():
        target.attrs[key] = value


def _variables(file: h5py.File) -> Iterator[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    yield from names


def _fill(source: h5py.Dataset, target: h5py.Dataset, remaining: Remaining) -> None:
    """Copy the remaining rows one at a time, so that memory does not grow with the database."""
    names = dimension_names(source)
    if not names or not target.size:
        return
    inner = tuple(remaining.get(name, slice(None)) for name in names[1:])
    rows = remaining.get(names[0], np.arange(source.shape[0]))
    for new, old in enumerate(rows):
        value = source[int(old)]
        for axis, places in enumerate(inner):
            value = value if isinstance(places, slice) else np.take(value, places, axis=axis)
        target[new] = value
