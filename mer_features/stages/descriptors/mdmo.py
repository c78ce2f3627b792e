"""MDMO: main directional mean optical flow in 36 regions of the face.

Liu, Zhang, Yan, Wang, Zhao and Fu 2016, "A main directional mean optical flow feature for spontaneous micro-expression
recognition" (doi:10.1109/TAFFC.2015.2485205). In each region, the flow vectors of a frame are counted in eight bins of
direction, and the vectors in the fullest bin (the main direction) are averaged. These means are averaged over the
frames. Magnitudes are divided by the largest one of the face.

The paper shows its regions in a figure. The regions here follow its layout (forehead, around the eyes, nose, cheeks,
mouth, chin), but their corners are our choice. The bins are centred on 0°, 45°, ... (ours).
"""

from __future__ import annotations

import cv2
import numpy as np

BINS = 8
REGIONS = 36
LENGTH = 2 * REGIONS

#: Corners of the 18 regions in the half of the face that is on the left of the image, from the forehead to the chin, as
#: indices of the 68 iBUG landmarks. `a-b` is the middle of two landmarks, and `^` raises a point.
_HALF = (
    "17^ 19^ 19 17", "19^ 21^ 21 19", "21^ 21-22^ 27 21",
    "0 17 36 1", "17 19 37 36", "19 21 39 38 37", "21 27 28 39",
    "1 36 41 2-41 2", "2-41 41 40 39 3-29", "39 28 29 3-29",
    "2 2-41 3-29 3", "3-29 29 33 4-33", "3 3-29 4-33 4",
    "4-33 33 51 49 48", "4 4-33 48 5", "48 49 51 57 58 59",
    "5 48 59 58 6", "6 58 57 8",
)  # fmt: skip
#: Distance by which `^` raises a point, as a fraction of the distance between the eyes (ours).
_RAISED = 0.25
#: Landmark at the mirrored place of each landmark.
MIRRORED = np.array([
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
])  # fmt: skip


def describe(flows: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """MDMO descriptor of the flow from the first frame of a clip to other frames.

    Parameters
    ----------
    flows : ndarray, shape (F, 2, H, W)
        Flow to the right and down from the first frame to each of F >= 1 frames, pixels.
    landmarks : ndarray, shape (68, 2)
        x, y on the first frame, pixels.

    Returns
    -------
    ndarray, shape (72,), float64
        Magnitudes of the 36 regions, at most 1, then their angles in radians, -π to π, from right (0) over down (π/2).
        The first 18 regions are on the left of the image; the others are the same on the right. A region without flow
        is 0. Without landmarks (NaN), or if nothing moves, all values are 0.

    Raises
    ------
    ValueError
        If an array has another shape.
    """
    if flows.ndim != 4 or not len(flows) or flows.shape[1] != 2 or landmarks.shape != (68, 2):
        raise ValueError(
            f"found flows {flows.shape} and landmarks {landmarks.shape}; expected (F, 2, H, W), F >= 1, and (68, 2)"
        )
    if not np.isfinite(landmarks).all():
        return np.zeros(LENGTH)
    means = np.zeros((REGIONS, 2))
    for mean, inside in zip(means, region_masks(landmarks, flows.shape[2:]), strict=True):
        mean[:] = np.mean([_main_mean(vectors) for vectors in flows[:, :, inside].astype(np.float64)], axis=0)
    magnitudes = np.hypot(means[:, 0], means[:, 1])
    largest = magnitudes.max()
    angles = np.arctan2(means[:, 1], means[:, 0])
    return np.concatenate([magnitudes / largest if largest > 0 else magnitudes, angles])


def _main_mean(vectors: np.ndarray) -> np.ndarray:
    """Mean of the vectors (2, M) in the fullest bin of direction, (2,); 0 if no vector has a direction."""
    moving = vectors[:, vectors.any(axis=0)]
    if not moving.size:
        return np.zeros(2)
    bins = np.rint(np.arctan2(moving[1], moving[0]) * BINS / (2 * np.pi)).astype(np.int64) % BINS
    main: np.ndarray = moving[:, bins == np.bincount(bins).argmax()].mean(axis=1)
    return main


def region_masks(landmarks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels of each region on an image of this height and width, (36, H, W) bool; neighbours share their border."""
    masks = np.zeros((REGIONS, *shape), np.uint8)
    halves = landmarks, landmarks[MIRRORED]
    for number, mask in enumerate(masks):
        corners = _corners(_HALF[number % len(_HALF)], halves[number // len(_HALF)])
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return masks.astype(bool)


def _corners(region: str, landmarks: np.ndarray) -> np.ndarray:
    """Corners of a region, (C, 2)."""
    eyes = landmarks[36:42].mean(axis=0) - landmarks[42:48].mean(axis=0)
    up = np.array([0.0, _RAISED * np.linalg.norm(eyes)])
    corners = []
    for point in region.split():
        indices = [int(index) for index in point.removesuffix("^").split("-")]
        corners.append(landmarks[indices].mean(axis=0) - up * point.endswith("^"))
    return np.array(corners)
