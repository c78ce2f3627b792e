"""What the workflow engine costs beside the work: the embedded database's features with and without Snakemake.

Snakemake runs every job as a Python script of its own. A first run, one job at a time, keeps copies of these scripts;
then the same scripts run once more, one after the other, without Snakemake, and write the same files. W1: the
difference of the two wall times is at most 5 s and a tenth of the latter. W2: on the finished project, a dry run and a
run with nothing to do take at most 5 s each.

    python benchmarks/workflow.py [--preset small] [--target features]

CPU time stands beside wall time, which other work on the machine stretches. Ends with status 1 if a goal is missed.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]
#: Python runs this before any script; in a job, whose script Snakemake removes afterwards, it keeps a copy.
KEEP = """
import os, shutil, sys, time
script = next((word for word in sys.orig_argv if "/.snakemake/scripts/" in word), None)
if script:
    shutil.copy(script, os.path.join(os.environ["KEEP_SCRIPTS"], f"{time.time_ns()}.py"))
"""


def timed(command, folder, environment):
    """Wall and CPU seconds of a command and its children."""
    wall, cpu = time.perf_counter(), children()
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return time.perf_counter() - wall, children() - cpu, done.stdout + done.stderr


def children():
    """CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def again(scripts, files, folder, environment):
    """Wall and CPU seconds of the kept scripts in their order, after everything they wrote is gone."""
    shutil.rmtree(folder / "results")
    for path in files:
        if path.parts[0] != "data":  # the embedded database makes its own folder; for the others Snakemake does
            (folder / "results" / path).parent.mkdir(parents=True, exist_ok=True)
    wall, cpu = zip(*(timed([sys.executable, script], folder, environment)[:2] for script in scripts), strict=True)
    return sum(wall), sum(cpu)


def made(folder):
    """Files of the results but for logs and records of time."""
    skipped = {"logs", "benchmarks", "workflow"}
    files = (path.relative_to(folder / "results") for path in (folder / "results").rglob("*") if path.is_file())
    return {path for path in files if path.parts[0] not in skipped and not path.name.startswith(".")}


def row(name, wall, cpu):
    """Print one line of the table."""
    print(f"{name:46}{wall:8.1f}{cpu:8.1f}", flush=True)


def main():
    """Print the table; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--target", default="features")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workflow-") as name:
        folder, kept = Path(name) / "project", Path(name) / "kept"
        for part in (folder, kept, Path(name) / "site"):
            part.mkdir()
        (Path(name) / "site/sitecustomize.py").write_text(KEEP)
        for part in ("Snakefile", "workflow", "envs"):
            (shutil.copy if part == "Snakefile" else shutil.copytree)(REPOSITORY / part, folder / part)
        database = {"adapter": "synthetic", "preset": options.preset, "shards": 4}
        (folder / "config.yaml").write_text(yaml.safe_dump({"databases": {"embedded": database}}))
        plain = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        keeping = plain | {"PYTHONPATH": f"{name}/site:{REPOSITORY}", "KEEP_SCRIPTS": str(kept)}
        snakemake = [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", "--cores", "1", options.target]
        print(f"preset {options.preset}, target {options.target}; load {os.getloadavg()[0]:.1f}")
        print(f"{'':46}{'wall s':>8}{'CPU s':>8}")
        timed([*snakemake, "-n"], folder, plain)  # files in the page cache, modules compiled
        with_engine, cpu, _ = timed(snakemake, folder, keeping)
        scripts, files = sorted(kept.glob("*.py")), made(folder)
        row(f"run of {len(scripts)} jobs by Snakemake", with_engine, cpu)
        dry, cpu, _ = timed([*snakemake, "-n"], folder, plain)
        row("dry run of the finished project", dry, cpu)
        idle, cpu, said = timed(snakemake, folder, plain)
        if "Nothing to be done" not in said:
            raise SystemExit(f"the second run had something to do:\n{said[-2000:]}")
        row("run with nothing to do", idle, cpu)
        without, cpu = again(scripts, files, folder, plain)
        if missing := files - made(folder):
            raise SystemExit(f"the scripts alone did not write {sorted(map(str, missing))[:5]}")
        row("the same scripts without Snakemake", without, cpu)
    allowed = 5 + 0.1 * without
    goals = (("W1 difference", with_engine - without, allowed), ("W2 dry run", dry, 5), ("W2 nothing to do", idle, 5))
    for text, value, limit in goals:
        print(f"{text:46}{value:8.1f}{'':8}   must be <= {limit:.1f}: {'kept' if value <= limit else 'MISSED'}")
    return int(any(value > limit for _, value, limit in goals))


if __name__ == "__main__":
    sys.exit(main())
