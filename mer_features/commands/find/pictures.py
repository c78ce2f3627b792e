"""A looped face crop of each spot, as recorded and with its motion magnified."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from mer_features.commands.find.spots import Entry, Search, surroundings
from mer_features.core.quality import ClipRejectedError
from mer_features.frames import Frame, FrameBuffer
from mer_features.report import contact
from mer_features.report.inline import Picture, jpeg
from mer_features.stages import magnify
from mer_features.stages.faces import crop_clip
from mer_features.stages.magnify import sequence
from mer_features.stages.options import Faces

#: Spots that are shown in pictures, those with the highest scores.
MOST = 40
_SIDE, _GAP = 224, 4  # pixels of the page
_MOST_FRAMES = 32
_MARGIN_S = 0.2
#: Motion is magnified to about this size, in distances between the eyes, at most by this factor.
_VISIBLE, _LARGEST_FACTOR = 0.05, 10.0
#: Short loops are shown more slowly, until they last so long.
_LEAST_S, _SLOWEST = 2.0, 3.0
_PAUSE_MS = 500  # at the end of each loop
_QUALITY = 75
_BUFFER_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Loop:
    """The animated picture of a spot, its apex as a still picture, and how it is shown."""

    moving: Picture
    still: Picture
    factor: float  # of magnification; 1 without it
    slowness: float  # 2: at half the speed of the recording


@dataclass
class _Window:
    """Frames of a spot that are collected while the recording is decoded."""

    entry: Entry
    numbers: Sequence[int]  # of the frames to show
    buffer: FrameBuffer = field(default_factory=lambda: FrameBuffer(_BUFFER_BYTES))
    collected: list[int] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        """Keep the frame if it is one to show."""
        if frame.number in self._wanted:
            self.buffer.append(frame.image)
            self.collected.append(frame.number)

    def __post_init__(self) -> None:
        self._wanted = set(self.numbers)


def loops(frames: Iterable[Frame], search: Search, chosen: set[int]) -> Iterator[tuple[int, Loop]]:
    """Loops of some spots, in the order in which they end.

    Parameters
    ----------
    frames
        All frames of the recording, in the order of their numbers; they are read once.
    search
        What was found.
    chosen
        Numbers of the spots.

    Yields
    ------
    number, loop
        A spot in whose first frame no face is found has none.
    """
    waiting = [_window(search, entry) for entry in search.entries if entry.number in chosen]
    for frame in frames:
        for window in waiting:
            window.add(frame)
        for window in [item for item in waiting if frame.number >= item.numbers[-1]]:
            waiting.remove(window)
            if (loop := _loop(window, search)) is not None:
                yield window.entry.number, loop
        if not waiting:
            return
    for window in waiting:  # the recording ended before its last frame
        if (loop := _loop(window, search)) is not None:
            yield window.entry.number, loop


def _window(search: Search, entry: Entry) -> _Window:
    first, last = surroundings(search, entry, _MARGIN_S)
    numbers = np.unique(np.linspace(first, last, min(_MOST_FRAMES, last - first + 1)).round().astype(int))
    return _Window(entry, numbers.tolist())


def _loop(window: _Window, search: Search) -> Loop | None:
    if len(window.collected) < 2:
        return None
    images, signals = window.buffer.stack(), search.signals
    try:
        crops = crop_clip(images, np.array(images[0]), Faces()).crops
    except ClipRejectedError:
        return None
    times = np.interp(window.collected, signals.number, signals.time_s)
    factor = float(np.clip(_VISIBLE / max(window.entry.finding.peak, 1e-6), 1, _LARGEST_FACTOR))
    factor = float(round(factor)) if factor >= 1.5 else 1.0
    pictures = [contact.thumbnail(crop, _SIDE) for crop in crops]
    if factor > 1:
        method = magnify.classical("phase")
        # The time of a frame is only used by temporal filters, and none is wanted here.
        moved = sequence.magnify(((crop, place) for place, crop in enumerate(crops)), factor, method)
        pictures = [
            _beside(left, contact.thumbnail(image, _SIDE)) for left, (image, _) in zip(pictures, moved, strict=True)
        ]
    slowness = float(np.clip(_LEAST_S / (times[-1] - times[0]), 1, _SLOWEST))
    alt = _description(window.entry, factor)
    apex = int(np.argmin(np.abs(times - window.entry.apex_s)))
    return Loop(_animation(pictures, times, slowness, alt), jpeg(pictures[apex], alt, quality=85), factor, slowness)


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures with a white gap between them."""
    return np.hstack([left, np.full((_SIDE, _GAP, 3), 255, np.uint8), right])


def _description(entry: Entry, factor: float) -> str:
    shown = f", on the left as recorded, on the right magnified {factor:g} times" if factor > 1 else ""
    return f"Face from {entry.start_s:.2f} s to {entry.end_s:.2f} s{shown}"


def _animation(pictures: Sequence[np.ndarray], times: np.ndarray, slowness: float, alt: str) -> Picture:
    """An endless WebP animation of RGB pictures that are shown at their times in seconds."""
    steps = np.rint(1000 * slowness * np.diff(times)).astype(int).tolist()
    animation = cv2.Animation(0)
    animation.frames = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
    animation.durations = [*steps, _PAUSE_MS]
    success, data = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not success:
        raise RuntimeError("the animated picture could not be encoded as WebP by OpenCV")
    uri = f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
    return Picture(uri, alt, pictures[0].shape[1], pictures[0].shape[0])
