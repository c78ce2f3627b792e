"""What the learned magnifier does to motion that is known, on pictures it was not trained on.

    python benchmarks/magnifier_quality.py [--weights FILE]

Pictures: 96 x 96 px cuts of scikit-image's cat and rocket, translated; faces of the embedded database's `demo`
subjects, moved by one action unit. All are recorded with noise (one grey level, and dither) like a camera's. For each
motion and factor three answers are compared with the true magnified picture: the network's, linear amplification of
the difference (reference + m (moved - reference)) and none (the moved frame).

Recovered displacement: that multiple of the wanted motion whose true picture is nearest (least squares) to the
answer; 1 is right. PSNR is against the true picture. Both leave out a border of 12 px.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from mer_features.stages.magnify import learned
from mer_features.synthetic import action_units
from mer_features.synthetic.action_units import Action
from mer_features.synthetic.presets import PRESETS
from mer_features.synthetic.resample import grid, sample
from mer_features.synthetic.subjects import subject
from mer_features.training.magnifier import textures

SIDE, MARGIN, BORDER = 96, 12, 12
NOISE = 1.0  # grey levels
MOTIONS = (
    (0.05, 20),
    (0.1, 2),
    (0.1, 6),
    (0.1, 20),
    (0.3, 3),
    (0.3, 6),
    (0.3, 10),
    (0.3, 20),
    (0.6, 6),
    (1.0, 2),
    (1.0, 6),
)
FACTOR_OF_STATIC = 10.0
MULTIPLES = np.arange(0, 1.525, 0.05)

Render = Callable[[float], np.ndarray]  # displacement in px -> picture (3, SIDE, SIDE)


def photographs(random: np.random.Generator) -> Iterator[Render]:
    """Cuts of the held-out photographs, each translated in a direction of its own."""
    places = (("chelsea", 90, 150), ("chelsea", 50, 240), ("rocket", 180, 260), ("rocket", 250, 330))
    for name, top, left in places:
        whole = textures.coefficients(textures.read(f"skimage:{name}"))
        patch = whole[:, top : top + SIDE + 2 * MARGIN, left : left + SIDE + 2 * MARGIN]
        angle = random.uniform(0, 2 * np.pi)
        way = np.array([np.cos(angle), np.sin(angle)])
        yield lambda px, patch=patch, way=way: textures.moved(patch, px * way, MARGIN)


def faces() -> Iterator[Render]:
    """Faces moved by one action unit, around its strongest place; px is the peak displacement."""
    for name, unit in (("sub01", 12), ("sub03", 4), ("sub05", 1), ("sub08", 15)):
        face = subject(PRESETS["demo"], 0, name)
        field, (done,) = action_units.displacement([Action(unit, 1.0, 1.0)], face.landmarks)
        field /= done.peak_px
        area = action_units.window(face.landmarks)
        peak = np.unravel_index(np.linalg.norm(field, axis=0).argmax(), field.shape[1:])
        x, y = grid(SIDE, SIDE)
        x, y = x + np.float32(area.left + peak[1] - SIDE // 2), y + np.float32(area.top + peak[0] - SIDE // 2)
        yield lambda px, face=face, field=field, area=area, x=x, y=y: _moved_face(face, field, area, px, x, y)


def _moved_face(face, field, area, px: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    at_x, at_y = x, y
    for _ in range(12):
        move = np.float32(px) * sample(field, at_x - np.float32(area.left), at_y - np.float32(area.top))
        at_x, at_y = x - move[0], y - move[1]
    scale = np.float32(PRESETS["demo"].style.oversample)
    return sample(face.texture, at_x * scale, at_y * scale)


def record(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Noise, dither, whole grey levels; (SIDE, SIDE, 3) uint8."""
    noisy = picture + NOISE * random.standard_normal(picture.shape) + random.uniform(-0.5, 0.5, picture.shape)
    return np.moveaxis(np.clip(np.round(noisy), 0, 255), 0, -1).astype(np.uint8)


