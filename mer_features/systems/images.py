"""Face images as systems take them: whole RGB faces in bytes, so that a cache of clips stays small in memory."""

from __future__ import annotations

import cv2
import numpy as np


def rgb(image: np.ndarray, side: int) -> np.ndarray:
    """One image, channels first and resized.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        C = 3 (RGB), or 1 (grey), which is repeated.
    side
        Side of the result, pixels: means over areas where that is smaller than the image, bilinear samples where
        it is larger.

    Returns
    -------
    ndarray, shape (3, side, side), uint8
    """
    if image.shape[:2] != (side, side):
        smaller = side < min(image.shape[:2])
        resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        image = resized.reshape(side, side, -1)  # OpenCV drops a single channel
    return np.ascontiguousarray(np.broadcast_to(image, (side, side, 3)).transpose(2, 0, 1))
