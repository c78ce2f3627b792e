"""Apex spotting: finds the frame of a clip in which the expression is strongest.

Every spotter computes a curve over the frames, and the apex is the first maximum of the curve after the onset. All
spotters measure relative to the onset frame. Several spotters are computed in one pass over the frames, with one frame
in memory at a time.

``interframe_diff``
    Mean over the crop of ``|I(t) - I(onset)|`` in grey levels (FR, Eq. 1). The published equation has no absolute
    value, but the sentence below it requires one; without it, brightening and darkening regions would cancel.
``lbp_roi``
    ``d(t) = 1 - sum_j h_1j h_tj / sqrt(sum_j h_1j^2 sum_j h_tj^2)`` between the LBP histograms of the onset
    frame and of frame t in boxes around both eyes with brows and around the mouth (SA-AT, Eq. 1 and Algorithm 1). The
    published equation has ``h_1j^i`` in the first sum under the root; we read it as a square, so that d is one minus
    the cosine and 0 for equal frames. The boxes are computed from the landmarks of the onset frame and used for all
    frames, because landmarks located separately in each frame jitter by as much as a micro-expression moves. The three
    histograms are concatenated.
``roi_diff``
    Mean over the same boxes of ``|I(t) - I(onset)|``, after the lighting of each box was matched to that of the onset
    frame (:mod:`mer_features.stages.flow.light`). This is our own spotter: in the mean over the whole crop, background
    that moves behind a registered head and flickering lighting outweigh a micro-expression; these boxes exclude both.
``midpoint``
    The frame half way between onset and offset (the later one if there are two). It ignores the images and is used as
    a control (Dual-Inception). Its curve is triangular with height 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from mer_features.core.clips import Clip
from mer_features.core.grey import levels
from mer_features.core.quality import Issue
from mer_features.stages.apex.lbp import Box, histograms
from mer_features.stages.flow import light
from mer_features.stages.options import Apex, Spotter
from mer_features.stages.store import ClipRecord, ClipView

#: iBUG 68-point indices of the regions: image-left eye with brow, image-right eye with brow, mouth.
REGIONS = ((*range(17, 22), *range(36, 42)), (*range(22, 27), *range(42, 48)), tuple(range(48, 68)))
#: Where the regions lie on a face crop without landmarks: top, left, bottom, right as fractions of the sides.
CANONICAL = ((0.12, 0.08, 0.48, 0.48), (0.12, 0.52, 0.48, 0.92), (0.62, 0.22, 0.95, 0.78))
#: ``apex_source`` of a still image, in which nothing is spotted.
STILL = "still image"
#: Margin around a region's landmarks, as a fraction of the distance between the eyes.
MARGIN = 0.15


@dataclass(frozen=True, eq=False)
class Spotted:
    """Result of one spotter."""

    curve: np.ndarray  # (T,) float64, NaN outside onset..offset
    index: int  # position of the apex among the frames


def spot(
    frames: Any,
    method: Spotter = "interframe_diff",
    landmarks: np.ndarray | None = None,
    *,
    onset: int = 0,
    offset: int | None = None,
    radius: int = 1,
) -> Spotted:
    """Apex of a clip by one spotter; parameters, result and errors as for :func:`spot_all`."""
    return spot_all(frames, (method,), landmarks, onset=onset, offset=offset, radius=radius)[method]


def spot_all(
    frames: Any,
    methods: Sequence[Spotter],
    landmarks: np.ndarray | None = None,
    *,
    onset: int = 0,
    offset: int | None = None,
    radius: int = 1,
) -> dict[Spotter, Spotted]:
    """Apex of a clip by several spotters in one pass over the frames.

    Parameters
    ----------
    frames : array-like, shape (T, H, W) or (T, H, W, C)
        Registered face crops, uint8 or floating point in [0, 1], C = 1 or 3 (RGB). Frames are read one at a time, so
        an h5py dataset is never loaded as a whole.
    methods
        Names of the spotters.
    landmarks : ndarray, shape (68, 2), optional
        x, y in pixels of the onset frame, for ``lbp_roi`` and ``roi_diff``. If they are missing or NaN, the boxes are
        the fixed fractions :data:`CANONICAL` of the crop.
    onset, offset
        First and last position to consider; by default the whole clip. The onset is the reference and never the apex,
        unless it is also the offset.
    radius
        LBP radius in pixels.

    Returns
    -------
    dict
        :class:`Spotted` by spotter. Ties go to the first frame.

    Raises
    ------
    ValueError
        For an unknown spotter, for positions that do not satisfy ``0 <= onset <= offset < T``, or for frames that are
        not images.
    """
    count = len(frames)
    offset = count - 1 if offset is None else offset
    if not 0 <= onset <= offset < count:
        raise ValueError(f"found onset {onset}, offset {offset}; expected 0 <= onset <= offset < {count}")
    if unknown := set(methods) - set(get_args(Spotter)):
        raise ValueError(f"found unknown spotter {sorted(unknown)}, expected any of {', '.join(get_args(Spotter))}")
    reference = levels(frames[onset], "onset frame")
    measures = {method: _measure(method, reference, landmarks, radius) for method in methods if method != "midpoint"}
    curves = {method: np.full(count, np.nan) for method in methods}
    for position in range(onset, offset + 1):
        grey = levels(frames[position], f"frame {position}") if measures else reference
        for method, measure in measures.items():
            curves[method][position] = measure(grey)
    if "midpoint" in curves:
        curves["midpoint"][onset : offset + 1] = _triangle(offset - onset + 1)
    return {method: Spotted(curve, _first_peak(curve, onset, offset)) for method, curve in curves.items()}


def roi_boxes(landmarks: np.ndarray | None, shape: tuple[int, ...]) -> tuple[Box, ...]:
    """Boxes of both eyes with brows and of the mouth.

    Parameters
    ----------
    landmarks : ndarray, shape (68, 2), or None
        x, y in pixels; for None or NaN the boxes are :data:`CANONICAL`.
    shape
        Height and width of the image; boxes are clipped to it.

    Raises
    ------
    ValueError
        If the landmarks have another shape, or a region lies completely outside the image.
    """
    if landmarks is None or not np.isfinite(landmarks).all():
        return tuple(_box(np.multiply(edges, np.tile(shape[:2], 2)), shape) for edges in CANONICAL)
    if landmarks.shape != (68, 2):
        raise ValueError(f"found landmarks of shape {landmarks.shape}, expected (68, 2)")
    eyes = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    margin = MARGIN * float(np.linalg.norm(np.subtract(*eyes)))
    boxes = []
    for region in REGIONS:
        left, top = landmarks[list(region)].min(axis=0) - margin
        right, bottom = landmarks[list(region)].max(axis=0) + margin
        boxes.append(_box((top, left, bottom + 1, right + 1), shape))
    return tuple(boxes)


def process(clip: Clip, inputs: Mapping[str, ClipView], options: Apex) -> ClipRecord:
    """Spot the apex of one clip from its face crops, and choose the apex to use.

    Returns
    -------
    ClipRecord
        Arrays ``curve_<spotter>``, shape (T,), float64; attributes ``spotted_<spotter>``, ``apex``, ``onset``
        and ``offset`` (positions in the list of frames) and ``apex_source`` ("annotated", "corrected" for an apex
        corrected by an erratum, or the name of the spotter used). A still image has no curves and no spotted frames;
        its only frame is the apex, and ``apex_source`` is :data:`STILL`.
    """
    faces = inputs["faces"]
    if len(faces["crops"]) == 1:
        return ClipRecord(clip.clip_id, attrs={"apex": 0, "apex_source": STILL, "onset": 0, "offset": 0})
    onset, offset = int(faces.attrs["onset"]), int(faces.attrs["offset"])
    spotted = spot_all(
        faces["crops"],
        options.spotters,
        faces["landmarks"][()],
        onset=onset,
        offset=offset,
        radius=options.lbp_radius_px,
    )
    source, apex = _choose(int(faces.attrs["annotated_apex"]), spotted, options)
    if source == "annotated" and "apex" in clip.corrected.split(","):
        source = "corrected"
    attrs: dict[str, Any] = {f"spotted_{name}": result.index for name, result in spotted.items()}
    attrs |= {"apex": apex, "apex_source": source, "onset": onset, "offset": offset}
    curves = {f"curve_{name}": result.curve for name, result in spotted.items()}
    return ClipRecord(clip.clip_id, curves, attrs, tuple(_issues(apex, onset, offset, spotted)))


def _choose(annotated: int, spotted: Mapping[Spotter, Spotted], options: Apex) -> tuple[str, int]:
    """Source and position of the apex to use; ``annotated`` is -1 if the sheet has no apex or an invalid one."""
    if options.policy == "annotated" and annotated >= 0:
        return "annotated", annotated
    spotter = options.fallback if options.policy == "annotated" else options.policy
    return spotter, spotted[spotter].index


def _issues(apex: int, onset: int, offset: int, spotted: Mapping[Spotter, Spotted]) -> list[Issue]:
    issues = []
    if apex == onset:
        issues.append(Issue("apex_equals_onset", f"position {apex}"))
    if apex == offset:
        issues.append(Issue("apex_equals_offset", f"position {apex}"))
    measured = [result.curve for name, result in spotted.items() if name != "midpoint"]
    if measured and not any(np.nanmax(curve) > 0 for curve in measured):
        issues.append(Issue("static_clip", f"no difference from the onset in {offset - onset + 1} frames"))
    return issues


def _measure(
    method: Spotter, reference: np.ndarray, landmarks: np.ndarray | None, radius: int
) -> Callable[[np.ndarray], float]:
    """The function that one spotter uses to measure the difference of a grey frame from the reference."""
    if method == "interframe_diff":
        base = reference.astype(np.float32)
        return lambda grey: float(np.abs(grey - base).mean(dtype=np.float64))
    boxes = roi_boxes(landmarks, reference.shape)
    if method == "roi_diff":
        return lambda grey: _difference_in(boxes, reference, grey)
    first = histograms(reference, boxes, radius)
    return lambda grey: _cosine_distance(first, histograms(grey, boxes, radius))


def _difference_in(boxes: Sequence[Box], reference: np.ndarray, grey: np.ndarray) -> float:
    """Mean absolute difference in grey levels over the pixels of all boxes, with the lighting matched in each box."""
    differences = []
    for top, left, bottom, right in boxes:
        base, other = reference[top:bottom, left:right], grey[top:bottom, left:right]
        differences.append(np.abs(light.match_levels(base, other) - base).ravel())
    return float(np.concatenate(differences).mean(dtype=np.float64))


def _cosine_distance(first: np.ndarray, other: np.ndarray) -> float:
    if np.array_equal(first, other):
        return 0.0  # exactly 0, which the rounded quotient below does not guarantee
    return float(1 - np.dot(first, other) / np.sqrt(float(np.dot(first, first)) * float(np.dot(other, other))))


def _triangle(count: int) -> np.ndarray:
    """Triangular curve: 0 at the first frame, 1 at the middle (the later of two), 0 or nearly 0 at the last."""
    middle = count // 2
    return 1 - np.abs(np.arange(count) - middle) / max(middle, 1)


def _first_peak(curve: np.ndarray, onset: int, offset: int) -> int:
    """Position of the first maximum after the onset."""
    return onset if onset == offset else onset + 1 + int(np.argmax(curve[onset + 1 : offset + 1]))


def _box(edges: Sequence[float] | np.ndarray, shape: tuple[int, ...]) -> Box:
    """The box rounded to whole pixels and clipped to the image."""
    top, left, bottom, right = (round(float(edge)) for edge in edges)
    box = Box(max(top, 0), max(left, 0), min(bottom, shape[0]), min(right, shape[1]))
    if box.top >= box.bottom or box.left >= box.right:
        raise ValueError(f"landmarks lie outside the image: found region {tuple(edges)}, image {shape[:2]}")
    return box
