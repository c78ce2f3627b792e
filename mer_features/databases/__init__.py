"""Databases: the only place that knows how an owner lays out files. Every adapter yields :class:`Clip` objects."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mer_features import clips as clip_tables
from mer_features import files
from mer_features.clips import Clip
from mer_features.config import Config, OwnerDatabase, SyntheticDatabase, TableDatabase
from mer_features.databases import table
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.quality import Issue

__all__ = ["DatabaseError", "Listing", "Note", "Published", "read", "refresh_sources", "source_table"]

#: Name of the annotation sheet inside an embedded database's root.
SHEET = "annotations.tsv"
#: Adapters whose name is no Python name.
_MODULES = {"4dme": "fourdme"}


def read(config: Config, name: str) -> Listing:
    """All clips of one configured database, source digests and duplicates included.

    Raises
    ------
    DatabaseError
        If the root is missing, the sheet unreadable or no clip is listed: there is nothing to work on.
    """
    root = config.database_root(name)
    if not root.is_dir():
        raise DatabaseError(f"databases.{name}.root: {root} is not a folder; expected the database's files there")
    found = _listing(config, name, root)
    if not found.clips:
        raise DatabaseError(f"databases.{name}: no clip is listed in {root}")
    clips = _reject_duplicates(replace(clip, digest=_digest(clip)) for clip in found.clips)
    return replace(found, clips=clips)


def _listing(config: Config, name: str, root: Path) -> Listing:
    database = config.databases[name]
    match database:
        case SyntheticDatabase():
            return table.read(name, root, root / SHEET)
        case TableDatabase():
            return table.read(name, root, root / database.table)
        case OwnerDatabase():
            module = importlib.import_module(
                f"mer_features.databases.{_MODULES.get(database.adapter, database.adapter)}"
            )
            return module.read(name, root, database)


def _digest(clip: Clip) -> str:
    """Digest of file names, sizes and times: cheap, and different when the pixels may have changed."""
    if any(issue.code == "unsafe_path" for issue in clip.issues):
        return ""  # outside the root nothing is looked at
    source = Path(clip.source)
    digest = hashlib.blake2b(digest_size=12)
    try:
        entries = sorted(os.scandir(source), key=lambda entry: entry.name) if source.is_dir() else [source]
        for entry in entries:
            facts = entry.stat()
            digest.update(f"{entry.name}\t{facts.st_size}\t{facts.st_mtime_ns}\n".encode())
    except OSError:
        return ""
    return digest.hexdigest()


def _reject_duplicates(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Give a second listing of a clip an id of its own and the issue that rejects it."""
    seen: dict[str, int] = {}
    out = []
    for clip in clips:
        count = seen[clip.clip_id] = seen.get(clip.clip_id, 0) + 1
        if count > 1:
            issues = (*clip.issues, Issue("duplicate_clip", clip.clip_id))
            clip = replace(clip, clip_id=f"{clip.clip_id}.{count}", issues=issues)  # noqa: PLW2901  # frozen: a new clip
        out.append(clip)
    return tuple(out)


def source_table(name: str, results: Path = Path("results")) -> Path:
    """Where the table of one database's clips and source digests is kept."""
    return results / "sources" / f"{name}.tsv"


def refresh_sources(config: Config) -> None:
    """Bring the source tables up to date with the disk; called when the workflow starts.

    A table is rewritten only when it changed, so its time stamp moves only then. The table of an embedded
    database that is not rendered yet is left to the rule that renders it.

    Raises
    ------
    DatabaseError
        As :func:`read`.
    """
    for name, database in config.databases.items():
        path = source_table(name)
        if isinstance(database, SyntheticDatabase) and not path.exists():
            continue
        text = clip_tables.dumps(read(config, name).clips)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            files.write_text(path, text)
