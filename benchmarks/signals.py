"""Cost and memory of the signals of a recording, 640 x 480 at 200 frames per second, one thread.

    python benchmarks/signals.py [--seconds 10] [--minutes 1 10] [--part cost|memory|all]

A rendered clip of the preset `cde-casme2` is shown forward and backward without end, each frame decoded from JPEG.
Cost: thread CPU time for each analysed frame (every fourth) of the whole measurement, beside its floor, decoding and
registration of the same frames. Memory: peak of a process that measures recordings of these lengths into a file, which
must not differ by more than 20 MB.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np

from mer_features.core.grey import levels
from mer_features.frames import Frame, FrameSequence, decode_image
from mer_features.stages.faces.register import Registrar
from mer_features.stages.options import Faces
from mer_features.stages.signals import MemorySink, measure
from mer_features.stages.signals.segment import find_anchor
from mer_features.stages.signals.store import SignalReader, SignalWriter
from mer_features.synthetic import plan, presets, render_clip

FPS, STEP = 200.0, 4
LIMIT_MB = 20.0


def rendered(folder: Path) -> list[Path]:
    """Frames of one clip as JPEG files."""
    clip = plan("cde-casme2", 0)[0]
    frames = render_clip(clip, presets.preset("cde-casme2")).frames
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"img{number:03d}.jpg"), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return sorted(folder.glob("*.jpg"))


class Endless(FrameSequence):
    """So many frames, which show the same clip forward and backward; decoded when they are needed, as a folder's."""

    def __init__(self, files: list[Path], count: int) -> None:
        super().__init__(Path("endless"), fps=None)
        self._data = [path.read_bytes() for path in files]
        self._data += self._data[-2:0:-1]
        self._count = count

    def nearest(self, number: int) -> Frame:
        """The frame with this number, or the last one."""
        number = min(number, self._count - 1)
        return Frame(number, float("nan"), decode_image(self._data[number % len(self._data)], "endless"))

    def sha256(self) -> str:
        """Digest of the files."""
        return hashlib.sha256(b"".join(self._data)).hexdigest()

    def _decode(self, step: int = 1) -> Iterator[tuple[str, Frame]]:
        for number in range(0, self._count, step):
            image = decode_image(self._data[number % len(self._data)], "endless")
            yield str(number), Frame(number, float("nan"), image)


def cpu_ms(start: float, frames: int) -> float:
    """Thread CPU time since ``start`` for each frame, ms."""
    return 1000 * (time.thread_time() - start) / frames


def cost(files: list[Path], seconds: float) -> None:
    """Print the cost of an analysed frame and its floor."""
    count = int(seconds * FPS)
    analysed = len(range(0, count, STEP))
    anchor = find_anchor([levels(decode_image(path.read_bytes(), ""))[..., None] for path in files[::12]], Faces())
    if anchor is None:
        raise SystemExit("no face in the rendered clip")
    start = time.thread_time()
    for _ in Endless(files, count).every(STEP):
        pass
    decoding = cpu_ms(start, analysed)
    registrar = Registrar(anchor.image, anchor.landmarks, "lk")
    start = time.thread_time()
    for frame in Endless(files, count).every(STEP):
        registrar.register(levels(frame.image)[..., None])
    floor = cpu_ms(start, analysed)
    sink = MemorySink()
    start = time.thread_time()
    measure(Endless(files, count), sink=sink, fps=FPS)
    whole = cpu_ms(start, analysed)
    signals = sink.signals()
    print(f"{analysed} analysed frames, {np.mean(signals.reliable):.0%} reliable, eyes {signals.eye_px:.0f} px apart")
    print(f"  decoding {decoding:.2f} ms, with registration (floor) {floor:.2f} ms, signals {whole:.2f} ms a frame")
    print(f"  {whole / floor:.1f} x the floor; {whole * FPS / STEP * 600 / 60e3:.1f} min for a recording of 10 minutes")


def measured_alone(folder: Path, minutes: float) -> None:
    """Measure one recording into a file and print the peak memory of this process."""
    files = sorted(folder.glob("*.jpg"))
    with SignalWriter(folder / "signals.h5", {}) as writer, writer.recording("s/film") as sink:
        sink.issues = measure(Endless(files, int(minutes * 60 * FPS)), sink=sink, fps=FPS)
    with SignalReader(folder / "signals.h5") as reader:
        rows = len(reader.read("s/film").number)
    # Not getrusage, which also counts the memory of the process that started this one.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    peak_mb = int(line.split()[1]) / 1024
    size_kb = (folder / "signals.h5").stat().st_size / 1024
    print(f"{peak_mb:.1f} MB peak, {rows} rows, file of {size_kb:.0f} kB")


def memory(folder: Path, lengths: list[float]) -> bool:
    """Print the peak memory for each length; whether they differ by more than the limit."""
    peaks = []
    for minutes in lengths:
        command = [sys.executable, __file__, "--alone", str(folder), "--minutes", str(minutes)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"  {minutes:g} min: {said}", flush=True)
        peaks.append(float(said.split()[0]))
    missed = max(peaks) - min(peaks) > LIMIT_MB
    print(f"  difference {max(peaks) - min(peaks):.1f} MB, at most {LIMIT_MB:g}: {'MISSED' if missed else 'kept'}")
    return missed


def main() -> int:
    """Print the tables; return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--part", choices=["cost", "memory", "all"], default="all")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.alone:
        measured_alone(options.alone, options.minutes[0])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        files = rendered(Path(folder))
        if options.part != "memory":
            cost(files, options.seconds)
        return int(options.part != "cost" and memory(Path(folder), options.minutes))


if __name__ == "__main__":
    sys.exit(main())
