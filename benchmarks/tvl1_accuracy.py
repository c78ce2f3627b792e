"""How exact the own TV-L1 is beside OpenCV's on faces with known flow, and which preset follows which shift.

Two crops of a portrait and five virtual subjects that differ in tone, contrast and size, each under white noise of 0, 1
and 2 grey levels, moved by Gaussian bumps of 0.2 to 1.5 px (see tvl1_pairs.py); then one face with the head shifted as
a whole, and one with bumps of given height. End-point errors are means in pixels; "moving" is where the truth is longer
than 0.1 px. Every method sees the same pairs.

    python benchmarks/tvl1_accuracy.py [--pairs 8]

Goals, as ratios to OpenCV's error: at most 1.0 over the frame and 0.8 where the truth moves, for the face that fills
the frame under noise 1, and at each noise level for all other faces taken together; single faces that miss it are
marked. tvl1_fast must stay below 0.06 px under a shift of 8 px. Ends with status 1 if a goal is missed.
"""

import argparse
import os
import platform
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numba
import numpy as np
import tvl1_pairs

from mer_features.stages import flow

OWN = ("tvl1", "tvl1_fast", "tvl1_aligned")
METHODS = ("opencv_tvl1", *OWN)
ALL, MOVING = 1.0, 0.8
SHIFTS, SHIFT_LIMIT = (0, 0.5, 1, 2, 4, 8), 0.06
#: First seed: the presets were chosen on pairs with smaller ones, and are judged on others.
FRESH = 100
PEAKS = (0.2, 0.4, 0.8, 1.5, 3.0)


def errors(pair, method):
    """Mean end-point error over the frame and where the truth moves; NaN if the method refuses the pair."""
    try:
        found = flow.estimate(pair.reference, pair.moved, method)
    except flow.NotAlignedError:
        return np.nan, np.nan
    distance, moving = np.hypot(*(found - pair.flow)), np.hypot(*pair.flow) > 0.1
    return distance[pair.inside].mean(), distance[pair.inside & moving].mean()


def measure(pairs, methods=METHODS):
    """Errors (pair, 2) by method."""
    return {method: np.array([errors(pair, method) for pair in pairs]) for method in methods}


def ratios(found):
    """Mean error of each own method over OpenCV's, over the frame and where the truth moves."""
    return {method: found[method].mean(axis=0) / found["opencv_tvl1"].mean(axis=0) for method in OWN}


def row(label, found):
    """Print OpenCV's errors and the ratios; ``*`` marks one above a goal."""
    line = f"  {label:36s} " + " ".join(f"{value:.4f}" for value in found["opencv_tvl1"].mean(axis=0))
    for frame, moving in ratios(found).values():
        line += f"   {frame:4.2f}{'*' if frame > ALL else ' '} {moving:4.2f}{'*' if moving > MOVING else ' '}"
    print(line, flush=True)


def judge(label, found, missed):
    """Print a line of ratios with its verdicts, and note what is missed."""
    row(label, found)
    for method, (frame, moving) in ratios(found).items():
        if frame > ALL or moving > MOVING:
            missed.append(f"{method} on {label.strip()}")


def by_face(count, missed):
    """Tables of all faces and noise levels."""
    head = "".join(f"   {method:11s}" for method in OWN)
    print(f"\n  {'':36s} OpenCV, px   {head}\n  {'':36s} all    moving" + "   all   moving" * 3)
    faces = tvl1_pairs.faces()
    for noise in (0.0, 1.0, 2.0):
        print(f" noise {noise:g}")
        tables = [
            measure([tvl1_pairs.pair(face, FRESH + 1000 * number + n, noise=noise) for n in range(count)])
            for number, face in enumerate(faces)
        ]
        for face, found in zip(faces, tables, strict=True):
            row(face.name, found)
        if noise == 1:
            judge("goal: face fills the frame", tables[0], missed)
        together = {method: np.concatenate([found[method] for found in tables[1:]]) for method in METHODS}
        judge(f"goal: the other {len(faces) - 1}, noise {noise:g}", together, missed)


def by_shift(count, missed):
    """Error over the frame under a shift of the whole face."""
    print("\nerror over the frame, px, by shift of the head, noise 1 (nan: refused)")
    print("  shift px " + "".join(f"{method:>14s}" for method in METHODS))
    face = tvl1_pairs.faces()[0]
    for shift in SHIFTS:
        pairs = [tvl1_pairs.pair(face, 5000 + n, shift=shift) for n in range(count)]
        means = {method: found[:, 0].mean() for method, found in measure(pairs).items()}
        print(f"  {shift:8g} " + "".join(f"{means[method]:14.4f}" for method in METHODS), flush=True)
    if means["tvl1_fast"] >= SHIFT_LIMIT:
        missed.append(f"tvl1_fast under a shift of {SHIFTS[-1]} px")


def by_peak(count):
    """Error where the truth moves, by the longest vector of the truth."""
    methods = (*METHODS, "skimage_tvl1", "farneback", "dis")
    print("\nerror where the truth moves, px, by its longest vector, noise 1")
    print("  peak px    zero" + "".join(f"{method:>14s}" for method in methods))
    face = tvl1_pairs.faces()[0]
    for peak in PEAKS:
        pairs = [tvl1_pairs.pair(face, 7000 + n, peak=peak) for n in range(count)]
        zero = np.mean([np.hypot(*pair.flow)[np.hypot(*pair.flow) > 0.1].mean() for pair in pairs])
        found = measure(pairs, methods)
        print(
            f"  {peak:7g} {zero:7.3f}" + "".join(f"{found[method][:, 1].mean():14.4f}" for method in methods),
            flush=True,
        )


def main():
    """Print the tables; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=8, help="pairs of each face and noise level")
    count = parser.parse_args().pairs
    cv2.setNumThreads(1)
    versions = f"numpy {np.__version__}, numba {numba.__version__}, OpenCV {cv2.__version__}"
    print(f"Python {platform.python_version()}, {versions}")
    missed = []
    by_face(count, missed)
    by_shift(max(count // 2, 2), missed)
    by_peak(max(count // 2, 2))
    print("\nmissed: " + "; ".join(missed) if missed else "\nall goals kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
