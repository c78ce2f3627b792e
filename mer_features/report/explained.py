"""What a system looked at or made: its own pictures of some held-out clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mer_features.report.inline import Picture, jpeg

#: Longest side of a picture in the page, pixels.
_SIDE_PX = 128

_NO_PICTURES = {"clip_id", "label"}


@dataclass(frozen=True)
class Explained:
    """Pictures of one run: a row a clip, a column a kind of picture."""

    name: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Picture]]]  # clip, class, pictures


def build(name: str, path: Path) -> Explained | None:
    """Pictures of one run from the npz of :func:`mer_features.explain.embed_half`; None for a system without any."""
    with np.load(path, allow_pickle=False) as stored:
        columns = [column for column in stored.files if column not in _NO_PICTURES]
        if not columns:
            return None
        images = {column: stored[column] for column in columns}
        clips, labels = stored["clip_id"].tolist(), stored["label"].tolist()
    rows = [
        (clip, label, [jpeg(_small(images[column][row]), f"{column} of {clip}, {label}") for column in columns])
        for row, (clip, label) in enumerate(zip(clips, labels, strict=True))
    ]
    return Explained(name, columns, rows)


def _small(image: np.ndarray) -> np.ndarray:
    scale = _SIDE_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
