"""Creates groups, dimensions and variables of a cache file as the schema lists them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import h5netcdf
import h5py
import numpy as np

from mer_features.features.schema import ONE_PER_CHUNK, UNLIMITED, Group, Variable

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


# Chunks of a cache's variables, deflated here instead of by HDF5, which then stores and reads them as its own.

#: Bits a byte must need (its entropy) to be stored as it is: coding would save less than a quarter.
_NOISE_BITS = 6.0
#: The lowest level that finds the long matches, which are read twice as fast as those of the levels below.
_LEVEL = 6
_HEADER = b"\x78\x01"  # zlib's, of RFC 1950: deflate, window of 32 kB, fastest


def images(values: np.ndarray, level: int) -> bytes:
    """Stream of an image, uint8, of any shape; ``level`` 1..9 is zlib's. Shuffling does nothing to single bytes."""
    return zlib.compress(np.ascontiguousarray(values).data, level)


def fields(values: np.ndarray) -> bytes:
    """Stream of a packed field, int16, of any shape: its shuffled bytes, the low ones of all values first."""
    planes = np.ascontiguousarray(values.astype("<i2").reshape(-1, 1).view(np.uint8).T)
    low, high = planes
    return _HEADER + _blocks(low, zlib.Z_FULL_FLUSH) + _blocks(high, zlib.Z_FINISH) + _check(planes)


def put(dataset: h5py.Dataset, place: tuple[int, ...], stream: bytes) -> None:
    """Write a chunk of a dataset with the filters shuffle and deflate; ``place`` counts chunks along the first axes."""
    offset = place + (0,) * (dataset.ndim - len(place))
    dataset.id.write_direct_chunk(offset, stream)


def _check(planes: np.ndarray) -> bytes:
    return zlib.adler32(planes.data).to_bytes(4, "big")


def _blocks(plane: np.ndarray, end: int) -> bytes:
    """Deflate blocks of some bytes; ``end`` says whether others follow."""
    level = 0 if _bits(plane) >= _NOISE_BITS else _LEVEL
    coder = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return coder.compress(plane.data) + coder.flush(end)


def _bits(plane: np.ndarray) -> float:
    """Entropy of bytes, bits a byte."""
    share = np.bincount(plane, minlength=256) / len(plane)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


# Fixed-point packing of float fields into int16.


def pack(values: np.ndarray, scale: float, limit: float) -> tuple[np.ndarray, float]:
    """Round to multiples of a step.

    Parameters
    ----------
    values : ndarray of float
        Finite values, any shape.
    scale
        The step; values within ±limit come back with an error of at most half of it.
    limit
        Values beyond ±limit are clipped to it; at most 32767 steps.

    Returns
    -------
    packed : ndarray of int16
        Same shape.
    peak : float
        Largest magnitude before clipping; something was clipped where it exceeds ``limit``.

    Raises
    ------
    ValueError
        If a value is not finite: an integer cannot say so.
    """
    peak = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(peak):
        raise ValueError("values that are not finite cannot be packed")
    return np.rint(np.clip(values, -limit, limit) / scale).astype(np.int16), peak


def unpack(packed: np.ndarray, scale: np.float32) -> np.ndarray:
    """Values of packed integers, float32."""
    values = packed.astype(np.float32)  # numpy's mixed product, which does the same, takes twice as long
    values *= scale
    return values
