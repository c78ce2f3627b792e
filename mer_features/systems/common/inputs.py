"""Arrays that systems take as input, made from the feature-file variables of one clip at a time; and heat maps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from mer_features.core.grey import LUMA
from mer_features.systems.common.contract import Arrays
from mer_features.systems.common.recipe import FlowRecipe, PlanesRecipe

#: Side of the flow planes for the small networks, pixels.
FLOW_SIDE = 28


def resized(plane: np.ndarray, side: int, *, average: bool = False) -> np.ndarray:
    """Resize a plane (H, W) to ``side`` x ``side``, float32: bilinear samples or, with ``average``, area means."""
    interpolation = cv2.INTER_AREA if average else cv2.INTER_LINEAR
    return cv2.resize(plane.astype(np.float32), (side, side), interpolation=interpolation)


def flow_variables(recipe: FlowRecipe, channels: Sequence[str]) -> tuple[str, ...]:
    """Names of the variables with these channels (`u`, `v`, `strain`) of the flow from onset to apex."""
    if recipe.source == "flow_maps":
        return tuple(f"flow_maps/maps[{name}]" for name in channels)
    return tuple(f"flow/{name}[onset_apex]" for name in channels)


def flow_planes(recipe: PlanesRecipe, clip: Arrays, channels: Sequence[str]) -> np.ndarray:
    """Flow planes of one clip for the small networks, (P, 28, 28) float32; each plane is resized and scaled on its own.

    ``recipe.scale`` selects :func:`unit_range` (`minmax`), the same as whole numbers 0 to 255 (`bytes`), or
    :func:`unit_magnitude` (`symmetric`). Published maps are bytes already, so `bytes` does not scale them.
    """
    stored = np.rint if recipe.source == "flow_maps" else as_bytes
    scaled = {"minmax": unit_range, "bytes": stored, "symmetric": unit_magnitude}[recipe.scale]
    planes = (clip[name] for name in flow_variables(recipe, channels))
    return np.stack([scaled(resized(plane, FLOW_SIDE, average=recipe.resize == "area")) for plane in planes])


def as_bytes(plane: np.ndarray) -> np.ndarray:
    """Scale a plane to whole numbers from 0 to 255, as an 8-bit image stores it; float32."""
    return np.rint(255 * unit_range(plane))


def unit_range(plane: np.ndarray) -> np.ndarray:
    """Scale a plane to [0, 1] by its own minimum and maximum; a constant plane becomes zero."""
    low, high = plane.min(), plane.max()
    return (plane - low) / (high - low) if high > low else np.zeros_like(plane)


def grey(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) uint8, C = 1 or 3 (RGB), as luma (H, W) float32 in 0..255 (ITU-R BT.601)."""
    if image.shape[-1] == 1:
        return image[..., 0].astype(np.float32)
    return image.astype(np.float32) @ LUMA


def unit_magnitude(plane: np.ndarray) -> np.ndarray:
    """Divide a plane by its largest magnitude, so that it is in [-1, 1] and zero stays zero."""
    largest = np.abs(plane).max()
    return plane / largest if largest > 0 else np.zeros_like(plane)


def rgb(image: np.ndarray, side: int) -> np.ndarray:
    """Resize an image and put the channels first; the result stays in bytes, so that many clips fit in memory.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        C = 3 (RGB), or 1 (grey), which is repeated.
    side
        Side of the result, pixels. A smaller result is made of area means, a larger one of bilinear samples.

    Returns
    -------
    ndarray, shape (3, side, side), uint8
    """
    if image.shape[:2] != (side, side):
        smaller = side < min(image.shape[:2])
        resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        image = resized.reshape(side, side, -1)  # OpenCV drops a single channel
    return np.ascontiguousarray(np.broadcast_to(image, (side, side, 3)).transpose(2, 0, 1))


#: Variables from which :func:`nearest_keyframes` chooses.
NUMBERS, APEX = "faces/keyframe_number", "apex"


def nearest_keyframes(clip: Arrays, frames: int) -> np.ndarray:
    """Positions, ascending, of the ``frames`` keyframes of a clip that are nearest to its apex in time, (F,) int64.

    Raises
    ------
    ValueError
        If the feature file has fewer keyframes.
    """
    distances = np.abs(clip[NUMBERS].astype(np.int64) - int(clip[APEX]))
    if len(distances) < frames:
        raise ValueError(
            f"frames: expected at most {len(distances)}, the keyframes in the feature file, found {frames}; "
            "set cache.keyframes for more"
        )
    return np.sort(np.argsort(distances, kind="stable")[:frames])


def overlays(images: np.ndarray, heats: np.ndarray) -> np.ndarray:
    """:func:`overlay` of each of N images (N, H, W, C) and its heat map (N, h, w); (N, H, W, 3) uint8."""
    return np.stack([overlay(image, heat) for image, heat in zip(images, heats, strict=True)])


def overlay(image: np.ndarray, heat: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """Overlay a heat map on an image.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        C = 1 (grey) or 3 (RGB).
    heat : ndarray, shape (h, w), float
        In [0, 1]; resized bilinearly to the size of the image.
    strength
        Weight of the colour where the heat is 1.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
    """
    from matplotlib import colormaps  # noqa: PLC0415  # only needed for heat maps

    size = image.shape[:2]
    resized_heat = F.interpolate(torch.from_numpy(heat.astype(np.float32))[None, None], size, mode="bilinear")[0, 0]
    level = resized_heat.clamp(0, 1).numpy()
    colours = colormaps["inferno"](level)[..., :3] * 255
    share = (strength * level)[..., None]
    base = np.broadcast_to(image, (*size, 3)).astype(np.float32)
    return np.rint(base * (1 - share) + colours * share).astype(np.uint8)
