"""Small hand-made releases, fake ones from the shared generator, and a watch on what is opened."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import openpyxl

from mer_features.databases import Listing
from mer_features.databases.options import OwnerDatabase
from tests.shared import shared


def frames(folder: Path, numbers: Iterable[int], name: str = "img{}.jpg") -> Path:
    """A clip's folder with empty files: adapters look at names only."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).touch()
    return folder


def workbook(path: Path, rows: Iterable[list], title: str = "Sheet1", **more: list[list]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in {title: rows, **more}.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    book.save(path)
    return path


def options(adapter: str, root: Path, **more: object) -> OwnerDatabase:
    return OwnerDatabase.model_validate({"adapter": adapter, "root": str(root), **more})


def codes(listing: Listing) -> dict[str, list[str]]:
    return {clip.clip_id: [issue.code for issue in clip.issues] for clip in listing.clips}


def notes(listing: Listing, kind: str) -> list[str]:
    return [note.detail for note in listing.notes if note.kind == kind]


def generator() -> ModuleType:
    """The shared generator of fake releases from the true tables."""
    path = shared("datasets", "make_fake_tree.py")
    spec = importlib.util.spec_from_file_location("make_fake_tree", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_fake_tree"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def table(name: str) -> Path:
    return shared("datasets", "annotations", name)


#: Name of a release -> the generator's kind, the table it is made from, and the adapter's options.
RELEASES = {
    "casme2-2014": ("casme2", "casme2_coding_20140508.csv", {"adapter": "casme2"}),
    "casme2-2019": ("casme2", "casme2_coding_20190701.csv", {"adapter": "casme2"}),
    "samm": ("samm", "samm_micro_facs_codes_v2.csv", {"adapter": "samm"}),
    "smic-hs": ("smic-hs", "smic_3class_xia.csv", {"adapter": "smic", "variant": "hs"}),
    "smic-vis": ("smic-vis", "smic_vis_e_annotation.csv", {"adapter": "smic", "variant": "vis"}),
    "smic-nir": ("smic-nir", "smic_vis_e_annotation.csv", {"adapter": "smic", "variant": "nir"}),
    "smic-hs-e": ("smic-hs-e", "smic_hs_e_annotation.csv", {"adapter": "smic", "variant": "hs-e"}),
}


def releases(folder: Path) -> dict[str, Path]:
    """All of :data:`RELEASES` with every clip, the frames empty files: nothing reads a pixel of them.

    SMIC-HS has every frame, the others the key frames and a few more a clip.
    """
    fake = generator()

    def touch(kind, root, clip, numbers, *_):
        first = fake.frame_path(kind, root, clip, numbers[0], False)
        first.parent.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            fake.frame_path(kind, root, clip, number, False).touch()

    fake.write_clip = touch
    for name, (kind, source, _) in RELEASES.items():
        fake.make_tree(kind, table(source), folder / name, frames_per_clip=None if kind == "smic-hs" else 4)
    return {name: folder / name for name in RELEASES}


def configured(owners: dict[str, Path], *names: str, **changes: dict[str, object]) -> dict[str, dict[str, object]]:
    """The `databases` section of a configuration for some releases; changes by name of the release."""
    return {
        name: RELEASES[name][2] | {"root": str(owners[name])} | changes.get(name.replace("-", "_"), {})
        for name in names
    }


def rows_of(name: str) -> list[list[str]]:
    """The rows of an owner's public table, without a header if it has one."""
    with table(name).open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.reader(handle))
    return rows[1:] if rows[0][0] == "Subject" else rows


def film(folder: Path, marks: Iterable[int], name: str, first: int = 1, last: int = 0) -> Path:
    """A recording with empty files for its first frame, the marks of its events, and the last of all."""
    numbers = {first, last or max(marks, default=first), *marks}
    return frames(folder, {number for number in numbers if number >= first}, name)


def recordings_tree(kind: str, root: Path) -> Path:
    """The recordings of one of the owners' databases with the true layout and names, and its sheet; few frames."""
    RECORDED[kind](root)
    return root


def _casmesq(root: Path) -> None:
    rows = rows_of("casmesq_code_final_updated.csv")
    marks: dict[str, set[int]] = {}
    for row in rows:
        marks.setdefault(row[10], set()).update(int(text) for text in row[2:5] if int(text))
    for folder, numbers in marks.items():
        film(root / "rawpic" / folder, numbers, "img{:03d}.jpg")
    # The recordings without any event, and their numbers of frames.
    for folder, count in (
        ("s15/15_0508funnydunkey", 659),
        ("s19/19_0502funnyerrors", 2273),
        ("s23/23_0503unnyfarting", 2814),
    ):
        film(root / "rawpic" / folder, (), "img{:03d}.jpg", last=count)
    cells = [[int(row[0]), row[1], *map(int, row[2:5]), *row[5:9]] for row in rows]
    workbook(root / "CAS(ME)^2code_final(Updated).xlsx", cells, "code", **{"naming rule1": [], "naming rule2": []})


def _samm_long(root: Path) -> None:
    rows = rows_of("samm_long_videos_v2.csv")
    counts = {"020_6": 5001, "036_7": 8201}  # shorter than their events
    marks: dict[str, set[int]] = {}
    for row in rows:
        marks.setdefault(row[1].rpartition("_")[0], set()).update(map(int, row[3:6]))
    for name, numbers in marks.items():
        last = counts.get(name, max(numbers))
        inside = [number for number in numbers if 1 <= number <= last]
        film(root / "SAMM_longvideos" / name, inside, name + "_{:04d}.jpg", last=last)
    header = [
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset",
        "Apex",
        "Offset",
        "Duration",
        "Type",
        "Action Units",
        "Notes",
    ]
    cells = [[*row[:2], *map(int, row[2:7]), *row[7:]] for row in rows]
    notes = [[f"note {line}"] for line in range(9)]
    workbook(root / "SAMM_LongVideos_V2_Release.xlsx", [*notes, header, *cells], "FACS_Movement_Only")


def _casme3(root: Path) -> None:
    rows = rows_of("casme3_part_A_v2_AU_Emotion.csv")
    marks: dict[tuple[str, str], set[int]] = {}
    for row in rows:
        marks.setdefault((row[0], row[1].lower()), set()).update(map(int, row[2:5]))
    for (subject, video), numbers in marks.items():
        film(root / "part_A" / subject / video / "color", numbers, "{}.jpg", first=min(numbers) or 1)
    unlisted = next(video for video in "abcdefghijklm" if ("spNO.3", video) not in marks)
    film(root / "part_A" / "spNO.3" / unlisted / "color", (), "{}.jpg", first=8, last=900)
    # As text, which is read ten times as fast as a workbook.
    shutil.copy(table("casme3_part_A_v2_AU_Emotion.csv"), root / "CAS(ME)3_part_A_v2.csv")
    labels = "cas(me)3_part_A_ME_label_JpgIndex_v2.csv"
    shutil.copy(table("casme3_part_A_ME_label_JpgIndex_v2.csv"), root / labels)


def _smic(root: Path) -> None:
    with table("smic_hs_e_annotation.csv").open(newline="") as handle:
        header, *rows = csv.reader(handle)
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        first, last = int(cells["FirstF"]), int(cells["LastF"])
        marks = [int(text) for key in header if key.startswith(("Onset", "Offset")) if (text := cells[key])]
        inside = [number for number in marks if first <= number <= last]
        folder = root / "SMIC-E_raw image/HS_long/SMIC-HS-E" / f"s{int(cells['Subject']):02d}" / cells["Filename"]
        film(folder, inside, "image{:06d}.jpg", first, last)
    numbers = [[int(cell) if cell.isdigit() else cell or None for cell in row] for row in rows]
    workbook(root / "SMIC-HS-E_annotation.xlsx", [header, *numbers], "HS")


RECORDED = {"casmesq": _casmesq, "samm_long": _samm_long, "casme3": _casme3, "smic": _smic}

_watchers: list[list[Path]] = []


def _hook(event: str, arguments: tuple) -> None:
    if _watchers and event in {"open", "os.scandir", "os.listdir"} and isinstance(arguments[0], str | os.PathLike):
        for seen in _watchers:
            seen.append(Path(arguments[0]))


sys.addaudithook(_hook)


@contextlib.contextmanager
def opened() -> Iterator[list[Path]]:
    """Every file opened and folder listed meanwhile, by whatever means: Python itself reports them."""
    seen: list[Path] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


def below(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Those that lie in the folder once links are resolved."""
    return [path for path in paths if path.resolve().is_relative_to(folder.resolve())]
