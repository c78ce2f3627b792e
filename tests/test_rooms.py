"""The rooms of the package: their order, their size, and what may import what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mer_features"
DECISION = ROOT / "docs" / "decisions" / "0003-order-of-modules.md"

#: Modules below 60 lines, each with the reason why it is not part of another.
SMALL = {
    "core/grey.py": "imported by nearly every stage",
    "core/section.py": "base of all options; imports pydantic alone",
    "core/tensors.py": "the only module of core that needs torch",
    "databases/ingest.py": "the rule ingest",
    "databases/listing.py": "what every adapter returns",
    "stages/flow/strain.py": "a public name, strain.magnitude",
    "stages/magnify/eulerian.py": "one method per file",
    "stages/style/geometry.py": "free of torch, unlike the generators that use it",
    "spotting/clips.py": "the rule cut, which no spotter changes",
    "systems/baselines/dual_inception.py": "one baseline per file",
    "systems/baselines/off_apexnet.py": "one baseline per file",
    "systems/baselines/ststnet.py": "one baseline per file",
    "systems/baselines/svm.py": "one baseline per file",
    "systems/baselines/affine.py": "shared by two baselines",
    "systems/common/printed.py": "what every printed.py is made of",
    "systems/common/recipe.py": "base of all recipes; free of numpy and torch",
    "systems/eidnet/printed.py": "one table of printed results per paper",
    "systems/fr/recipe.py": "one recipe per paper",
    "systems/sa_at/printed.py": "one table of printed results per paper",
    "training/folds.py": "the clips as each fold sees them",
    "synthetic/lids.py": "one part of the face per file",
}


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def _order() -> list[str]:
    return re.findall(r"^\d+\. `(\w+)`:", DECISION.read_text(), re.MULTILINE)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _arrows() -> dict[tuple[str, str], list[str]]:
    """Imports between rooms: (importing, imported) -> where."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = _room(path)
        for name in _imports(path):
            package, _, rest = name.partition(".")
            if package == PACKAGE.name and room != "__init__" and (target := rest.split(".")[0]) in _order():
                arrows.setdefault((room, target), []).append(f"{path.relative_to(PACKAGE)} imports {name}")
    return {pair: where for pair, where in arrows.items() if pair[0] != pair[1]}


def test_the_note_lists_every_room():
    entries = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert entries == {*_order(), "__init__", "py.typed"}
    assert len(entries) <= 16


def test_rooms_import_only_rooms_below_them():
    order = _order()
    upward = [where for (room, target), where in _arrows().items() if order.index(target) < order.index(room)]
    assert upward == []


def test_few_arrows_lead_from_room_to_room():
    assert len(_arrows()) < 100


def test_modules_are_neither_long_nor_fragments():
    lines = {path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in _modules()}
    assert {name: count for name, count in lines.items() if count > 450} == {}
    small = {name for name, count in lines.items() if count < 60}
    assert sorted(small - SMALL.keys()) == [], "join it with what it is a part of, or give the reason in SMALL"
    assert len(small) < 20


def test_functions_are_more_than_fragments():
    lengths = [
        node.end_lineno - node.lineno + 1
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    assert median(lengths) >= 6


def test_few_places_know_hdf5():
    """Stage files, signal files (rows of recordings are appended, not written at once as those of clips), features."""
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] in {"h5py", "h5netcdf", "hdf5plugin"} for name in _imports(path))
    }
    assert {name for name in users if not name.startswith("features/")} == {
        "stages/signals/store.py",
        "stages/store.py",
    }
