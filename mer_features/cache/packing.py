"""Fixed-point packing of float fields into int16."""

from __future__ import annotations

import numpy as np


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
