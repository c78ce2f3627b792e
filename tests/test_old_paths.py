"""Modules can be imported by their earlier paths for one release; the warning names the new one."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mer_features


@pytest.mark.parametrize(("old", "new"), mer_features._MOVED.items())
def test_an_old_path_gives_the_module_itself(old: str, new: str):
    sys.modules.pop(f"mer_features.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"mer_features.{old} is now mer_features.{new};"):
        module = importlib.import_module(f"mer_features.{old}")
    current = importlib.import_module(f"mer_features.{new}")
    assert module is current
    assert current.__spec__.name == current.__name__ == f"mer_features.{new}"


def test_a_module_inside_is_no_second_copy():
    for name in ("mer_features.cache", "mer_features.cache.schema"):
        sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match="mer_features.cache"):
        old = importlib.import_module("mer_features.cache.schema")
    assert old is importlib.import_module("mer_features.features.schema")


def test_the_warning_is_shown_at_the_line_that_imports(tmp_path: Path):
    script = tmp_path / "mine.py"
    script.write_text("import mer_features.metrics\nfrom mer_features import strain\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert "mine.py:1: DeprecationWarning" in done.stderr
    assert "mine.py:2: DeprecationWarning" in done.stderr


def test_an_unknown_name_is_an_error():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mer_features.nothing")
    with pytest.raises(ModuleNotFoundError), pytest.warns(DeprecationWarning, match="mer_features.cache"):
        importlib.import_module("mer_features.cache.nothing")
