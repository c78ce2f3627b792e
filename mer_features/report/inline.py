"""Pictures as data URIs, so that the page needs no file beside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture inside the page: its data URI, what it shows in words, its size in CSS pixels."""

    uri: str
    alt: str
    width: int
    height: int


def jpeg(image: np.ndarray, alt: str, quality: int = 85) -> Picture:
    """A photograph or flow picture.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        RGB.
    alt
        What it shows, for those who cannot see it.
    quality
        JPEG quality 1..100; colour is kept at full resolution.
    """
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return _encoded(image, ".jpg", "image/jpeg", alt, options)


def png(image: np.ndarray, alt: str) -> Picture:
    """A legend or diagram, (H, W, 3) uint8 RGB, without loss."""
    return _encoded(image, ".png", "image/png", alt, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def svg(figure: Figure, alt: str) -> Picture:
    """A matplotlib figure as vector graphics; the same figure gives the same bytes."""
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "mer-features", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    width, height = (round(96 * length) for length in figure.get_size_inches())
    return Picture(_uri("image/svg+xml", out.getvalue()), alt, width, height)


def _encoded(image: np.ndarray, extension: str, kind: str, alt: str, options: list[int]) -> Picture:
    done, data = cv2.imencode(extension, np.ascontiguousarray(image[..., ::-1]), options)
    assert done
    return Picture(_uri(kind, data.tobytes()), alt, image.shape[1], image.shape[0])


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
