"""Frames of a clip from an image folder, a video file or a single image file, read one at a time.

:func:`open_frames` returns a :class:`FrameSequence` for any kind of source. Frames are 8-bit RGB or grey: 16-bit
data is divided by 257 and rounded (12-bit values stored unscaled in 16 bits become dark), alpha is dropped, and CMYK is
converted to RGB. The rotation that the camera recorded (EXIF orientation, display matrix of a video) is applied. A
source that cannot be used raises :class:`~mer_features.core.quality.ClipRejectedError`, whatever the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer_features.core.clips import IMAGE_SUFFIXES
from mer_features.core.quality import ClipRejectedError
from mer_features.frames.folder import ImageFile, ImageFolder
from mer_features.frames.image import MAX_PIXELS, decode_image
from mer_features.frames.sequence import Frame, FrameBuffer, FrameSequence
from mer_features.frames.video import VideoFile

__all__ = [
    "MAX_PIXELS",
    "Frame",
    "FrameBuffer",
    "FrameSequence",
    "decode_image",
    "open_frames",
]


def open_frames(
    source: Path | str | Sequence[Path | str], first: int | None = None, last: int | None = None
) -> FrameSequence:
    """Open an image folder, a video file or a single image file.

    Parameters
    ----------
    source : Path, str, or sequence of them
        In a folder, hidden files and files without an image suffix or without digits in the name are ignored.
        A file with an image suffix is one frame, number 0; any other file is a video. Several image folders are read
        as one film; a number that is in more than one of them is the same frame, read from the first.
    first, last : int, optional
        First and last frame number to read, both inclusive.

    Raises
    ------
    ClipRejectedError
        ``source_missing``, ``no_frames`` or, if two files of a folder have the same number, ``duplicate_frame``.
    """
    path, *more = [Path(source)] if isinstance(source, Path | str) else [Path(part) for part in source]
    if more:
        if missing := [folder for folder in (path, *more) if not folder.is_dir()]:
            raise ClipRejectedError("source_missing", f"{missing[0]}: not a folder, and one of several sources")
        return ImageFolder(path, first, last, more)
    if path.is_dir():
        return ImageFolder(path, first, last)
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFile(path, first, last)
    if path.is_file():
        return VideoFile(path, first, last)
    raise ClipRejectedError("source_missing", str(path))
