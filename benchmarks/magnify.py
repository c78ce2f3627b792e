"""How far each magnification method moves a picture, and what it does to it on the way.

Pairs of 256 x 256 pixels are made by splines from pictures that no method was trained on: faces of the embedded
database (seed 77, no nuisance), smooth random textures, and two photographs of scikit-image (cat, rocket). What moves
is known exactly: the database's own expression fields for the faces, random bumps elsewhere, scaled to the stated peak.
Both frames get noise of 1 grey level and are rounded to 8 bits. Printed are medians over the pictures:

- recovered: size of the displacement in the magnified frame against factor x true displacement, found by registration
  along the true field (least squares on grey levels, so no flow method's bias is in it);
- PSNR against the frame in which the displacement is right, inside the moving area, dB; that of the moved frame itself
  beside it;
- still pair: PSNR of a magnified pair of two noisy frames of the same scene against the second, and how much larger
  than the second's noise that of the result is; overshoot beside a moved edge, grey levels; thread CPU time of a pair.

    python benchmarks/magnify.py [--quick]

Ends with status 1 if `phase` misses a wanted displacement of at most 6 px by more than 15 %.
"""

import argparse
import os
import sys
import time
from dataclasses import replace

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import skimage.data
from scipy import ndimage, optimize

from mer_features.stages.magnify import learned_model, magnify
from mer_features.stages.options import Magnify
from mer_features.synthetic import PRESETS, plan, render_clip
from mer_features.synthetic.presets import Nuisance

SIZE, NOISE, MOVING = 256, 1.0, 0.3
FACTORS, PEAKS_PX = (2, 6, 10, 20), (0.05, 0.2, 0.5, 1.0)
LONGEST_PX, TOLERANCE = 6.0, 0.15
SETTINGS = {
    "phase": ("phase", Magnify()),
    "phase, rotation": ("phase", Magnify(phase_synthesis="rotation")),
    "eulerian": ("eulerian", Magnify()),
    "learned": ("learned", Magnify()),
}


def pictures(quick):
    """Names, pictures (256, 256, 3) float and displacement fields (2, 256, 256) with a peak of 1 px."""
    still = Nuisance(**dict.fromkeys(("flicker", "gradient", "uneven", "offset_levels", "drift_px"), (0.0, 0.0)))
    still = replace(still, read_noise=0.0, shot_noise=0.0, blink_rate=0.0, pose_deg=0.0, pose_px=0.0)
    preset = replace(PRESETS["demo"], nuisance=still)
    chosen = plan(preset, 77)[:: 9 if not quick else 40]
    for clip in chosen[:5]:
        rendered = render_clip(clip, preset)
        corner = [(side - SIZE) // 2 for side in rendered.frames.shape[1:3]]
        window = np.s_[corner[0] : corner[0] + SIZE, corner[1] : corner[1] + SIZE]
        field = rendered.truth.flow[:, *window]
        yield f"face {clip.clip_id}", rendered.frames[0][window].astype(float), field / np.hypot(*field).max()
    rng = np.random.default_rng(5)
    for sigma in (2.0, 4.0)[: 1 if quick else 2]:
        grey = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), sigma)
        grey = 40 + 170 * (grey - grey.min()) / np.ptp(grey)
        yield f"texture {sigma:g} px", np.repeat(grey[..., None], 3, axis=2), bumps(rng)
    for name, photograph in (("cat", skimage.data.cat()), ("rocket", skimage.data.rocket()))[: 1 if quick else 2]:
        top, left = ((side - SIZE) // 2 for side in photograph.shape[:2])
        yield name, photograph[top : top + SIZE, left : left + SIZE].astype(float), bumps(rng)


def bumps(rng):
    """A smooth random displacement field with a peak of 1 px."""
    y, x = np.mgrid[:SIZE, :SIZE]
    field = np.zeros((2, SIZE, SIZE))
    for _ in range(6):
        centre, direction = rng.uniform(50, SIZE - 50, 2), rng.normal(size=2)
        shape = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * rng.uniform(15, 30) ** 2))
        field += direction[:, None, None] * shape
    return field / np.hypot(*field).max()


def carried(picture, field):
    """The picture whose points x have gone to x + field(x)."""
    at = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE))).astype(np.float32)
    planes, shift = [plane.astype(np.float32) for plane in field], np.zeros_like(at)
    for _ in range(60):
        found = [cv2.remap(plane, *(at - shift), cv2.INTER_LINEAR) for plane in planes]
        shift += 0.5 * (np.stack(found) - shift)
    where = tuple((at - shift)[::-1])
    moved = [ndimage.map_coordinates(plane, where, order=5, mode="mirror") for plane in np.moveaxis(picture, 2, 0)]
    return np.stack(moved, axis=-1)


