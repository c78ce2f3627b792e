"""Clip and clip table: what every database adapter yields and every stage starts from."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol, TypeVar

from mer_features.core import quality
from mer_features.core.quality import Issue

#: Suffixes, in lower case, of the image files that are read as frames.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Clip:
    """One annotated video clip.

    Frame numbers (``first``, ``onset``, ``apex``, ``offset``, ``last``) are those of the source: the last digit
    group of the file name in an image folder, the zero-based presentation index in a video. ``None`` means that
    the owner did not annotate it. ``first`` and ``last`` (inclusive) restrict a longer recording to the clip.
    """

    clip_id: str  # "<subject>/<name>", unique in the database
    database: str
    subject: str
    source: str  # image folder or video file, as reached from the working directory
    first: int | None = None
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    last: int | None = None
    fps: float | None = None
    emotion: str = ""  # the owner's word, unmapped
    action_units: str = ""  # the owner's text, e.g. "4+L10"
    corrected: str = ""  # fields an erratum changed, e.g. "apex,offset"
    digest: str = ""  # of the source's file names, sizes and times: changes when the pixels may have changed
    issues: tuple[Issue, ...] = ()  # found while reading the sheet

    @property
    def name(self) -> str:
        """The clip's name within its subject."""
        return self.clip_id.split("/", 1)[-1]


_COLUMNS = tuple(field.name for field in fields(Clip))
#: Columns hidden from the pixel stages, so that correcting a label recomputes no pixels.
LABEL_COLUMNS = ("emotion", "action_units")
_NUMBERS: Mapping[str, type[int | float]] = {
    **dict.fromkeys(("first", "onset", "apex", "offset", "last"), int), "fps": float,
}  # fmt: skip


def without_labels(clip: Clip) -> Clip:
    """The clip as pixel stages see it."""
    return replace(clip, emotion="", action_units="")


def dumps(clips: Iterable[Clip]) -> str:
    """Clips as tab-separated text with a header; the same clips give the same text."""
    return table_text(_COLUMNS, clips)


def table_text(columns: Sequence[str], rows: Iterable[object]) -> str:
    """Tab-separated text with a header; ``columns`` are attributes of the rows."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    quoting = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        cells = [_cell(getattr(row, column)) for column in columns]
        # Python before 3.13 quotes no lone carriage return, which its own reader takes for the end of a line.
        (quoting if any("\r" in cell for cell in cells) else writer).writerow(cells)
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None or value == ():
        return ""
    return quality.dumps(value) if isinstance(value, tuple) else str(value)


def read(path: Path | str) -> tuple[Clip, ...]:
    """Read a clip table.

    Raises
    ------
    ValueError
        If the header is not the one :func:`dumps` writes or a number cannot be read; names file and line.
    """
    rows = read_table(path, _COLUMNS, _NUMBERS, "clip table")
    return tuple(Clip(**row) for _, row in rows)  # type: ignore[arg-type]  # the columns are the fields


def read_table(
    path: Path | str, columns: Sequence[str], numbers: Mapping[str, type[int | float]], what: str
) -> Iterator[tuple[str, dict[str, object]]]:
    """Place (file and line) and values of each row that :func:`table_text` wrote.

    Parameters
    ----------
    path
        The file.
    columns
        The whole header. A column ``issues`` holds issues.
    numbers
        Columns of numbers, which are None where the cell is empty.
    what
        What the file is, for messages.

    Raises
    ------
    ValueError
        If the header differs or a cell cannot be read; names file and line.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle, delimiter="\t"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a {what}; found bytes that are not UTF-8 text ({error.reason})") from error
    except csv.Error as error:
        raise ValueError(f"{path}: not a {what} ({error})") from error
    if not rows or rows[0] != list(columns):
        found = rows[0] if rows else "an empty file"
        raise ValueError(f"{path}: not a {what}; found {found}, expected the columns {', '.join(columns)}")
    for line, row in enumerate(rows[1:], start=2):
        yield f"{path}:{line}", _parse(row, columns, numbers, f"{path}:{line}")


