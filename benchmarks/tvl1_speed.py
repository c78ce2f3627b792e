"""How fast the own TV-L1 is beside OpenCV's, in ratios measured in one run.

Pairs of 224 x 224 pixels with noise of 1 grey level, always the same: the time of TV-L1 depends on the noise through
its stopping rule. Throughput: wall time of a batch, own kernels on N threads beside OpenCV in N processes of one thread
each, in alternating rounds. Single thread: thread CPU time pair by pair, alternating,
scikit-image's TV-L1 beside them. Medians. Compare the ratios, not the milliseconds: a shared machine drifts.

    python benchmarks/tvl1_speed.py [--pairs 64] [--rounds 5] [--threads 2]

Ends with status 1 if a goal is missed.
"""

import argparse
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import llvmlite
import numba
import numpy as np
import tvl1_pairs

from mer_features.stages import flow
from mer_features.stages.flow import tvl1

#: The yardstick, and what is shown beside it on one thread.
REFERENCE, OTHERS = "opencv_tvl1", ("skimage_tvl1",)
#: Least ratio of OpenCV's time to the preset's.
GOALS = {"tvl1": ("T1", 15), "tvl1_fast": ("T3", 30), "tvl1_aligned": ("T4", 60)}


def opencv(pairs):
    """OpenCV's flow of some pairs on one thread."""
    cv2.setNumThreads(1)
    for reference, moved in pairs:
        flow.estimate(reference, moved, "opencv_tvl1")


def single_thread(pairs):
    """Thread CPU time of every pair by every method, seconds."""
    times = {method: [] for method in (REFERENCE, *OTHERS, *GOALS)}
    for pair in pairs:
        for method, column in times.items():
            start = time.thread_time()
            flow.estimate(*pair, method)
            column.append(time.thread_time() - start)
    return times


def throughput(pairs, rounds, threads):
    """Wall time of the batch by every method in every round, seconds."""
    times = {method: [] for method in (REFERENCE, *GOALS)}
    references, moveds = (list(images) for images in zip(*pairs, strict=True))
    with ProcessPoolExecutor(threads, mp_context=get_context("spawn")) as pool:
        shares = [pairs[number::threads] for number in range(threads)]
        list(pool.map(opencv, [share[:1] for share in shares]))  # imports are not measured
        for _ in range(rounds):
            start = time.perf_counter()
            list(pool.map(opencv, shares))
            times[REFERENCE].append(time.perf_counter() - start)
            for method in GOALS:
                start = time.perf_counter()
                flow.estimate_batch(references, moveds, method, threads=threads)
                times[method].append(time.perf_counter() - start)
    return times


def work(pair, method):
    """Million pixel-iterations of one pair."""
    parameters = tvl1.PRESETS[method]
    _, iterations = tvl1.estimate(*pair, parameters)
    return tvl1.pixel_iterations(parameters, pair[0].shape, iterations) / 1e6


def table(title, times, count, judged):
    """Print one table; the goals missed."""
    print(f"\n{title}\n  {'method':14s} {'ms/pair':>8s} {'ratio':>7s}  range        goal")
    reference, missed = np.array(times[REFERENCE]), []
    for method, column in times.items():
        ratios = reference / np.array(column)
        line = f"  {method:14s} {1000 * np.median(column) / count:8.1f} {np.median(ratios):7.1f}"
        if method != REFERENCE:
            line += f"  {ratios.min():.0f} .. {ratios.max():.0f}"
        if method in GOALS and judged:
            name, least = GOALS[method]
            kept = np.median(ratios) >= least
            line = f"{line:46s}{name} must >= {least}: {'kept' if kept else 'MISSED'}"
            missed += [] if kept else [name]
        print(line)
    return missed


def main():
    """Print the tables; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{platform.processor() or platform.machine()}, LLVM's name {llvmlite.binding.get_host_cpu_name()}")
    versions = f"numpy {np.__version__}, numba {numba.__version__}, OpenCV {cv2.__version__}"
    print(f"Python {platform.python_version()}, {versions}")

    face = tvl1_pairs.faces()[0]
    made = [tvl1_pairs.pair(face, seed) for seed in range(options.pairs)]
    pairs = [(pair.reference, pair.moved) for pair in made]
    start = time.perf_counter()
    for method in GOALS:
        flow.estimate(*pairs[0], method)
    print(f"first calls, with compilation or from its cache: {time.perf_counter() - start:.1f} s")
    for method in GOALS:
        print(
            f"  {method:14s} {np.mean([work(pair, method) for pair in pairs[:8]]):.1f} million pixel-iterations a pair"
        )

    some = pairs[: min(16, len(pairs))]
    table(f"one thread, CPU time, {len(some)} pairs", single_thread(some), 1, judged=False)
    times = throughput(pairs, options.rounds, options.threads)
    title = f"{len(pairs)} pairs, {options.threads} threads beside {options.threads} processes, {options.rounds} rounds"
    missed = table(title, times, len(pairs), judged=True)

    batches = [flow.estimate_batch(*zip(*pairs[:8], strict=True), "tvl1_fast", threads=n) for n in (1, options.threads)]
    same = np.array_equal(*batches) and np.array_equal(batches[0][3], flow.estimate(*pairs[3], "tvl1_fast"))
    print(f"\nT5 must: same bits for 1 and {options.threads} threads and any batch: {'kept' if same else 'MISSED'}")
    missed += [] if same else ["T5"]
    print("missed: " + ", ".join(missed) if missed else "all goals kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
