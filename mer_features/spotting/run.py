"""What the workflow does with signals: spots of every recording without its subject, and clips cut from recordings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mer_features.core import clips as clip_tables
from mer_features.core import quality
from mer_features.core.files import write_text
from mer_features.core.jobs import counted
from mer_features.core.recordings import Event, Spot
from mer_features.databases.recorded import cut
from mer_features.spotting.options import Blind, Spotter
from mer_features.spotting.summary import Annotations, summarise
from mer_features.spotting.tables import read_events, read_recordings, read_spots, spot_text
from mer_features.spotting.tuning import spot_by_subject
from mer_features.stages.signals.store import read_signals

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Files of a set of recordings: its tables, and the signals of all shards."""

    recordings: Path
    events: Path
    signals: Sequence[Path]


@dataclass(frozen=True)
class Outputs:
    """Files of one spotter: its spots, what was chosen or trained in each fold, and its scores."""

    spots: Path
    folds: Path
    scores: Path


def spot_files(
    inputs: Inputs,
    spotter: Mapping[str, Any],
    outputs: Outputs,
    *,
    names: tuple[str, str],
    measured_on: str,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Spot in all recordings of a set, each by what was fitted without its subject, and score the spots.

    A recording that could not be measured has no spots. It counts all the same: its events are missed.

    Parameters
    ----------
    inputs
        Files to read.
    spotter
        Options of a :data:`~mer_features.spotting.options.Spotter`.
    outputs
        Files to write, each atomically.
    names
        Names of the set of recordings and of the spotter.
    measured_on
        What the recordings are; it is stored with the scores.
    notes
        Conventions of the events that change the scores, one line each.
    seed
        Seed of training, of shuffled events and of the bootstrap.

    Raises
    ------
    ValueError
        If a file cannot be read, a recording has no signals, or there is something to fit and only one subject.
    """
    options: Spotter = TypeAdapter(Spotter).validate_python(spotter)
    recordings = read_recordings(inputs.recordings)
    events = read_events(inputs.events, recordings)[0].inside
    signals, rejected = read_signals(inputs.signals)
    usable = [film for film in recordings if film.recording_id not in rejected]
    measured = {film.recording_id for film in usable}
    found = spot_by_subject(signals, usable, [row for row in events if row.recording_id in measured], options, seed)
    spots = found.all()
    for name, issues in rejected.items():
        log.warning("%s has no signals: %s", name, quality.dumps(issues))
    if rejected:
        codes = ", ".join(sorted({issue.code for issues in rejected.values() for issue in issues}))
        told = f"{counted(len(rejected), 'recording')} could not be measured ({codes}); their events count as missed."
        notes = (*notes, told)
    blind = isinstance(options, Blind) and options.rule != "relative"
    scores = summarise(
        Annotations(recordings, events),
        spots,
        names=names,
        blind=blind,
        measured_on=measured_on,
        notes=notes,
        seed=seed,
    )
    write_text(outputs.spots, spot_text(spots))
    write_text(outputs.folds, json.dumps({"combinations": found.combinations, "folds": found.values}, indent=1))
    write_text(outputs.scores, json.dumps(scores | {"shuffled": options.shuffle_events}, indent=1))
    log.info("%s in %s", counted(len(spots), "spot"), counted(len(recordings), "recording"))


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
