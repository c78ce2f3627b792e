"""Writes the feature file of a set of recordings from its tables and signal files, one recording after the other."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np

from mer_features.core import quality
from mer_features.core.files import HeldFile, atomic_file
from mer_features.core.jobs import counted, track
from mer_features.core.quality import Issue, Status
from mer_features.core.recordings import Event, Recording, Spot
from mer_features.features.layout import Target, json_text, origin, text
from mer_features.features.options import Provenance
from mer_features.features.recording_schema import (
    ANNOTATED,
    EVENTS,
    LABELS,
    LICENSE,
    RECORDING_FILE,
    RECORDINGS,
    SIGNALS,
)
from mer_features.features.schema import RECORDING_ROWS, CacheError
from mer_features.spotting.tables import read_events, read_recordings, read_spots
from mer_features.stages.signals.series import COLUMNS, Signals
from mer_features.stages.signals.store import SignalReader

log = logging.getLogger(__name__)

_GZIP_LEVEL = 4


@dataclass(frozen=True)
class _Measured:
    """One recording with its signals, which have no rows if it was rejected."""

    film: Recording
    issues: tuple[Issue, ...]
    rows: Signals

    @property
    def status(self) -> Status:
        return quality.status(self.issues)


def write_file(
    output: Path,
    *,
    recordings: Path,
    events: Path,
    spots: Mapping[str, Path],
    signals: Sequence[Path],
    provenance: Provenance,
) -> dict[Status, int]:
    """Write the feature file of a set of recordings. It gets its name only when it is complete.

    One recording is in memory at a time. The same input gives the same bytes, as for clips.

    Parameters
    ----------
    output
        The file to write.
    recordings
        Table of the recordings, in the order of the rows.
    events
        Table of the annotated events; it may have no rows.
    spots
        Table of the spots of each spotter, by the name of the spotter.
    signals
        Signal files of all shards. Recordings that are not in the table are left out.
    provenance
        Written into the attributes; the fingerprint of ``signals`` is that of the group `/signals`.

    Returns
    -------
    dict
        Number of recordings in each state. A recording that could not be measured has a row without frames.

    Raises
    ------
    ValueError
        If a table or a signal file cannot be read; names the file and the part. :class:`CacheError` if a recording has
        no signals or is in two files, if the files were made with different options, or for a spotter without a usable
        name.
    """
    for name in spots:
        if name == ANNOTATED or name.split() != [name]:
            raise CacheError(f"{output}: {name!r} cannot be the name of a spotter; expected one word, not {ANNOTATED}")
    films = read_recordings(recordings)
    intervals: list[tuple[Event | Spot, str]] = [(row, ANNOTATED) for row in read_events(events, films)[0].inside]
    intervals += [(row, name) for name, path in spots.items() for row in read_spots(path, films).inside]
    places, options = _find(signals)
    if missing := [film.recording_id for film in films if film.recording_id not in places]:
        raise CacheError(f"{recordings}: {missing[0]} is in none of {counted(len(signals), 'signal file')}")
    attributes = {
        "": origin(provenance) | {"rows": RECORDING_ROWS, "license": LICENSE},
        SIGNALS.name: {
            "method": "motion of face regions, tracked from key frames after registration of the head",
            "options": json_text(options),
            "fingerprint": provenance["fingerprints"].get("signals", ""),
        },
        EVENTS.name: {"spotters": " ".join(spots)},
    }
    with atomic_file(output) as handle:
        with h5netcdf.File(handle, "w") as file:
            _lay_out(Target(file, attributes, _GZIP_LEVEL), len(films), len(intervals))
            measured = track(_measured(films, places), len(films), "recordings")
            rows, seconds = _fill_signals(file, measured, intervals, handle)
            _fill(file, rows)
            _fill(file.groups[EVENTS.name], _event_rows(intervals, seconds))
            file.attrs["complete"] = np.int32(1)
        handle.check()
    states = Counter(Status(row["status"]) for row in rows)
    log.info("%s: %s", output.name, ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    return dict(states)


def _find(signals: Sequence[Path]) -> tuple[dict[str, Path], dict[str, Any]]:
    """The signal file of each recording, and the options with which all files were made."""
    places: dict[str, Path] = {}
    options: dict[str, Any] | None = None
    for path in signals:
        with SignalReader(path) as reader:
            if options is not None and reader.options != options:
                raise CacheError(f"{path}: made with other options than {signals[0]}; expected the same for all files")
            options = reader.options
            for name in reader.recording_ids:
                if name in places:
                    raise CacheError(f"{path}: recording {name} is also in {places[name]}")
                places[name] = path
    return places, options or {}


def _measured(films: Sequence[Recording], places: Mapping[str, Path]) -> Iterator[_Measured]:
    for path, members in itertools.groupby(films, key=lambda film: places[film.recording_id]):
        with SignalReader(path) as reader:
            for film in members:
                name = film.recording_id
                yield _Measured(film, reader.issues(name), reader.read(name))


def _lay_out(target: Target, recordings: int, events: int) -> None:
    names = " ".join(name for name in RECORDING_FILE if name)
    target.create(RECORDINGS, {"recording": recordings}, {"groups": names})
    group = target.create(SIGNALS, {"frame": 0} | {name: len(labels) for name, labels in LABELS.items()})
    for name, labels in LABELS.items():
        group.variables[name][...] = text(labels)
    target.create(EVENTS, {"event": events})


def _fill_signals(
    file: h5netcdf.File,
    measured: Iterator[_Measured],
    intervals: Sequence[tuple[Event | Spot, str]],
    handle: HeldFile,
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Append the frames of all recordings; returns the rows of the root and the times (N, 3) of the intervals."""
    group = file.groups[SIGNALS.name]
    of_recording: dict[str, list[int]] = {}
    for place, (interval, _) in enumerate(intervals):
        of_recording.setdefault(interval.recording_id, []).append(place)
    frames = np.array([_frames(interval) for interval, _ in intervals]).reshape(-1, 3)
    seconds = np.full(frames.shape, np.nan)
    rows: list[dict[str, Any]] = []
    sizes: list[dict[str, Any]] = []
    end = 0
    for row, item in enumerate(measured):
        start, end = end, end + len(item.rows.number)
        if end > start:
            group.resize_dimension("frame", end)
            group.variables["recording_index"][start:end] = np.full(end - start, row, np.int32)
            for name in COLUMNS:
                values = getattr(item.rows, name)
                group.variables[name][start:end] = values.astype(np.int8) if values.dtype == bool else values
        places = of_recording.get(item.film.recording_id, [])
        seconds[places] = _seconds(frames[places], item.film, item.rows)
        rows.append(_row(item))
        name, fps, eye_px = item.film.recording_id, item.rows.fps, item.rows.eye_px
        sizes.append({"recording_id": name, "row_size": end - start, "fps": fps, "eye_px": eye_px})
        handle.check()
    _fill(group, sizes)
    return rows, seconds


