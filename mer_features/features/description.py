"""Contents of a feature file as text for a terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import h5py

from mer_features.features.access import dimension_names, open_file, open_object
from mer_features.features.reader import Features, open_features


def describe(path: Path | str) -> str:
    """Contents of a feature file: clips, labels, problems, rejected clips, groups, and variables with their sizes.

    Control characters in texts from the file are escaped.

    Raises
    ------
    CacheError
        If the file is not a complete feature file of a version that this package reads.
    """
    with open_features(path) as features:
        lines = [f"{path}", *_clips(features), *_problems(features), "", *_variables(features)]
    return "\n".join(printable(line) for line in lines)


def printable(text: str) -> str:
    """The text with control characters escaped, so that the terminal does not interpret them."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _clips(features: Features) -> list[str]:
    clips = features.clips
    subjects = {(clip.database, clip.subject) for clip in clips}
    states = Counter(clip.status for clip in clips)
    version = int(features.attrs["schema_version"][0])
    lines = [
        f"{features.attrs['schema']}, version {version}, written by {features.attrs['source']}",
        f"databases: {', '.join(sorted({clip.database for clip in clips}))}",
        f"clips: {len(clips)} of {len(subjects)} subjects ({_counts(states)}), {len(features.rejected)} rejected",
        f"emotions: {_counts(Counter(clip.emotion for clip in clips))}",
    ]
    sources = Counter(clip.apex_source for clip in clips if clip.apex_source)
    return [*lines, f"apex from: {_counts(sources)}"] if sources else lines


def _problems(features: Features) -> list[str]:
    codes = Counter(code for clip in features.clips for code in clip.codes)
    warnings = [f"warnings: {_counts(codes)}"] if codes else []
    return warnings + [f"rejected {item.clip_id}: {item.code} {item.detail}".rstrip() for item in features.rejected]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name or '(empty)'}" for name, count in sorted(counter.items()))


def _variables(features: Features) -> list[str]:
    with open_file(features.path) as file:
        names = features.variables()
        rows = [("variable", "dimensions", "type", "units", "kB", "what")]
        rows += [_row(name, open_object(file, name)) for name in names]
        groups = dict.fromkeys(name.rpartition("/")[0] for name in names)
        methods = [f"/{group}: {_how(file[group])}" for group in groups if group]
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
