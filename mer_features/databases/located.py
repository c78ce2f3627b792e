"""Clips of sheets whose rows name no folder of their own: expressions in longer recordings, folders in any place.

The adapter finds the place; what becomes of the row's cells is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mer_features.clips import Clip
from mer_features.databases import annotated
from mer_features.databases.errata import Errata
from mer_features.databases.folders import Tree, off_disk
from mer_features.databases.listing import Note
from mer_features.databases.sheets import Row
from mer_features.quality import ClipRejectedError, Issue

#: Cells that name a clip within its subject.
_NAMES = ("clip", "video", "count")


@dataclass(frozen=True)
class Place:
    """Where a row's frames are, or what forbids using them."""

    subject: str  # as the owner's folder writes it, safe in a path
    name: str  # of the clip, safe in a path
    source: Path
    issues: tuple[Issue, ...] = ()
    numbers: tuple[int, ...] = ()  # of the frames on disk


@dataclass(frozen=True)
class Maker:
    """Makes clips of one database.

    Parameters
    ----------
    database
        Configured name.
    errata
        Corrections to apply.
    fps
        Frames per second; ``None`` if the owners do not say.
    recordings
        Whether a source holds more than the clip, so that ``first`` and ``last`` have to bound it.
    """

    database: str
    errata: Errata
    fps: float | None = None
    recordings: bool = False

    def clips(self, rows: Iterable[Row], place: Callable[[Row], Place]) -> tuple[tuple[Clip, ...], tuple[Note, ...]]:
        """A clip for each row, and a note for each that names none, such as a remark below the table."""
        clips, notes = [], []
        for row in rows:
            if any(row.cells.get(name) for name in (*_NAMES, "onset", "offset")):
                clips.append(self._clip(place(row), row))
            else:
                notes.append(Note("sheet", f"row {row.line} names no clip and was skipped"))
        return tuple(clips), tuple(notes)

    def _clip(self, place: Place, row: Row) -> Clip:
        empty = [Issue("empty_cell", name) for name in ("subject", *_NAMES) if row.cells.get(name) == ""]
        corrected = self.errata.apply(place.subject, place.name, annotated.texts(row), place.numbers)
        frames, unreadable = annotated.frame_numbers(corrected.values, corrected.fields)
        if self.recordings:
            frames |= bounds(frames)
        clip = Clip(
            clip_id=f"{place.subject}/{place.name}",
            database=self.database,
            subject=place.subject,
            source=place.source.as_posix(),
            fps=self.fps,
            emotion=corrected.values.get("emotion", "").lower(),
            action_units=corrected.values.get("action_units", ""),
            corrected=",".join(corrected.fields),
            **frames,  # type: ignore[arg-type]  # the keys are the fields of frame numbers
        )
        missing = off_disk(clip, place.numbers) if place.numbers else ()
        return replace(clip, issues=(*empty, *place.issues, *corrected.issues, *unreadable, *missing))


def bounds(frames: Mapping[str, int | None]) -> dict[str, int | None]:
    """First and last frame of an expression in a longer recording.

    Onset to offset, or to the apex where no offset is marked. Where the marks contradict each other all of them
    are kept inside, so that the contradiction is reported instead of an empty clip.
    """
    onset, apex, offset = (frames.get(name) for name in ("onset", "apex", "offset"))
    if onset is not None and offset is not None and onset <= offset:
        return {"first": onset, "last": offset}
    marks = [mark for mark in (onset, apex, offset) if mark is not None]
    return {"first": min(marks, default=None), "last": max(marks, default=None)}


class FrameNumbers:
    """Frame numbers of folders, with the issue that says why there are none in place of an error."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __call__(self, folder: Path) -> tuple[tuple[int, ...], tuple[Issue, ...]]:
        """Frame numbers, and the issue that says why there are none."""
        try:
            return self._tree.frames(folder), ()
        except ClipRejectedError as error:
            return (), (error.issue,)
