"""Measures how far a change of style moves a face, as the flow between its edges. Does not need torch."""

from __future__ import annotations

import cv2
import numpy as np

from mer_features.core.grey import levels
from mer_features.stages import flow

#: Standard deviation, in pixels, of the neighbourhood whose mean and contrast are removed.
_SIGMA_PX = 4.0
#: Variance in grey levels² added to that of the neighbourhood, so that noise is not amplified on smooth skin.
_NOISE = 9.0


def structure(image: np.ndarray) -> np.ndarray:
    """Edges without tone: luma minus its local mean, divided by its local contrast.

    Parameters
    ----------
    image : ndarray, shape (H, W), (H, W, 1) or (H, W, 3)
        uint8, or floating point in [0, 1].

    Returns
    -------
    ndarray, shape (H, W), uint8
        128 in regions without edges. A locally linear change of tone does not change the result; a shift of the image
        shifts it.
    """
    grey = levels(image).astype(np.float32)
    centred = grey - cv2.GaussianBlur(grey, (0, 0), _SIGMA_PX)
    contrast = np.sqrt(cv2.GaussianBlur(centred**2, (0, 0), _SIGMA_PX) + _NOISE)
    result: np.ndarray = np.clip(np.rint(128 + 40 * centred / contrast), 0, 255).astype(np.uint8)
    return result


def displacement(image: np.ndarray, rendering: np.ndarray) -> np.ndarray:
    """TV-L1 flow (2, H, W), in pixels, from an image to its rendering in another style, measured on :func:`structure`.

    Flow between the images themselves would measure the change of tone as motion: between two tones of one face, it is
    more than one pixel although nothing moved.
    """
    return flow.estimate(structure(image), structure(rendering), "tvl1")


def median_length(field: np.ndarray) -> float:
    """Median length of a flow field (2, H, W), in pixels."""
    return float(np.median(np.hypot(*field)))
