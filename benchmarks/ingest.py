"""How long it takes to look at a full CASME II: reading it into the source table, again unchanged, and the check.

A release of the size of the real one is made of empty files in a temporary folder: 26 subjects, 255 clips of 67 frames
(17 085 files), the sheet as a workbook, twice and four times that for the growth, and a sheet of 100 000 rows whose
clips are not there. Times are seconds of one process that has its imports done, the best of three: wall clock, and in
brackets CPU, by which the limits are judged, so that other work on the machine does not count.

    python benchmarks/ingest.py

Ends with status 1 if one of the stated limits is missed.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import openpyxl

from mer_features import databases
from mer_features.commands import check
from mer_features.workflow import config

HEADER = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units",
          "Estimated Emotion"]  # fmt: skip
CLIPS, FRAMES, SUBJECTS = 255, 67, 26
FIRST_S, AGAIN_S = 10.0, 2.0  # limits for one database


def release(root, times):
    """Make a release of ``times`` the real one's size; its files."""
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    for number in range(CLIPS * times):
        subject, clip = f"{number % SUBJECTS + 1:02d}", f"EP{number:05d}"
        folder = root / "CASME2_RAW_selected" / f"sub{subject}" / clip
        folder.mkdir(parents=True)
        for frame in range(1, FRAMES + 1):
            (folder / f"img{frame}.jpg").touch()
        book.active.append([subject, clip, None, 1, FRAMES // 2, FRAMES, None, "4+7", "disgust"])
    book.save(root / "CASME2-coding-20190701.xlsx")
    return CLIPS * times * FRAMES


def settings(root):
    """A configuration of nothing but this database."""
    return config.validate({"databases": {"casme2": {"adapter": "casme2", "root": str(root)}}})


def seconds(call, options, rounds=3):
    """Wall clock and CPU time of a call, the best of some rounds each."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        call(options)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def shown(times):
    """Wall clock, CPU in brackets."""
    return f"{times[0]:7.2f} ({times[1]:.2f})"


def main():
    """Measure, print, and tell whether a limit was missed."""
    missed = []
    print(f"{'files':>8} {'first':>14} {'again':>14} {'check':>14} {'CPU us a file':>15}")
    with tempfile.TemporaryDirectory() as folder:
        rates = []
        for times in (1, 2, 4):
            root = Path(folder) / str(times)
            files = release(root, times)
            os.chdir(root)  # the source table is written below `results`
            options = settings(root)
            first = seconds(databases.refresh_sources, options.databases, rounds=1)
            table = databases.source_table("casme2")
            before = table.stat().st_mtime_ns
            again = seconds(databases.refresh_sources, options.databases)
            looked = seconds(check.check, options)
            rates.append(again[1] / files)
            print(f"{files:8d} {shown(first):>14} {shown(again):>14} {shown(looked):>14} {1e6 * rates[-1]:15.1f}")
            if times == 1 and (first[1] > FIRST_S or again[1] > AGAIN_S):
                missed.append(f"one database: {first[1]:.1f} s (limit {FIRST_S}), again {again[1]:.1f} s ({AGAIN_S})")
            if table.stat().st_mtime_ns != before:
                missed.append("an unchanged database had its source table written again")
        if rates[-1] > 1.5 * rates[0]:
            missed.append(f"not linear: {rates[-1] / rates[0]:.2f} times the time a file at four times the files")
        root = Path(folder) / "rows"
        (root / "CASME2_RAW_selected" / "sub01").mkdir(parents=True)
        lines = [",".join(cell or "" for cell in HEADER)]
        lines += [f"{n % SUBJECTS + 1:02d},EP{n:06d},,1,4,9,,4,disgust" for n in range(100_000)]
        (root / "CASME2-coding-20190701.csv").write_text("\n".join(lines))
        print(f"check of 100 000 rows without a folder: {shown(seconds(check.check, settings(root), rounds=1))} s")
    print(*(f"MISSED: {line}" for line in missed), sep="\n")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
