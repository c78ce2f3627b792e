"""Where the annotation tables and the real flow maps lie, which tests may read and the project may not ship."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared(*parts: str) -> Path:
    """A file of the shared folder; skips the test where there is none."""
    root = Path(os.environ.get("MER_SHARED", Path(__file__).parents[2] / "shared"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs the shared data ({Path(*parts)}), which the project may not ship")
    return path
