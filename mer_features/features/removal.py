"""Removes clips or recordings from a feature file.

The file is rewritten without them, because HDF5 does not free their space.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np

from mer_features.core.files import atomic_path
from mer_features.features.access import dimension_names, has_recordings, open_file, open_object
from mer_features.features.schema import CacheError

#: Dimension -> positions that remain; along other dimensions all positions remain.
Remaining = Mapping[str, np.ndarray]

#: Dimension -> variable with the identifiers of its clips, or of its recordings.
_IDENTIFIERS = {
    "clip": "clip_id", "rejected": "rejected/clip_id", "recording": "recording_id", "event": "events/recording_id",
}  # fmt: skip


def drop(path: Path, identifiers: Collection[str]) -> int:
    """Remove clips, used or rejected, from a feature file; the values and the order of the other rows do not change.

    From a file of recordings, remove recordings with their signals, events and spots.

    Parameters
    ----------
    path
        The feature file.
    identifiers
        Values of ``clip_id``, or of ``recording_id``; those that are not in the file are ignored.

    Returns
    -------
    int
        Number of clips or recordings removed; if it is 0, the file is not changed.

    Raises
    ------
    CacheError
        If the file is not a complete feature file, or no clip or recording would be left.
    """
    with open_file(path) as source:
        row = "recording" if has_recordings(source) else "clip"
        remaining = (_remaining_recordings if row == "recording" else _remaining)(source, identifiers)
        counted = [name for name in (row, "rejected") if name in remaining]
        gone = sum(len(open_object(source, _IDENTIFIERS[name])) - len(remaining[name]) for name in counted)
        if not gone:
            return 0
        if not len(remaining[row]):
            raise CacheError(f"{path}: no {row} would be left; delete the file")
        with atomic_path(path) as temporary:
            with h5netcdf.File(path, "r") as old, h5netcdf.File(temporary, "w") as new:
                _lay_out(old, new, source, remaining)
            with h5py.File(temporary, "r+") as target:
                for name in _variables(source):
                    _fill(open_object(source, name), target[name], remaining)
                if row == "recording":
                    _number_recordings(target["signals"])
                target.attrs["complete"] = np.array([1], np.int32)
    return gone


def _remaining(file: h5py.File, clip_ids: Collection[str]) -> Remaining:
    masks = {
        dimension: _without(file, dimension, clip_ids)
        for dimension in ("clip", "rejected")
        if dimension == "clip" or dimension in file  # a file may be without the group of rejected clips
    }
    # A column for an action unit that only the removed clips have would reveal something about them.
    units = open_object(file, "action_units")[()][masks["clip"]].any(axis=0)
    return {name: np.flatnonzero(mask) for name, mask in (masks | {"au": units}).items()}


def _remaining_recordings(file: h5py.File, recording_ids: Collection[str]) -> Remaining:
    masks = {dimension: _without(file, dimension, recording_ids) for dimension in ("recording", "event")}
    masks["frame"] = np.repeat(masks["recording"], open_object(file, "signals/row_size")[()])
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}


def _without(file: h5py.File, dimension: str, identifiers: Collection[str]) -> np.ndarray:
    names = open_object(file, _IDENTIFIERS[dimension]).asstr()[()]
    return np.array([name not in identifiers for name in names], dtype=bool)


def _number_recordings(signals: h5py.Group) -> None:
    """Count the remaining recordings from 0, as their rows in the root."""
    sizes = signals["row_size"][()]
    for row, end in enumerate(np.cumsum(sizes)):
        signals["recording_index"][end - sizes[row] : end] = row


def _lay_out(old: h5netcdf.Group, new: h5netcdf.Group, source: h5py.File, remaining: Remaining) -> None:
    """Create the groups, dimensions, empty variables and attributes of the old file."""
    for name, value in old.attrs.items():
        if name != "complete":  # written last
            new.attrs[name] = value
    sizes = {name: len(remaining[name]) if name in remaining else item.size for name, item in old.dimensions.items()}
    for name, item in old.dimensions.items():
        new.dimensions[name] = None if item.isunlimited() else sizes[name]
    for name, variable in old.variables.items():
        _create(new, name, variable, open_object(source, variable.name), remaining)
    for name, item in old.dimensions.items():
        if item.isunlimited():
            new.resize_dimension(name, sizes[name])
    for name, group in old.groups.items():
        _lay_out(group, new.create_group(name), source, remaining)


def _create(
    new: h5netcdf.Group, name: str, variable: h5netcdf.Variable, stored: h5py.Dataset, remaining: Remaining
) -> None:
    attributes = dict(variable.attrs)
    storage: dict[str, Any] = {"fillvalue": attributes.pop("_FillValue", None)}
    if stored.chunks:  # a chunk may not be longer than a dimension of fixed length
        most = {"clip": len(remaining["clip"])} if "clip" in remaining else {}
        pairs = zip(variable.dimensions, stored.chunks, strict=True)
        storage["chunks"] = tuple(min(length, most.get(dimension, length)) for dimension, length in pairs)
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
    """Copy the remaining rows, at most one chunk at a time, so that memory does not grow with the file."""
    names = dimension_names(source)
    if not names or not target.size:
        return
    inner = {axis: remaining[name] for axis, name in enumerate(names) if axis and name in remaining}
    rows = remaining.get(names[0], np.arange(source.shape[0]))
    most = source.chunks[0] if source.chunks else 1
    done = 0
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        for start in range(0, len(run), most):
            part = run[start : start + most]
            value = source[part[0] : part[-1] + 1]
            for axis, places in inner.items():
                value = np.take(value, places, axis=axis)
            target[done : done + len(part)] = value
            done += len(part)