def inner(picture: np.ndarray) -> np.ndarray:
    """(3, h, w) float64 without the border, clipped as a picture is."""
    return np.clip(picture, 0, 255)[:, BORDER:-BORDER, BORDER:-BORDER].astype(float)


def psnr(answer: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio, dB."""
    return float(10 * np.log10(255**2 / np.mean((inner(answer) - inner(truth)) ** 2)))


def recovered(answer: np.ndarray, candidates: np.ndarray) -> float:
    """Multiple of the wanted displacement whose true picture is nearest to the answer."""
    misses = ((candidates - inner(answer).astype(np.float32)) ** 2).mean(axis=(1, 2, 3))
    return float(MULTIPLES[misses.argmin()])


def answers(
    magnifier: learned.Magnifier, first: np.ndarray, second: np.ndarray, factor: float
) -> dict[str, np.ndarray]:
    """The magnified picture of each method, (3, H, W) float."""
    a, b = (np.moveaxis(frame, -1, 0).astype(float) for frame in (first, second))
    learned_answer = np.moveaxis(magnifier(first, second, factor), -1, 0).astype(float)
    return {"learned": learned_answer, "linear": a + factor * (b - a), "none": b}


def table(magnifier: learned.Magnifier, scenes: list[Render], random: np.random.Generator) -> None:
    """Rows by motion and factor."""
    print("| δ px | m | wanted px | recovered: learned | linear | none | PSNR dB: learned | linear | none |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for px, factor in MOTIONS:
        found: dict[str, list[tuple[float, float]]] = {"learned": [], "linear": [], "none": []}
        for render in scenes:
            first, second = record(render(0.0), random), record(render(px), random)
            truth = render(px * factor)
            candidates = np.stack([inner(render(times * px * factor)) for times in MULTIPLES]).astype(np.float32)
            for name, answer in answers(magnifier, first, second, factor).items():
                found[name].append((recovered(answer, candidates), psnr(answer, truth)))
        means = {name: np.mean(values, axis=0) for name, values in found.items()}
        ratios = " | ".join(f"{means[name][0]:.2f}" for name in means)
        print(
            f"| {px} | {factor} | {px * factor:.1f} | {ratios} | "
            + " | ".join(f"{v[1]:.1f}" for v in means.values())
            + " |"
        )


def static(magnifier: learned.Magnifier, scenes: list[Render], random: np.random.Generator) -> str:
    """What noise alone becomes: no motion, two recordings of one picture."""
    rows = []
    for render in scenes:
        first, second = record(render(0.0), random), record(render(0.0), random)
        for name, answer in answers(magnifier, first, second, FACTOR_OF_STATIC).items():
            rows.append((name, psnr(answer, render(0.0)), (inner(answer) - inner(render(0.0))).std()))
    parts = []
    for name in ("learned", "linear", "none"):
        values = np.mean([row[1:] for row in rows if row[0] == name], axis=0)
        parts.append(f"{name} {values[0]:.1f} dB (error {values[1]:.2f} levels)")
    return f"static pair with noise, m = {FACTOR_OF_STATIC:g}: " + ", ".join(parts)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="default: the shipped ones")
    torch.set_num_threads(1)
    magnifier = learned.load(parser.parse_args().weights)
    random = np.random.default_rng(0)
    print(f"weights {magnifier.digest[:16]}, torch {torch.__version__}, numpy {np.__version__}\n")
    for title, scenes in (("held-out photographs", list(photographs(random))), ("embedded faces", list(faces()))):
        print(f"{title}\n")
        table(magnifier, scenes, random)
        print(f"\n{static(magnifier, scenes, random)}\n")
    frame = random.integers(0, 256, (256, 256, 3), np.uint8)
    start = time.process_time()
    magnifier(frame, frame, 6.0)
    print(f"256 x 256 pair: {time.process_time() - start:.2f} s of one core")


if __name__ == "__main__":
    main()
