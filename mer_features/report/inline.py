"""Images as data URIs, so that the page needs no other files.

:func:`jpeg`, :func:`png` and :func:`svg` encode one image. :func:`build` encodes the images that a trained system
wrote to explain its predictions.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """An image inside the page: its data URI, a description of it, and its size in CSS pixels."""

    uri: str
    alt: str
    width: int
    height: int


def jpeg(image: np.ndarray, alt: str, quality: int = 85) -> Picture:
    """Encode a photograph or a flow image.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        RGB.
    alt
        Description of the image, for readers who cannot see it.
    quality
        JPEG quality, 1..100; chroma is not subsampled.
    """
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return _encode(image, ".jpg", "image/jpeg", alt, options)


def png(image: np.ndarray, alt: str) -> Picture:
    """Encode a legend or diagram, shape (H, W, 3), uint8 RGB, without loss."""
    return _encode(image, ".png", "image/png", alt, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def svg(figure: Figure, alt: str) -> Picture:
    """Encode a matplotlib figure as vector graphics; the same figure always gives the same bytes."""
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "mer-features", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    width, height = (round(96 * length) for length in figure.get_size_inches())
    return Picture(_uri("image/svg+xml", out.getvalue()), alt, width, height)


def _encode(image: np.ndarray, extension: str, kind: str, alt: str, options: list[int]) -> Picture:
    success, data = cv2.imencode(extension, np.ascontiguousarray(image[..., ::-1]), options)
    assert success
    return Picture(_uri(kind, data.tobytes()), alt, image.shape[1], image.shape[0])


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


# Explanations: a system's own images of some held-out clips

#: Longest side of an image in the page, in pixels.
_SIDE_PX = 128

_NO_PICTURES = {"clip_id", "label"}


@dataclass(frozen=True)
class Explained:
    """Images of one run: one row per clip, one column per kind of image."""

    name: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Picture]]]  # clip, class and annotated action units, pictures


def build(name: str, path: Path, units: Mapping[str, str] | None = None) -> Explained | None:
    """Images of one run, from the npz of :func:`mer_features.training.half.embed_half`; None if there are none.

    ``units`` are the annotated action units of the clips whose names are not those of another database's clips.
    """
    with np.load(path, allow_pickle=False) as stored:
        columns = [column for column in stored.files if column not in _NO_PICTURES]
        if not columns:
            return None
        images = {column: stored[column] for column in columns}
        clips, labels = stored["clip_id"].tolist(), stored["label"].tolist()
    known = {clip: f", AU {text}" for clip, text in (units or {}).items() if text}
    texts = [label + known.get(clip, "") for clip, label in zip(clips, labels, strict=True)]
    rows = [
        (clip, text, [jpeg(_small(images[column][row]), f"{column} of {clip}, {label}") for column in columns])
        for row, (clip, label, text) in enumerate(zip(clips, labels, texts, strict=True))
    ]
    return Explained(name, columns, rows)


def _small(image: np.ndarray) -> np.ndarray:
    scale = _SIDE_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
