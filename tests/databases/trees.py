"""Small hand-made releases, fake ones from the shared generator, and a watch on what is opened."""

from __future__ import annotations

import contextlib
import importlib.util
import os
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
