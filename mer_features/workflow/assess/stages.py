"""Errors of apex, flow and registration against the ground truth of the embedded database.

Only the embedded database has a dense ground truth; recordings of people have none. Positions and displacements of the
ground truth are in pixels of the onset frame of the source, those of the stages in pixels of the crop. Flow is compared
in crop pixels, registration in source pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import cv2
import joblib
import numpy as np
from scipy import ndimage

from mer_features.core.clips import Clip
from mer_features.core.quality import Status
from mer_features.stages import flow
from mer_features.stages.flow import light
from mer_features.stages.options import FlowMethod
from mer_features.stages.store import ClipRecord, ClipView, ShardReader
from mer_features.synthetic import Truth, read_truth

#: True displacement, crop pixels, above which a pixel counts as moving.
MOVING_PX = 0.1
#: Number of clips whose flow is estimated with every method. This takes 3-4 s per clip, mainly for the TV-L1 methods.
FLOW_CLIPS = 8
#: Spacing of the face pixels at which registration is compared; the error is affine in the position.
_GRID_PX = 8

Errors = dict[str, float]


def truth_flow_in_crop(true_flow: np.ndarray, transform: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Transform the true flow to the face crop.

    Crop pixel q shows source pixel p with ``q = A p + t``, so a displacement d at p becomes ``A d``.

    Parameters
    ----------
    true_flow : ndarray, shape (2, H, W)
        u, v on the onset frame of the source, source pixels.
    transform : ndarray, shape (2, 3)
        ``[A | t]``, source to crop pixels.
    size
        Side S of the crop.

    Returns
    -------
    flow : ndarray, shape (2, S, S), float32
        u, v on the crop, crop pixels; 0 where it is not valid.
    valid : ndarray, shape (S, S), bool
        True where the crop shows a part of the source frame.
    """
    rotated = np.tensordot(transform[:, :2], _resample(true_flow, transform, size, order=1), axes=1)
    valid = np.isfinite(rotated[0])
    return np.where(valid, rotated, 0).astype(np.float32), valid


def mask_in_crop(mask: np.ndarray, transform: np.ndarray, size: int) -> np.ndarray:
    """Transform a mask (H, W) bool of the source frame to the crop, (S, S) bool, by nearest neighbour."""
    return _resample(mask[None].astype(np.float64), transform, size, order=0)[0] > 0


def _resample(images: np.ndarray, transform: np.ndarray, size: int, order: int) -> np.ndarray:
    """Resample images (N, H, W) of the source on the crop, (N, S, S), with splines of ``order``; NaN outside."""
    inverse = np.linalg.inv(transform[:, :2])
    x, y = np.tensordot(inverse, np.stack(np.meshgrid(*[np.arange(size)] * 2)) - transform[:, 2, None, None], axes=1)
    # SciPy is used because OpenCV's warpAffine rounds positions to about a thousandth of a pixel.
    return np.stack([ndimage.map_coordinates(image, (y, x), np.float64, order, cval=np.nan) for image in images])


