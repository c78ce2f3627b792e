"""A killed machine may leave half a file of a finished fold: it is trained again, and nothing in it is executed."""

from __future__ import annotations

import io
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mer_features.training.state import State


class Trap:
    """Unpickling this makes a folder, which shows that something was executed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._folder),)


def _saved(write: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "one array", "pickled objects", "pickle"])
def test_a_damaged_fold_is_trained_anew_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str):
    state = State(tmp_path / "unfinished", "key")
    state.save("f", {"x": np.arange(4)})
    (path,) = (tmp_path / "unfinished" / "folds").iterdir()
    trap = Trap(tmp_path / "executed")
    objects = np.array([trap], dtype=object)
    damaged = {
        "empty": b"",
        "text": b"hello",
        "cut": path.read_bytes()[:-30],
        "one array": _saved(lambda out: np.save(out, np.arange(3))),
        "pickled objects": _saved(lambda out: np.savez(out, x=objects)),
        "pickle": pickle.dumps(trap),
    }
    np.testing.assert_array_equal((state.load("f") or {})["x"], np.arange(4))
    path.write_bytes(damaged[kind])
    with caplog.at_level(logging.WARNING):
        assert state.load("f") is None
    assert str(path) in caplog.text
    assert not (tmp_path / "executed").exists()
