"""How long Snakemake takes to plan a database of 20 000 clips and 500 subjects (the size of DFEW).

    python benchmarks/dag.py [--clips 20000] [--subjects 500] [--frames 16] [--shards 256]

The frames are hard links to one image a subject: no pixel is read by a plan. Prints what the main process does before
any job: looking at the database's files, and building the DAG, once without and once with the shards known. Wall clock,
and CPU time, which other work on the machine stretches less. Ends with status 1 if the plan of every job takes more
than 30 s of CPU.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import yaml

REPOSITORY = Path(__file__).parents[1]
LIMIT_S = 30


def make_tree(root: Path, clips: int, subjects: int, frames: int) -> None:
    """An own database whose frames are hard links."""
    rows = ["subject\tpath\tonset\toffset\tfps\temotion"]
    for number in range(clips):
        subject = number % subjects
        image = root / f"sub{subject:04d}.jpg"
        if not image.exists():
            root.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), np.full((32, 32), subject % 256, np.uint8))
        folder = root / f"frames/sub{subject:04d}/clip{number:06d}"
        folder.mkdir(parents=True)
        for frame in range(1, frames + 1):
            os.link(image, folder / f"{frame:04d}.jpg")
        rows.append(f"sub{subject:04d}\t{folder.relative_to(root)}\t1\t{frames}\t25\thappiness")
    (root / "clips.tsv").write_text("\n".join(rows) + "\n")


def snakemake(folder: Path, *arguments: str) -> tuple[str, str]:
    """Seconds of one call as text, and its output."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        REPOSITORY / "Snakefile",
        "--configfile",
        "big.yaml",
        *arguments,
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    wall, cpu = time.perf_counter(), _children()
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return f"{time.perf_counter() - wall:6.1f} s wall, {_children() - cpu:5.1f} s CPU", done.stdout + done.stderr


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def looking(folder: Path) -> str:
    """Seconds for the part of the start that looks at the database's files, as text."""
    code = (
        "import time, yaml; from mer_features.workflow.plan import Plan; tree = yaml.safe_load(open('big.yaml'));"
        "wall, cpu = time.perf_counter(), time.process_time(); Plan(tree, refresh=True);"
        "print(f'{time.perf_counter() - wall:6.1f} s wall, {time.process_time() - cpu:5.1f} s CPU')"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.rstrip()


def main() -> int:
    """Make the tree, plan it, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in {"clips": 20_000, "subjects": 500, "frames": 16, "shards": 256}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dag-") as temporary:
        folder = Path(temporary)
        make_tree(folder / "big", chosen.clips, chosen.subjects, chosen.frames)
        database = {"adapter": "table", "root": "big", "table": "clips.tsv", "shards": chosen.shards}
        (folder / "big.yaml").write_text(yaml.safe_dump({"databases": {"big": database}}))
        print(f"{chosen.clips} clips, {chosen.clips * chosen.frames} frames, {chosen.shards} shards")
        print(f"looking at the files        {looking(folder)} (part of each row below)")
        first, _ = snakemake(folder, "-n", "--cores", "1", "features")
        print(f"dry run, nothing ingested   {first}")
        ingest, _ = snakemake(folder, "--cores", "1", "results/clips/big.tsv")
        print(f"ingest, for real            {ingest}")
        whole, text = snakemake(folder, "-n", "--cores", "1", "features")
        jobs = re.search(r"^total +(\d+)", text, re.MULTILINE)
        print(f"dry run, every job          {whole}; {jobs[1] if jobs else '?'} jobs")
    return int(float(whole.split(", ")[1].split()[0]) > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
