"""From the predictions of all folds and seeds to the figures of a system under a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mer_features import protocols
from mer_features.protocols import FoldTable, metrics
from mer_features.protocols.metrics import Prediction
from mer_features.training.options import System


def evaluate(
    prediction_tsvs: Sequence[Path],
    protocol_tsv: Path,
    system: System,
    *,
    names: tuple[str, str],
    measured_on: str,
    seed: int,
) -> dict[str, Any]:
    """Every figure of a system under a protocol, for ``metrics.json``.

    Parameters
    ----------
    prediction_tsvs
        Predictions of all batches of folds and all seeds.
    protocol_tsv
        Table of the protocol.
    system
        What was trained.
    names
        Of the protocol and of the run.
    measured_on
        ``synthetic`` or the names of the databases; travels with the figures.
    seed
        Source of the bootstrap's draws.

    Returns
    -------
    dict
        What identifies the run (``protocol``, ``run``, ``system``, ``recipe`` with all defaults, ``shuffled``,
        ``classes``, ``databases``, ``measured_on``) and the figures of :func:`mer_features.protocols.metrics.summarise`.

    Raises
    ------
    ValueError
        If a clip's prediction is missing, given twice, or of another protocol.
    """
    table = protocols.read(protocol_tsv)
    runs = _runs(prediction_tsvs, table)
    header = {
        "protocol": names[0],
        "run": names[1],
        "system": system.system,
        "recipe": system.full_recipe.model_dump(mode="json"),
        "ablation": system.ablation,
        "shuffled": system.shuffle_labels,
        "classes": list(table.classes),
        "databases": table.counts(),
        "measured_on": measured_on,
    }
    return header | metrics.summarise(runs, table.classes, seed=seed)


def _runs(paths: Sequence[Path], table: FoldTable) -> dict[int, list[Prediction]]:
    """Predictions by seed, each seed's in the order of the protocol and complete."""
    wanted = {(row.database, row.clip_id): row for row in table.tested}
    found: dict[int, dict[tuple[str, str], Prediction]] = {}
    for path in paths:
        predictions, classes = metrics.read_predictions(path)
        if classes != table.classes:
            raise ValueError(f"{path}: classes {classes}, but the protocol has {table.classes}")
        for item in predictions:
            key = (item.database, item.clip_id)
            if key not in wanted or item.truth != wanted[key].label:
                raise ValueError(f"{path}: clip {item.clip_id!r} is not in the protocol as {item.truth!r}")
            if key in found.setdefault(item.seed, {}):
                raise ValueError(f"{path}: clip {item.clip_id!r} is predicted twice with seed {item.seed}")
            found[item.seed][key] = item
    if not found:
        raise ValueError("no predictions")
    for seed, run in found.items():
        if missing := wanted.keys() - run.keys():
            raise ValueError(f"seed {seed}: {len(missing)} clips without a prediction, e.g. {min(missing)}")
    return {seed: [found[seed][key] for key in wanted] for seed in sorted(found)}
