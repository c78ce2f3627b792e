"""Examines the pictures of flow maps: size and kind, channels without content, pictures that two people share.

The size is read from the header before anything is decoded.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError, Issue, Status
from mer_features.frames import flow_map

#: Larger maps are not decoded: the published ones have 28 x 28 pixels.
MAX_PIXELS = 1 << 20
#: Bytes of a file that its pixels cannot explain: text and colour profiles in the header.
_HEADER_BYTES = 1 << 20
#: Digits of the digest of the pixels that a message shows.
_DIGITS = 8
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Size = tuple[int, int]  # width, height in pixels


def examined(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The clips of one database with the issues of their pictures; pictures of rejected clips are not opened.

    ``bad_map`` rejects a picture that is not an 8-bit RGB PNG of the size that most have; ``empty_channel`` tells of a
    channel with one value, and ``same_picture`` of a picture that equals that of another subject.
    """
    sizes = {clip.clip_id: _size(Path(clip.source)) for clip in clips if _usable(clip)}
    counts = Counter(size for size in sizes.values() if size and 0 < size[0] * size[1] <= MAX_PIXELS)
    usual = max(counts, key=lambda size: counts[size], default=None)
    checked = [
        replace(clip, issues=(*clip.issues, *_issues(Path(clip.source), sizes[clip.clip_id], usual)))
        if clip.clip_id in sizes
        else clip
        for clip in clips
    ]
    return compared({"": checked})[""]


def compared(clips: Mapping[str, Sequence[Clip]]) -> dict[str, tuple[Clip, ...]]:
    """The clips of several databases with an issue ``same_picture`` for each that has the pixels of another subject.

    The issue shows a digest of the pixels, by which the clips are found. It names no other person, who could not be
    forgotten in it.

    Parameters
    ----------
    clips
        Examined clips by database. Earlier issues of this code are replaced.
    """
    groups: dict[str, list[Clip]] = {}
    for members in clips.values():
        for clip in members:
            if _usable(clip):
                groups.setdefault(_pixels(Path(clip.source)), []).append(clip)
    shared = {
        (clip.database, clip.clip_id): pixels
        for pixels, group in groups.items()
        for clip in group
        if pixels and any(_differs(clip, other) for other in group)
    }
    return {
        name: tuple(_told(clip, shared.get((clip.database, clip.clip_id), "")) for clip in members)
        for name, members in clips.items()
    }


def _told(clip: Clip, pixels: str) -> Clip:
    told = (Issue("same_picture", f"pixels {pixels[:_DIGITS]}"),) if pixels else ()
    return replace(clip, issues=(*(issue for issue in clip.issues if issue.code != "same_picture"), *told))


def _differs(clip: Clip, other: Clip) -> bool:
    """Whether two clips are of two subjects and not one file that two databases of the configuration list."""
    return (clip.database, clip.subject) != (other.database, other.subject) and clip.source != other.source


def _usable(clip: Clip) -> bool:
    return quality.status(clip.issues) is not Status.REJECTED


def _size(path: Path) -> Size | None:
    """Width and height in the header of a PNG file; ``None`` if it is not one or cannot be read."""
    try:
        with path.open("rb") as handle:
            data = handle.read(24)
    except OSError:
        return None
    return struct.unpack_from(">II", data, 16) if data.startswith(_SIGNATURE) and len(data) == 24 else None


def _issues(path: Path, size: Size | None, usual: Size | None) -> tuple[Issue, ...]:
    """Issues of one picture; ``usual`` is the size that most pictures have."""
    if size and size != usual:
        expected = f"{usual[0]} x {usual[1]}, as most" if usual else f"at most {MAX_PIXELS}"
        found = f"found {size[0]} x {size[1]} pixels"
        return (Issue("bad_map", f"{path.name}: {found}, expected {expected}"),)
    try:
        if usual and path.stat().st_size > 8 * usual[0] * usual[1] + _HEADER_BYTES:
            return (
                Issue("bad_map", f"{path.name}: found {path.stat().st_size} bytes for {usual[0]} x {usual[1]} pixels"),
            )
        maps, _ = flow_map.read(path)
    except ClipRejectedError as error:
        return (error.issue,)
    except OSError as error:
        return (Issue("bad_map", f"{path.name}: cannot be read ({error.strerror})"),)
    return tuple(
        Issue("empty_channel", f"{channel} is {plane.flat[0]} everywhere")
        for channel, plane in zip(flow_map.CHANNELS, maps, strict=True)
        if np.ptp(plane) == 0
    )


def _pixels(path: Path) -> str:
    """Digest of the pixels; "" if the file changed since it was examined and cannot be decoded any more."""
    try:
        maps, _ = flow_map.read(path)
    except (ClipRejectedError, OSError):
        return ""
    return hashlib.sha256(repr(maps.shape).encode() + maps.tobytes()).hexdigest()
