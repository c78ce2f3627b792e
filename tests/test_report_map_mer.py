"""MAP-MER in the report: what its paper prints, and its features by action units."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mer_features.protocols import EXPECTED_COUNTS, FoldRow, FoldTable
from mer_features.report import breakdown, data, results
from mer_features.systems.map_mer import printed
from mer_features.systems.map_mer.recipe import MapMerRecipe


def test_printed_accuracies_are_whole_clips():
    """246, 136, 147 and 133 clips: the figures rest on the code's counts, not on the text's 249."""
    sizes = {
        name: sum(n for key, n in EXPECTED_COUNTS[name][name.split("-")[0]].items() if key != "subjects")
        for name in {row.protocol for row in printed.TABLE_3}
    }
    assert sorted(sizes.values()) == [133, 136, 147, 246]
    for row in printed.TABLE_4:
        right = row.accuracy * sizes[row.protocol]
        assert abs(right - round(right)) < 0.02, row


def test_action_units_are_grouped_by_their_sets():
    texts = ["4+7", "L7+4", "7,4B", "12", "R12", "1", "2", "", "?"]
    assert breakdown.grouped(texts) == ["4+7"] * 3 + ["12"] * 2 + ["other sets"] * 2 + ["no unit"] * 2
    assert breakdown.grouped(texts, most=1) == ["4+7"] * 3 + ["other sets"] * 4 + ["no unit"] * 2


def projection(folder: Path, aligned: bool) -> str:
    """Alternative text and picture of a run's features."""
    classes = ("negative", "positive")
    rows = tuple(FoldRow(f"s{n}/c", "demo", f"s{n}", classes[n % 2], classes[n % 2], f"demo/s{n}") for n in range(6))
    seed = {"seed": 0, "intervals": dict.fromkeys(data.METRICS, (0.4, 0.6))} | dict.fromkeys(data.METRICS, 0.5)
    seed |= {"per_fold": [{"fold": "demo/s1", "n": 6, "accuracy": 0.5}]}
    seed |= {"per_subject": [{"database": "demo", "subject": "s1", "n": 6, "wrong": 3}]}
    scores = {name: data.Score(0.5, 0, 0.4, 0.6) for name in data.METRICS}
    made = MapMerRecipe(au_alignment=aligned).model_dump(mode="json")
    run = data.Run("p", "mine", "map_mer", made, classes, "demo", scores, (seed,), np.full((2, 2), 2), False)
    run = replace(run, setting={"recipe": made, "pretraining": None, "stages": {}, "options": {}})
    tree = {
        "layers": {"fused": np.random.default_rng(0).normal(size=(6, 2)).tolist()},
        "labels": [row.label for row in rows],
        "subjects": [f"demo/{row.subject}" for row in rows],
        "clips": [row.clip_id for row in rows],
        "note": "Note.",
    }
    (folder / "embedding.json").write_text(json.dumps(tree))
    units = {("demo", row.clip_id): "4+7" if n < 3 else "L12" for n, row in enumerate(rows)}
    embedding = data.read_embedding(folder / "embedding.json", units)
    (shown,) = results.build("p", FoldTable(rows), [run], results.Shown({"mine": embedding})).projections
    return shown.picture.alt + base64.b64decode(shown.picture.uri.partition("base64,")[2]).decode()


def test_features_are_coloured_by_action_units_where_they_are_aligned(tmp_path: Path):
    shown = projection(tmp_path, aligned=True)
    assert "X_F (fused) of mine: 6 held-out clips, coloured by class and by subject and by action units" in shown
    assert "<!-- 4+7 -->" in shown  # matplotlib's comment beside the drawn text of the legend
    assert "action units" not in projection(tmp_path, aligned=False)
