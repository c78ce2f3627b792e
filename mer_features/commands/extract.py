"""Computes one feature file from videos, folders of frames or a table of clips, without the workflow."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

from mer_features import features as feature_file
from mer_features.core.clips import Clip
from mer_features.core.jobs import counted
from mer_features.core.quality import ClipRejectedError, Issue, Status, status
from mer_features.databases import table
from mer_features.features.options import FeatureConfig
from mer_features.frames import open_frames
from mer_features.stages import run as stages
from mer_features.stages.options import Stage, Style
from mer_features.stages.store import ShardReader

log = logging.getLogger(__name__)

#: Database name of the clips in the feature file.
DATABASE = "extract"


#: Suffixes of tables of clips.
_TABLES = {".tsv", ".csv"}
#: A source that is longer is probably a recording with several expressions: in seconds, and in frames for a folder.
_LONG_S, _LONG_FRAMES = 5.0, 1000


def clips_of(paths: Iterable[Path], root: Path | None = None) -> tuple[Clip, ...]:
    """The clips to extract, each with a name of its own.

    Parameters
    ----------
    paths
        Videos and folders of frames are one clip each, named after the path and without annotations; a table
        (``.tsv``, ``.csv``) has one clip per line, see :mod:`mer_features.databases.table`.
    root
        Folder that the paths in tables are relative to; by default the folder of the table.

    Raises
    ------
    DatabaseError
        If a table cannot be read or has no clip.
    """
    clips: dict[str, Clip] = {}
    for path in paths:
        if path.suffix.lower() in _TABLES and not path.is_dir():
            listed = table.read(DATABASE, root or path.parent, path).clips
            if not listed:
                raise table.DatabaseError(f"{path}: found no clip below the header, expected at least one")
            for clip in listed:
                if clip.clip_id in clips:
                    raise table.DatabaseError(f"{path}: found the clip {clip.clip_id} twice, expected unique names")
                clips[clip.clip_id] = clip
            continue
        name = table.safe_name(path.stem if path.is_file() else path.name) or "unnamed"
        clip_id, count = f"{name}/{name}", 1
        while clip_id in clips:
            count += 1
            clip_id = f"{name}/{name}.{count}"
        issues = () if path.exists() else (Issue("source_missing", str(path)),)
        clips[clip_id] = Clip(clip_id, DATABASE, name, path.as_posix(), issues=issues)
    return tuple(clips.values())


def long_recordings(paths: Iterable[Path]) -> list[str]:
    """One line on each source that is probably a recording and not a clip, as far as its length is known."""
    notes = []
    for path in paths:
        if path.suffix.lower() in _TABLES:
            continue
        try:
            frames = open_frames(path)
        except ClipRejectedError:  # the extraction says why
            continue
        count = frames.count_hint or 0
        seconds = count / frames.fps if frames.fps else None
        if seconds is None and count > _LONG_FRAMES:
            length = counted(count, "frame")
        elif seconds is not None and seconds > _LONG_S:
            length = f"{seconds:.0f} s"
        else:
            continue
        notes.append(
            f"{path}: {length} long. The whole file is taken as one clip with one onset, apex and offset. "
            f"`mer-features find {quote(str(path))}` finds the expressions in it."
        )
    return notes


def extract(
    paths: Sequence[Path],
    output: Path,
    config: FeatureConfig,
    *,
    threads: int = 1,
    contact_sheet: Path | None = None,
    root: Path | None = None,
) -> dict[Status, list[Clip]]:
    """Run all feature stages on the given videos or frame folders and write a valid feature file.

    Parameters
    ----------
    paths
        Videos, folders of frames, or tables of clips; see :func:`clips_of`.
    output
        The feature file, written atomically.
    config
        Options of the stages and the feature file. A style stage that has to be fitted on databases is skipped with a
        warning in the log, because there are no databases here.
    threads
        Number of clips to process in parallel.
    contact_sheet
        PNG file to write with onset, apex, flow and strain of every used clip.
    root
        Folder that the paths in tables are relative to; by default that of the table.

    Returns
    -------
    dict
        The clips in each state, with the issues of rejected and warned clips. If all clips are rejected, no file is
        written.
    """
    clips = clips_of(paths, root)
    config = _without_unfitted_style(config)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        files: dict[Stage, Path] = {}
        for stage in config.stages:
            target = Path(folder) / f"{stage}.h5"
            if stage == "style":
                if not any(_outcome(clips, files)[state] for state in (Status.OK, Status.WARNED)):
                    break
                config = config.with_style_fit(_style_fit(config, files["faces"], Path(folder) / "fitted.json"))
            options = config.options(stage)
            inputs = {name: files[name] for name in stages.inputs(stage, options)}
            stages.run(stage, clips, inputs, target, options, threads=threads, durable=False)
            files[stage] = target
        outcome = _outcome(clips, files)
        if not outcome[Status.OK] + outcome[Status.WARNED]:
            return outcome
        feature_file.build(
            output,
            clips,
            {stage: [path] for stage, path in files.items()},
            config.cache,
            config.provenance(),
        )
    if contact_sheet is not None:
        from mer_features.report import contact  # noqa: PLC0415  # needs matplotlib, only here

        contact.write_sheet(output, contact_sheet)
    return outcome


def _without_unfitted_style(config: FeatureConfig) -> FeatureConfig:
    """The configuration without a style stage whose references or generators have to be fitted on databases."""
    style = config.style
    needs_databases = style.model is None and (style.method == "cyclegan" or (style.fits and style.fit_on != "all"))
    if not needs_databases:
        return config
    log.warning(
        "style: stage skipped. `%s` with `fit_on: %s` is fitted on databases, and `extract` has none. Set "
        "`style: {model: FILE}` to the result of an earlier fit%s",
        style.method, style.fit_on, "" if style.method == "cyclegan" else ", or choose `fit_on: all`",
    )  # fmt: skip
    return config.model_copy(update={"style": Style(method="none")})


def _style_fit(config: FeatureConfig, faces: Path, target: Path) -> Path | None:
    """The file that the style stage reads: the configured fit, or a new fit on the extracted clips themselves."""
    style = config.style
    if not style.fits or (style.model is not None and style.method != "cyclegan"):
        return style.model
    from mer_features.stages.style import fitted  # noqa: PLC0415  # scikit-learn, only here
    from mer_features.training.style import fitting  # noqa: PLC0415  # scikit-learn, only here

    fit = fitting.fit_shards([faces], style, seed=config.seed, databases=[DATABASE], weights=style.model)
    fitted.write(target, fit)
    return target


def _outcome(clips: Sequence[Clip], files: Mapping[Stage, Path]) -> dict[Status, list[Clip]]:
    issues: dict[str, dict[Issue, None]] = {clip.clip_id: {} for clip in clips}
    for path in files.values():
        with ShardReader(path) as reader:
            for clip_id in reader.clip_ids:
                issues[clip_id].update(dict.fromkeys(reader.view(clip_id).issues))
    out: dict[Status, list[Clip]] = {state: [] for state in Status}
    for clip in clips:
        clip_issues = tuple(issues[clip.clip_id])
        out[status(clip_issues)].append(replace(clip, issues=clip_issues))
    return out
