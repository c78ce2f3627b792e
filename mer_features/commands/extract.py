"""From videos or folders of frames straight to one feature file, without the workflow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mer_features import features as feature_file
from mer_features.core import fingerprint
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue, Status, status
from mer_features.databases.table import safe_name
from mer_features.stages import run as stages
from mer_features.stages.store import ShardReader
from mer_features.workflow.config import Config, ConfigError, read_tree

#: What the clips of a plain extraction are said to come from.
DATABASE = "extract"


def clips_of(paths: Iterable[Path]) -> tuple[Clip, ...]:
    """One clip per path (a video or a folder of frames), named after it; nothing is known but the pixels."""
    clips: dict[str, Clip] = {}
    for path in paths:
        name = safe_name(path.stem if path.is_file() else path.name) or "unnamed"
        clip_id, count = f"{name}/{name}", 1
        while clip_id in clips:
            count += 1
            clip_id = f"{name}/{name}.{count}"
        issues = () if path.exists() else (Issue("source_missing", str(path)),)
        clips[clip_id] = Clip(clip_id, DATABASE, name, path.as_posix(), issues=issues)
    return tuple(clips.values())


def config_for_extraction(tree: Mapping[str, object] | None = None) -> Config:
    """A configuration of the stage sections alone; its databases, protocols and systems are not used.

    Raises
    ------
    ValueError
        For a wrong key, or a style to fit on databases, which are not there: an earlier fit must be given as
        ``style: {model: ...}``, or ``fit_on: all`` takes the extracted clips themselves.
    """
    kept = {key: value for key, value in (tree or {}).items() if key not in {"databases", "protocols", "systems"}}
    database = {DATABASE: {"adapter": "table", "root": ".", "table": "unused.tsv"}}
    return Config.model_validate({**kept, "databases": database})


def stage_sections(path: Path | None) -> Config:
    """:func:`config_for_extraction` of a YAML file, or the defaults; raises ``ConfigError`` naming the file."""
    tree = read_tree(path) if path else {}
    try:
        return config_for_extraction(tree)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def extract(
    paths: Sequence[Path],
    output: Path,
    config: Config,
    *,
    threads: int = 1,
    contact_sheet: Path | None = None,
) -> dict[Status, list[Clip]]:
    """Run all feature stages on the given videos or frame folders and write a valid cache file.

    Parameters
    ----------
    paths
        Videos or folders of frames.
    output
        The feature file, written atomically.
    config
        As from :func:`config_for_extraction`.
    threads
        Clips worked on at once.
    contact_sheet
        Where to write a picture with onset, apex, flow and strain of every used clip.

    Returns
    -------
    dict
        The clips in each state; the issues of rejected and warned ones are filled in. If all are rejected no
        file is written.
    """
    clips = clips_of(paths)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        files: dict[str, Path] = {}
        for stage in config.stages(DATABASE):
            target = Path(folder) / f"{stage}.h5"
            options = config.stage_options(stage, DATABASE)
            inputs = {name: files[name] for name in stages.inputs(stage, options)}
            if stage == "style":
                if not any(_outcome(clips, files)[state] for state in (Status.OK, Status.WARNED)):
                    break
                options |= _style_fit(config, files["faces"], Path(folder) / "fitted.json")
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
            _provenance(config),
        )
    if contact_sheet is not None:
        from mer_features.report import contact  # noqa: PLC0415  # needs matplotlib, only here

        contact.write_sheet(output, contact_sheet)
    return outcome


def _style_fit(config: Config, faces: Path, target: Path) -> dict[str, str]:
    """The stage option that names what the style stage reads: the configured fit, or one to the clips themselves."""
    style = config.style
    if style.method == "cyclegan" and style.model is None:
        raise ConfigError("style.model: extraction trains no generators; give a model of `mer-features train-style`")
    if not style.fits or (style.model is not None and style.method != "cyclegan"):
        return {}
    from mer_features.stages.style import fitted  # noqa: PLC0415  # scikit-learn, only here
    from mer_features.training.style import fitting  # noqa: PLC0415  # scikit-learn, only here

    found = fitting.fit_shards([faces], style, seed=config.seed, databases=[DATABASE], weights=style.model)
    fitted.write(target, found)
    return {"model": str(target)}


def _provenance(config: Config) -> feature_file.Provenance:
    tree = {stage: config.stage_options(stage, DATABASE) for stage in config.stages(DATABASE)}
    return {
        "config": json.dumps(tree, sort_keys=True),
        "fingerprints": {stage: stages.code_fingerprint(stage, options) for stage, options in tree.items()},
        "versions": fingerprint.versions(),
        "seed": config.seed,
    }


def _outcome(clips: Sequence[Clip], files: Mapping[str, Path]) -> dict[Status, list[Clip]]:
    issues: dict[str, dict[Issue, None]] = {clip.clip_id: {} for clip in clips}
    for path in files.values():
        with ShardReader(path) as reader:
            for clip_id in reader.clip_ids:
                issues[clip_id].update(dict.fromkeys(reader.view(clip_id).issues))
    out: dict[Status, list[Clip]] = {state: [] for state in Status}
    for clip in clips:
        found = tuple(issues[clip.clip_id])
        out[status(found)].append(replace(clip, issues=found))
    return out
