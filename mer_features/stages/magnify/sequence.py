"""Magnification of a whole sequence, one frame in, one frame out, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from mer_features.stages.magnify.image import check
from mer_features.stages.magnify.temporal import Band


class Method(Protocol):
    """A magnification method in the three steps that a pair and a sequence share."""

    def analyse(self, image: np.ndarray) -> Any:
        """What is compared of a frame."""

    def changes(self, reference: Any, moved: Any) -> tuple[np.ndarray, ...]:
        """What changed between two analysed frames, as arrays that may be added up and filtered over time."""

    def render(self, moved: np.ndarray, changes: Sequence[np.ndarray], factor: float) -> np.ndarray:
        """The moved frame with its changes times the factor."""


def pair(reference: np.ndarray, moved: np.ndarray, factor: float, method: Method) -> np.ndarray:
    """The moved frame with its changes since the reference times the factor; both checked images of one shape."""
    return method.render(moved, method.changes(method.analyse(reference), method.analyse(moved)), factor)


def magnify(
    frames: Iterable[tuple[np.ndarray, float]], factor: float, method: Method, band: Band | None = None
) -> Iterator[tuple[np.ndarray, float]]:
    """Magnify what changes in a sequence.

    Without a lower corner changes are measured against the first frame, which suits a short registered clip: the
    first frame is the onset. With one they are measured from frame to frame and added up, so that a head may drift
    far, and the band takes the drift away.

    Parameters
    ----------
    frames
        Images (H, W), (H, W, 1) or (H, W, 3), uint8, all of one shape, with their times in seconds, ascending. Read
        one at a time.
    factor
        Total motion within the band: 1 gives the frames back.
    method
        :class:`mer_features.stages.magnify.phase.Transport`, for example.
    band
        Which changes are magnified; by default all.

    Yields
    ------
    image, time : ndarray, float
        As the frame, whose time it has; the first one unchanged.

    Raises
    ------
    ValueError
        For a frame of another shape, times that do not ascend, or a band beyond half the frame rate.
    """
    band = band or Band()
    shape: tuple[int, ...] = ()
    known, total, last_s = None, None, 0.0
    for image, time_s in frames:
        check(image, f"frame at {time_s:.3f} s")
        found = method.analyse(image)
        if known is None:
            shape, known = image.shape, found
            total = tuple(np.zeros_like(item) for item in method.changes(found, found))
            yield image, time_s
        else:
            if image.shape != shape or not time_s > last_s:
                raise ValueError(f"found {image.shape} at {time_s:g} s after {shape} at {last_s:g} s")
            new = method.changes(known, found)
            if band.low_hz > 0:
                assert total is not None
                new = total = tuple(old + step for old, step in zip(total, new, strict=True))
                known = found
            yield method.render(image, band.step(new, time_s - last_s), factor), time_s
        last_s = time_s
