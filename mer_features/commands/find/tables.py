"""The tables of a result folder: spots, and clips that the workflow takes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from mer_features import __version__
from mer_features.commands.find.checks import Check
from mer_features.commands.find.spots import Search, surroundings
from mer_features.databases import table

#: Name of the database of the clips in their configuration.
DATABASE = "found"
#: A clip begins so many seconds before a spot and ends as many after it.
MARGIN_S = 0.2
EVENTS = (
    "event_id", "recording_id", "kind", "onset", "apex", "offset", "score",
    "start_s", "apex_s", "end_s", "times_noise", "motion_percent", "regions", "flags",
)  # fmt: skip
CLIPS = ("subject", "clip", "path", "first", "onset", "apex", "offset", "last", "fps")


def events(search: Search) -> str:
    """The spots as TSV, in the own format of :mod:`mer_features.spotting.tables` with further columns.

    ``onset``, ``apex`` and ``offset`` are frame numbers. ``motion_percent`` is the motion of the strongest region in
    per cent of the distance between the eyes.
    """
    rows = []
    for entry in search.entries:
        finding, spot = entry.finding, entry.finding.spot
        times = (f"{seconds:.3f}" for seconds in (entry.start_s, entry.apex_s, entry.end_s))
        strength = (f"{entry.times_noise:.1f}", f"{100 * finding.peak:.2f}")
        frames = (spot.onset, "" if spot.apex is None else spot.apex, spot.offset)
        words = (", ".join(entry.regions), ", ".join(entry.flags))
        rows.append(
            (entry.number, spot.recording_id, spot.kind, *frames, f"{entry.score:.4f}", *times, *strength, *words)
        )
    return _tsv(EVENTS, rows)


def clips(search: Search, name: str, source: Path, fps: float | None) -> str:
    """One clip per spot as TSV, as the adapter ``table`` reads it, with :data:`MARGIN_S` on both sides.

    Paths are relative to the folder of the source; the subject is the recording, because nobody named the person.
    """
    rows = []
    for entry in search.entries:
        spot = entry.finding.spot
        first, last = surroundings(search, entry, MARGIN_S)
        clip = f"{entry.number:03d}-{spot.kind}"
        apex = "" if spot.apex is None else spot.apex
        rate = "" if fps is None else f"{fps:.6g}"
        rows.append((name, clip, source.resolve().name, first, spot.onset, apex, spot.offset, last, rate))
    return _tsv(CLIPS, rows)


def configuration(source: Path, clip_table: Path) -> str:
    """A configuration for the workflow whose one database is the table of clips."""
    database = {"adapter": "table", "root": str(source.resolve().parent), "table": str(clip_table.resolve())}
    tree = {"databases": {DATABASE: database}}
    return "# Clips of the expressions found by `mer-features find` (docs/find.md).\n" + yaml.safe_dump(
        tree, sort_keys=False, allow_unicode=True
    )


def summary(search: Search, source: Path, checks: Sequence[Check]) -> str:
    """What was found, with which settings, and the checks, as JSON; it also marks the folder as a result."""
    options = search.options
    content: dict[str, Any] = {
        "made_by": f"mer-features find {__version__}",
        "source": str(source),
        "seconds": float(search.signals.time_s[-1]),
        "searched": list(search.kinds),
        "spots": len(search.entries),
        "checks": [asdict(check) for check in checks],
        "spotter": options.model_dump(mode="json", exclude={"grid", "tune", "shuffle_events"}),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def safe_names(paths: Sequence[Path]) -> list[str]:
    """A name for each recording that is a safe file name; the second of the same name ends in ``.2``."""
    names: list[str] = []
    for path in paths:
        whole = path.resolve()
        name = table.safe_name(whole.name if whole.is_dir() else whole.stem) or "unnamed"
        count, unique = 1, name
        while unique in names:
            count += 1
            unique = f"{name}.{count}"
        names.append(unique)
    return names


def _tsv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
