"""Reads files of PyTorch, of which nothing is ever executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def read(path: Path, device: torch.device | str = "cpu") -> Any:
    """What ``torch.save`` wrote: tensors, numbers, texts, and lists and dictionaries of them.

    Raises
    ------
    ValueError
        If the file is missing, damaged or holds anything else; names the file.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises whatever its reader stumbles over, with advice that is not for users
        reason = str(error).partition(". ")[0].partition("\n")[0] or "it ends early"
        raise ValueError(f"{path}: no weights can be read from it ({type(error).__name__}: {reason})") from error
