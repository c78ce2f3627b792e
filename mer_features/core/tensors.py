"""What every use of PyTorch shares: the device, exact arithmetic, and files of which nothing is ever executed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mer_features.core.files import atomic_path


def device(name: str) -> torch.device:
    """The torch device of a configured one, ``cpu``, ``gpu`` or ``auto`` (a GPU if there is one).

    Raises
    ------
    ValueError
        If a GPU is asked for and PyTorch sees none.
    """
    if name == "gpu" and not torch.cuda.is_available():
        raise ValueError("device: found gpu, and PyTorch sees no GPU here; choose cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def deterministic(threads: int = 1) -> Iterator[None]:
    """Only algorithms that give the same bits every time, with so many CPU threads; both restored afterwards.

    Where a GPU has no such algorithm (the gradient of reflection padding, say) PyTorch warns.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def write(path: Path, value: Any) -> None:
    """Write tensors, numbers, texts, and lists and dictionaries of them for :func:`read`, atomically."""
    with atomic_path(path) as temporary:
        torch.save(value, temporary)


def read(path: Path, place: torch.device | str = "cpu") -> Any:
    """What ``torch.save`` wrote: tensors, numbers, texts, and lists and dictionaries of them.

    Raises
    ------
    ValueError
        If the file is missing, damaged or holds anything else; names the file.
    """
    try:
        return torch.load(path, map_location=place, weights_only=True)
    except Exception as error:  # torch raises whatever its reader meets, with advice that is not for users
        reason = str(error).partition(". ")[0].partition("\n")[0] or "it ends early"
        raise ValueError(f"{path}: no weights can be read from it ({type(error).__name__}: {reason})") from error
