"""The rendered database on disk: written so that a killed run leaves nothing that looks complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from mer_features.core.files import atomic_path, write_text
from mer_features.synthetic.emotions import text
from mer_features.synthetic.planning import ClipPlan, plan
from mer_features.synthetic.presets import Preset
from mer_features.synthetic.presets import preset as named_preset
from mer_features.synthetic.render import RenderedClip, Truth, render_clip

#: Raised whenever the same preset and seed would give other pixels.
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
    """Render a database into ``root``; clips already there are kept.

    Each clip is rendered under a temporary name and renamed, its truth first; ``annotations.tsv`` comes last, so its
    presence says that the database is complete. Files are byte-identical at every run and for any ``threads``. A
    rendering of another preset, seed or program version in ``root`` is replaced.

    Parameters
    ----------
    preset
        A name of :data:`presets.PRESETS` or own settings.
    seed
        At least 0; another seed gives other people and other clips.
    threads
        Worker processes.
    progress
        Called with the clips done and the clips in all.

    Raises
    ------
    ValueError
        For an unknown preset, or if ``root`` holds ``frames`` that no rendering of ours has left there.
    """
    root = Path(root)
    settings = named_preset(preset) if isinstance(preset, str) else preset
    clips = plan(settings, seed)
    _claim(root, settings, seed)
    missing = [clip for clip in clips if not _complete(root, clip)]
    done = len(clips) - len(missing)
    if progress:
        progress(done, len(clips))
    workers = Parallel(n_jobs=threads, return_as="generator_unordered")
    for count in workers(delayed(_render_batch)(root, batch, settings) for batch in _batches(missing)):
        done += count
        if progress:
            progress(done, len(clips))
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
    """The truth beside a rendered clip.

    Raises
    ------
    FileNotFoundError
        If ``root`` has no truth for this clip.
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


def _claim(root: Path, settings: Preset, seed: int) -> None:
    """Make ``root`` ours for this rendering, throwing away another one of ours."""
    stamp = json.dumps({"renderer": RENDERER, "seed": seed, "preset": asdict(settings)}, indent=1) + "\n"
    path = root / "synthetic.json"
    if path.exists() and path.read_text(encoding="utf-8") == stamp:
        return
    if not path.exists() and (root / "frames").exists():
        raise ValueError(f"{root}: holds frames that are not a synthetic rendering; choose another folder")
    (root / "annotations.tsv").unlink(missing_ok=True)
    for folder in ("frames", "truth"):
        shutil.rmtree(root / folder, ignore_errors=True)
    write_text(path, stamp)


def _complete(root: Path, clip: ClipPlan) -> bool:
    return (root / "frames" / clip.clip_id).is_dir() and _truth_path(root, clip.clip_id).exists()


def _batches(clips: list[ClipPlan]) -> list[list[ClipPlan]]:
    """Up to a few clips of one subject each: a subject's texture is made once a batch."""
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
        _write_image(temporary / f"img{clip.onset + index}.{settings.image_format}", frame, settings.jpeg_quality)
    with atomic_path(_truth_path(root, clip.clip_id)) as path, path.open("wb") as handle:
        np.savez_compressed(handle, **asdict(rendered.truth))
    temporary.rename(final)


def _write_image(path: Path, frame: np.ndarray, quality: int) -> None:
    image = frame[..., ::-1] if frame.shape[-1] == 3 else frame  # OpenCV stores B, G, R
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    if not cv2.imwrite(str(path), image, options):
        raise OSError(f"{path}: cannot be written")
