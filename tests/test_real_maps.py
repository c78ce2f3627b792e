"""The published flow maps of the real clips of MEGC 2019: what is read, and that a linear classifier learns from it.

The maps stay out of the project; without ../shared these tests are skipped.
"""

from __future__ import annotations

import numpy as np
import pytest

from mer_features import databases, features, protocols, training
from mer_features.protocols import metrics
from mer_features.protocols.table import FoldTable
from mer_features.systems.common.contract import Setup
from mer_features.training import data, loop
from mer_features.training.options import System
from mer_features.workflow import config
from tests.shared import shared

PARTS = ("casme2", "smic", "samm")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> training.Sources:
    """Feature files of the three parts and the table of the protocol."""
    folder = tmp_path_factory.mktemp("maps")
    root, labels = shared("real", "flow_maps"), shared("real", "clips.csv")
    maps = {"adapter": "flow_maps", "root": str(root), "labels": str(labels)}
    tree = {
        "databases": {part: {**maps, "part": part} for part in PARTS},
        "protocols": {"cde": {"preset": "megc2019", "databases": {part: part for part in PARTS}}},
    }
    chosen = config.validate(tree)
    clips = []
    for part in PARTS:
        listed = databases.read(part, chosen.databases[part]).clips
        provenance = chosen.features_of(part).provenance()
        features.build(folder / f"{part}.h5", listed, {}, chosen.cache, provenance)
        clips += listed
    protocols.write(folder / "cde.tsv", protocols.build("cde", clips, chosen.protocols["cde"], 0))
    return training.Sources({part: folder / f"{part}.h5" for part in PARTS}, folder / "cde.tsv")


def predicted(sources: training.Sources, system: System) -> tuple[FoldTable, list[str]]:
    """Predicted class of every clip, by a model that was trained without its subject."""
    table = protocols.read(sources.protocol_tsv)
    system = loop.settled(system, sources)
    clips = data.load_clips(sources.caches, table, loop.inputs_of(system))
    classes: dict[str, str] = {}
    for fold in table.folds:
        train, test = data.split(clips, fold)
        model = loop.train_fold(train, system, len(table.classes), Setup(loop.derived_seed(0, fold)))
        for row, probabilities in zip(test.rows, model.predict(test.features), strict=True):
            classes[row.database + row.clip_id] = table.classes[int(probabilities.argmax())]
    return table, [classes[row.database + row.clip_id] for row in table.rows]


def uf1(table: FoldTable, prediction: list[str]) -> float:
    confusion = np.zeros((3, 3), np.int64)
    for row, name in zip(table.rows, prediction, strict=True):
        confusion[table.classes.index(row.label), table.classes.index(name)] += 1
    return float(metrics.uf1(confusion))


def test_the_feature_files_hold_the_published_maps(sources: training.Sources):
    for path in sources.caches.values():
        assert features.validate(path) == []
        with features.open_features(path) as file:
            maps = file["flow_maps/maps"][:]
            assert maps.shape == (len(file.clips), 3, 28, 28)
            assert (maps.min(axis=(2, 3)) == 0).all()  # each channel fills its own range
            assert (maps.max(axis=(2, 3)) == 255).all()


def test_the_protocol_is_the_published_one(sources: training.Sources):
    table = protocols.read(sources.protocol_tsv)
    assert len(table.rows) == 442
    assert len(table.folds) == 68
    assert [sum(row.label == name for row in table.rows) for name in table.classes] == [250, 109, 83]


def test_a_linear_classifier_learns_and_shuffled_labels_do_not(sources: training.Sources):
    linear = System.model_validate({"system": "linear", "protocols": ["cde"]})
    assert uf1(*predicted(sources, linear)) > 0.70
    shuffled = linear.model_copy(update={"shuffle_labels": True})
    assert uf1(*predicted(sources, shuffled)) < 0.45
