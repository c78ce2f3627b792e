"""Contents of a feature file as text for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import h5py

from mer_features.features.access import dimension_names, open_file, open_object
from mer_features.features.reader import Features, open_features
from mer_features.features.recording_reader import RecordingFeatures, open_recordings


def describe(path: Path | str) -> str:
    """Contents of a feature file: clips, labels and problems, or recordings and events; variables with their sizes.

    Control characters in texts from the file are escaped.

    Raises
    ------
    CacheError
        If the file is not a complete feature file of a version that this package reads.
    """
    with open_features(path) as features:
        if features.of_recordings:
            with open_recordings(path) as file:
                rows = _recordings(file)
        else:
            rows = [*_clips(features), *_problems(features)]
        lines = [f"{path}", _origin(features), *rows, "", *_variables(features)]
    return "\n".join(printable(line) for line in lines)


def printable(text: str) -> str:
    """The text with control characters escaped, so that the terminal does not interpret them."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _origin(features: Features) -> str:
    version = int(features.attrs["schema_version"][0])
    return f"{features.attrs['schema']}, version {version}, written by {features.attrs['source']}"


def _clips(features: Features) -> list[str]:
    clips = features.clips
    subjects = {(clip.database, clip.subject) for clip in clips}
    states = Counter(clip.status for clip in clips)
    lines = [
        f"databases: {', '.join(sorted({clip.database for clip in clips}))}",
        f"clips: {len(clips)} of {len(subjects)} subjects ({_counts(states)}), {len(features.rejected)} rejected",
        f"emotions: {_counts(Counter(clip.emotion for clip in clips))}",
    ]
    sources = Counter(clip.apex_source for clip in clips if clip.apex_source)
    return [*lines, f"apex from: {_counts(sources)}"] if sources else lines


def _recordings(file: RecordingFeatures) -> list[str]:
    films = file.recordings
    subjects = {(film.database, film.subject) for film in films}
    states = Counter(film.status for film in films)
    minutes = sum(film.minutes for film in films if not math.isnan(film.minutes))
    sources = Counter(dict.fromkeys(file.spotters, 0) | Counter(row.source for row in file.events))
    codes = Counter(code for film in films for code in film.codes)
    lines = [
        f"recordings: {len(films)} of {len(subjects)} subjects ({_counts(states)}), {minutes:.1f} min",
        f"events and spots: {_counts(sources) or 'none'}",
    ]
    rejected = [f"rejected {film.recording_id}: {', '.join(film.codes)}" for film in films if film.status == "rejected"]
    return [*lines, *([f"problems: {_counts(codes)}"] if codes else []), *rejected]


def _problems(features: Features) -> list[str]:
    codes = Counter(code for clip in features.clips for code in clip.codes)
    warnings = [f"warnings: {_counts(codes)}"] if codes else []
    return warnings + [f"rejected {item.clip_id}: {item.code} {item.detail}".rstrip() for item in features.rejected]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name or '(empty)'}" for name, count in sorted(counter.items()))


def _variables(features: Features) -> list[str]:
    with open_file(features.path) as file:
        names = features.variables("recording", "frame", "event") if features.of_recordings else features.variables()
        rows = [("variable", "dimensions", "type", "units", "kB", "what")]
        rows += [_row(name, open_object(file, name)) for name in names]
        groups = dict.fromkeys(name.rpartition("/")[0] for name in names)
        methods = [f"/{group}: {how}" for group in groups if group and (how := _how(file[group]))]
    widths = [max(len(row[column]) for row in rows) for column in range(5)] + [0]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [*table, "", *methods]


def _how(group: h5py.Group) -> str:
    """The method of a stage, or what is known of published values."""
    scale = group.attrs.get("scale")
    return str(group.attrs.get("method", "")) if scale is None else f"as published, scale {scale}"


def _row(name: str, dataset: h5py.Dataset) -> tuple[str, str, str, str, str, str]:
    dims = ", ".join(f"{dim}={size}" for dim, size in zip(dimension_names(dataset), dataset.shape, strict=True))
    kind = "text" if h5py.check_string_dtype(dataset.dtype) else dataset.dtype.name
    kind += " packed" if "scale_factor" in dataset.attrs else ""
    units, long_name = (str(dataset.attrs.get(key, "")) for key in ("units", "long_name"))
    return name, dims, kind, units, f"{dataset.id.get_storage_size() / 1000:.1f}", long_name