def camera(picture, seed):
    """A frame with noise, uint8."""
    noise = np.random.default_rng(seed).normal(0, NOISE, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def recovered(picture, image, wanted, moving):
    """Size of the displacement in an image, as a share of the wanted one."""
    grey = picture.mean(axis=2, keepdims=True)
    target = image.mean(axis=2)[moving]

    def error(share):
        off = carried(grey, share * wanted)[..., 0][moving] - target
        return np.var(off)

    return optimize.minimize_scalar(error, bounds=(-0.2, 1.6), method="bounded", options={"xatol": 0.004}).x


def psnr(image, expected, mask):
    """Inside a mask, dB."""
    return 10 * np.log10(255**2 / np.square(image[mask] - expected[mask]).mean())


def methods():
    """Those that can run here."""
    try:
        learned_model(None)
    except (ImportError, OSError, ValueError) as error:
        print(f"learned: left out ({error})\n")
        return {name: item for name, item in SETTINGS.items() if name != "learned"}
    return SETTINGS


def moving_table(sources, settings, factors, peaks):
    """Recovered share and PSNR by factor and peak; prints as it goes, gives the shares of every method."""
    names = list(settings)
    print(f"{'factor':>6} {'motion':>7} {'wanted':>7} | {'recovered':^{16 * len(names)}} | PSNR, dB")
    print(
        f"{'':>6} {'px':>7} {'px':>7} | "
        + "".join(f"{name:>16}" for name in names)
        + " | moved "
        + "".join(f"{name:>16}" for name in names)
    )
    shares = {}
    for factor in factors:
        for peak in peaks:
            rows = [[], []]
            for seed, (_, picture, unit) in enumerate(sources):
                field = peak * unit
                moving = np.hypot(*unit) > MOVING
                reference, moved = camera(picture, 2 * seed), camera(carried(picture, field), 2 * seed + 1)
                right = carried(picture, factor * field)
                out = [magnify(reference, moved, factor, *setting) for setting in settings.values()]
                rows[0].append([recovered(picture, image, factor * field, moving) for image in out])
                rows[1].append([psnr(image.astype(float), right, moving) for image in (moved, *out)])
            found, ratio = (np.median(row, axis=0) for row in rows)
            shares[factor, peak] = dict(zip(names, found, strict=True))
            print(
                f"{factor:6d} {peak:7.2f} {factor * peak:7.2f} | "
                + "".join(f"{100 * share:14.0f} %" for share in found)
                + f" | {ratio[0]:5.1f} "
                + "".join(f"{value:16.1f}" for value in ratio[1:])
            )
    return shares


def still_table(sources, settings, factors):
    """PSNR and noise gain of still pairs, overshoot at an edge, time."""
    print(
        f"\n{'still pair':16}"
        + "".join(f"{f'PSNR x{factor}':>10}{f'noise x{factor}':>10}" for factor in factors)
        + f"{'overshoot':>11}{'s a pair':>10}"
    )
    for name, setting in settings.items():
        cells = ""
        for factor in factors:
            found = []
            for seed, (_, picture, _) in enumerate(sources):
                first, second = camera(picture, 50 + seed), camera(picture, 80 + seed)
                out = magnify(first, second, factor, *setting).astype(float)
                everywhere = np.ones(out.shape[:2], bool)
                noise = np.sqrt([np.square(image - picture).mean() for image in (second.astype(float), out)])
                found.append([psnr(out, second.astype(float), everywhere), noise[1] / noise[0]])
            middle = np.median(found, axis=0)
            cells += f"{middle[0]:10.1f}{middle[1]:10.2f}"
        print(f"{name:16}{cells}{overshoot(setting):11.1f}{seconds(sources[0], setting):10.3f}")


def overshoot(setting):
    """Grey levels beyond the two plateaus beside an edge of 120 levels that is moved by 0.4 px, times 8."""
    x = np.mgrid[:SIZE, :SIZE][1]
    first, second = (60 + 120 / (1 + np.exp(-(x - SIZE / 2 - shift) / 0.8)) for shift in (0, 0.4))
    out = magnify(
        *(np.rint(np.repeat(item[..., None], 3, axis=2)).astype(np.uint8) for item in (first, second)), 8, *setting
    )
    return max(float(out.max()) - 180, 60 - float(out.min()))


def seconds(source, setting):
    """Thread CPU time of a pair, median of five."""
    reference, moved = camera(source[1], 1), camera(carried(source[1], 0.5 * source[2]), 2)
    times = []
    for _ in range(5):
        start = time.process_time()
        magnify(reference, moved, 6, *setting)
        times.append(time.process_time() - start)
    return float(np.median(times))


def main():
    """Print the tables; 1 if a limit is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer pictures, factors and sizes")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    settings, sources = methods(), list(pictures(quick))
    print("pictures:", ", ".join(name for name, _, _ in sources), "\n")
    shares = moving_table(sources, settings, FACTORS[1:2] if quick else FACTORS, PEAKS_PX[1:3] if quick else PEAKS_PX)
    still_table(sources, settings, (6,) if quick else (6, 20))
    missed = [
        f"factor {factor}, {peak} px: {share['phase']:.2f}"
        for (factor, peak), share in shares.items()
        if factor * peak <= LONGEST_PX and abs(share["phase"] - 1) > TOLERANCE
    ]
    print("\nphase beyond 15 %:", "; ".join(missed) or "nowhere up to 6 px")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
