"""Descriptor stage: handcrafted descriptors of a clip, LBP-TOP of its frames and Bi-WOOF of the flow to its apex."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mer_features.core.clips import Clip
from mer_features.core.grey import levels
from mer_features.core.quality import Issue
from mer_features.stages.descriptors import bi_woof, lbp_top, tim
from mer_features.stages.options import Descriptors
from mer_features.stages.store import ClipRecord, ClipView

#: Number of frames to which a clip is resampled before LBP-TOP (MEGC 2019).
TIM_FRAMES = 10


def process(clip: Clip, inputs: Mapping[str, ClipView], options: Descriptors) -> ClipRecord:
    """Descriptors of one clip.

    Returns
    -------
    ClipRecord
        One array per method: ``lbp_top`` (1125,) and ``bi_woof`` (200,), float64. A descriptor that is all zeros, which
        can occur only for Bi-WOOF, gives the issue ``empty_descriptor``.
    """
    descriptors: dict[str, np.ndarray] = {method: _METHODS[method](inputs) for method in options.methods}
    empty = [Issue("empty_descriptor", method) for method, values in descriptors.items() if not values.any()]
    return ClipRecord(clip.clip_id, descriptors, issues=tuple(empty))


def _lbp_top(inputs: Mapping[str, ClipView]) -> np.ndarray:
    faces = inputs["faces"]
    onset, offset = int(faces.attrs["onset"]), int(faces.attrs["offset"])
    crops = faces["crops"]
    grey = np.stack([levels(crops[position]) for position in range(onset, offset + 1)])
    return lbp_top.describe(tim.resample(grey, TIM_FRAMES))


def _bi_woof(inputs: Mapping[str, ClipView]) -> np.ndarray:
    flow = inputs["flow"]
    pair = str(flow.attrs["pairs"]).split(",").index("onset_apex")
    u, v = flow["flow"][pair]
    return bi_woof.describe(u, v, flow["strain"][pair])


_METHODS: dict[str, Callable[[Mapping[str, ClipView]], np.ndarray]] = {"lbp_top": _lbp_top, "bi_woof": _bi_woof}
