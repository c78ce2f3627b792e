"""Rendering of an embedded database into a folder; only an earlier rendering is ever replaced."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mer_features import databases, synthetic
from mer_features.core import clips as clip_tables
from mer_features.core.files import write_text
from mer_features.databases import DatabaseError
from mer_features.databases.options import SyntheticDatabase
from mer_features.synthetic import presets

log = logging.getLogger(__name__)
_STAMP = ".rendered-from.json"

#: Version of the rendered pixels and of the ground truth. Increase it with every change of either. Embedded databases
#: are then rendered again, as after a new release by their owner. With an unchanged version they are not rendered
#: again, and nothing is computed again. `tests/synthetic/test_release.py` compares the pixels.
RELEASE = 1


def render(  # noqa: PLR0913  # these are the parameters of the rule
    name: str,
    *,
    root: Path | str,
    preset: str,
    seed: int,
    release: int = RELEASE,
    table: Path | str,
    threads: int,
    look: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Render the database and write its source table; ``look`` changes keys of the preset's ``presets.Style``.

    Clips that are already rendered from the same preset, style, seed and release are kept, so a killed run resumes.

    Raises
    ------
    DatabaseError
        If the folder holds anything that was not rendered by this function. Such files are never deleted.
    """
    root = Path(root)
    stamp = json.dumps({"preset": preset, "seed": seed, "release": release, "look": dict(look)})
    _claim(root, stamp)
    synthetic.render_database(root, presets.with_style(preset, look), seed, threads=threads)
    database = SyntheticDatabase.model_validate({"adapter": "synthetic", "root": root, "preset": preset, "seed": seed})
    write_text(table, clip_tables.dumps(databases.read(name, database).clips))


def _claim(root: Path, stamp: str) -> None:
    mark = root / _STAMP
    if root.exists() and any(root.iterdir()):
        if not mark.exists():
            raise DatabaseError(f"{root}: not empty and not rendered by mer-features; choose another root")
        if mark.read_text(encoding="utf-8") != stamp:
            log.info("%s was rendered with other settings; rendering it again", root)
            shutil.rmtree(root)
    write_text(mark, stamp)
