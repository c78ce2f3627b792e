"""Errors of the magnification methods against the ground truth of the embedded database.

Optical flow from the onset to the magnified apex is compared with m times the true displacement. No flow method is
exact on a face. Therefore the same comparison is made on a frame with the correct displacement: the apex, moved further
by m - 1 times the true displacement (``true_motion``). This row is the best result that a method can reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np

from mer_features.core.clips import Clip
from mer_features.stages import flow
from mer_features.stages.flow import light
from mer_features.stages.magnify import available_methods, magnify
from mer_features.stages.magnify.phase import Transport, carried
from mer_features.stages.options import FlowMethod, Magnify
from mer_features.stages.store import ClipView, ShardReader
from mer_features.synthetic import Truth, read_truth
from mer_features.workflow.assess.stages import MOVING_PX, mask_in_crop, shards_by_clip, truth_flow_in_crop

#: Factors that are tested in addition to the configured one, and number of clips (about 3 s per clip).
FACTORS, CLIPS = (2.0, 10.0), 3
#: The most accurate flow method for displacements of 1 to 6 px; TV-L1 underestimates them by a sixth.
YARDSTICK: FlowMethod = "dis"
#: Name of the row for the frame with the correct displacement.
TRUE_MOTION = "true_motion"


def assess(
    database_root: Path | str,
    faces_shards: Iterable[Path | str],
    clips: Sequence[Clip],
    settings: Magnify,
    *,
    threads: int = 1,
    count: int = CLIPS,
) -> dict[str, Any]:
    """Errors of all magnification methods that are available on this machine.

    Parameters
    ----------
    database_root
        Folder of the embedded database.
    faces_shards
        Stage files of the faces stage.
    clips
        The clip table. Evenly spaced clips are used; clips whose crops lack the true onset or apex are left out.
    settings
        Section ``magnify`` of the configuration.
    threads
        Number of clips that are measured in parallel.
    count
        Largest number of clips.

    Returns
    -------
    dict
        JSON values. ``clips``; ``yardstick`` (the flow method); ``factors``. ``methods``: by name and by factor (as
        text), medians over the clips of three values where the face moves by more than 0.1 px: ``recovered``
        (least-squares ratio of measured to expected displacement), ``epe_px`` (mean end-point error) and ``wanted_px``
        (mean expected length). ``static_psnr_db``: by name, PSNR inside the face between the frame after the onset,
        magnified by the configured factor, and the same frame; almost nothing moves in it.
    """
    factors = tuple(sorted({*FACTORS, settings.factor} - {0.0}))
    shard_of = shards_by_clip(faces_shards)
    names = [clip.clip_id for clip in clips if clip.clip_id in shard_of]
    spaced = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    pool = joblib.Parallel(n_jobs=threads, batch_size=1)
    results = pool(
        joblib.delayed(_measure)(Path(database_root), shard_of[names[position]], names[position], settings, factors)
        for position in spaced
    )
    measured = [item for item in results if item is not None]
    return {
        "clips": [item.clip_id for item in measured],
        "yardstick": YARDSTICK,
        "factors": list(factors),
        "methods": _medians(measured, factors),
        "static_psnr_db": {
            name: float(np.median([item.static[name] for item in measured]))
            for name in (measured[0].static if measured else ())
        },
    }


@dataclass(frozen=True)
class _ClipErrors:
    """Errors of one clip: (recovered, epe_px, wanted_px) by method and factor, and the static PSNR by method."""

    clip_id: str
    moved: dict[str, dict[float, tuple[float, float, float]]]
    static: dict[str, float]


def _medians(measured: Sequence[_ClipErrors], factors: Sequence[float]) -> dict[str, dict[str, dict[str, float]]]:
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name in measured[0].moved if measured else ():
        out[name] = {}
        for factor in factors:
            middle = np.median([item.moved[name][factor] for item in measured], axis=0)
            out[name][f"{factor:g}"] = dict(zip(("recovered", "epe_px", "wanted_px"), map(float, middle), strict=True))
    return out


def _measure(
    root: Path, faces_path: Path, clip_id: str, settings: Magnify, factors: Sequence[float]
) -> _ClipErrors | None:
    """Measure one clip; None if its crops lack the true onset, the next frame or the true apex."""
    cv2.setNumThreads(1)  # parallel over clips
    truth = read_truth(root, clip_id)
    with ShardReader(faces_path) as reader:
        crops = _crops(reader.view(clip_id), (truth.onset, truth.onset + 1, truth.apex))
        transform = reader.view(clip_id)["transform"][()]
    if crops is None:
        return None
    onset, after, apex = crops
    expected, face = _expected_flow(truth, transform, onset.shape[0])
    if not face["moving"].any():
        return None
    methods = available_methods(settings)
    amplified: dict[str, dict[float, np.ndarray]] = {
        name: {factor: magnify(onset, apex, factor, name, settings) for factor in factors} for name in methods
    }
    amplified[TRUE_MOTION] = _true_motion(apex, expected, factors)
    return _ClipErrors(
        clip_id,
        {
            name: {factor: _errors(onset, image, factor * expected, face["moving"]) for factor, image in images.items()}
            for name, images in amplified.items()
        },
        {name: _psnr(magnify(onset, after, settings.factor, name, settings), after, face["all"]) for name in methods},
    )


def _crops(view: ClipView, numbers: Sequence[int]) -> list[np.ndarray] | None:
    """Crops of the frames with these numbers; None if one is missing."""
    stored = view["numbers"][()]
    positions = [np.flatnonzero(stored == number) for number in numbers]
    if not all(len(item) for item in positions):
        return None
    return [view["crops"][int(item[0])] for item in positions]


def _expected_flow(truth: Truth, transform: np.ndarray, size: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """True flow on the crop, and masks of the face and of its moving part."""
    field, _ = truth_flow_in_crop(truth.flow, transform, size)
    face = mask_in_crop(truth.face_mask, transform, size)
    return field, {"all": face, "moving": face & (np.hypot(*field) > MOVING_PX)}


def _true_motion(apex: np.ndarray, expected: np.ndarray, factors: Iterable[float]) -> dict[float, np.ndarray]:
    """The apex with the true displacement, which is known on the onset, magnified by each factor."""
    return {factor: Transport().render(apex, (carried(expected),), factor) for factor in factors}


def _errors(
    onset: np.ndarray, image: np.ndarray, expected: np.ndarray, moving: np.ndarray
) -> tuple[float, float, float]:
    """``recovered``, ``epe_px`` and ``wanted_px`` where the face moves."""
    estimate = flow.estimate(onset, light.match(onset, image), YARDSTICK)[:, moving].astype(np.float64)
    target = expected[:, moving].astype(np.float64)
    recovered = float((estimate * target).sum() / np.square(target).sum())
    return recovered, float(np.hypot(*(estimate - target)).mean()), float(np.hypot(*target).mean())


def _psnr(image: np.ndarray, expected: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio inside the mask, dB; at most 99, the value of equal images."""
    error = np.square(image[mask].astype(np.float64) - expected[mask]).mean()
    return float(min(99.0, 10 * np.log10(255**2 / error))) if error > 0 else 99.0
