"""What LBP-TOP can tell with other radii, neighbours, planes and smoothing, beside labels shuffled in training.

Reads a finished run of `config/systems.yaml`: face crops, feature file and protocol. Each row is the linear SVM of the
system `svm`, one subject held out at a time, UF1 with the 95 % interval over subjects; the last column is the mean and
range of UF1 with labels shuffled among the training clips, five times. Only the first row is what the system uses: the
others say why it does what it does, and were looked at afterwards.

    python benchmarks/lbp_top_settings.py RESULTS DATABASE PROTOCOL

Prints a Markdown table.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from mer_features import protocols
from mer_features.core.grey import levels
from mer_features.protocols import metrics
from mer_features.protocols.metrics import Prediction
from mer_features.stages.descriptors import TIM_FRAMES, lbp_top, tim
from mer_features.stages.descriptors.lbp_top import Parameters
from mer_features.stages.store import ShardReader
from mer_features.systems.baselines import svm
from mer_features.systems.baselines.recipe import SvmRecipe
from mer_features.systems.common.contract import Examples, Setup

PUBLISHED = Parameters()
#: Name -> parameters, planes kept (XY, XT, YT), standard deviation of a Gaussian over every frame, pixels.
SETTINGS = {
    "as published": (PUBLISHED, (0, 1, 2), 0),
    "XY alone": (PUBLISHED, (0,), 0),
    "XT and YT alone": (PUBLISHED, (1, 2), 0),
    "radii 1, 8 neighbours": (Parameters((1, 1, 1), 8), (0, 1, 2), 0),
    "radii 3, 8 neighbours": (Parameters((3, 3, 3), 8), (0, 1, 2), 0),
    "smoothed by 1 px": (PUBLISHED, (0, 1, 2), 1),
    "smoothed by 2 px": (PUBLISHED, (0, 1, 2), 2),
}
SHUFFLES = 5


def volumes(results: Path, database: str, table: protocols.FoldTable) -> list[np.ndarray]:
    """Grey crops from onset to offset of every clip of a protocol."""
    found = {}
    for path in sorted((results / "faces" / database).glob("*.h5")):
        with ShardReader(path) as shard:
            for clip_id in {row.clip_id for row in table.rows} & set(shard.clip_ids):
                clip = shard.view(clip_id)
                positions = range(int(clip.attrs["onset"]), int(clip.attrs["offset"]) + 1)
                found[clip_id] = np.stack([levels(clip["crops"][position]) for position in positions])
    return [found[row.clip_id] for row in table.rows]


def described(clips: list[np.ndarray], parameters: Parameters, planes: tuple[int, ...], sigma: float) -> np.ndarray:
    """Descriptors of clips, (N, P)."""
    made = []
    for clip in clips:
        frames = [cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip] if sigma else clip
        whole = lbp_top.describe(tim.resample(np.asarray(frames), TIM_FRAMES), parameters)
        made.append(whole.reshape(-1, len(lbp_top.PLANES), parameters.bins)[:, list(planes)].ravel())
    return np.stack(made)


def predictions(values: np.ndarray, table: protocols.FoldTable, shuffle: int | None = None) -> list[Prediction]:
    """Of every clip by machines that did not see its subject."""
    labels = np.array([table.classes.index(row.label) for row in table.rows])
    folds = np.array([row.fold for row in table.rows])
    said = []
    for number, fold in enumerate(table.folds):
        known = np.flatnonzero(folds != fold)
        taught = labels[known]
        if shuffle is not None:
            taught = np.random.default_rng([shuffle, number]).permutation(taught)
        system = svm.build(SvmRecipe(), len(table.classes), Setup())
        system.fit(Examples({"descriptor": values[known]}, taught, known))
        for place in np.flatnonzero(folds == fold):
            best = system.predict({"descriptor": values[place : place + 1]}).argmax()
            row = table.rows[place]
            said.append(Prediction(row.clip_id, row.database, row.subject, fold, 0, row.label, table.classes[best], ()))
    return said


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("database")
    parser.add_argument("protocol")
    asked = parser.parse_args()
    table = protocols.read(asked.results / "protocols" / f"{asked.protocol}.tsv")
    clips = volumes(asked.results, asked.database, table)
    print("| LBP-TOP | UF1 | UF1, labels shuffled |\n| --- | --- | --- |", flush=True)
    for name, setting in SETTINGS.items():
        values = described(clips, *setting)
        said = predictions(values, table)
        low, high = metrics.bootstrap([said], table.classes, seed=0)["uf1"]
        shuffled = [uf1(predictions(values, table, number), table) for number in range(SHUFFLES)]
        chance = f"{np.mean(shuffled):.2f} ({min(shuffled):.2f} to {max(shuffled):.2f})"
        print(f"| {name} | {uf1(said, table):.2f} ({low:.2f}-{high:.2f}) | {chance} |", flush=True)


def uf1(said: list[Prediction], table: protocols.FoldTable) -> float:
    """Of pooled predictions."""
    return float(metrics.uf1(metrics.pool(said, table.classes)))


if __name__ == "__main__":
    main()
