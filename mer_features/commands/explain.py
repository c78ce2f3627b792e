"""Explains the decision of a trained system for one clip: class probabilities, and images of what the system used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mer_features import training
from mer_features.core.files import write_png
from mer_features.features import ClipRow, open_features
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
        Folder for the images, ``<picture>.png``, and ``overview.png``: all of them side by side, under the clip's
        emotion and its annotated action units (as Figure 6 of the MA2MI paper) and the prediction.

    Returns
    -------
    dict
        ``clip`` (its identifier with the database), ``action_units`` (the owners' text, empty without annotation),
        ``probabilities`` (one per class), ``held_out`` (whether the clip's subject was excluded from training),
        ``pictures`` (the files written).

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
    database, clip = _find(record["caches"], clip_id)
    row = FoldRow(clip.clip_id, database, clip.subject, clip.emotion, "?", "?")
    style = record.get("style")  # runs of earlier versions have no such key
    restyle = partial(folds.render, fitted=fitted.loads(style)) if style else None
    clips = training.load_clips(
        {database: Path(record["caches"][database])}, FoldTable((row,)), training.inputs_of(system), restyle
    )
    probabilities = dict(zip(classes, model.predict(clips.features)[0].tolist(), strict=True))
    pictures = {name: images[0] for name, images in model.explain(clips.features).items()}
    if pictures:
        pictures["overview"] = overview(pictures, title(database, clip, probabilities))
    output.mkdir(parents=True, exist_ok=True)
    return {
        "clip": f"{database}/{row.clip_id}",
        "action_units": clip.action_units_text,
        "probabilities": probabilities,
        "held_out": [database, row.clip_id] in [item[:2] for item in record["held_out"]],
        "pictures": [str(write_png(output / f"{name}.png", image)) for name, image in pictures.items()],
    }


def title(database: str, clip: ClipRow, probabilities: Mapping[str, float]) -> str:
    """Two lines: the clip with its emotion and annotated action units, and the predicted class."""
    units = f"AU: {clip.action_units_text}" if clip.action_units_text else "no action units annotated"
    predicted = max(probabilities, key=lambda name: probabilities[name])
    return (
        f"{database}/{clip.clip_id}, {clip.emotion or 'no emotion label'} ({units})\n"
        f"predicted: {predicted}, {probabilities[predicted]:.2f}"
    )


def overview(pictures: Mapping[str, np.ndarray], heading: str) -> np.ndarray:
    """Named pictures (H, W, 3) uint8 side by side, each under its name and all under a heading; RGB uint8."""
    figure = Figure(figsize=(2.4 * max(len(pictures), 2), 3.4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(heading, fontsize=9, parse_math=False)
    for axes, (name, image) in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True):
        axes.imshow(image)
        axes.set_title(name, fontsize=9, parse_math=False)
        axes.set_axis_off()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _record(run: Path) -> dict[str, Any]:
    path = run / "half.json"
    if not path.exists():
        raise ValueError(f"{path}: file not found; expected the folder of a run with `embedding: true`")
    return json.loads(path.read_text(encoding="utf-8"))


def _find(feature_files: Mapping[str, str], clip_id: str) -> tuple[str, ClipRow]:
    """The database and row of a clip in any of the feature files."""
    for database, path in feature_files.items():
        with open_features(path) as features:
            for clip in features.clips:
                if clip_id in (clip.clip_id, f"{database}/{clip.clip_id}"):
                    return database, clip
    raise ValueError(f"clip {clip_id!r} not found in {', '.join(feature_files.values())}")
