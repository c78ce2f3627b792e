"""Pictures as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mer_features.files import atomic_path


def write_png(path: Path, image: np.ndarray) -> Path:
    """Write an image (H, W), (H, W, 1) or (H, W, 3) RGB, uint8, as PNG, atomically; returns the path."""
    colour = image.ndim == 3 and image.shape[-1] == 3
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return path
