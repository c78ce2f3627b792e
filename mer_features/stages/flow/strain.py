"""Optical strain: local stretching and shearing of the skin, computed from the flow; zero for a rigid shift."""

from __future__ import annotations

import numpy as np


def magnitude(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Magnitude of the optical strain of a flow field.

    The Frobenius norm of the infinitesimal strain tensor (the symmetric part of the flow's gradient),
    ``sqrt(u_x^2 + v_y^2 + 1/2 (u_y + v_x)^2)`` (Shreve et al. 2009, "Towards macro- and micro-expression
    spotting in video using strain patterns"). Derivatives are central differences, one-sided at the border. A
    shift gives 0; a rotation by a small angle a gives values of order a².

    Parameters
    ----------
    u, v : ndarray, shape (H, W), both sides at least 2
        Flow to the right and down, pixels.

    Returns
    -------
    ndarray, shape (H, W), float32
        Strain, dimensionless (pixels per pixel), >= 0.

    Raises
    ------
    ValueError
        If the components differ in shape, are not two-dimensional, or have a side of less than 2.
    """
    if u.shape != v.shape or u.ndim != 2 or min(u.shape) < 2:
        raise ValueError(f"found u {u.shape}, v {v.shape}; expected two equal shapes (H, W) with sides of at least 2")
    u_y, u_x = np.gradient(u.astype(np.float32, copy=False))
    v_y, v_x = np.gradient(v.astype(np.float32, copy=False))
    result: np.ndarray = np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)
    return result
