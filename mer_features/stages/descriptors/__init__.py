"""Descriptor stage: handcrafted descriptors of a clip, from its frames or from the flow to its apex."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from mer_features.core.clips import Clip
from mer_features.core.grey import levels
from mer_features.core.quality import Issue
from mer_features.stages.descriptors import bi_woof, gradients_top, lbp_top, mdmo, tim
from mer_features.stages.options import Descriptor, Descriptors
from mer_features.stages.store import ClipRecord, ClipView

#: Number of frames to which a clip is resampled before LBP-TOP (MEGC 2019), HOG-TOP and HIGO-TOP (ours).
TIM_FRAMES = 10
#: Parameters of each kind of LBP-TOP; `r` is the radius along x, y and t, `p` the number of neighbours.
LBP_TOP: Mapping[str, lbp_top.Parameters] = {
    "lbp_top": lbp_top.Parameters(),
    "lbp_top_r1p4": lbp_top.Parameters((1, 1, 1), 4),
    "lbp_top_r1p8": lbp_top.Parameters((1, 1, 1), 8),
    "lbp_top_r3p4": lbp_top.Parameters((3, 3, 3), 4),
    "lbp_top_r3p8": lbp_top.Parameters((3, 3, 3), 8),
}
#: Number of bins of each kind of HOG-TOP and HIGO-TOP, and whether votes have the magnitude of the gradient.
GRADIENTS_TOP: Mapping[str, tuple[int, bool]] = {
    "hog_top_p4": (4, True),
    "hog_top_p8": (8, True),
    "higo_top_p4": (4, False),
    "higo_top_p8": (8, False),
}


def process(clip: Clip, inputs: Mapping[str, ClipView], options: Descriptors) -> ClipRecord:
    """Descriptors of one clip.

    Returns
    -------
    ClipRecord
        One array (length,), float64, per method; docs/cache-format.md has their lengths. A descriptor that is all zeros
        gives the issue ``empty_descriptor``: Bi-WOOF and MDMO if nothing moves, MDMO also without landmarks, and
        HOG-TOP and HIGO-TOP if all frames have one grey level.
    """
    material = _Material(inputs)
    descriptors: dict[str, np.ndarray] = {method: _describe(method, material) for method in options.methods}
    empty = [Issue("empty_descriptor", method) for method, values in descriptors.items() if not values.any()]
    return ClipRecord(clip.clip_id, descriptors, issues=tuple(empty))


class _Material:
    """What the descriptors of one clip are made of; read when it is first asked for."""

    def __init__(self, inputs: Mapping[str, ClipView]) -> None:
        self._inputs = inputs

    @functools.cached_property
    def volume(self) -> np.ndarray:
        """Grey crops from onset to offset, resampled in time, (10, S, S)."""
        faces = self._inputs["faces"]
        onset, offset = int(faces.attrs["onset"]), int(faces.attrs["offset"])
        crops = faces["crops"]
        grey = np.stack([levels(crops[position]) for position in range(onset, offset + 1)])
        return tim.resample(grey, TIM_FRAMES)

    @functools.cached_property
    def flow(self) -> tuple[np.ndarray, np.ndarray]:
        """Flow (2, S, S) and strain (S, S) from onset to apex."""
        flow = self._inputs["flow"]
        pair = str(flow.attrs["pairs"]).split(",").index("onset_apex")
        return flow["flow"][pair], flow["strain"][pair]

    @property
    def landmarks(self) -> np.ndarray:
        """Landmarks on the onset crop, (68, 2)."""
        landmarks: np.ndarray = self._inputs["faces"]["landmarks"][()]
        return landmarks


def _describe(method: Descriptor, material: _Material) -> np.ndarray:
    if method in LBP_TOP:
        return lbp_top.describe(material.volume, LBP_TOP[method])
    if method in GRADIENTS_TOP:
        bins, weighted = GRADIENTS_TOP[method]
        return gradients_top.describe(material.volume, bins, weighted=weighted)
    flow, strain = material.flow
    if method == "mdmo":
        return mdmo.describe(flow[None], material.landmarks)
    return bi_woof.describe(flow[0], flow[1], strain)
