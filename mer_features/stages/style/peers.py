"""Simple methods for comparison: histogram equalisation in tiles, and matching to the pooled histogram."""

from __future__ import annotations

import cv2
import numpy as np

from mer_features.core.grey import levels
from mer_features.stages.style import lab

#: Contrast limit of CLAHE, and number of tiles per side.
CLIP, TILES = 2.0, 8


def clahe(image: np.ndarray) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of L (Zuiderveld 1994); uint8, same shape, chroma unchanged.

    Each frame is equalised separately, because OpenCV cannot apply the tables of one frame to another.
    """
    planes = lab.planes(image)
    wide = np.rint(planes[0] * (65535 / 100)).astype(np.uint16)  # 16 bits, so that there are no additional steps
    equalised = cv2.createCLAHE(CLIP, (TILES, TILES)).apply(wide)
    planes[0] = equalised * (100 / 65535)
    return lab.image(planes, image.shape[2])


def levels_of(image: np.ndarray) -> np.ndarray:
    """Counts (4, 256) of the levels of R, G, B (all 0 for an image without colour) and of luma."""
    counts = np.zeros((4, 256))
    if not lab.is_grey(image):
        counts[:3] = [np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)]
    counts[3] = np.bincount(levels(image).ravel(), minlength=256)
    return counts


def histogram_tables(onset: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    """Lookup tables that match a clip to the pooled histogram.

    Parameters
    ----------
    onset : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        The clip's onset crop; the same tables are applied to the apex.
    pooled : ndarray, shape (4, 256)
        Frequencies as in :class:`mer_features.stages.style.fitted.Fitted`.

    Returns
    -------
    ndarray, shape (C, 256), uint8
        New level of every level, not decreasing. For grey crops, and if no colour crop was pooled, all channels have
        the same table.
    """
    counts = levels_of(onset)
    rows = (0, 1, 2) if counts[0].any() and pooled[0].any() else (3,) * onset.shape[2]
    tables = [np.interp(_middles(counts[row]), _middles(pooled[row]), np.arange(256)) for row in rows]
    return np.rint(tables).astype(np.uint8)


def apply_tables(image: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Apply one table per channel to an image (H, W, C), uint8."""
    return np.stack([table[image[..., channel]] for channel, table in enumerate(tables)], axis=-1)


def _middles(counts: np.ndarray) -> np.ndarray:
    """Cumulative frequency in the middle of every level; matching a histogram to itself then changes nothing."""
    share = counts / counts.sum()
    result: np.ndarray = np.cumsum(share) - share / 2
    return result