def _parse(
    row: Sequence[str], columns: Sequence[str], numbers: Mapping[str, type[int | float]], where: str
) -> dict[str, object]:
    if len(row) != len(columns):
        raise ValueError(f"{where}: {len(row)} cells, expected {len(columns)}")
    values: dict[str, object] = dict(zip(columns, row, strict=True))
    for column, kind in numbers.items():
        try:
            values[column] = kind(str(values[column])) if values[column] else None
        except ValueError as error:
            raise ValueError(f"{where}: column {column!r} holds {values[column]!r}, not a number") from error
    try:
        values["issues"] = quality.loads(str(values["issues"]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: column 'issues' cannot be read ({error})") from error
    return values


class _HasSubject(Protocol):
    @property
    def subject(self) -> str: ...


OfSubject = TypeVar("OfSubject", bound=_HasSubject)


def shard_of(subject: str, shards: int) -> str:
    """Name of the shard that a subject belongs to, a stable hash: adding a subject moves no other one."""
    value = int.from_bytes(hashlib.blake2b(subject.encode(), digest_size=8).digest(), "big")
    return f"s{value % shards:03d}"


def split(clips: Iterable[OfSubject], shards: int) -> dict[str, tuple[OfSubject, ...]]:
    """Clips, or recordings, by shard name, each subject kept whole, empty shards omitted, sorted by name."""
    groups: dict[str, list[OfSubject]] = {}
    for clip in clips:
        groups.setdefault(shard_of(clip.subject, shards), []).append(clip)
    return {name: tuple(groups[name]) for name in sorted(groups)}


@dataclass(frozen=True)
class KeyFrames:
    """Positions of the key frames in a clip's frame list, and what was odd about them."""

    onset: int
    apex: int | None
    offset: int
    issues: tuple[Issue, ...]


def key_frames(clip: Clip, numbers: Sequence[int]) -> KeyFrames:
    """Positions (zero-based) of onset, apex and offset among the frame numbers found on disk.

    Without an annotated onset (offset) the first (last) frame is used; a number without a frame maps to the
    nearest frame; both are reported. An offset before the onset means that the whole clip is used. An apex outside
    onset..offset is dropped and reported.
    """
    issues: list[Issue] = []

    def position(number: int, what: str) -> int:
        index = min(range(len(numbers)), key=lambda i: (abs(numbers[i] - number), i))
        if numbers[index] != number:
            issues.append(Issue("frame_not_on_disk", f"{what} {number}, nearest is {numbers[index]}"))
        return index

    onset, offset = 0, len(numbers) - 1
    if clip.onset is None:
        issues.append(Issue("onset_missing"))
    else:
        onset = position(clip.onset, "onset")
    if clip.offset is None:
        issues.append(Issue("offset_missing"))
    else:
        offset = position(clip.offset, "offset")
    if onset > offset:
        issues.append(Issue("range_reversed", f"onset {clip.onset}, offset {clip.offset}"))
        onset, offset = 0, len(numbers) - 1
    apex = None
    if clip.apex is not None:
        low, high = (numbers[onset], numbers[offset])
        if low <= clip.apex <= high:
            apex = position(clip.apex, "apex")
        else:
            issues.append(Issue("apex_outside", f"apex {clip.apex}, onset..offset {low}..{high}"))
    return KeyFrames(onset, apex, offset, tuple(issues))


def gaps(numbers: Sequence[int], first: int | None = None, last: int | None = None) -> list[tuple[int, int]]:
    """Runs of frame numbers that have no frame, as (lowest, highest).

    Parameters
    ----------
    numbers
        Numbers of the existing frames, ascending, at least one.
    first, last
        Bounds of the clip, inclusive; by default the first and last of ``numbers``.
    """
    start = numbers[0] if first is None else first
    stop = numbers[-1] if last is None else last
    edges = [start - 1, *numbers, stop + 1]
    return [(low + 1, high - 1) for low, high in itertools.pairwise(edges) if high - low > 1]


def missing_frames(holes: Sequence[tuple[int, int]]) -> tuple[Issue, ...]:
    """The issue that reports :func:`gaps`, ``3 missing: 12, 15..16``; empty if there are no gaps."""
    if not holes:
        return ()
    count = sum(high - low + 1 for low, high in holes)
    shown = ", ".join(f"{low}..{high}" if high > low else str(low) for low, high in holes[:5])
    return (Issue("missing_frame", f"{count} missing: {shown}{', ...' if len(holes) > 5 else ''}"),)
