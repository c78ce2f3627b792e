"""Files of rendered recordings, written so that a killed run leaves no incomplete recording that seems complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from joblib import Parallel, delayed

from mer_features.core.files import atomic_path, write_text
from mer_features.frames.write import write as write_video
from mer_features.synthetic import emotions
from mer_features.synthetic.recordings.course import RecordingTruth, apex_number, event_ids
from mer_features.synthetic.recordings.movements import RecordingPlan
from mer_features.synthetic.recordings.planning import plan
from mer_features.synthetic.recordings.presets import RecordingPreset, recording_preset
from mer_features.synthetic.recordings.render import render_recording
from mer_features.synthetic.store import claim, write_image

#: Version; increased whenever the same preset and seed would give other pixels or another ground truth.
RENDERER = 1
_QUALITY = {"jpg95": 95, "jpg75": 75}
_RECORDINGS = ("recording_id", "subject", "source", "first", "last", "fps")
_EVENTS = ("event_id", "recording_id", "subject", "onset", "apex", "offset", "kind", "emotion", "action_units", "note")
_BLINKS = ("recording_id", "onset", "apex", "offset", "note")
#: Written last, so a folder with these files is complete.
SHEETS = ("events.tsv", "blinks.tsv", "recordings.tsv")


def write_recordings(
    root: Path | str,
    preset: str | RecordingPreset,
    seed: int,
    jobs: int = 1,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render all recordings of a preset into ``root``; existing recordings are kept.

    The ground truth of a recording is written first. Its frames are written to a temporary folder or file, which is
    then renamed. The sheets are written last, ``recordings.tsv`` at the very end. Files are byte-identical in every run
    and for any ``jobs``. A rendering of another preset, seed or version in ``root`` is replaced.

    Parameters
    ----------
    preset
        ``long`` or ``tiny-long``, or settings.
    seed
        At least 0; another seed gives other subjects and other events.
    jobs
        Number of worker processes.
    progress
        Called with the number of finished recordings and the number of all recordings.

    Raises
    ------
    ValueError
        If the preset is unknown, or if ``root`` holds ``frames`` that are not from an earlier rendering.
    """
    root = Path(root)
    settings = recording_preset(preset) if isinstance(preset, str) else preset
    claim(root, {"renderer": RENDERER, "seed": seed, "preset": asdict(settings)}, SHEETS, ("frames", "videos", "truth"))
    plans = plan(settings, seed)
    missing = sorted((one for one in plans if not _complete(root, one)), key=lambda one: -len(one.shown))
    finished = len(plans) - len(missing)
    if progress:
        progress(finished, len(plans))
    workers = Parallel(n_jobs=jobs, return_as="generator_unordered")
    for _ in workers(delayed(_write_recording)(root, one, settings) for one in missing):
        finished += 1
        if progress:
            progress(finished, len(plans))
    for name, text in sheets(plans).items():
        if not (root / name).exists():
            write_text(root / name, text)


def sheets(plans: Sequence[RecordingPlan]) -> dict[str, str]:
    """File name and tab-separated text of the sheets of events, blinks and recordings.

    Onset and offset are the first and last frame in which an event has at least 5 % of its strength: what an annotator
    would see. Apex is the first frame with the largest strength.
    """
    events: list[tuple[Any, ...]] = []
    blinks: list[tuple[Any, ...]] = []
    recordings: list[tuple[Any, ...]] = []
    for one in plans:
        name, numbers = one.recording_id, one.numbers
        recordings.append((name, one.subject, one.source, numbers[0], numbers[-1], round(one.fps, 4)))
        for identifier, event in zip(event_ids(one), one.events, strict=True):
            onset, offset = one.frames_in(event.visible)
            apex, units = apex_number(one, event), emotions.text(event.actions)
            events.append(
                (identifier, name, one.subject, onset, apex, offset, event.name, event.emotion, units, event.note)
            )
        for blink in one.blinks:
            onset, offset = one.frames_in(blink.visible)
            closed = int(numbers[np.abs(one.times - blink.closed).argmin()])
            blinks.append((name, onset, min(max(closed, onset), offset), offset, blink.note))
    tables = (_table(_EVENTS, events), _table(_BLINKS, blinks), _table(_RECORDINGS, recordings))
    return dict(zip(SHEETS, tables, strict=True))


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return "".join("\t".join(map(str, cells)) + "\n" for cells in (columns, *rows))


def read_recording_truth(root: Path | str, recording_id: str) -> RecordingTruth:
    """Read the ground truth of a rendered recording.

    Raises
    ------
    FileNotFoundError
        If ``root`` has no ground truth for this recording.
    """
    with np.load(_truth_path(Path(root), recording_id), allow_pickle=False) as stored:
        values = {field.name: stored[field.name] for field in fields(RecordingTruth)}
    return RecordingTruth(**values | {"eye_px": float(values["eye_px"])})


def _truth_path(root: Path, recording_id: str) -> Path:
    return root / "truth" / f"{recording_id}.npz"


def _complete(root: Path, one: RecordingPlan) -> bool:
    return (root / one.source).exists() and _truth_path(root, one.recording_id).exists()


def _write_recording(root: Path, one: RecordingPlan, settings: RecordingPreset) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # parallel over recordings
    try:
        rendered = render_recording(one, settings)
        with atomic_path(_truth_path(root, one.recording_id)) as path, path.open("wb") as handle:
            np.savez_compressed(handle, **asdict(rendered.truth))
        final = root / one.source
        if one.codec in _QUALITY:
            _write_folder(final, one, rendered.frames)
        else:
            timed = zip(rendered.frames, one.times.tolist(), strict=True)
            write_video(final, timed, one.fps, motion_jpeg=one.codec == "mjpeg")
    finally:
        cv2.setNumThreads(before)


def _write_folder(final: Path, one: RecordingPlan, frames: Iterable[np.ndarray]) -> None:
    temporary = final.with_name(f".{final.name}.tmp")
    for stale in (temporary, final):
        shutil.rmtree(stale, ignore_errors=True)
    temporary.mkdir(parents=True)
    for number, frame in zip(one.numbers.tolist(), frames, strict=True):
        write_image(temporary / f"img{number:05d}.jpg", frame, _QUALITY[one.codec])
    temporary.rename(final)