def flow_errors(estimate: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Errors:
    """Errors of one flow field inside a mask.

    Parameters
    ----------
    estimate, truth : ndarray, shape (2, H, W)
        Estimated and true flow, pixels.
    mask : ndarray, shape (H, W), bool
        Pixels that are compared.

    Returns
    -------
    dict
        ``epe``: mean end-point error, pixels. ``epe_moving``: the same where the true displacement exceeds 0.1 px.
        ``angular_deg``: mean angle between (u, v, 1) of both fields there, degrees (Barron et al. 1994). NaN if no
        pixel moves that far.
    """
    distance = np.hypot(*(estimate - truth))
    moving = mask & (np.hypot(*truth) > MOVING_PX)
    dot = 1 + (estimate * truth).sum(axis=0)
    cosine = dot / np.sqrt((1 + (estimate**2).sum(axis=0)) * (1 + (truth**2).sum(axis=0)))
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return {
        "epe": _mean(distance[mask]),
        "epe_moving": _mean(distance[moving]),
        "angular_deg": _mean(angle[moving]),
    }


def apex_errors(
    truth: Sequence[int], spotted: Mapping[str, Sequence[int]], durations: Sequence[int]
) -> dict[str, dict[str, float | int | None]]:
    """Errors of the apex spotters over all clips.

    Parameters
    ----------
    truth
        True apex of each clip, frame number.
    spotted
        Spotted apex of each clip, frame number, by spotter.
    durations
        Number of frames of each clip from onset to offset, both included.

    Returns
    -------
    dict
        By spotter: ``median_frames``, the median absolute error in frames; ``median_percent``, the median of
        the errors in percent of the clip's duration; ``n``, the number of clips. None if there is no clip.
    """
    out: dict[str, dict[str, float | int | None]] = {}
    for spotter, numbers in spotted.items():
        error = np.abs(np.subtract(numbers, truth))
        percent = 100 * error / np.asarray(durations)
        out[spotter] = {
            "median_frames": _median(error),
            "median_percent": _median(percent),
            "n": len(error),
        }
    return out


def registration_errors(estimate: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Distance between the estimated and the true position of face pixels, by frame.

    Parameters
    ----------
    estimate, truth : ndarray, shape (T, 2, 3)
        Estimated and true motion from the onset frame to each frame, source pixels.
    mask : ndarray, shape (H, W), bool
        The face on the onset frame.

    Returns
    -------
    ndarray, shape (T,)
        Mean distance over the face, source pixels.
    """
    y, x = np.nonzero(mask[::_GRID_PX, ::_GRID_PX])
    points = np.stack([_GRID_PX * x, _GRID_PX * y, np.ones_like(x)]).astype(np.float64)
    return np.linalg.norm((estimate - truth) @ points, axis=1).mean(axis=1)


def assess(
    database_root: Path | str,
    faces_shards: Iterable[Path | str],
    apex_shards: Iterable[Path | str],
    clips: Sequence[Clip],
    method: FlowMethod,
    *,
    threads: int = 1,
    flow_clips: int = FLOW_CLIPS,
) -> dict[str, Any]:
    """Compare the stage files of the embedded database with its ground truth.

    Parameters
    ----------
    database_root
        Folder of the database.
    faces_shards, apex_shards
        Stage files of all shards.
    clips
        Clips of the database; clips that a stage rejected are left out.
    method
        The flow method of the run.
    threads
        Worker processes; the result does not depend on it.
    flow_clips
        Number of clips, evenly spaced over the table, whose flow is estimated with every method.

    Returns
    -------
    dict
        JSON values. ``apex``: see :func:`apex_errors`. ``flow``: the median over the clips of each of
        :func:`flow_errors`, ``n`` and the values ``per_clip``, for every method, for the method of the run after
        :func:`light.match` (``<method>+light``) and for zero motion (``zero``). ``flow_clips``: names of these clips.
        ``flow_method``: the method of the run. ``registration``: medians over the clips of the mean error over the
        frames (``error_px``), of the error on the apex frame (``error_apex_px``) and of the head motion before
        registration (``motion_px``), and the largest mean error (``worst_px``). None if a value cannot be measured.
    """
    faces, apexes = shards_by_clip(faces_shards), shards_by_clip(apex_shards)
    names = [clip.clip_id for clip in clips if clip.clip_id in faces and clip.clip_id in apexes]
    spaced = np.linspace(0, len(names) - 1, min(flow_clips, len(names))).round().astype(int)
    with_flow = {names[position] for position in spaced}
    root = Path(database_root)
    pool = joblib.Parallel(n_jobs=threads, batch_size=1)
    measured: list[_ClipErrors] = pool(
        joblib.delayed(_measure)(root, faces[name], apexes[name], name, method if name in with_flow else None)
        for name in names
    )
    return {
        "apex": _apex_summary(measured),
        "flow": _flow_summary(measured),
        "flow_clips": [item.clip_id for item in measured if item.flow],
        "flow_method": method,
        "registration": _registration_summary(measured),
    }


@dataclass(frozen=True)
class _ClipErrors:
    """Errors of one clip."""

    clip_id: str
    apex: int
    duration: int
    spotted: dict[str, int]
    registration: Errors
    flow: dict[str, Errors] = field(default_factory=dict)


def shards_by_clip(shards: Iterable[Path | str]) -> dict[str, Path]:
    """Stage file of each clip that was not rejected."""
    by_clip: dict[str, Path] = {}
    for path in map(Path, shards):
        with ShardReader(path) as reader:
            by_clip |= {name: path for name in reader.clip_ids if reader.status(name) is not Status.REJECTED}
    return by_clip


def _measure(
    root: Path, faces_path: Path, apex_path: Path, clip_id: str, flow_method: FlowMethod | None
) -> _ClipErrors:
    """Measure one clip; without a flow method its flow is left out."""
    cv2.setNumThreads(1)  # parallel over clips
    truth = read_truth(root, clip_id)
    with ShardReader(apex_path) as reader:
        apex = reader.read(clip_id, ())
    with ShardReader(faces_path) as reader:
        view = reader.view(clip_id)
        numbers = view["numbers"][()]
        return _ClipErrors(
            clip_id,
            truth.apex,
            truth.offset - truth.onset + 1,
            _spotted_numbers(apex, numbers),
            _registration(view["motion"][()], numbers, truth),
            _flow(view, numbers, truth, flow_method) if flow_method else {},
        )


def _spotted_numbers(apex: ClipRecord, numbers: np.ndarray) -> dict[str, int]:
    prefix = "spotted_"
    positions = {key.removeprefix(prefix): value for key, value in apex.attrs.items() if key.startswith(prefix)}
    return {spotter: int(numbers[int(position)]) for spotter, position in positions.items()}


def _registration(motion: np.ndarray, numbers: np.ndarray, truth: Truth) -> Errors:
    """Registration errors of the frames from the onset on; the ground truth has no earlier frames."""
    rows = numbers - truth.onset
    known = (rows >= 0) & (rows < len(truth.head_motion))
    true_motion = truth.head_motion[rows[known]]
    error = registration_errors(motion[known], true_motion, truth.face_mask)
    unregistered = registration_errors(np.eye(2, 3)[None], true_motion, truth.face_mask)
    at_apex = error[numbers[known] == truth.apex]
    return {"error_px": _mean(error), "error_apex_px": _mean(at_apex), "motion_px": _mean(unregistered)}


def _flow(view: ClipView, numbers: np.ndarray, truth: Truth, run_method: FlowMethod) -> dict[str, Errors]:
    """Flow errors of every method between the crops of the true onset and apex; empty if a crop is missing."""
    positions = [np.flatnonzero(numbers == number) for number in (truth.onset, truth.apex)]
    if not all(len(item) for item in positions):
        return {}
    onset, apex = (view["crops"][int(item[0])] for item in positions)
    transform, size = view["transform"][()], onset.shape[0]
    expected, _ = truth_flow_in_crop(truth.flow, transform, size)
    mask = mask_in_crop(truth.face_mask, transform, size)  # also False outside the source
    fields = {name: _estimate(onset, apex, name) for name in get_args(FlowMethod)}
    fields[f"{run_method}+light"] = _estimate(onset, light.match(onset, apex), run_method)
    fields["zero"] = np.zeros_like(expected)
    return {name: flow_errors(estimate, expected, mask) for name, estimate in fields.items()}


def _estimate(onset: np.ndarray, apex: np.ndarray, method: FlowMethod) -> np.ndarray:
    """The flow; NaN if the method refuses the crops because they are not aligned well enough."""
    try:
        return flow.estimate(onset, apex, method)
    except flow.NotAlignedError:
        return np.full((2, *onset.shape[:2]), np.nan, np.float32)


def _apex_summary(measured: Sequence[_ClipErrors]) -> dict[str, Any]:
    spotters = dict.fromkeys(name for item in measured for name in item.spotted)
    spotted = {name: [item.spotted[name] for item in measured] for name in spotters}
    return apex_errors([item.apex for item in measured], spotted, [item.duration for item in measured])


def _flow_summary(measured: Sequence[_ClipErrors]) -> dict[str, Any]:
    flows = [item.flow for item in measured if item.flow]
    out: dict[str, Any] = {}
    for method in flows[0] if flows else ():
        values = {key: [one[method][key] for one in flows] for key in flows[0][method]}
        medians = {key: _median(column) for key, column in values.items()}
        per_clip = {key: [_json(value) for value in column] for key, column in values.items()}
        out[method] = {**medians, "n": len(flows), "per_clip": per_clip}
    return out


def _registration_summary(measured: Sequence[_ClipErrors]) -> dict[str, Any]:
    columns = {key: [item.registration[key] for item in measured] for key in ("error_px", "error_apex_px", "motion_px")}
    known = [value for value in columns["error_px"] if np.isfinite(value)]
    medians = {key: _median(column) for key, column in columns.items()}
    return {**medians, "worst_px": max(known, default=None), "n": len(measured)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")


def _median(values: Sequence[float] | np.ndarray) -> float | None:
    """Median of the finite values; None if there are none, because JSON has no NaN."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else None


def _json(value: float) -> float | None:
    """A finite value, or None, because JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
