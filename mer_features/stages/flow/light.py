"""Removes changes of lighting between two frames, which flow methods would measure as motion.

TV-L1 assumes that the grey level of a point does not change. If the lighting changes by a few per cent between two
frames, grey levels change by several levels, about as much as in a micro-expression, and the estimated flow is then
worse than no flow.
"""

from __future__ import annotations

import cv2
import numpy as np

from mer_features.core.grey import levels

#: The fit uses means over blocks of this side in pixels, which is fast and insensitive to sub-pixel motion and noise.
_BLOCK_PX = 4
#: Rounds of reweighting, and the residual in grey levels below which the weight of a block does not increase further.
_ROUNDS, _FLOOR = 5, 0.5


def match(reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Match the lighting of the second frame of a pair to that of the first.

    Fits ``reference = (a + b x + c y) moved + d`` over the image by least absolute residuals and applies it to
    ``moved``. The model describes the intensity of the lighting, its gradient across the face, and the black level.
    Moving regions are a minority of the pixels and have little influence on the fit.

    Parameters
    ----------
    reference, moved : ndarray, shape (H, W), (H, W, 1) or (H, W, 3)
        uint8, or floating point in [0, 1]; colour (RGB) is reduced to luma.

    Returns
    -------
    ndarray, shape (H, W), float32
        ``moved`` with its lighting matched, in [0, 1]; unchanged to the last bit if it equals ``reference``.

    Raises
    ------
    ValueError
        For images of different shapes, a wrong dtype, NaN, or floating point values outside [0, 1].
    """
    target, source = levels(reference, "reference"), levels(moved, "moved")
    if target.shape != source.shape:
        raise ValueError(f"found {target.shape} and {source.shape}, expected equal shapes")
    return match_levels(target, source) / 255


def match_levels(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Like :func:`match`, for grey levels in [0, 255] of equal shape (H, W), without checks; returns float32."""
    if np.array_equal(target, source):
        return source.astype(np.float32)
    design = _terms(_blocks(source))
    factors = _least_absolute(design, _blocks(target).ravel())
    corrected = (_terms(source) @ factors.astype(np.float32)).reshape(source.shape)
    result: np.ndarray = np.clip(corrected, 0, 255)
    return result


def _blocks(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    size = (max(width // _BLOCK_PX, 1), max(height // _BLOCK_PX, 1))
    result: np.ndarray = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return result


def _terms(image: np.ndarray) -> np.ndarray:
    """Columns ``i``, ``x i``, ``y i`` and 1 of the model, one row per pixel; x and y range from -1 to 1."""
    height, width = image.shape
    x = (2 * np.arange(width, dtype=np.float32) + 1) / width - 1
    y = (2 * np.arange(height, dtype=np.float32) + 1) / height - 1
    grey = image.astype(np.float32)
    return np.stack([grey, grey * x, grey * y[:, None], np.ones_like(grey)], axis=-1).reshape(-1, 4)


def _least_absolute(design: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit by least absolute residuals, with iteratively reweighted least squares."""
    design, target = design.astype(np.float64), target.astype(np.float64)
    root = np.ones_like(target)
    for _ in range(_ROUNDS):
        factors = np.linalg.lstsq(design * root[:, None], target * root)[0]
        root = 1 / np.sqrt(np.maximum(np.abs(design @ factors - target), _FLOOR))
    result: np.ndarray = factors
    return result
