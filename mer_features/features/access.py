"""Opens feature files and what is in them, so that nothing outside the file is read and nothing incomplete is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mer_features.features.schema import NAME, RECORDING_ROWS, VERSION, CacheError
from mer_features.stages.store import open_hdf5, unstored

#: Mark of netCDF-4 for the dataset of a dimension that has no coordinate variable.
_BARE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


def open_file(path: Path) -> h5py.File:
    """Open the HDF5 file of a feature file and check its header; raises :class:`CacheError`."""
    if not path.is_file():
        raise CacheError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        file = open_hdf5(path)
    except OSError as error:
        if "unable to lock" in str(error):  # HDF5 prefers the environment variable to the argument
            raise CacheError(f"{path}: cannot be locked; set HDF5_USE_FILE_LOCKING=FALSE to read it anyway") from error
        raise CacheError(f"{path}: not an HDF5 file, or a damaged one ({error})") from error
    if problem := header_problem(file):
        file.close()
        raise CacheError(f"{path}: {problem}")
    return file


def header_problem(file: h5py.File) -> str:
    """Why a file is not a complete feature file of a version that can be read; empty if it is one."""
    if scalar(file, "schema") != NAME:
        return f"not a {NAME}: attribute schema is {scalar(file, 'schema')!r}"
    version = scalar(file, "schema_version")
    if not isinstance(version, int) or version < 1:
        return f"attribute schema_version is {version!r}, expected a number from 1 to {VERSION}"
    if version > VERSION:
        return f"format version {version} is newer than this package reads ({VERSION}); update mer-features"
    return "" if scalar(file, "complete") == 1 else "incomplete: its writer did not finish"


def format_version(file: h5py.File) -> int:
    """Format version of a feature file whose header has been checked."""
    return int(scalar(file, "schema_version"))


def listed_groups(file: h5py.File) -> tuple[str, ...]:
    """Groups that the file says it has; none if it does not say, as files of version 1, or not in a text."""
    value = scalar(file, "groups")
    return tuple(value.split()) if isinstance(value, str) else ()


def has_recordings(file: h5py.File) -> bool:
    """Whether the rows of the root are recordings and not clips."""
    return bool(scalar(file, "rows") == RECORDING_ROWS)


def scalar(item: h5py.HLObject, name: str) -> Any:
    """An attribute, as a plain value if it is an array of one value; None if there is none."""
    value = item.attrs.get(name)
    value = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value
    return value.decode(errors="replace") if isinstance(value, bytes) else value  # netCDF's own texts are bytes here


def is_bare_dimension(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is only a netCDF dimension and not a variable."""
    return bool(dataset.attrs.get("NAME", b"").startswith(_BARE_DIMENSION))


def dimension_names(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of a dataset's dimensions from their scales; the name of a dimension without a scale is empty."""
    names = []
    for dimension in dataset.dims:
        names.append(dimension[0].name.rpartition("/")[2] if len(dimension) else "")
    if not any(names) and dataset.ndim == 1 and dataset.is_scale:
        return (dataset.name.rpartition("/")[2],)
    return tuple(names)


def child_names(group: h5py.Group, kind: type[h5py.HLObject]) -> list[str]:
    """Names of the groups or datasets in a group, without links to other places, which would be refused on opening."""
    hard = (name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink))
    return [name for name in hard if group.get(name, getclass=True) is kind]


def column(dataset: h5py.Dataset) -> list[Any]:
    """All values of a small variable, as plain values."""
    values = dataset.asstr()[()] if h5py.check_string_dtype(dataset.dtype) else dataset[()]
    result: list[Any] = values.tolist()
    return result


def open_object(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset:
    """The object at a path that consists of ordinary (hard) links.

    Raises
    ------
    KeyError
        If the object does not exist.
    CacheError
        If the path contains a soft or external link, or the data of the object are outside the file.
    """
    node = file
    location = ""
    for part in filter(None, name.split("/")):
        location += f"/{part}"
        if not isinstance(node, h5py.Group) or part not in node.keys():  # noqa: SIM118  # `in` on a group follows links
            raise KeyError(f"{location} is not in the file")
        check_link(node, part, location)
        node = node[part]
    if isinstance(node, h5py.Dataset):
        check_storage(node, location)
    return node


def check_link(group: h5py.Group, name: str, where: str) -> None:
    """Refuse all links except ordinary (hard) links."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise CacheError(f"{where}: a {type(link).__name__}; a feature file contains no links to other places")


def check_storage(dataset: h5py.Dataset, where: str) -> None:
    """Refuse data that are in other files or are not stored at all."""
    if dataset.is_virtual or dataset.external:
        raise CacheError(f"{where}: its data are in another file; a feature file contains all its data")
    if claim := unstored(dataset):
        raise CacheError(f"{where}: {claim}; a feature file contains all its data")
