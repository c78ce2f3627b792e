"""From a database's source table to the tables the stages read: one per shard, and the full one with labels."""

from __future__ import annotations

import logging
from pathlib import Path

from mer_features.core import clips as clip_tables
from mer_features.core import quality
from mer_features.core.files import write_text

log = logging.getLogger(__name__)


def split_table(source: Path | str, table: Path | str, folder: Path | str, *, shards: int) -> None:
    """Write the full clip table and one small table per shard.

    The shard tables hold no labels: a mended label then reaches protocols and training, never a pixel stage.

    Parameters
    ----------
    source
        The database's source table (:func:`mer_features.databases.refresh_sources`).
    table
        Where the full table goes.
    folder
        Where ``<shard>.tsv`` go; whole subjects, assigned by a stable hash.
    shards
        Number of shards subjects are spread over.
    """
    clips = clip_tables.read(source)
    write_text(table, clip_tables.dumps(clips))
    for name, members in clip_tables.split(clips, shards).items():
        text = clip_tables.dumps(clip_tables.without_labels(clip) for clip in members)
        write_text(Path(folder) / f"{name}.tsv", text)
    flagged = [clip for clip in clips if clip.issues]
    for clip in flagged:
        log.warning("%s is %s: %s", clip.clip_id, quality.status(clip.issues), quality.dumps(clip.issues))
    log.info("%d clips of %d subjects", len(clips), len({clip.subject for clip in clips}))
