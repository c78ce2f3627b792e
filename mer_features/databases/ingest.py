"""Writes the tables of clips, or of recordings, that the stages read: one per shard, and the full table."""

from __future__ import annotations

import logging
from pathlib import Path

from mer_features.core import clips as clip_tables
from mer_features.core import quality, recordings
from mer_features.core.files import write_text

log = logging.getLogger(__name__)


def split_table(source: Path | str, table: Path | str, folder: Path | str, *, shards: int) -> None:
    """Write the full clip table and one table per shard.

    The shard tables have no labels, so that a corrected label affects protocols and training, but never a stage that
    reads images.

    Parameters
    ----------
    source
        The database's source table (:func:`mer_features.databases.refresh_sources`).
    table
        Path of the full table.
    folder
        Folder of the tables ``<shard>.tsv``. A stable hash assigns each subject, with all clips, to one shard.
    shards
        Number of shards.
    """
    clips = clip_tables.read(source)
    write_text(table, clip_tables.dumps(clips))
    Path(folder).mkdir(parents=True, exist_ok=True)  # also without a clip: a spotter may find nothing
    for name, members in clip_tables.split(clips, shards).items():
        text = clip_tables.dumps(clip_tables.without_labels(clip) for clip in members)
        write_text(Path(folder) / f"{name}.tsv", text)
    flagged = [clip for clip in clips if clip.issues]
    for clip in flagged:
        log.warning("%s is %s: %s", clip.clip_id, quality.status(clip.issues), quality.dumps(clip.issues))
    log.info("%d clips of %d subjects", len(clips), len({clip.subject for clip in clips}))


def split_recordings(source: Path | str, table: Path | str, folder: Path | str, *, shards: int) -> None:
    """Write the full table of recordings and one table per shard; arguments as in :func:`split_table`."""
    films = recordings.read(source)
    write_text(table, recordings.dumps(films))
    groups: dict[str, list[recordings.Recording]] = {}
    for film in films:
        groups.setdefault(clip_tables.shard_of(film.subject, shards), []).append(film)
    for name, members in groups.items():
        write_text(Path(folder) / f"{name}.tsv", recordings.dumps(members))
    log.info("%d recordings of %d subjects", len(films), len({film.subject for film in films}))
