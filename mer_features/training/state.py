"""What a killed training leaves for the next: finished folds, and the checkpoint of the one under way.

The folder belongs to one computation, named by a key; a folder of another computation is emptied, so that nothing of
an older recipe, code or input gets into a result.
"""

from __future__ import annotations

import logging
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from mer_features.core.files import atomic_path, write_text

log = logging.getLogger(__name__)


class State:
    """Finished folds of one computation.

    Parameters
    ----------
    folder
        Made if missing.
    key
        Identifies the computation: equal keys give equal results.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        stamp = folder / "key"
        if not (stamp.exists() and stamp.read_text(encoding="utf-8") == key):
            shutil.rmtree(folder, ignore_errors=True)
            write_text(stamp, key)

    def current(self, fold: str) -> Path:
        """Folder for the checkpoint of a fold under way."""
        return self.folder / "current" / quote(fold, safe="")

    def weights(self, fold: str) -> Path:
        """Where a fold's weights wait until all folds are done."""
        return self.folder / "weights" / f"{quote(fold, safe='')}.pt"

    def save(self, fold: str, arrays: dict[str, np.ndarray]) -> None:
        """Remember a finished fold and forget its checkpoint."""
        with atomic_path(self._file(fold)) as temporary, temporary.open("wb") as handle:
            np.savez(handle, allow_pickle=False, **arrays)
        shutil.rmtree(self.current(fold), ignore_errors=True)

    def load(self, fold: str) -> dict[str, Any] | None:
        """The arrays of a finished fold; None if it is not finished, or damaged, which is logged."""
        path = self._file(fold)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            # TypeError, AttributeError: numpy takes a bare array for what it is, no archive.
            log.warning("%s: found no arrays (%s), expected those of a finished fold; trained again", path, error)
            return None

    def remove(self) -> None:
        """Remove everything: the results stand elsewhere now."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, fold: str) -> Path:
        return self.folder / "folds" / f"{quote(fold, safe='')}.npz"
