"""Which clips of the clip tables made it into the feature caches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mer_features import clips as clip_tables
from mer_features.cache.reader import open_features
from mer_features.clips import Clip


def usable_clips(tables: Iterable[Path | str], caches: Iterable[Path | str]) -> tuple[Clip, ...]:
    """Clips of full clip tables, labels included, that have a row in one of the caches.

    Parameters
    ----------
    tables
        Clip tables (``results/clips/<database>.tsv``).
    caches
        The feature caches of the same databases.
    """
    kept: set[tuple[str, str]] = set()
    for path in caches:
        with open_features(path) as features:
            kept |= {(row.database, row.clip_id) for row in features.clips}
    return tuple(clip for table in tables for clip in clip_tables.read(table) if (clip.database, clip.clip_id) in kept)
