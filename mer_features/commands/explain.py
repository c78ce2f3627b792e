"""Explains the decision of a trained system for one clip: class probabilities, and images of what the system used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mer_features import training
from mer_features.core.files import write_png
from mer_features.features import open_features
from mer_features.protocols import FoldRow, FoldTable
from mer_features.stages.style import fitted
from mer_features.training import Execution, Setup
from mer_features.training.options import System
from mer_features.training.style import folds


def explain_clip(run: Path, clip_id: str, output: Path) -> dict[str, Any]:
    """Predict the class of one clip with the model of a run, and write images of what the model used.

    Parameters
    ----------
    run
        Folder of a run, ``results/runs/<protocol>/<system>``. The model is the one trained on half of the subjects.
    clip_id
        ``<subject>/<name>`` or ``<database>/<subject>/<name>`` of any clip of the run's databases.
    output
        Folder for the images, ``<picture>.png``.

    Returns
    -------
    dict
        ``clip`` (its identifier with the database), ``probabilities`` (one per class), ``held_out`` (whether the
        clip's subject was excluded from training), ``pictures`` (the files written).

    Raises
    ------
    ValueError
        If the run has no such model or its databases have no such clip.
    """
    record = _record(run)
    system = System.model_validate(record["system"])
    pretrained = Path(record["pretrained"]) if record["pretrained"] else None
    classes = tuple(record["classes"])
    model = training.build(system, len(classes), Setup(0, Execution(), pretrained, class_names=classes))
    model.load(run / "half.pt")
    database, row = _find(record["caches"], clip_id)
    style = record.get("style")  # runs of earlier versions have no such key
    restyle = partial(folds.render, fitted=fitted.loads(style)) if style else None
    clips = training.load_clips(
        {database: Path(record["caches"][database])}, FoldTable((row,)), training.inputs_of(system), restyle
    )
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for name, images in model.explain(clips.features).items():
        written.append(str(write_png(output / f"{name}.png", images[0])))
    return {
        "clip": f"{database}/{row.clip_id}",
        "probabilities": dict(zip(classes, model.predict(clips.features)[0].tolist(), strict=True)),
        "held_out": [database, row.clip_id] in [item[:2] for item in record["held_out"]],
        "pictures": written,
    }


def _record(run: Path) -> dict[str, Any]:
    path = run / "half.json"
    if not path.exists():
        raise ValueError(f"{path}: file not found; expected the folder of a run with `embedding: true`")
    return json.loads(path.read_text(encoding="utf-8"))


def _find(feature_files: Mapping[str, str], clip_id: str) -> tuple[str, FoldRow]:
    """The database and row of a clip in any of the feature files."""
    for database, path in feature_files.items():
        with open_features(path) as features:
            for clip in features.clips:
                if clip_id in (clip.clip_id, f"{database}/{clip.clip_id}"):
                    return database, FoldRow(clip.clip_id, database, clip.subject, clip.emotion, "?", "?")
    raise ValueError(f"clip {clip_id!r} not found in {', '.join(feature_files.values())}")
