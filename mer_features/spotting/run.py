"""The rule spot: spots of every recording of a set, made without its subject, and their scores."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mer_features.core import quality
from mer_features.core.files import write_text
from mer_features.core.jobs import counted
from mer_features.core.recordings import Event, Recording
from mer_features.spotting.options import Blind, RegionSpotter, Spotter
from mer_features.spotting.summary import Annotations, summarise
from mer_features.spotting.tables import read_events, read_recordings, spot_text
from mer_features.spotting.tuning import spot_by_subject
from mer_features.stages.signals.series import Signals
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
    for name, issues in rejected.items():
        log.warning("%s has no signals: %s", name, quality.dumps(issues))
    recordings = tuple(_with_ends(film, signals.get(film.recording_id)) for film in recordings)
    usable = [film for film in recordings if film.recording_id not in rejected]
    codes = ", ".join(sorted({issue.code for issues in rejected.values() for issue in issues}))
    if not usable:
        raise ValueError(
            f"{inputs.recordings}: no recording could be measured ({codes}); expected a face in at least one"
        )
    known = [part for event in events if (part := _measured(event, signals.get(event.recording_id))) is not None]
    if not known and isinstance(options, RegionSpotter) and options.tune:
        options = options.model_copy(update={"tune": False})
        notes = (*notes, "No event is annotated, so no value was searched: those of `values` were used.")
    found = spot_by_subject(signals, usable, known, options, seed)
    spots = found.all()
    if rejected:
        told = f"{counted(len(rejected), 'recording')} could not be measured ({codes}); their events count as missed."
        notes = (*notes, told)
    if outside := len(events) - len(known) - sum(event.recording_id in rejected for event in events):
        notes = (*notes, f"{counted(outside, 'event')} outside the frames that were measured; they count as missed.")
    blind = isinstance(options, Blind) and options.rule != "relative"
    control = "shuffled" if options.shuffle_events else "blind" if blind else ""
    scores = summarise(
        Annotations(recordings, events),
        spots,
        names=names,
        control=control,
        measured_on=measured_on,
        notes=notes,
        seed=seed,
    )
    write_text(outputs.spots, spot_text(spots))
    write_text(outputs.folds, json.dumps({"combinations": found.combinations, "folds": found.values}, indent=1))
    write_text(outputs.scores, json.dumps(scores, indent=1))
    log.info("%s in %s", counted(len(spots), "spot"), counted(len(recordings), "recording"))


def _with_ends(film: Recording, signals: Signals | None) -> Recording:
    """The recording with its ends and frame rate as measured, where its table does not have them."""
    if signals is None or len(signals.number) < 2:
        return film
    first, last = int(signals.number[0]), int(signals.number[-1])
    rate = float((last - first) / (signals.time_s[-1] - signals.time_s[0]))
    return replace(
        film,
        first=first if film.first is None else film.first,
        last=last if film.last is None else film.last,
        fps=rate if film.fps is None else film.fps,
    )


def _measured(event: Event, signals: Signals | None) -> Event | None:
    """The part of an event in the frames that were measured; None if it lies outside of them."""
    if signals is None:
        return None
    first, last = int(signals.number[0]), int(signals.number[-1])
    if event.offset < first or event.onset > last:
        return None
    return replace(event, onset=max(event.onset, first), offset=min(event.offset, last))
