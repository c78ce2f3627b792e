"""Creates groups, dimensions and variables of a cache file as the schema lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import h5netcdf
import h5py
import numpy as np

from mer_features.cache.schema import ONE_PER_CHUNK, UNLIMITED, Group, Variable

_NONE: Mapping[str, Any] = MappingProxyType({})
_TEXT = h5py.string_dtype()
#: Chunk length along dimensions of variables that may be empty.
_UNLIMITED_CHUNK = 64


@dataclass(frozen=True)
class Target:
    """A file under construction: where groups are created, their attributes by group name, the compression."""

    file: h5netcdf.File
    attributes: Mapping[str, Mapping[str, Any]]
    gzip_level: int

    def create(self, group: Group, sizes: Mapping[str, int], own: Mapping[str, Any] = _NONE) -> h5netcdf.Group:
        """Create one group (the root for the empty name) with its attributes, dimensions and variables.

        Parameters
        ----------
        group
            What to create.
        sizes
            Lengths of the dimensions this group adds to those of the root; an optional variable whose dimensions are
            not among them is left out.
        own
            Further attributes.
        """
        out = self.file.create_group(group.name) if group.name else self.file
        header = {"schema": group.schema, "schema_version": np.int32(group.version), "title": group.title}
        for name, value in (header | dict(self.attributes.get(group.name, {})) | dict(own)).items():
            out.attrs[name] = value
        for name, size in sizes.items():
            out.dimensions[name] = None if name in UNLIMITED else size
        for variable in group.variables:
            if not variable.optional or set(variable.dims[1:]) <= set(sizes):
                self._create_variable(out, variable, sizes)
        for name in set(sizes) & set(UNLIMITED):
            out.resize_dimension(name, sizes[name])
        return out

    def _create_variable(self, out: h5netcdf.Group, variable: Variable, sizes: Mapping[str, int]) -> None:
        storage: dict[str, Any] = {"fillvalue": variable.fill}
        if variable.compressed:
            chunks = tuple(1 if name in ONE_PER_CHUNK else sizes[name] for name in variable.dims)
            storage |= {"chunks": chunks, "compression": "gzip", "shuffle": True}
            storage["compression_opts"] = self.gzip_level
        elif set(variable.dims) & set(UNLIMITED):
            storage["chunks"] = tuple(_UNLIMITED_CHUNK if name in UNLIMITED else sizes[name] for name in variable.dims)
        dtype = _TEXT if variable.dtype == "str" else np.dtype(variable.dtype)
        created = out.create_variable(variable.name, variable.dims, dtype, **storage)
        for name, value in variable.attributes().items():
            created.attrs[name] = value


def text(values: Sequence[str]) -> np.ndarray:
    """Texts as h5netcdf takes them; what HDF5 cannot hold (NUL, lone surrogates) is written as an escape."""
    safe = [value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode() for value in values]
    return np.array(safe, dtype=object)
