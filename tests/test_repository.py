"""The repository's own habits: style, types, generated pages, commands in the README."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("snakefmt", "--check", "Snakefile", "workflow/rules"),
    ],
    ids=" ".join,
)
def test_tools_find_nothing(command: tuple[str, ...]):
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed (extra: dev)")
    done = _run(program, *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_page_is_current():
    done = _run(sys.executable, "docs/make_configuration.py", "--check")
    assert done.returncode == 0, done.stderr


def test_the_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_modules_stay_small():
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "mer_features").rglob("*.py")}
    long = {name: lines for name, lines in lengths.items() if lines > 420}
    assert long == {}


def test_only_two_modules_know_hdf5():
    users = {
        path.relative_to(ROOT / "mer_features").parts[0]
        for path in (ROOT / "mer_features").rglob("*.py")
        if re.search(r"^\s*(import|from) (h5py|h5netcdf|hdf5plugin)", path.read_text(), re.MULTILINE)
    }
    assert users == {"shards.py", "cache"}
