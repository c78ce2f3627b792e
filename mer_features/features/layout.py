"""How a feature file is laid out on disk.

:class:`Target` creates the groups, dimensions and variables that the schema lists. :func:`images`, :func:`fields` and
:func:`put` compress chunks here instead of in HDF5, which stores and reads them as its own. :func:`pack` and
:func:`unpack` convert float fields to fixed-point int16 values and back.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import h5netcdf
import h5py
import numpy as np

from mer_features import __version__
from mer_features.features.options import Provenance
from mer_features.features.schema import ONE_PER_CHUNK, VERSION, Group, Variable

_NONE: Mapping[str, Any] = MappingProxyType({})
_TEXT = h5py.string_dtype()
#: Entropy, in bits per byte, from which bytes are stored uncompressed: compression would save less than a quarter.
_NOISE_BITS = 6.0
#: The lowest zlib level that finds long matches, which are read twice as fast as the output of lower levels.
_LEVEL = 6
_HEADER = b"\x78\x01"  # zlib header (RFC 1950): deflate, window of 32 kB, fastest


@dataclass(frozen=True)
class Target:
    """A feature file that is being written, with the attributes by group name and the compression level."""

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
            Lengths of the dimensions that this group adds to those of the root; an optional variable is left out if one
            of its dimensions is missing.
        own
            More attributes of the group.
        """
        out = self.file.create_group(group.name) if group.name else self.file
        header = {"schema": group.schema, "schema_version": np.int32(VERSION), "title": group.title}
        if group.coordinates:
            header["coordinates"] = group.coordinates
        for name, value in (header | dict(self.attributes.get(group.name, {})) | dict(own)).items():
            out.attrs[name] = value
        for name, size in sizes.items():
            out.dimensions[name] = None if name in group.unlimited else size
        for variable in group.stored:
            if not variable.optional or set(variable.dims[1:]) <= set(sizes):
                self._create_variable(out, variable, group, sizes)
        for name in set(sizes) & set(group.unlimited):
            out.resize_dimension(name, sizes[name])
        return out

    def _create_variable(self, out: h5netcdf.Group, variable: Variable, group: Group, sizes: Mapping[str, int]) -> None:
        lengths = dict(sizes) | dict.fromkeys(group.unlimited, group.chunk)
        storage: dict[str, Any] = {"fillvalue": variable.fill}
        if variable.compressed:
            chunks = tuple(1 if name in ONE_PER_CHUNK else lengths[name] for name in variable.dims)
            storage |= {"chunks": chunks, "compression": "gzip", "shuffle": True}
            storage["compression_opts"] = self.gzip_level
        elif set(variable.dims) & set(group.unlimited):
            storage["chunks"] = tuple(lengths[name] for name in variable.dims)
        dtype = _TEXT if variable.dtype == "str" else np.dtype(variable.dtype)
        stored = out.create_variable(variable.name, variable.dims, dtype, **storage)
        for name, value in variable.attributes().items():
            stored.attrs[name] = value


def origin(provenance: Provenance) -> dict[str, Any]:
    """Attributes of the root that say where a file comes from."""
    return {
        "Conventions": "CF-1.11",
        "source": f"mer-features {__version__}",
        "config": provenance["config"],
        "versions": json_text(provenance["versions"]),
        "fingerprints": json_text(provenance["fingerprints"]),
        "seed": np.int64(provenance["seed"]),
    }


def json_text(tree: Mapping[str, Any]) -> str:
    """JSON text with sorted keys."""
    return json.dumps(tree, sort_keys=True, ensure_ascii=False)


def text(values: Sequence[str]) -> np.ndarray:
    """Texts as an array for h5netcdf; characters that HDF5 cannot store (NUL, lone surrogates) are escaped."""
    safe = [value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode() for value in values]
    return np.array(safe, dtype=object)


def images(values: np.ndarray, level: int) -> bytes:
    """Compressed chunk of a uint8 image of any shape; ``level`` is 1..9. Single bytes need no shuffling."""
    return zlib.compress(np.ascontiguousarray(values).data, level)


def fields(values: np.ndarray) -> bytes:
    """Compressed chunk of a packed int16 field of any shape; the low bytes of all values come first (shuffle)."""
    planes = np.ascontiguousarray(values.astype("<i2").reshape(-1, 1).view(np.uint8).T)
    low, high = planes
    return _HEADER + _blocks(low, zlib.Z_FULL_FLUSH) + _blocks(high, zlib.Z_FINISH) + _check(planes)


def put(dataset: h5py.Dataset, place: tuple[int, ...], stream: bytes) -> None:
    """Write a compressed chunk of a dataset that has the filters shuffle and deflate.

    ``place`` is the position of the chunk along the first axes; it is 0 along the other axes.
    """
    offset = place + (0,) * (dataset.ndim - len(place))
    dataset.id.write_direct_chunk(offset, stream)


def _check(planes: np.ndarray) -> bytes:
    return zlib.adler32(planes.data).to_bytes(4, "big")


def _blocks(plane: np.ndarray, end: int) -> bytes:
    """Deflate blocks of bytes; ``end`` is the zlib flush mode, which says whether more blocks follow."""
    level = 0 if _bits(plane) >= _NOISE_BITS else _LEVEL
    coder = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return coder.compress(plane.data) + coder.flush(end)


def _bits(plane: np.ndarray) -> float:
    """Entropy in bits per byte."""
    share = np.bincount(plane, minlength=256) / len(plane)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def pack(values: np.ndarray, scale: float, limit: float) -> tuple[np.ndarray, float]:
    """Round values to multiples of a step and store them as int16.

    Parameters
    ----------
    values : ndarray of float
        Finite values, any shape.
    scale
        The step; the error of values within ±limit is at most half a step.
    limit
        Values outside ±limit are clipped; at most 32767 steps.

    Returns
    -------
    packed : ndarray of int16
        Same shape.
    peak : float
        Largest magnitude before clipping; values were clipped if it exceeds ``limit``.

    Raises
    ------
    ValueError
        If a value is not finite, because an integer cannot represent it.
    """
    peak = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(peak):
        raise ValueError("values that are not finite cannot be packed")
    return np.rint(np.clip(values, -limit, limit) / scale).astype(np.int16), peak


def unpack(packed: np.ndarray, scale: np.float32) -> np.ndarray:
    """Convert packed integers to float32 values; ``scale`` is the step."""
    values = packed.astype(np.float32)  # the product of int16 and float32 gives the same, but takes twice as long
    values *= scale
    return values
