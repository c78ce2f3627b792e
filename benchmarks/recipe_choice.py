"""How the open choices of the systems on flow were made: on subjects that were set aside, never on the held-out ones.

The subjects are dealt into groups, balanced by clips and classes. For every two groups, a system is trained on all
others and tested on both. For each group, the score of a recipe is the UF1 of the pooled predictions for all other
groups, by the models that were trained without it: what would be chosen for the subjects of this group has not seen
them. A recipe is taken if it is best on average and near the best for every group. The number of epochs is chosen in
the same way, from predictions along one training.

    python benchmarks/recipe_choice.py RESULTS PROTOCOL [--groups 4] [--only NAME ...] [--seed 0]

RESULTS is a folder of the workflow with feature files and the protocol's table, e.g. of config/megc2019-flow-maps.yaml.
Prints a Markdown table: recipe, best number of epochs, mean UF1 over the groups, UF1 of each, and the course over the
epochs.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from lightning.pytorch.callbacks import Callback

from mer_features.protocols import metrics
from mer_features.protocols.folds import balanced_folds
from mer_features.protocols.metrics import Prediction
from mer_features.protocols.table import read as read_protocol
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Setup
from mer_features.training.data import Clips, Sources, load_clips
from mer_features.training.loop import inputs_of, module_of, settled
from mer_features.training.options import System

FR, BASIC = {"system": "fr"}, {"system": "fr", "ablation": "Basic Inception"}
OFF, STST = {"system": "off_apexnet"}, {"system": "ststnet"}
SGD = {"optimiser": "sgd", "momentum": 0.9, "learning_rate": 0.01, "epochs": 60}
#: Name -> system, keys of its recipe. ``epochs`` is the longest training that is looked at.
CANDIDATES = {
    "fr adam 1e-3": (FR, {"epochs": 40}),
    "fr adam 1e-3, keras": (FR, {"epochs": 40, "initialisation": "keras"}),
    "fr adam 1e-3, scale 1": (FR, {"epochs": 40, "attention_scale": 1}),
    "fr adam 2e-3": (FR, {"epochs": 24, "learning_rate": 0.002}),
    "fr adam 5e-4": (FR, {"epochs": 28, "learning_rate": 0.0005}),
    "fr adam 1e-4": (FR, {"epochs": 40, "learning_rate": 0.0001}),
    "fr adam 1e-4, keras": (FR, {"epochs": 40, "learning_rate": 0.0001, "initialisation": "keras"}),
    "fr sgd 0.01, momentum 0.9": (FR, SGD),
    "fr literal": ({"system": "fr", "ablation": "literal"}, {"epochs": 100}),
    "basic adam 1e-3": (BASIC, {"epochs": 40}),
    "basic adam 1e-4": (BASIC, {"epochs": 60, "learning_rate": 0.0001}),
    "basic adam 1e-4, keras": (BASIC, {"epochs": 40, "learning_rate": 0.0001, "initialisation": "keras"}),
    "off-apexnet adam 1e-4": (OFF, {"epochs": 60, "learning_rate": 0.0001}),
    "off-apexnet adam 1e-4, keras": (OFF, {"epochs": 60, "learning_rate": 0.0001, "initialisation": "keras"}),
    "off-apexnet adam 1e-3": (OFF, {"epochs": 30, "learning_rate": 0.001}),
    "ststnet adam 1e-3": (STST, {"epochs": 120, "learning_rate": 0.001}),
    "ststnet adam 5e-4": (STST, {"epochs": 120, "learning_rate": 0.0005}),
    "ststnet published code": ({**STST, "ablation": "published code"}, {"epochs": 800}),
    "ststnet 5e-5": (STST, {"epochs": 800, "learning_rate": 0.00005}),
}
#: Points along a training at which it is tested.
POINTS = 10


class Course(Callback):
    """Predicted classes of held-out clips along a training, by the number of epochs."""

    def __init__(self, held_out: Clips, every: int) -> None:
        self.held_out, self.every = held_out, every
        self.classes: dict[int, np.ndarray] = {}

    def on_train_epoch_end(self, trainer, module) -> None:
        """Test the network."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every == 0:
            scores = engine.answers(module, self.held_out.features, lambda batch: {"": module.scores(batch)})[""]
            self.classes[epoch] = scores.argmax(axis=1)


def course(system: System, train: Clips, held_out: Clips, classes: int, seed: int) -> dict[int, np.ndarray]:
    """Train once; predicted classes of the held-out clips by the number of epochs."""
    recipe = system.full_recipe
    model = module_of(system.system).build(recipe, classes, Setup(seed))
    watcher = Course(held_out, max(1, recipe.epochs // POINTS))
    model.network.callbacks = lambda: [watcher]
    model.fit(train.examples())
    return watcher.classes


def scores(system: System, clips: Clips, classes: tuple[str, ...], groups: int, seed: int) -> dict[int, list[float]]:
    """UF1 without each group, by the number of epochs."""
    owners = [row.owner for row in clips.rows]
    strata = [f"{row.database} {row.label}" for row in clips.rows]
    group = np.array([balanced_folds(owners, strata, groups, 0)[owner] for owner in owners])
    predictions: dict[int, list[list[Prediction]]] = {}
    for pair in itertools.combinations(range(groups), 2):
        inside = np.isin(group, pair)
        held_out = clips.take(np.flatnonzero(inside))
        found = course(system, clips.take(np.flatnonzero(~inside)), held_out, len(classes), seed)
        for epoch, chosen in found.items():
            of_group = predictions.setdefault(epoch, [[] for _ in range(groups)])
            for row, number, own in zip(held_out.rows, chosen, group[inside], strict=True):
                other = pair[0] if own == pair[1] else pair[1]
                named = Prediction(
                    row.clip_id, row.database, row.subject, row.fold, seed, row.label, classes[number], ()
                )
                of_group[other].append(named)  # predicted without the other group, which may choose by it
    return {
        epoch: [float(metrics.uf1(metrics.pool(items, classes))) for items in of_group]
        for epoch, of_group in predictions.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("protocol")
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    path = arguments.results / "protocols" / f"{arguments.protocol}.tsv"
    table = read_protocol(path)
    caches = {name: arguments.results / "features" / f"{name}.h5" for name in table.counts()}
    print("| recipe | epochs | UF1 | without each group | course |")
    print("| --- | --- | --- | --- | --- |")
    for name in arguments.only:
        entry, keys = CANDIDATES[name]
        system = settled(
            System.model_validate({**entry, "recipe": keys, "protocols": [arguments.protocol]}), Sources(caches, path)
        )
        clips = load_clips(caches, table, inputs_of(system))
        found = scores(system, clips, table.classes, arguments.groups, arguments.seed)
        best = max(found, key=lambda epoch: np.mean(found[epoch]))
        each = ", ".join(f"{value:.3f}" for value in found[best])
        along = ", ".join(f"{epoch}: {np.mean(values):.3f}" for epoch, values in found.items())
        print(f"| {name} | {best} | {np.mean(found[best]):.3f} | {each} | {along} |", flush=True)


if __name__ == "__main__":
    main()
