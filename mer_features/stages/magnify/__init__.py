"""Magnification stage: enlarges small movements between two frames, with or without a trained network.

The magnification factor m is the factor of the *total* motion for every method: a displacement δ becomes m δ, m = 1
gives the moved frame, and m = 0 gives the reference. The methods are:

``phase``
    Needs no training; the default (:mod:`mer_features.stages.magnify.phase`).
``eulerian``
    The linear baseline (:mod:`mer_features.stages.magnify.eulerian`).
``learned``
    A trained network; needs torch (``mer_features.stages.magnify.learned``).

The lighting of the moved frame is not matched to that of the reference first, for three reasons. Phases do not depend
on the lighting. The amplified frame is the apex with its motion continued, under the lighting of the apex, and must
equal the apex for m = 1. And the flow stage, whose methods are sensitive to the lighting, matches it for every pair of
frames (:mod:`mer_features.stages.flow.light`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mer_features.core.clips import Clip
from mer_features.stages.magnify.eulerian import Linear
from mer_features.stages.magnify.image import check_pair
from mer_features.stages.magnify.phase import Rotation, Transport
from mer_features.stages.magnify.sequence import Method, pair
from mer_features.stages.options import Magnify, MagnifyMethod
from mer_features.stages.store import ClipRecord, ClipView

__all__ = ["available_methods", "classical", "learned_model", "magnify", "process"]


def magnify(
    reference: np.ndarray,
    moved: np.ndarray,
    factor: float,
    method: MagnifyMethod = "phase",
    options: Magnify | None = None,
) -> np.ndarray:
    """Magnify the motion of the moved frame since the reference by a factor.

    Parameters
    ----------
    reference, moved : ndarray, shape (H, W), (H, W, 1) or (H, W, 3), uint8
        Onset and apex, registered; three channels are R, G, B. Sides of at least 16 pixels.
    factor
        Magnification factor m of the total motion, >= 0: 1 returns the moved frame, 0 the reference; values below 1
        reduce the motion.
    method
        ``phase``, ``eulerian`` or ``learned``.
    options
        Settings of the methods; its keys ``method`` and ``factor`` are ignored.

    Returns
    -------
    ndarray, uint8
        Same shape as ``moved``. If both frames are equal, the result is the moved frame for any factor.

    Raises
    ------
    ValueError
        For another shape, size or dtype, a negative factor, or an unknown method; for ``learned`` also for weights
        that cannot be used.
    ImportError
        For ``learned`` if torch is not installed.
    """
    check_pair(reference, moved)
    if not 0 <= factor < np.inf:
        raise ValueError(f"found factor {factor:g}, expected a number of at least 0")
    options = options or Magnify()
    if method == "learned":
        return _learned(reference, moved, factor, learned_model(options.weights))
    return pair(reference, moved, factor, classical(method, options))


def classical(method: MagnifyMethod, options: Magnify | None = None) -> Method:
    """A method without weights, with its settings; raises ``ValueError`` for an unknown method."""
    options = options or Magnify()
    if method == "phase" and options.phase_synthesis == "rotation":
        return Rotation()
    if method == "phase":
        return Transport(options.phase_smoothing_px)
    if method == "eulerian":
        return Linear(options.eulerian_motion_px)
    raise ValueError(f"found method {method!r}, expected phase, eulerian or learned")


def available_methods(options: Magnify | None = None) -> tuple[MagnifyMethod, ...]:
    """Methods that can run in this environment; ``learned`` needs torch and weights."""
    try:
        learned_model((options or Magnify()).weights)
    except (ImportError, OSError, ValueError):
        return ("phase", "eulerian")
    return ("phase", "eulerian", "learned")


@lru_cache(maxsize=1)
def learned_model(weights: Path | None) -> Any:
    """The trained network, read once per process; ``None`` means the weights included in the package."""
    # Imported by name, so that a stage without a network does not depend on its code (mer_features.core.fingerprint).
    return import_module("mer_features.stages.magnify.learned").load(weights)


def _learned(reference: np.ndarray, moved: np.ndarray, factor: float, model: Any) -> np.ndarray:
    if moved.shape[2:] == (3,):
        result: np.ndarray = model(reference, moved, factor)
        return result
    channels = [np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) for image in (reference, moved)]
    grey = model(*channels, factor).mean(axis=2, dtype=np.float32)
    pixels: np.ndarray = np.rint(grey).astype(np.uint8)
    return pixels.reshape(moved.shape)


def process(clip: Clip, inputs: Mapping[str, ClipView], options: Magnify) -> ClipRecord:
    """Magnify the motion of the apex of one clip relative to its onset.

    Returns
    -------
    ClipRecord
        Array ``apex``, shape (1, S, S, C), uint8; attributes ``factor``, ``method`` and ``model_digest`` (SHA-256 of
        the weights; empty for methods without weights).
    """
    crops, position = inputs["faces"]["crops"], inputs["apex"].attrs
    onset, apex = (crops[int(position[name])] for name in ("onset", "apex"))
    amplified = magnify(onset, apex, options.factor, options.method, options)
    digest = str(learned_model(options.weights).digest) if options.method == "learned" else ""
    attrs = {"factor": float(options.factor), "method": options.method, "model_digest": digest}
    return ClipRecord(clip.clip_id, {"apex": amplified[None]}, attrs)
