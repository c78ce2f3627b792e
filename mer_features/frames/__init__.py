"""Frames of a clip from an image folder or a video file, one at a time.

Both kinds are a :class:`FrameSequence`; :func:`open_frames` chooses. Frames come as 8-bit RGB or grey: 16-bit data
is divided by 257 and rounded (12-bit values stored unscaled in 16 bits come out dark), alpha is dropped, CMYK
becomes RGB. The rotation that a camera noted (EXIF orientation, display matrix of a video) is applied. A source that
cannot be used raises :class:`~mer_features.core.quality.ClipRejectedError`, whatever is wrong with it.
"""

from __future__ import annotations

from pathlib import Path

from mer_features.core.quality import ClipRejectedError
from mer_features.frames.folder import IMAGE_SUFFIXES, ImageFolder
from mer_features.frames.image import MAX_PIXELS, decode_image
from mer_features.frames.sequence import Frame, FrameBuffer, FrameSequence
from mer_features.frames.video import VideoFile

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Frame",
    "FrameBuffer",
    "FrameSequence",
    "decode_image",
    "open_frames",
]


def open_frames(source: Path | str, first: int | None = None, last: int | None = None) -> FrameSequence:
    """Open an image folder or a video file.

    Parameters
    ----------
    source : Path or str
        In a folder, files without an image suffix, without digits in the name, or hidden ones are ignored.
    first, last : int, optional
        Restrict to these frame numbers, both inclusive.

    Raises
    ------
    ClipRejectedError
        ``source_missing``, ``no_frames`` or, where two files of a folder claim one number, ``duplicate_frame``.
    """
    path = Path(source)
    if path.is_dir():
        return ImageFolder(path, first, last)
    if path.is_file():
        return VideoFile(path, first, last)
    raise ClipRejectedError("source_missing", str(path))
