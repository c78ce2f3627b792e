"""Tables and signal files of a small set of recordings, and the feature file that is written from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mer_features.core import recordings as tables
from mer_features.core.files import write_text
from mer_features.core.quality import Issue
from mer_features.core.recordings import Event, Recording, Spot
from mer_features.features import Provenance
from mer_features.features import recordings as feature_file
from mer_features.spotting.tables import spot_text
from mer_features.stages.signals.regions import REGIONS
from mer_features.stages.signals.series import Signals
from mer_features.stages.signals.store import SignalWriter

PROVENANCE: Provenance = {
    "config": '{"signals": {}}', "fingerprints": {"signals": "abc"}, "versions": {"numpy": "2"}, "seed": 3,
}  # fmt: skip
#: The second could not be measured; of the third every other frame was analysed.
FILMS = (
    Recording("s1/a", "s1", "set", 10, 2509, 50.0, "a.mp4"),
    Recording("s1/dark", "s1", "set", 0, 99, 50.0, "dark.mp4"),
    Recording("s2/c", "s2", "set", 0, 79, 100.0, "c.mp4"),
)
EVENTS = (
    Event("s1/a", 60, 85, "micro", 70, "happiness", "s1/a/row-2", "12"),
    Event("s1/dark", 5, 20, "macro", None, "", "s1/dark/row-3"),
    Event("s2/c", 3, 79, "micro", 41, "Überraschung", "s2/c/row-4", "1+L2"),
)
SPOTS = {"roi": (Spot("s2/c", 4, 60, "micro", 40, "", 0.25), Spot("s1/a", 100, 130)), "quiet": ()}


def signals(count: int, seed: int = 0, first: int = 0, step: int = 1, fps: float = 50.0) -> Signals:
    """Random signals of the form that is measured: NaN in frames without a face and in regions that were not found."""
    rng = np.random.default_rng(seed)
    number = np.arange(first, first + count * step, step, dtype=np.int64)
    reliable = rng.random(count) > 0.2
    arrays = {
        name: rng.normal(size=(count, *shape)).astype(np.float32)
        for name, shape in {
            "motion": (len(REGIONS), 2), "lids": (2,), "head": (4,), "residual": (), "brightness": (),
        }.items()
    }  # fmt: skip
    for values in arrays.values():
        values[~reliable] = np.nan
    arrays["motion"][::7, 3] = np.nan
    segment = np.sort(rng.integers(0, 3, count)).astype(np.int32)
    repeated = rng.random(count) > 0.9
    time_s = (number - first) / (fps * step)
    rest = {"reliable": reliable, "segment": segment, "repeated": repeated}
    return Signals(number=number, time_s=time_s, **arrays, **rest, fps=fps, eye_px=61.5 + seed)


MEASURED: Mapping[str, Signals] = {"s1/a": signals(2500, 0, 10), "s2/c": signals(40, 1, 0, 2)}


def write_sources(folder: Path) -> dict[str, object]:
    """Write tables and signal files; returns the arguments of ``write_file``."""
    write_text(folder / "recordings.tsv", tables.dumps(FILMS))
    write_text(folder / "events.tsv", tables.dumps_events(EVENTS))
    for name, spots in SPOTS.items():
        write_text(folder / name / "spots.tsv", spot_text(spots))
    with SignalWriter(folder / "0.h5", {"signals": {"size": 256}}) as writer:
        with writer.recording("s1/a") as sink:
            sink.append(MEASURED["s1/a"])
            sink.issues = (Issue("missing_frame", "frame 12"),)
        writer.reject("s1/dark", [Issue("no_face", "in no frame")])
    with SignalWriter(folder / "1.h5", {"signals": {"size": 256}}) as writer, writer.recording("s2/c") as sink:
        sink.append(MEASURED["s2/c"])
    return {
        "recordings": folder / "recordings.tsv",
        "events": folder / "events.tsv",
        "spots": {name: folder / name / "spots.tsv" for name in SPOTS},
        "signals": [folder / "0.h5", folder / "1.h5"],
        "provenance": PROVENANCE,
    }


def build(output: Path, folder: Path) -> None:
    """Write the feature file."""
    feature_file.write_file(output, **write_sources(folder))  # type: ignore[arg-type]
