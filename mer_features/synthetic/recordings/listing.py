"""Embedded recordings as every other set of recordings is listed: rows of recordings and events, with digests."""

from __future__ import annotations

import csv
import io
import logging
from dataclasses import replace
from pathlib import Path

from mer_features.core import recordings as rows
from mer_features.core.files import write_text
from mer_features.core.recordings import Event, Recording
from mer_features.databases import Sources
from mer_features.synthetic.recordings.planning import plan
from mer_features.synthetic.recordings.store import RENDERER, sheets, write_recordings

log = logging.getLogger(__name__)


def render(name: str, *, root: Path | str, preset: str, seed: int, release: int, tables: Path, threads: int) -> None:
    """Render a set of recordings and write its tables; recordings that are already rendered are kept.

    Parameters
    ----------
    name
        Name of the set of recordings in the configuration.
    root
        Folder to render into.
    preset, seed
        As for :func:`mer_features.synthetic.recordings.write_recordings`.
    release
        Version of the renderer; the one of this package.
    tables
        Folder for ``recordings.tsv`` and ``events.tsv``.
    threads
        Number of worker processes.

    Raises
    ------
    ValueError
        If the preset is unknown, or ``root`` holds frames that were not rendered from it.
    """
    assert release == RENDERER, release
    root = Path(root)
    write_recordings(root, preset, seed, threads, progress=lambda done, total: log.info("%d of %d", done, total))
    films, events = listed(name, root, preset, seed)
    write_text(tables / "recordings.tsv", rows.dumps(films))
    write_text(tables / "events.tsv", rows.dumps_events(events))


def listed(name: str, root: Path, preset: str, seed: int) -> tuple[list[Recording], list[Event]]:
    """Recordings, with the digests of their files if they are rendered, and events."""
    texts, sources = sheets(plan(preset, seed)), Sources(root)
    films = []
    for cells in _rows(texts["recordings.tsv"]):
        source = root / cells["source"]
        film = Recording(
            cells["recording_id"], cells["subject"], name, int(cells["first"]), int(cells["last"]),
            float(cells["fps"]), source.as_posix(),
        )  # fmt: skip
        films.append(replace(film, digest=sources.examine(film.source)[0]) if source.exists() else film)
    events = [
        Event(
            cells["recording_id"], int(cells["onset"]), int(cells["offset"]), cells["kind"], int(cells["apex"]),
            cells["emotion"], cells["event_id"], cells["action_units"], cells["note"],
        )
        for cells in _rows(texts["events.tsv"])
    ]  # fmt: skip
    return films, events


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))
