"""Differences between all systems under a protocol, from their predictions of all folds and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from mer_features.protocols import comparison
from mer_features.protocols.comparison import PairedDifference
from mer_features.protocols.metrics import Prediction
from mer_features.protocols.table import FoldTable
from mer_features.protocols.table import read as read_protocol
from mer_features.training.evaluation import read_runs

#: Number of draws of subjects, and share of them inside an interval.
SAMPLES, LEVEL = 2000, 0.95


def compare(
    prediction_tsvs: Mapping[str, Sequence[Path]],
    protocol_tsv: Path,
    *,
    name: str,
    measured_on: str,
    seed: int,
) -> dict[str, Any]:
    """Differences between every two runs under a protocol, for ``comparisons/<protocol>.json``.

    Parameters
    ----------
    prediction_tsvs
        Name of each run -> predictions of all its batches of folds and all its seeds.
    protocol_tsv
        Table of the protocol.
    name
        Name of the protocol.
    measured_on
        ``synthetic`` or the names of the databases; it is stored with the differences.
    seed
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``protocol``, ``measured_on``, ``runs`` (names), ``clips`` and ``subjects`` (numbers), ``samples`` and ``level``
        of the bootstrap. ``pairs``: a list with ``first``, ``second`` (names of runs) and for each of ``uf1``, ``uar``
        and ``accuracy`` the ``difference``, first minus second, and its ``interval`` [low, high].

    Raises
    ------
    ValueError
        If there are fewer than two runs, or if the prediction of a clip is missing, occurs twice or belongs to another
        protocol.
    """
    if len(prediction_tsvs) < 2:
        raise ValueError(f"{name}: a comparison needs at least two runs, not {len(prediction_tsvs)}")
    table = read_protocol(protocol_tsv)
    systems = {run: _seeds(run, paths, table) for run, paths in prediction_tsvs.items()}
    pairs = comparison.differences(systems, table.classes, seed=seed, samples=SAMPLES, level=LEVEL)
    return {
        "protocol": name,
        "measured_on": measured_on,
        "runs": list(systems),
        "clips": len(table.tested),
        "subjects": len({row.owner for row in table.tested}),
        "samples": SAMPLES,
        "level": LEVEL,
        "pairs": [
            {"first": first, "second": second} | {metric: _entry(found) for metric, found in pair.items()}
            for (first, second), pair in pairs.items()
        ],
    }


def _seeds(run: str, paths: Sequence[Path], table: FoldTable) -> list[list[Prediction]]:
    try:
        return list(read_runs(paths, table).values())
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from error


def _entry(found: PairedDifference) -> dict[str, Any]:
    value, *interval = astuple(found)
    return {"difference": value, "interval": interval}
