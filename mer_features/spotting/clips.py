"""The rule cut: the table of the clips around events or spots."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mer_features.core import clips as clip_tables
from mer_features.core.files import write_text
from mer_features.core.jobs import counted
from mer_features.core.recordings import Event, Spot
from mer_features.databases.recorded import cut
from mer_features.spotting.tables import read_events, read_recordings, read_spots

log = logging.getLogger(__name__)


def cut_clips(
    recordings: Path, intervals: Path, table: Path, *, database: str, spots: bool, kinds: Sequence[str], margin_s: float
) -> None:
    """Write the table of the clips around events or spots.

    Parameters
    ----------
    recordings
        Table of the recordings.
    intervals
        Table of events or, if ``spots``, of spots.
    table
        The clip table to write.
    database
        Name of the database that the clips belong to.
    kinds
        Kinds of expressions that are cut.
    margin_s
        Seconds of film on both sides that belong to a clip.
    """
    films = read_recordings(recordings)
    rows = read_spots(intervals, films).inside if spots else read_events(intervals, films)[0].inside
    chosen: list[Event | Spot] = [row for row in rows if row.kind in kinds]
    clips = [clip for clip, _ in cut(films, chosen, database=database, margin_s=margin_s)]
    write_text(table, clip_tables.dumps(clips))
    log.info("%s", counted(len(clips), "clip"))
