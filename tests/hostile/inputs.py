"""Every broken input there is, and a script that writes them to look at: ``python -m tests.hostile.inputs FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.hostile import faces, files, images, tables, videos
from tests.hostile.cases import Case

#: Clips by their frames; a run takes them all in one database.
CLIPS: list[Case] = [*images.CASES, *videos.CASES, *faces.CASES]
#: Databases by their table.
TABLES: list[Case] = tables.CASES
#: Files of the package's own formats.
FILES: list[Case] = [*files.HDF5, *files.TEXT]
CHECKPOINTS: list[Case] = files.CHECKPOINTS
ALL: list[Case] = [*CLIPS, *TABLES, *FILES, *CHECKPOINTS]


def folder_name(case: Case, number: int) -> str:
    """A name that any file system bears."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in f"{case.kind} {case.name}")
    return f"{number:03d}-{plain}"


def make(root: Path, cases: list[Case] = ALL) -> dict[Path, Case]:
    """Write the inputs into a folder each; what is to be opened, by its path."""
    made = {}
    for number, case in enumerate(cases):
        folder = root / folder_name(case, number)
        folder.mkdir(parents=True)
        made[case.make(folder)] = case
    return made


if __name__ == "__main__":
    for path, case in make(Path(sys.argv[1])).items():
        print(f"{case.kind:14} {case.state:9} {case.code:22} {path}")
