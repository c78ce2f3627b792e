"""Measures magnification against the truth of the embedded database: how far each method really moves a face.

The yardstick is optical flow from the onset to the magnified apex, against m times the true displacement. No flow
method is exact on a face, so the same is measured on a frame in which the displacement is right: the apex carried on
by m - 1 times the true displacement (``true_motion``). A method can do no better than that row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np

from mer_features.assess.stages import MOVING_PX, homes, mask_in_crop, truth_flow_in_crop
from mer_features.core.clips import Clip
from mer_features.stages import flow
from mer_features.stages.flow import light
from mer_features.stages.magnify import available_methods, magnify
from mer_features.stages.magnify.phase import Transport, carried
from mer_features.stages.options import FlowMethod, Magnify
from mer_features.stages.store import ClipView, ShardReader
from mer_features.synthetic import Truth, read_truth

#: Total motions that are tried besides the configured one, and clips they are tried on (about 3 s per clip).
FACTORS, CLIPS = (2.0, 10.0), 3
#: The flow method that reads displacements of 1 to 6 px most truly: TV-L1 falls short of them by a sixth.
YARDSTICK: FlowMethod = "dis"
#: Row of the frame in which the displacement is right.
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
    """Errors of every magnification method that can run here.

    Parameters
    ----------
    database_root
        Folder of the embedded database.
    faces_shards
        Stage files of the faces stage.
    clips
        The clip table; clips are taken evenly from those whose crops show the true onset and apex.
    settings
        Section ``magnify`` of the configuration.
    threads
        Clips measured at once.
    count
        Clips at most.

    Returns
    -------
    dict
        JSON. ``clips``; ``yardstick``; ``factors``; ``methods``: by name, by factor (as text), medians over clips of
        ``recovered`` (least-squares size of the measured against the wanted displacement where the face moves by
        more than 0.1 px) and ``epe_px`` (mean end-point error there), and ``wanted_px`` (mean wanted length there);
        ``static_psnr_db``: by name, the frame after the onset magnified by the configured factor against itself,
        inside the face: next to nothing moves there.
    """
    factors = tuple(sorted({*FACTORS, settings.factor} - {0.0}))
    where = homes(faces_shards)
    names = [clip.clip_id for clip in clips if clip.clip_id in where]
    spaced = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    pool = joblib.Parallel(n_jobs=threads, batch_size=1)
    found = pool(
        joblib.delayed(_measure)(Path(database_root), where[names[position]], names[position], settings, factors)
        for position in spaced
    )
    measured = [item for item in found if item is not None]
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
class _Measured:
    """What one clip contributes: (recovered, epe_px, wanted_px) by method and factor."""

    clip_id: str
    moved: dict[str, dict[float, tuple[float, float, float]]]
    static: dict[str, float]


def _medians(measured: Sequence[_Measured], factors: Sequence[float]) -> dict[str, dict[str, dict[str, float]]]:
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name in measured[0].moved if measured else ():
        out[name] = {}
        for factor in factors:
            middle = np.median([item.moved[name][factor] for item in measured], axis=0)
            out[name][f"{factor:g}"] = dict(zip(("recovered", "epe_px", "wanted_px"), map(float, middle), strict=True))
    return out


def _measure(
    root: Path, faces_path: Path, clip_id: str, settings: Magnify, factors: Sequence[float]
) -> _Measured | None:
    """One clip in one worker; ``None`` if its crops do not show the true onset, the next frame and the apex."""
    cv2.setNumThreads(1)  # parallel over clips
    truth = read_truth(root, clip_id)
    with ShardReader(faces_path) as reader:
        crops = _crops(reader.view(clip_id), (truth.onset, truth.onset + 1, truth.apex))
        transform = reader.view(clip_id)["transform"][()]
    if crops is None:
        return None
    onset, after, apex = crops
    wanted, face = _wanted(truth, transform, onset.shape[0])
    if not face["moving"].any():
        return None
    methods = available_methods(settings)
    amplified: dict[str, dict[float, np.ndarray]] = {
        name: {factor: magnify(onset, apex, factor, name, settings) for factor in factors} for name in methods
    }
    amplified[TRUE_MOTION] = _true_motion(apex, wanted, factors)
    return _Measured(
        clip_id,
        {
            name: {factor: _errors(onset, image, factor * wanted, face["moving"]) for factor, image in images.items()}
            for name, images in amplified.items()
        },
        {name: _psnr(magnify(onset, after, settings.factor, name, settings), after, face["all"]) for name in methods},
    )


def _crops(view: ClipView, numbers: Sequence[int]) -> list[np.ndarray] | None:
    """Crops of the frames with these numbers."""
    found = view["numbers"][()]
    positions = [np.flatnonzero(found == number) for number in numbers]
    if not all(len(item) for item in positions):
        return None
    return [view["crops"][int(item[0])] for item in positions]


def _wanted(truth: Truth, transform: np.ndarray, size: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """True flow on the crop, and the masks of the face and of where it moves."""
    field, _ = truth_flow_in_crop(truth.flow, transform, size)
    face = mask_in_crop(truth.face_mask, transform, size)
    return field, {"all": face, "moving": face & (np.hypot(*field) > MOVING_PX)}


def _true_motion(apex: np.ndarray, wanted: np.ndarray, factors: Iterable[float]) -> dict[float, np.ndarray]:
    """The apex with its true displacement, which is known on the onset, made larger."""
    return {factor: Transport().render(apex, (carried(wanted),), factor) for factor in factors}


def _errors(onset: np.ndarray, image: np.ndarray, wanted: np.ndarray, moving: np.ndarray) -> tuple[float, float, float]:
    """``recovered``, ``epe_px`` and ``wanted_px`` where the face moves."""
    found = flow.estimate(onset, light.match(onset, image), YARDSTICK)[:, moving].astype(np.float64)
    target = wanted[:, moving].astype(np.float64)
    recovered = float((found * target).sum() / np.square(target).sum())
    return recovered, float(np.hypot(*(found - target)).mean()), float(np.hypot(*target).mean())


def _psnr(image: np.ndarray, expected: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio inside the mask, dB; at most 99, which equal pictures get."""
    error = np.square(image[mask].astype(np.float64) - expected[mask]).mean()
    return float(min(99.0, 10 * np.log10(255**2 / error))) if error > 0 else 99.0
