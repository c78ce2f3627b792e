"""Compilation by numba, kept on disk so that a job pays for it once per machine and release.

By default, numba would put machine code beside the source, which may be read-only or shared by unlike machines, and
would not notice that a function it calls in another file has changed. Here the folder is named for all that machine
code depends on: the sources of the kernel's package, numba, LLVM, NumPy and the processor. Processes that compile at
the same time write the same bytes and rename them into place, so none waits or reads a partial file.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np

log = logging.getLogger(__name__)

#: Threads process pairs in parallel, so kernels release the interpreter lock; numba's threading layers, of which GNU
#: OpenMP's kills forked children, are never loaded. Division behaves as in NumPy.
_OPTIONS = {"nogil": True, "error_model": "numpy"}

inlined = numba.njit(**_OPTIONS)


def cached(function: Callable[..., Any]) -> Any:
    """Compile on first use, or load what an earlier process has compiled.

    The function may call others of its file or, below the package's top folder, of its folder.
    """
    place = folder(Path(function.__code__.co_filename))
    if place is None:
        return numba.njit(**_OPTIONS)(function)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(place)  # read while the decorator runs
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before


def folder(source: Path) -> Path | None:
    """Where the machine code of a source file is kept; None if that place is not writable.

    It lies under ``NUMBA_CACHE_DIR``, ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(chosen) if chosen else Path.home() / ".cache"
        path = base / "mer-features" / _key(source)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        usable = os.access(path, os.W_OK | os.X_OK)
    except (OSError, RuntimeError):  # no home, or a read-only one
        usable = False
    if not usable:
        log.warning("no writable cache folder: every process compiles its kernels again; set NUMBA_CACHE_DIR to one")
        return None
    return path


@functools.cache
def _key(source: Path) -> str:
    digest = hashlib.sha256()
    alone = source.parent == Path(__file__).parent
    for part in [source] if alone else sorted(source.parent.glob("*.py")):
        digest.update(part.name.encode() + b"\0" + part.read_bytes())
    host = (llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    for name in (numba.__version__, llvmlite.__version__, np.__version__, *host):
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()[:16]