def _frames(interval: Event | Spot) -> tuple[float, float, float]:
    return interval.onset, np.nan if interval.apex is None else interval.apex, interval.offset


def _seconds(frames: np.ndarray, film: Recording, rows: Signals) -> np.ndarray:
    """Times of frames, given as floats of any shape; between analysed frames interpolated, outside by the rate."""
    rate = film.fps or np.nan
    if not len(rows.number):
        return (frames - (np.nan if film.first is None else film.first)) / rate
    outside = np.minimum(frames - rows.number[0], 0) + np.maximum(frames - rows.number[-1], 0)
    times: np.ndarray = np.interp(frames, rows.number, rows.time_s)
    return times + np.where(outside == 0, 0, outside / rate)


def _row(item: _Measured) -> dict[str, Any]:
    film, minutes = item.film, item.film.minutes
    return {
        "recording_id": film.recording_id,
        "subject": film.subject,
        "database": film.database,
        "first": -1 if film.first is None else film.first,
        "last": -1 if film.last is None else film.last,
        "fps": np.nan if film.fps is None else film.fps,
        "minutes": np.nan if minutes is None else minutes,
        "quality": quality.flags(item.issues),
        "quality_text": quality.dumps(item.issues),
        "status": str(item.status),
    }


def _event_rows(intervals: Sequence[tuple[Event | Spot, str]], seconds: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "recording_id": row.recording_id,
            "onset": row.onset,
            "apex": -1 if row.apex is None else row.apex,
            "offset": row.offset,
            "start_s": start,
            "apex_s": apex,
            "end_s": end,
            "kind": row.kind,
            "emotion": row.emotion,
            "action_units": row.action_units if isinstance(row, Event) else "",
            "source": source,
            "score": np.nan if isinstance(row, Event) or row.score is None else row.score,
        }
        for (row, source), (start, apex, end) in zip(intervals, seconds, strict=True)
    ]


def _fill(group: h5netcdf.Group, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the columns of a table."""
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        stored = text(values) if isinstance(values[0], str) else np.array(values)
        group.variables[name][...] = stored
