"""Frames in a folder of image files, and a single image file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mer_features.core.clips import IMAGE_SUFFIXES, gaps, missing_frames
from mer_features.core.quality import ClipRejectedError
from mer_features.frames.image import MAX_BYTES, decode_image
from mer_features.frames.sequence import Frame, FrameSequence, inside

_LARGEST_NUMBER = 2**63 - 1  # numbers are stored as 64-bit integers


class ImageFolder(FrameSequence):
    """Numbered image files of one folder; see :func:`mer_features.frames.open_frames`."""

    def __init__(self, folder: Path, first: int | None, last: int | None) -> None:
        super().__init__(folder, fps=None)
        files = _numbered_files(folder)
        self.numbers = [number for number in sorted(files) if inside(number, first, last)]
        if not self.numbers:
            reason = f"{len(files)} images, none with a number in {first}..{last}" if files else "no numbered image"
            raise ClipRejectedError("no_frames", f"{folder}: {reason}")
        self._files = files
        self.count_hint = len(self.numbers)
        self._digest: str | None = None
        self.issues = missing_frames(gaps(self.numbers, first, last))

    def nearest(self, number: int) -> Frame:
        """Decode only the file with this number or, if there is none, with the closest number."""
        return self._load(min(self.numbers, key=lambda other: (abs(other - number), other)))[1]

    def sha256(self) -> str:
        """Digest of the bytes of all files read, in the order of their numbers; ValueError before they were read."""
        if self._digest is None:
            raise ValueError(f"{self.source}: the digest is only known after all frames were read")
        return self._digest

    def _decode(self, step: int = 1) -> Iterator[tuple[str, Frame]]:
        digest = hashlib.sha256()
        for number in self.numbers:
            if (number - self.numbers[0]) % step:
                continue
            data, frame = self._load(number)
            digest.update(data)
            yield self._files[number].name, frame
        self._digest = digest.hexdigest()

    def _load(self, number: int) -> tuple[bytes, Frame]:
        return _load(self._files[number], number)


class ImageFile(FrameSequence):
    """One image file as a sequence of one frame, number 0; see :func:`mer_features.frames.open_frames`."""

    def __init__(self, path: Path, first: int | None, last: int | None) -> None:
        super().__init__(path, fps=None)
        if not inside(0, first, last):
            raise ClipRejectedError("no_frames", f"{path}: one image, number 0, not in {first}..{last}")
        self.numbers, self.count_hint = [0], 1

    def nearest(self, number: int) -> Frame:  # noqa: ARG002  # there is one frame
        """The image."""
        return _load(self.source, 0)[1]

    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.source.read_bytes()).hexdigest()

    def _decode(self, step: int = 1) -> Iterator[tuple[str, Frame]]:  # noqa: ARG002  # there is one frame
        yield self.source.name, _load(self.source, 0)[1]


def _load(path: Path, number: int) -> tuple[bytes, Frame]:
    """Bytes and decoded image of a file."""
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ClipRejectedError("unreadable_frame", f"{path.name}: {size} bytes, at most {MAX_BYTES} are read")
        data = path.read_bytes()
    except OSError as error:
        raise ClipRejectedError("unreadable_frame", f"{path.name}: {error.strerror}") from error
    return data, Frame(number, float("nan"), decode_image(data, path.name))


def _numbered_files(folder: Path) -> dict[int, Path]:
    files: dict[int, Path] = {}
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _is_file(entry))
    except OSError as error:
        raise ClipRejectedError("no_frames", f"{folder}: {error.strerror}") from error
    for name in names:
        path = folder / name
        digits = re.findall(r"[0-9]+", path.stem)
        if path.suffix.lower() not in IMAGE_SUFFIXES or name.startswith((".", "~")) or not digits:
            continue
        number = int(digits[-1])
        if number > _LARGEST_NUMBER:
            raise ClipRejectedError("unreadable_frame", f"{name}: frame number {number}, at most {_LARGEST_NUMBER}")
        if number in files:
            both = f"{files[number].name} and {name}"
            raise ClipRejectedError("duplicate_frame", f"{both} both claim frame number {number}")
        files[number] = path
    return files


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a regular file; a circular symbolic link is not."""
    try:
        return entry.is_file()
    except OSError:
        return False
