"""Files of the rendered database, written so that a killed run leaves no incomplete clip that seems complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from joblib import Parallel, delayed

from mer_features.core.files import atomic_path, write_text
from mer_features.synthetic.emotions import text
from mer_features.synthetic.planning import ClipPlan, plan
from mer_features.synthetic.presets import Preset
from mer_features.synthetic.presets import preset as named_preset
from mer_features.synthetic.render import RenderedClip, Truth, render_clip

#: Version; increased whenever the same preset and seed would give other pixels.
RENDERER = 1
COLUMNS = (
    "clip",
    "subject",
    "path",
    "first",
    "onset",
    "apex",
    "offset",
    "last",
    "fps",
    "emotion",
    "action_units",
)
_CLIPS_PER_JOB = 10


def render_database(
    root: Path | str,
    preset: str | Preset,
    seed: int,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render a database into ``root``; existing clips are kept.

    The ground truth of a clip is written first. Its frames are written to a temporary folder, which is then renamed.
    ``annotations.tsv`` is written last, so a folder with this file is complete. Files are byte-identical in every run
    and for any ``threads``. A rendering of another preset, seed or version in ``root`` is replaced.

    Parameters
    ----------
    preset
        Name in :data:`presets.PRESETS`, or settings.
    seed
        At least 0; another seed gives other subjects and other clips.
    threads
        Number of worker processes.
    progress
        Called with the number of finished clips and the number of all clips.

    Raises
    ------
    ValueError
        If the preset is unknown, or if ``root`` holds ``frames`` that are not from an earlier rendering.
    """
    root = Path(root)
    settings = named_preset(preset) if isinstance(preset, str) else preset
    clips = plan(settings, seed)
    stamp = {"renderer": RENDERER, "seed": seed, "preset": asdict(settings)}
    claim(root, stamp, ("annotations.tsv",), ("frames", "truth"))
    missing = [clip for clip in clips if not _complete(root, clip)]
    finished = len(clips) - len(missing)
    if progress:
        progress(finished, len(clips))
    workers = Parallel(n_jobs=threads, return_as="generator_unordered")
    for count in workers(delayed(_render_batch)(root, batch, settings) for batch in _batches(missing)):
        finished += count
        if progress:
            progress(finished, len(clips))
    if not (root / "annotations.tsv").exists():
        write_text(root / "annotations.tsv", sheet(clips, settings))


def sheet(clips: list[ClipPlan], settings: Preset) -> str:
    """The annotation sheet of these clips as tab-separated text."""
    rows = ["\t".join(COLUMNS)]
    for clip in clips:
        apex = clip.apex if settings.annotated_apex else ""
        cells = [clip.name, clip.subject, f"frames/{clip.clip_id}", clip.onset, clip.onset, apex, clip.offset]
        rows.append("\t".join(map(str, [*cells, clip.offset, settings.fps, clip.emotion, text(clip.actions)])))
    return "\n".join(rows) + "\n"


def read_truth(root: Path | str, clip_id: str) -> Truth:
    """Read the ground truth of a rendered clip.

    Raises
    ------
    FileNotFoundError
        If ``root`` has no ground truth for this clip.
    """
    with np.load(_truth_path(Path(root), clip_id), allow_pickle=False) as stored:
        values = {field.name: stored[field.name] for field in fields(Truth)}
    for name in ("onset", "apex", "offset"):
        values[name] = int(values[name])
    values["emotion"] = str(values["emotion"])
    values["au_names"] = tuple(map(str, values["au_names"]))
    return Truth(**values)


def _truth_path(root: Path, clip_id: str) -> Path:
    return root / "truth" / f"{clip_id}.npz"


def claim(root: Path, about: Mapping[str, Any], sheets: Sequence[str], folders: Sequence[str]) -> None:
    """Mark ``root`` as a rendering, in ``synthetic.json``; an earlier rendering with other settings is deleted.

    Parameters
    ----------
    about
        Everything that decides the rendering.
    sheets, folders
        What a rendering consists of; nothing else is deleted. Folders that hold pictures come first.

    Raises
    ------
    ValueError
        If ``root`` holds the first of the folders, but no rendering.
    """
    stamp = json.dumps(about, indent=1) + "\n"
    path = root / "synthetic.json"
    if path.exists() and path.read_text(encoding="utf-8") == stamp:
        return
    if not path.exists() and (root / folders[0]).exists():
        raise ValueError(f"{root}: holds {folders[0]} that are not a synthetic rendering; choose another folder")
    for sheet_name in sheets:
        (root / sheet_name).unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(root / folder, ignore_errors=True)
    write_text(path, stamp)


def _complete(root: Path, clip: ClipPlan) -> bool:
    return (root / "frames" / clip.clip_id).is_dir() and _truth_path(root, clip.clip_id).exists()


def _batches(clips: list[ClipPlan]) -> list[list[ClipPlan]]:
    """Batches of clips of the same subject, so that the texture of a subject is made once per batch."""
    batches: list[list[ClipPlan]] = []
    for clip in clips:
        if batches and batches[-1][0].subject == clip.subject and len(batches[-1]) < _CLIPS_PER_JOB:
            batches[-1].append(clip)
        else:
            batches.append([clip])
    return batches


def _render_batch(root: Path, clips: list[ClipPlan], settings: Preset) -> int:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # parallel over batches
    try:
        for clip in clips:
            _write_clip(root, clip, render_clip(clip, settings), settings)
    finally:
        cv2.setNumThreads(before)
    return len(clips)


def _write_clip(root: Path, clip: ClipPlan, rendered: RenderedClip, settings: Preset) -> None:
    final = root / "frames" / clip.clip_id
    temporary = final.with_name(f".{clip.name}.tmp")
    for stale in (temporary, final):
        shutil.rmtree(stale, ignore_errors=True)
    temporary.mkdir(parents=True)
    for index, frame in enumerate(rendered.frames):
        write_image(temporary / f"img{clip.onset + index}.{settings.image_format}", frame, settings.jpeg_quality)
    with atomic_path(_truth_path(root, clip.clip_id)) as path, path.open("wb") as handle:
        np.savez_compressed(handle, **asdict(rendered.truth))
    temporary.rename(final)


def write_image(path: Path, frame: np.ndarray, quality: int) -> None:
    """Write a frame (H, W, C), uint8; ``quality`` is that of JPEG. ``OSError`` if this fails."""
    image = frame[..., ::-1] if frame.shape[-1] == 3 else frame  # OpenCV stores B, G, R
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    if not cv2.imwrite(str(path), image, options):
        raise OSError(f"{path}: cannot be written")
