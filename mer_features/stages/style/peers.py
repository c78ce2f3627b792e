"""Plain methods for comparison: histogram equalisation in tiles, and matching of the pooled histogram."""

from __future__ import annotations

import cv2
import numpy as np

from mer_features.core.grey import levels
from mer_features.stages.style import lab

#: Contrast limit and tiles a side of CLAHE.
CLIP, TILES = 2.0, 8


def clahe(image: np.ndarray) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of L, uint8 of the same shape; chroma stays (Zuiderveld 1994).

    Each frame is equalised by itself: OpenCV cannot apply one frame's tables to another.
    """
    planes = lab.planes(image)
    wide = np.rint(planes[0] * (65535 / 100)).astype(np.uint16)  # 16 bits: no steps beside those of the image
    equalised = cv2.createCLAHE(CLIP, (TILES, TILES)).apply(wide)
    planes[0] = equalised * (100 / 65535)
    return lab.image(planes, image.shape[2])


def levels_of(image: np.ndarray) -> np.ndarray:
    """Counts (4, 256) of the levels of R, G, B, which are 0 for an image without colour, and of luma."""
    counts = np.zeros((4, 256))
    if not lab.is_grey(image):
        counts[:3] = [np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)]
    counts[3] = np.bincount(levels(image).ravel(), minlength=256)
    return counts


def histogram_tables(onset: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    """Tables that give a clip the pooled histogram.

    Parameters
    ----------
    onset : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        The clip's onset crop; the apex takes the same tables.
    pooled : ndarray, shape (4, 256)
        Frequencies as :class:`mer_features.stages.style.fitted.Fitted` holds them.

    Returns
    -------
    ndarray, shape (C, 256), uint8
        New level of every level; each rises. For grey, or if no crop of colour was pooled, one table for all channels.
    """
    own = levels_of(onset)
    which = (0, 1, 2) if own[0].any() and pooled[0].any() else (3,) * onset.shape[2]
    tables = [np.interp(_middles(own[row]), _middles(pooled[row]), np.arange(256)) for row in which]
    return np.rint(tables).astype(np.uint8)


def apply_tables(image: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """An image (H, W, C), uint8, through one table a channel."""
    return np.stack([table[image[..., channel]] for channel, table in enumerate(tables)], axis=-1)


def _middles(counts: np.ndarray) -> np.ndarray:
    """Cumulative frequency in the middle of every level: symmetric, so that matching to oneself changes nothing."""
    share = counts / counts.sum()
    result: np.ndarray = np.cumsum(share) - share / 2
    return result
