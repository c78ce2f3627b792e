"""State of a training for resuming after a kill: results of finished folds, and the checkpoint of the current fold.

The folder belongs to one computation, which is identified by a key. A folder of another computation is emptied, so that
no result mixes different recipes, code or inputs.
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
        Folder of the state; it is created if missing.
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
        """Folder for the checkpoint of the current fold."""
        return self.folder / "current" / quote(fold, safe="")

    def weights(self, fold: str) -> Path:
        """File for the weights of a fold until all folds are finished."""
        return self.folder / "weights" / f"{quote(fold, safe='')}.pt"

    def save(self, fold: str, arrays: dict[str, np.ndarray]) -> None:
        """Store the result of a finished fold and delete its checkpoint."""
        with atomic_path(self._file(fold)) as temporary, temporary.open("wb") as handle:
            np.savez(handle, allow_pickle=False, **arrays)
        shutil.rmtree(self.current(fold), ignore_errors=True)

    def load(self, fold: str) -> dict[str, Any] | None:
        """Arrays of a finished fold; None if it is not finished. A damaged file is logged and also gives None."""
        path = self._file(fold)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            # TypeError, AttributeError: numpy loads a file with a single array as an array, not as an archive.
            log.warning(
                "%s: found no arrays (%s), expected the arrays of a finished fold; the fold is trained again",
                path,
                error,
            )
            return None

    def remove(self) -> None:
        """Remove the folder; the results are in the output files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, fold: str) -> Path:
        return self.folder / "folds" / f"{quote(fold, safe='')}.npz"
