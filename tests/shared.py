"""Where the annotation tables lie that tests may read but the project may not ship."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared(*parts: str) -> Path:
    """A file of the shared folder; skips the test where there is none."""
    root = Path(os.environ.get("MER_SHARED", Path(__file__).parents[2] / "shared"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs the shared annotation tables ({Path(*parts)}), which the project may not ship")
    return path
