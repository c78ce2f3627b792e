"""Removal of a change of light between two frames, which flow methods would take for motion.

TV-L1 assumes that a point keeps its grey level. A lamp that changes by a few per cent between two frames
breaks that by several levels, about as much as a micro-expression does, and the flow found is then worse than
none.
"""

from __future__ import annotations

import cv2
import numpy as np

from mer_features.core.grey import levels

#: The fit runs on means over blocks of this side, pixels: fast, and blind to sub-pixel motion and noise.
_BLOCK_PX = 4
#: Rounds of reweighting, and the residual in grey levels below which a block weighs no more.
_ROUNDS, _FLOOR = 5, 0.5


def match(reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The second frame of a pair in the light of the first.

    Fits ``reference = (a + b x + c y) moved + d`` over the image, least absolute residuals, and applies it: a
    lamp's strength, its fall-off across the face and the black level. What moved is a minority and hardly
    weighs.

    Parameters
    ----------
    reference, moved : ndarray, shape (H, W), (H, W, 1) or (H, W, 3)
        uint8, or floating point in [0, 1]; colour (RGB) is reduced to luma.

    Returns
    -------
    ndarray, shape (H, W), float32
        ``moved`` with its light corrected, in [0, 1]; unchanged to the last bit if it equals ``reference``.

    Raises
    ------
    ValueError
        For images of different shape, a wrong dtype, NaN, or floating point values outside [0, 1].
    """
    target, source = levels(reference, "reference"), levels(moved, "moved")
    if target.shape != source.shape:
        raise ValueError(f"found {target.shape} and {source.shape}, expected equal shapes")
    return match_levels(target, source) / 255


def match_levels(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """:func:`match` for grey levels in [0, 255], (H, W) of equal shape, unchecked; float32."""
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
    """Columns ``i``, ``x i``, ``y i`` and 1 of the model, one row per pixel; x and y run from -1 to 1."""
    height, width = image.shape
    x = (2 * np.arange(width, dtype=np.float32) + 1) / width - 1
    y = (2 * np.arange(height, dtype=np.float32) + 1) / height - 1
    grey = image.astype(np.float32)
    return np.stack([grey, grey * x, grey * y[:, None], np.ones_like(grey)], axis=-1).reshape(-1, 4)


def _least_absolute(design: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least absolute residuals by iteratively reweighted least squares."""
    design, target = design.astype(np.float64), target.astype(np.float64)
    root = np.ones_like(target)
    for _ in range(_ROUNDS):
        factors = np.linalg.lstsq(design * root[:, None], target * root)[0]
        root = 1 / np.sqrt(np.maximum(np.abs(design @ factors - target), _FLOOR))
    result: np.ndarray = factors
    return result
