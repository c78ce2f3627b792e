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

from mer_features.config import OwnerDatabase
from mer_features.databases import Listing
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
