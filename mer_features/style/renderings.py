"""Renderings of a face by code, from which style-discriminative features are learned: no photo software needed."""

from __future__ import annotations

import cv2
import numpy as np

#: Names of :func:`renderings`, in its order.
NAMES = ("original", "grey", "light", "sketch")
_GAMMA = 0.6
_SKETCH_SHARE = 1 / 24  # blur of the dodge, as a share of the side


def renderings(image: np.ndarray) -> np.ndarray:
    """The four renderings that SAN had made with photo software.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        RGB.

    Returns
    -------
    ndarray, shape (4, H, W, 3), uint8
        The image; grey; light (gamma 0.6, highlights rolled off towards white); sketch (grey over its inverted blur, a
        colour dodge).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lifted = (image / 255.0) ** _GAMMA
    light = 1 - (1 - lifted) ** 1.5
    blurred = cv2.GaussianBlur(255 - grey, (0, 0), _SKETCH_SHARE * min(grey.shape))
    sketch = np.minimum(255, 256 * grey / np.maximum(256 - blurred, 1))
    flat = [np.repeat(plane[..., None], 3, axis=2) for plane in (grey, sketch)]
    return np.stack(
        [np.clip(np.rint(item), 0, 255).astype(np.uint8) for item in (image, flat[0], 255 * light, flat[1])]
    )
