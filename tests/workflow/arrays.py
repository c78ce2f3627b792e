"""What two runs must have in common: the bytes of every array of a file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def arrays(path: Path) -> dict[str, bytes]:
    """Every array of an HDF5 file, as bytes."""
    found: dict[str, bytes] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            value = item[()]
            found[name] = repr(value.tolist()).encode() if value.dtype.kind == "O" else np.asarray(value).tobytes()

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def differing(one: Path, other: Path) -> list[str]:
    """Names of arrays that are not the same bytes in both files."""
    first, second = arrays(one), arrays(other)
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
