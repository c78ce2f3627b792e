"""Spot-then-recognise: the classes that a system gave to spotted clips, scored against the annotated events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_features import spotting
from mer_features.core.files import write_text
from mer_features.databases.recorded import cut
from mer_features.protocols.table import read as read_protocol
from mer_features.spotting import Spot
from mer_features.spotting.summary import Annotations, recognise
from mer_features.training.evaluation import read_spots


@dataclass(frozen=True)
class SpotTables:
    """Files that the score of a system needs besides its predictions."""

    recordings: Path
    events: Path
    spots: Path
    protocol: Path


def score_spots(
    tables: SpotTables,
    prediction_tsvs: Sequence[Path],
    output: Path,
    *,
    names: tuple[str, str, str, str],
    databases: tuple[str, str],
    kinds: tuple[Sequence[str], Sequence[str]],
    seed: int,
) -> None:
    """Write the scores of :func:`mer_features.spotting.summary.recognise` as JSON.

    Parameters
    ----------
    tables
        Recordings, events, spots, and the protocol under which the system was trained.
    prediction_tsvs
        Predictions of all batches of folds and all seeds of the system.
    output
        The JSON file.
    names
        Names of the set of recordings, the spotter, the protocol and the system.
    databases
        Names of the databases of annotated and of spotted clips.
    kinds
        Kinds of expressions that were cut into these databases.
    seed
        Seed of the bootstrap over subjects.

    Raises
    ------
    ValueError
        If the prediction of a spotted clip is missing, occurs twice or belongs to another protocol.
    """
    recordings = spotting.read_recordings(tables.recordings)
    events = spotting.read_events(tables.events, recordings)[0].inside
    spots = spotting.read_spots(tables.spots, recordings).inside
    table = read_protocol(tables.protocol)
    classes = {row.clip_id: row.label for row in table.rows if row.database == databases[0]}
    annotated = [event for event in events if event.kind in kinds[0]]
    labels: dict[str, str] = {
        interval.event_id: classes.get(clip.clip_id, "")
        for clip, interval in cut(recordings, annotated, database=databases[0])
        if isinstance(interval, spotting.Event)
    }
    named: dict[str, Spot] = {
        clip.clip_id: interval
        for clip, interval in cut(recordings, [spot for spot in spots if spot.kind in kinds[1]], database=databases[1])
        if isinstance(interval, Spot)
    }
    result: Mapping[str, Any] = recognise(
        Annotations(recordings, events),
        named,
        labels,
        read_spots(prediction_tsvs, table),
        classes=table.classes,
        names=names,
        seed=seed,
    )
    write_text(output, json.dumps(result, indent=1))
