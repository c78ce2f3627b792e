"""Face crops of every frame, clip by clip, for what learns from unlabelled video.

The feature cache holds key frames only; this reads the stage files of the faces stage. Safe in forked and spawned
workers: no file stays open between two reads.
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
    """One clip's place and length."""

    clip_id: str
    path: Path
    length: int
    fps: float  # NaN: unknown


class Sequences:
    """The clips of some stage files of the faces stage, rejected ones left out, in the order of the files.

    Parameters
    ----------
    paths
        Stage files, all of the same crop size.
    """

    def __init__(self, paths: Iterable[Path | str]) -> None:
        self.clips: tuple[Sequence, ...] = tuple(clip for path in paths for clip in _clips(Path(path)))

    def __len__(self) -> int:
        return len(self.clips)

    def frames(self, index: int, positions: Iterable[int]) -> np.ndarray:
        """Some frames of one clip, (n, S, S, C) uint8 in the order asked for; C = 3 for RGB or 1 for grey.

        Raises
        ------
        IndexError
            If there is no such clip or frame.
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
