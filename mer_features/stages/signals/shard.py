"""Signals of all recordings of a shard, one after the other; several shards can be measured at the same time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from mer_features.core.jobs import track
from mer_features.core.quality import ClipRejectedError, Issue, Status, dumps, status
from mer_features.frames import open_frames
from mer_features.stages.options import Faces, SignalOptions
from mer_features.stages.signals.recording import measure
from mer_features.stages.signals.store import SignalWriter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where the frames of a recording are: a folder or a video, and the range of frame numbers to read."""

    recording_id: str
    path: Path | str
    first: int | None = None
    last: int | None = None
    fps: float | None = None


def measure_shard(
    sources: Sequence[Source],
    output: Path,
    options: SignalOptions | None = None,
    *,
    faces: Faces | None = None,
    fingerprint: str = "",
    durable: bool = True,
) -> dict[Status, int]:
    """Measure recordings and write their signal file.

    What is wrong with one recording rejects only this one, with an issue.

    Parameters
    ----------
    sources : sequence of Source
    output : Path
        The signal file, which appears when all recordings are done.
    options : SignalOptions, optional
    faces : Faces, optional
        Detector and landmark model.
    fingerprint : str
        Of the code, stored in the file.
    durable : bool
        See :func:`mer_features.core.files.atomic_path`.

    Returns
    -------
    dict
        Number of recordings in each state.

    Raises
    ------
    OSError, MemoryError
        The fault of the machine and not of a recording, as a full disk.
    RuntimeError
        If no recording was measured and at least one failed with an unexpected error.
    """
    cv2.setNumThreads(1)
    options, faces = options or SignalOptions(), faces or Faces()
    header = {
        "signals": options.model_dump(mode="json", by_alias=True),
        "faces": faces.model_dump(mode="json", by_alias=True),
    }
    counts = dict.fromkeys(Status, 0)
    broken: list[str] = []
    with SignalWriter(output, header, fingerprint, durable=durable) as writer:
        for source in track(sources, len(sources), f"signals {output.stem}"):
            issues = _measure_one(writer, source, options, faces)
            counts[status(issues)] += 1
            broken += [f"{source.recording_id}: {issue.detail}" for issue in issues if issue.code == "internal_error"]
            if issues:
                log.warning("%s is %s: %s", source.recording_id, status(issues), dumps(issues))
        if broken and not counts[Status.OK] + counts[Status.WARNED]:
            raise RuntimeError(f"signals failed on every recording; the first: {broken[0]}")
    log.info("%s: %s", output.name, ", ".join(f"{count} {state}" for state, count in counts.items()))
    return counts


def _measure_one(writer: SignalWriter, source: Source, options: SignalOptions, faces: Faces) -> tuple[Issue, ...]:
    """Measure one recording into the file, or reject it there; returns its issues."""
    try:
        frames = open_frames(source.path, source.first, source.last)
        with writer.recording(source.recording_id) as sink:
            sink.issues = measure(frames, options, sink=sink, faces=faces, fps=source.fps)
            return sink.issues
    except ClipRejectedError as error:
        issues = (error.issue,)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # one bad recording never stops a run
        log.exception("%s failed", source.recording_id)
        issues = (Issue("internal_error", f"signals: {error!r}"),)
    writer.reject(source.recording_id, issues)
    return issues
