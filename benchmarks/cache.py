"""How fast flow is read at random from a cache, and how small it is there.

Flow of 224 x 224 pixels, estimated from noisy pairs of faces. The package builds a cache of it, and the same fields
are written by other filters and types, one sample a chunk. All files are in the page cache, so this is decoding and
calls, no disk. Rounds alternate between all rows; medians. One thread, seconds of its CPU: other work on the machine
stretches wall time several times as much. Loaders with workers are wall time, for these run side by side: compare the
ratio to an array in memory.

C1: at least 2000 samples a second by ``open_features(...).flow``. C2: at least 1500 per second through a
``DataLoader``,
and with 2 workers half of what an array in memory gives with 2. C3: at most 0.55 of raw float16.

    python benchmarks/cache.py [--clips 256] [--rounds 5]

Ends with status 1 if a goal is missed.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import h5py
import hdf5plugin
import numpy as np
import torch
import tvl1_pairs
from torch.utils.data import DataLoader, Dataset

from mer_features import features as feature_file
from mer_features.core.clips import Clip
from mer_features.features.dataset import FeatureDataset
from mer_features.features.options import Cache
from mer_features.stages import flow
from mer_features.stages.flow import strain
from mer_features.stages.options import Apex, Faces, Flow
from mer_features.stages.store import ClipRecord, ShardWriter

SIDE = 224
PAIRS = 32  # different ones; the other fields are these turned and mirrored
BATCH = 32
GZIP = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
FILTERS = {
    "float16, as it is": (np.float16, {}),
    "float16, gzip 4": (np.float16, GZIP),
    "int16, gzip 4": (np.int16, GZIP),
    "int16, blosc2 zstd 5": (np.int16, hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.BITSHUFFLE)),
    "int16, bitshuffle lz4": (np.int16, hdf5plugin.Bitshuffle(cname="lz4")),
}


def fields(count):
    """Flow (count, 2, 224, 224), float32, pixels."""
    face = tvl1_pairs.faces()[0]
    pairs = [tvl1_pairs.pair(face, seed) for seed in range(min(PAIRS, count))]
    found = [flow.estimate(pair.reference, pair.moved, "tvl1_fast") for pair in pairs]
    turned = [
        np.rot90(field, number // PAIRS, axes=(1, 2)) for number in range(count) for field in [found[number % PAIRS]]
    ]
    return np.stack([field[:, ::-1] if number // PAIRS >= 4 else field for number, field in enumerate(turned)])


def build(path, flows):
    """A cache of clips of two tiny frames and these fields, by the package."""
    clips = tuple(Clip(f"s/{number:04d}", "benchmark", "s", ".") for number in range(len(flows)))
    made = {
        "faces": (Faces(size=32), _faces),
        "apex": (Apex(spotters=("midpoint",), policy="midpoint", fallback="midpoint"), _apex),
        "flow": (Flow(), _flow),
    }
    files = {}
    for stage, (options, record) in made.items():
        files[stage] = [path.with_name(f"{stage}.h5")]
        with ShardWriter(files[stage][0], stage, options.model_dump(mode="json", by_alias=True)) as writer:
            for clip, field in zip(clips, flows, strict=True):
                writer.add(record(clip.clip_id, field))
    feature_file.build(path, clips, files, Cache(), {"config": "{}", "fingerprints": {}, "versions": {}, "seed": 0})


def _faces(name, _):
    arrays = {"crops": np.zeros((2, 32, 32, 1), np.uint8), "numbers": np.arange(2)}
    arrays |= {"landmarks": np.zeros((68, 2), np.float32), "transform": np.eye(2, 3)}
    attrs = {"onset": 0, "offset": 1, "annotated_apex": 1, "fps": 200.0, "source_sha256": ""}
    return ClipRecord(name, arrays, attrs)


def _apex(name, _):
    attrs = {"apex": 1, "apex_source": "midpoint", "onset": 0, "offset": 1, "spotted_midpoint": 1}
    return ClipRecord(name, {"curve_midpoint": np.zeros(2)}, attrs)


def _flow(name, field):
    arrays = {"flow": field[None], "strain": strain.magnitude(*field)[None]}
    return ClipRecord(name, arrays, {"pairs": "onset_apex", "method": "tvl1_fast"})


def read_own(path, order):
    """All samples of the cache, in a given order."""
    with feature_file.open_features(path) as features:
        names = [clip.clip_id for clip in features.clips]
        start = time.thread_time()
        for number in order:
            features.flow(names[number])
        return time.thread_time() - start


def read_other(path, order):
    """All samples of a plain HDF5 file as float32 pixels."""
    with h5py.File(path) as file:
        data, scale = file["flow"], np.float32(1 / 1024)
        packed = data.dtype == np.int16
        start = time.thread_time()
        for number in order:
            np.multiply(data[number], scale, dtype=np.float32) if packed else data[number].astype(np.float32)
        return time.thread_time() - start


def write_other(path, flows, dtype, filters):
    """Seconds of CPU for writing the fields by one filter."""
    values = np.rint(flows * 1024).astype(np.int16) if dtype == np.int16 else flows.astype(np.float16)
    start = time.thread_time()
    with h5py.File(path, "w") as file:
        file.create_dataset("flow", data=values, chunks=(1, *flows.shape[1:]), **filters)
    return time.thread_time() - start


def stored(path, names):
    """Bytes of some datasets on disk."""
    with h5py.File(path) as file:
        return sum(file[name].id.get_storage_size() for name in names)


class InMemory(Dataset):
    """Samples as the cache's dataset gives them, from an array."""

    def __init__(self, flows):
        self._flows = torch.from_numpy(np.ascontiguousarray(flows))

    def __len__(self):
        return len(self._flows)

    def __getitem__(self, index):
        return {"u": self._flows[index, 0], "v": self._flows[index, 1], "index": index}


