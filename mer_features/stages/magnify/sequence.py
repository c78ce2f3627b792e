"""Magnification of a whole sequence, frame by frame, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from mer_features.stages.magnify.image import check
from mer_features.stages.magnify.temporal import Band


class Method(Protocol):
    """A magnification method, in three steps that are used for pairs and for sequences."""

    def analyse(self, image: np.ndarray) -> Any:
        """Compute the representation of a frame that :meth:`changes` compares."""

    def changes(self, reference: Any, moved: Any) -> tuple[np.ndarray, ...]:
        """Changes between two analysed frames, as arrays that can be added and filtered over time."""

    def render(self, moved: np.ndarray, changes: Sequence[np.ndarray], factor: float) -> np.ndarray:
        """The moved frame with its changes multiplied by the factor."""


def pair(reference: np.ndarray, moved: np.ndarray, factor: float, method: Method) -> np.ndarray:
    """Magnify the changes of the moved frame since the reference; both images must be checked and of equal shape."""
    return method.render(moved, method.changes(method.analyse(reference), method.analyse(moved)), factor)


def magnify(
    frames: Iterable[tuple[np.ndarray, float]], factor: float, method: Method, band: Band | None = None
) -> Iterator[tuple[np.ndarray, float]]:
    """Magnify the changes in a sequence.

    Without a lower limit of the band, changes are measured against the first frame. This suits a short registered clip
    whose first frame is the onset. With a lower limit, changes are measured from frame to frame and added up, so that
    a head may drift far; the band then removes the drift.

    Parameters
    ----------
    frames
        Images (H, W), (H, W, 1) or (H, W, 3), uint8, all of one shape, with their times in seconds in ascending order.
        They are read one at a time.
    factor
        Magnification factor of the total motion within the band; 1 returns the frames unchanged.
    method
        For example :class:`mer_features.stages.magnify.phase.Transport`.
    band
        Temporal band of the changes to magnify; by default all changes.

    Yields
    ------
    image, time : ndarray, float
        Magnified image, with the shape, dtype and time of the frame; the first frame is unchanged.

    Raises
    ------
    ValueError
        For a frame of another shape, times that are not ascending, or a limit of the band that is not below half the
        frame rate.
    """
    band = band or Band()
    shape: tuple[int, ...] = ()
    reference, total, last_s = None, None, 0.0
    for image, time_s in frames:
        check(image, f"frame at {time_s:.3f} s")
        analysed = method.analyse(image)
        if reference is None:
            shape, reference = image.shape, analysed
            total = tuple(np.zeros_like(item) for item in method.changes(analysed, analysed))
            yield image, time_s
        else:
            if image.shape != shape or not time_s > last_s:
                raise ValueError(f"found {image.shape} at {time_s:g} s after {shape} at {last_s:g} s")
            changes = method.changes(reference, analysed)
            if band.low_hz > 0:
                assert total is not None
                changes = total = tuple(old + step for old, step in zip(total, changes, strict=True))
                reference = analysed
            yield method.render(image, band.step(changes, time_s - last_s), factor), time_s
        last_s = time_s
