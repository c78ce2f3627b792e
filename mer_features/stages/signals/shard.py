"""Measures the recordings of one shard and writes their signal file."""

from __future__ import annotations

import errno
import logging
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2

from mer_features.core import fingerprint, quality
from mer_features.core.jobs import track
from mer_features.core.quality import ClipRejectedError, Issue, Status
from mer_features.core.recordings import Recording
from mer_features.frames import open_frames
from mer_features.stages.options import Faces, SignalOptions
from mer_features.stages.signals.recording import measure
from mer_features.stages.signals.store import SignalWriter
from mer_features.stages.store import StageFailedError

log = logging.getLogger(__name__)


def code_fingerprint(scripts: tuple[Path, ...] = ()) -> str:
    """Fingerprint of the code that measures signals; ``scripts`` as in :func:`mer_features.core.fingerprint.of`."""
    return fingerprint.of("mer_features.stages.signals.shard", scripts=scripts)


def measure_shard(
    recordings: Sequence[Recording], output: Path, options: SignalOptions, faces: Faces
) -> dict[Status, int]:
    """Measure recordings one after the other, in memory that does not grow with their length.

    A recording that cannot be measured is in the file with the reason and without rows.

    Parameters
    ----------
    recordings
        Those of the shard.
    output
        The signal file to write (atomically).
    options
        Options of the signals.
    faces
        Detector and landmark model.

    Returns
    -------
    dict
        Number of recordings in each state.

    Raises
    ------
    StageFailedError
        If no recording got through and at least one failed with an unexpected error.
    OSError
        If a listed source has disappeared, or the file cannot be written.
    """
    cv2.setNumThreads(1)  # parallel over shards
    plain = {"signals": options.model_dump(mode="json"), "faces": faces.model_dump(mode="json", by_alias=True)}
    states: Counter[Status] = Counter()
    broken: list[str] = []
    with SignalWriter(output, plain, code_fingerprint()) as writer:
        for film in track(recordings, len(recordings), f"signals {output.stem}"):
            issues = _measure(film, writer, options, faces)
            states[quality.status(issues)] += 1
            broken += [f"{film.recording_id}: {issue.detail}" for issue in issues if issue.code == "internal_error"]
            if issues:
                log.warning("%s is %s: %s", film.recording_id, quality.status(issues), quality.dumps(issues))
        if broken and not states[Status.OK] + states[Status.WARNED]:
            raise StageFailedError(f"signals failed on every recording; the first: {broken[0]}")
    log.info("%s: %s", output.name, ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    return dict(states)


def _measure(film: Recording, writer: SignalWriter, options: SignalOptions, faces: Faces) -> tuple[Issue, ...]:
    """Measure one recording; whatever goes wrong becomes an issue of this recording alone."""
    if quality.status(film.issues) is Status.REJECTED:
        writer.reject(film.recording_id, film.issues)
        return film.issues
    if film.digest and (gone := [source for source in film.sources if not Path(source).exists()]):
        raise FileNotFoundError(errno.ENOENT, "listed when the workflow started, but not there now", gone[0])
    try:
        with writer.recording(film.recording_id) as sink:
            frames = open_frames(film.sources, film.first, film.last)
            sink.issues = (*film.issues, *measure(frames, options, sink=sink, faces=faces, fps=film.fps))
        return sink.issues
    except ClipRejectedError as error:
        issues = (*film.issues, error.issue)
    except (MemoryError, OSError):
        raise  # the machine's fault: the job fails, is reported and can be run again
    except Exception as error:  # one bad recording never stops a run
        log.error("%s failed:\n%s", film.recording_id, traceback.format_exc())
        issues = (*film.issues, Issue("internal_error", f"signals: {error!r}"))
    writer.reject(film.recording_id, issues)
    return issues
