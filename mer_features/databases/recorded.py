"""Clips cut from recordings: a stretch around each annotated event, or around each spot that a method found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError
from mer_features.core.recordings import Event, Interval, Recording
from mer_features.databases.folders import Tree


def cut(
    recordings: Iterable[Recording], intervals: Sequence[Interval], *, database: str, margin_s: float = 0.2
) -> list[tuple[Clip, Interval]]:
    """A clip for each interval, with what it was cut from.

    Parameters
    ----------
    recordings
        At least those of the intervals.
    intervals
        Events or spots, inside their films.
    database
        Name of the database that the clips belong to.
    margin_s
        Seconds of film before the onset and after the offset that belong to the clip, as far as there are any. Without
        a frame rate, the clip has no margin.

    Returns
    -------
    list
        Clip and interval, in the order of recordings and onsets. A clip is called ``<recording>-<onset>-<offset>``; a
        second one of the same frames has ``.2`` added, and so on. All frames of the source belong to it, also where a
        spotter analysed only some of them.
    """
    films = {film.recording_id: film for film in recordings}
    taken: Counter[str] = Counter()
    pairs = []
    for interval in sorted(intervals, key=lambda row: (row.recording_id, row.onset, row.offset, row.kind)):
        film = films[interval.recording_id]
        name = f"{film.recording_id}-{interval.onset}-{interval.offset}"
        taken[name] += 1
        clip_id = name if taken[name] == 1 else f"{name}.{taken[name]}"
        pairs.append((_clip(clip_id, film, interval, database, margin_s), interval))
    return pairs


def _clip(clip_id: str, film: Recording, interval: Interval, database: str, margin_s: float) -> Clip:
    margin = 0 if film.fps is None else math.ceil(margin_s * film.fps)
    first, last = interval.onset - margin, interval.offset + margin
    first = max(first, 0 if film.first is None else film.first)
    last = last if film.last is None else min(last, film.last)
    annotated = interval if isinstance(interval, Event) else None
    return Clip(
        clip_id=clip_id,
        database=database,
        subject=film.subject,
        source=_source(film, first, last),
        first=first,
        onset=interval.onset,
        apex=interval.apex,
        offset=interval.offset,
        last=last,
        fps=film.fps,
        emotion=interval.emotion if annotated else "",
        action_units=annotated.action_units if annotated else "",
        corrected=annotated.corrected if annotated else "",
        digest=film.digest,
        issues=(*film.issues, *(annotated.issues if annotated else ())),
    )


def _source(film: Recording, first: int, last: int) -> str:
    """The folder or video of a clip; of a film in several folders, the one with most of its frames."""
    if len(film.sources) < 2:
        return film.source
    return max(film.sources, key=lambda folder: _shared(Path(folder), first, last))


def _shared(folder: Path, first: int, last: int) -> int:
    try:
        numbers = Tree(folder).frames(folder)
    except ClipRejectedError:
        return 0
    return sum(first <= number <= last for number in numbers)