def loader(dataset, workers):
    """Samples a second in the second of two epochs, which starts no workers: of CPU without workers, else of wall."""
    torch.manual_seed(0)
    batches = DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    clock = time.perf_counter if workers else time.process_time
    for _ in batches:
        pass
    start = clock()
    for _ in batches:
        pass
    return len(dataset) / (clock() - start)


def single_reads(folder, flows, rounds):
    """Table of files; read rate and size of the package's own."""
    raw, count = flows.astype(np.float16).nbytes, len(flows)
    rows = {
        "**cache**": (lambda order: read_own(folder / "own.h5", order), stored(folder / "own.h5", ("flow/u", "flow/v")))
    }
    written = {}
    for number, (name, (dtype, filters)) in enumerate(FILTERS.items()):
        path = folder / f"other{number}.h5"
        written[name] = write_other(path, flows, dtype, filters)
        rows[name] = (lambda order, path=path: read_other(path, order), stored(path, ["flow"]))
    rng = np.random.default_rng(0)
    seconds = {name: [] for name in rows}
    for _ in range(rounds):
        order = rng.permutation(count)
        for name, (read, _) in rows.items():
            seconds[name].append(read(order))
    print(f"{'one sample a read':24}{'samples/s':>10}{'size':>7}{'write MB/s':>12}")
    for name, (_, size) in rows.items():
        rate = count / statistics.median(seconds[name])
        speed = f"{raw / written[name] / 1e6:12.0f}" if name in written else ""
        print(f"{name:24}{rate:10.0f}{size / raw:7.2f}{speed}")
    return count / statistics.median(seconds["**cache**"]), rows["**cache**"][1] / raw


def loaders(folder, flows, rounds):
    """Table of loaders; rates of the package's own without and with 2 workers, and the latter over the array's."""
    own = FeatureDataset([folder / "own.h5"], variables=("flow/u[onset_apex]", "flow/v[onset_apex]"))
    array = InMemory(flows)
    rates = {(name, workers): [] for name in ("array in memory", "**cache**") for workers in (0, 2)}
    for _ in range(rounds):
        for (name, workers), column in rates.items():
            column.append(loader(array if name == "array in memory" else own, workers))
    print(f"\n{'DataLoader, batches of 32':28}{'0 workers':>10}{'2 workers':>10}   samples/s, of CPU and of wall")
    for name in ("array in memory", "**cache**"):
        alone, beside = (statistics.median(rates[name, workers]) for workers in (0, 2))
        print(f"{name:28}{alone:10.0f}{beside:10.0f}")
    ratios = np.divide(rates["**cache**", 2], rates["array in memory", 2])
    return statistics.median(rates["**cache**", 0]), float(np.median(ratios))


def main():
    """Print the tables; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, hdf5plugin {hdf5plugin.version}, "
          f"torch {torch.__version__}; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        flows = fields(options.clips)
        build(Path(name) / "own.h5", flows)
        rate, size = single_reads(Path(name), flows, options.rounds)
        loaded, ratio = loaders(Path(name), flows, options.rounds)
    goals = [
        ("C1 samples a second, one at a time", rate, ">=", 2000),
        ("C2 samples a second through a DataLoader", loaded, ">=", 1500),
        ("C2 with 2 workers, over an array with 2", ratio, ">=", 0.5),
        ("C3 size over raw float16", size, "<=", 0.55),
    ]
    missed = 0
    print()
    for text, value, sign, limit in goals:
        kept = value >= limit if sign == ">=" else value <= limit
        missed += not kept
        print(f"{text:44}{value:8.2f}   must be {sign} {limit}: {'kept' if kept else 'MISSED'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
