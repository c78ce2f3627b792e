"""Face crops of all frames, clip by clip, for methods that learn from unlabelled video.

The feature file has key frames only, so this module reads the stage files of the faces stage. It is safe in forked and
spawned workers, because no file stays open between two reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer_features.core.quality import Status
from mer_features.stages.store import ShardReader


@dataclass(frozen=True)
class Sequence:
    """One clip: its stage file, number of frames and frame rate."""

    clip_id: str
    path: Path
    length: int
    fps: float  # NaN if unknown


class Sequences:
    """The clips of stage files of the faces stage, without rejected clips, in the order of the files.

    Parameters
    ----------
    paths
        Stage files, all with the same crop size.
    """

    def __init__(self, paths: Iterable[Path | str]) -> None:
        self.clips: tuple[Sequence, ...] = tuple(clip for path in paths for clip in _clips(Path(path)))

    def __len__(self) -> int:
        return len(self.clips)

    def frames(self, index: int, positions: Iterable[int]) -> np.ndarray:
        """Frames of one clip at the given positions, (n, S, S, C) uint8; C = 3 for RGB or 1 for grey.

        Raises
        ------
        IndexError
            If the clip or a frame does not exist.
        """
        clip = self.clips[index]
        with ShardReader(clip.path) as reader:
            crops = reader.view(clip.clip_id)["crops"]
            return np.stack([crops[_inside(position, clip)] for position in positions])


def _clips(path: Path) -> list[Sequence]:
    with ShardReader(path) as reader:
        return [
            Sequence(name, path, len(view["crops"]), float(view.attrs["fps"]))
            for name in reader.clip_ids
            if (view := reader.view(name)).status is not Status.REJECTED
        ]


def _inside(position: int, clip: Sequence) -> int:
    if not 0 <= position < clip.length:
        raise IndexError(f"{clip.clip_id}: frame {position} of {clip.length}")
    return position
