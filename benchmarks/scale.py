"""Cost and memory of every stage on clips of the sizes and rates of the MEGC 2019 composite, for growing numbers.

    python benchmarks/scale.py --data FOLDER [--clips 36 144 442] [--threads 1]

Renders as many clips of the `cde` presets as are asked for into FOLDER (kept for the next call), runs the workflow's
feature stages on them in a fixed number of shards, so that jobs grow with the number of clips, and prints CPU time a
frame, peak memory of the largest job and bytes written, by stage. 442 clips take some 45 minutes of CPU.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import yaml

from mer_features.synthetic import plan, presets, render_clip
from mer_features.synthetic.planning import ClipPlan

REPOSITORY = Path(__file__).parents[1]
NAMES = ("cde-smic", "cde-casme2", "cde-samm")
STAGES = ("faces", "apex", "magnify", "flow", "descriptors", "cache")
SHARDS = 2  # of each of the three databases


def chosen_clips(count: int) -> dict[str, list[ClipPlan]]:
    """So many clips, spread over databases and subjects as the whole composite is."""
    every = [(name, clip) for name in NAMES for clip in plan(name, 0)]
    picked = [every[index * len(every) // count] for index in range(count)]
    return {name: [clip for owner, clip in picked if owner == name] for name in NAMES}


def render(root: Path, clip: ClipPlan) -> None:
    """Write a clip's frames unless they are there."""
    final = root / "frames" / clip.clip_id
    if final.is_dir():
        return
    partial = final.with_name(f"{final.name}.part")
    partial.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(render_clip(clip, presets.preset(clip.preset)).frames):
        cv2.imwrite(str(partial / f"img{clip.onset + index}.jpg"), frame[..., ::-1] if frame.shape[-1] == 3 else frame)
    partial.rename(final)


def table(clips: list[ClipPlan]) -> str:
    """The clips as an own database's table."""
    rows = ["subject\tpath\tonset\tapex\toffset\temotion"]
    for clip in clips:
        cells = (clip.subject, f"frames/{clip.clip_id}", clip.onset, clip.apex, clip.offset, clip.emotion)
        rows.append("\t".join(map(str, cells)))
    return "\n".join(rows) + "\n"


@dataclass
class Cost:
    """What one stage took."""

    cpu_s: float = 0
    peak_mb: float = 0
    written: int = 0


def run(data: Path, picked: dict[str, list[ClipPlan]], folder: Path, threads: int) -> dict[str, Cost]:
    """Run the feature stages; their costs from Snakemake's benchmark files."""
    databases = {}
    for name, clips in picked.items():
        (folder / f"{name}.tsv").write_text(table(clips))
        sheet = str(folder / f"{name}.tsv")
        databases[name] = {"adapter": "table", "root": str(data / name), "table": sheet, "shards": SHARDS}
    tree = {"databases": databases, "resources": {"stage_threads": threads}}
    (folder / "scale.yaml").write_text(yaml.safe_dump(tree))
    command = [sys.executable, "-m", "snakemake", "-s", REPOSITORY / "Snakefile", "--configfile", "scale.yaml"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run(
        [*map(str, command), "--cores", str(threads), "features"],
        cwd=folder, env=environment, check=True, stdout=sys.stderr,
    )  # fmt: skip
    return {stage: cost(folder / "results", stage) for stage in STAGES}


def cost(results: Path, stage: str) -> Cost:
    """Sum of a stage's CPU time, the memory of its largest job, the size of its files."""
    jobs = list(benchmarks(results / "benchmarks" / stage))
    folder = results / ("features" if stage == "cache" else stage)
    return Cost(
        sum(float(job["cpu_time"]) for job in jobs),
        max(float(job["max_rss"]) for job in jobs),
        sum(file.stat().st_size for file in folder.rglob("*.h5")),
    )


def benchmarks(folder: Path) -> Iterator[dict[str, str]]:
    """Rows of Snakemake's benchmark files."""
    for file in folder.rglob("*.tsv"):
        with file.open(newline="") as handle:
            yield from csv.DictReader(handle, delimiter="\t")


def main() -> None:
    """Measure each number of clips and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, nargs="+", default=[36, 144])
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    for count in chosen.clips:
        picked = chosen_clips(count)
        frames = sum(clip.frames for clips in picked.values() for clip in clips)
        for name, clips in picked.items():
            for clip in clips:
                render(chosen.data / name, clip)
        with tempfile.TemporaryDirectory(prefix="scale-") as temporary:
            costs = run(chosen.data.resolve(), picked, Path(temporary), chosen.threads)
        print(f"{count} clips, {frames} frames, {len(NAMES) * SHARDS} jobs a stage, {chosen.threads} processes each")
        print(f"{'stage':12} {'CPU s':>8} {'ms/frame':>9} {'s/clip':>7} {'peak MB':>8} {'MB/clip':>8}")
        for stage, item in costs.items():
            each = (
                item.cpu_s,
                1000 * item.cpu_s / frames,
                item.cpu_s / count,
                item.peak_mb,
                item.written / count / 1e6,
            )
            print("{:12} {:8.1f} {:9.2f} {:7.2f} {:8.0f} {:8.2f}".format(stage, *each), flush=True)


if __name__ == "__main__":
    main()
