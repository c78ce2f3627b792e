"""Databases: the only package that knows how the owners lay out their files. Adapters return :class:`Clip` objects."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mer_features.core import clips as clip_tables
from mer_features.core import files, quality
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import exclusion, flow_maps, table
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import (
    Database,
    FlowMapsDatabase,
    OwnerDatabase,
    RecordingClips,
    SyntheticDatabase,
    TableDatabase,
)

__all__ = ["DatabaseError", "Listing", "Note", "Published", "read", "read_all", "refresh_sources", "source_table"]

#: Name of the annotation sheet inside an embedded database's root.
SHEET = "annotations.tsv"
#: Adapters whose name is not a Python name.
_MODULES = {"4dme": "fourdme"}
#: Adapters that read ``unlabelled``.
_UNLABELLED = ("dfew", "afew")
#: Notes that the message shows if no clip is listed.
_REASONS_SHOWN = 8


def read(name: str, database: Database, results: Path = Path("results")) -> Listing:
    """All clips of one configured database, with the digests of their sources; duplicates are rejected.

    Subjects that the configuration excludes or that were forgotten (``forgotten.json`` in ``results``) are left out
    before their files are opened.

    Raises
    ------
    DatabaseError
        If the root is missing, the sheet cannot be read, or no clip is left.
    """
    if isinstance(database, RecordingClips):
        return _cut_clips(name, results)
    root = database.folder(name)
    if not root.is_dir():
        offered = f"; {flow_maps.OFFERED}" if isinstance(database, FlowMapsDatabase) else ""
        raise DatabaseError(
            f"databases.{name}.root: {root} is not a folder; expected the database's files there{offered}"
        )
    left_out = exclusion.LeftOut(
        name,
        getattr(database, "exclude_subjects", ()),
        results,
        any_spelling=isinstance(database, FlowMapsDatabase),  # it names subjects as the files that are there
    )
    listing = _listing(name, database, root, left_out)
    if not listing.clips:
        reasons = "".join(f"; {note.kind}: {note.detail}" for note in listing.notes[:_REASONS_SHOWN])
        raise DatabaseError(f"databases.{name}: no clip is listed in {root}{reasons}")
    chosen, notes = exclusion.without(listing.clips, left_out, listing.people)
    if not chosen:
        raise DatabaseError(f"databases.{name}: all clips listed in {root} belong to excluded subjects")
    sources = Sources(root)
    clips = _reject_duplicates(sources.fingerprinted(clip) for clip in chosen)
    if isinstance(database, FlowMapsDatabase):
        from mer_features.databases import pictures  # noqa: PLC0415  # only this adapter opens pictures

        clips = pictures.examined(clips)
    return replace(listing, clips=_with_rate(name, database, clips), notes=(*listing.notes, *notes))


def _cut_clips(name: str, results: Path) -> Listing:
    """Clips that the workflow cut from recordings."""
    path = source_table(name, results)
    if not path.exists():
        raise DatabaseError(f"databases.{name}: {path} is not there yet; the workflow cuts it from the recordings")
    return Listing(clip_tables.read(path))


def read_all(configured: Mapping[str, Database], results: Path = Path("results")) -> dict[str, Listing | DatabaseError]:
    """:func:`read` of several databases, with the error in place of a listing that cannot be read.

    Flow maps are compared across databases as well, since one folder holds those of several.
    """
    listings: dict[str, Listing | DatabaseError] = {}
    for name, database in configured.items():
        try:
            listings[name] = read(name, database, results)
        except DatabaseError as error:
            listings[name] = error
    maps = {
        name: listing
        for name, listing in listings.items()
        if isinstance(listing, Listing) and isinstance(configured[name], FlowMapsDatabase)
    }
    if len(maps) > 1:
        from mer_features.databases import pictures  # noqa: PLC0415  # as in read

        compared = pictures.compared({name: listing.clips for name, listing in maps.items()})
        listings |= {name: replace(maps[name], clips=clips) for name, clips in compared.items()}
    return listings


def _listing(
    name: str,
    database: SyntheticDatabase | TableDatabase | OwnerDatabase | FlowMapsDatabase,
    root: Path,
    left_out: exclusion.LeftOut,
) -> Listing:
    match database:
        case SyntheticDatabase():
            return table.read(name, root, root / SHEET)
        case TableDatabase():
            return table.read(name, root, root / database.table)
        case FlowMapsDatabase():
            return flow_maps.read(name, root, database, left_out)
        case OwnerDatabase():
            if database.unlisted and database.adapter != "casme2":
                raise DatabaseError(f"databases.{name}.unlisted: only casme2 has an unlisted clip; leave the key out")
            if database.unlabelled and database.adapter not in _UNLABELLED:
                known = " and ".join(_UNLABELLED)
                raise DatabaseError(
                    f"databases.{name}.unlabelled: only {known} have clips without a label; leave the key out"
                )
            module = importlib.import_module(
                f"mer_features.databases.owners.{_MODULES.get(database.adapter, database.adapter)}"
            )
            return module.read(name, root, database)


def _with_rate(name: str, database: Database, clips: tuple[Clip, ...]) -> tuple[Clip, ...]:
    """Clips with the configured frame rate; an error if the adapter knows the frame rate."""
    rate = getattr(database, "fps", None)
    if rate is None:
        return clips
    if known := {clip.fps for clip in clips if clip.fps is not None}:
        rates = ", ".join(f"{fps:g}" for fps in sorted(known))
        raise DatabaseError(
            f"databases.{name}.fps: {database.adapter} is recorded at {rates} frames per second; leave the key out"
        )
    return tuple(replace(clip, fps=rate) for clip in clips)


class Sources:
    """Digests of the sources of clips; a source that several clips share is examined once.

    Parameters
    ----------
    root
        Root folder of the database.
    """

    def __init__(self, root: Path) -> None:
        self._tree = Tree(root)
        self._known: dict[str, tuple[str, str]] = {}

    def fingerprinted(self, clip: Clip) -> Clip:
        """The clip with the digest of its source; rejected if an entry of its folder is a link out of the root."""
        if any(issue.code == "unsafe_path" for issue in clip.issues) and not self._tree.inside(Path(clip.source)):
            return replace(clip, source=self._tree.root.as_posix())  # paths outside the root are not named
        if quality.status(clip.issues) is quality.Status.REJECTED:
            return clip  # its source is not used
        digest, leaving = self.examine(clip.source)
        if not leaving:
            return replace(clip, digest=digest)
        unsafe = Issue("unsafe_path", f"{self._tree.shown(Path(clip.source) / leaving)} leaves the root")
        return replace(clip, issues=(*clip.issues, unsafe))

    def examine(self, source: str) -> tuple[str, str]:
        """Digest of a source, and the name of an entry that is a symbolic link out of the root ("" if there is none).

        The digest covers names, sizes and times of the files. It is cheap and changes if the pixels may have changed.
        """
        if source not in self._known:
            self._known[source] = self._examine(Path(source))
        return self._known[source]

    def _examine(self, source: Path) -> tuple[str, str]:
        digest = hashlib.blake2b(digest_size=12)
        try:
            if not source.is_dir():
                facts = source.stat()
                digest.update(f"{source.name}\t{facts.st_size}\t{facts.st_mtime_ns}\n".encode())
                return digest.hexdigest(), ""
            with os.scandir(source) as entries:
                for entry in sorted(entries, key=lambda item: item.name):
                    if entry.is_symlink() and not self._tree.inside(Path(entry.path)):
                        return "", entry.name
                    facts = entry.stat()
                    digest.update(f"{entry.name}\t{facts.st_size}\t{facts.st_mtime_ns}\n".encode())
        except OSError:
            return "", ""
        return digest.hexdigest(), ""


def _reject_duplicates(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Give each further listing of a clip a new identifier, which no other clip has, and the issue that rejects it."""
    listed = tuple(clips)
    taken, out = {clip.clip_id for clip in listed}, []
    numbers: dict[str, Iterator[int]] = {}
    for clip in listed:
        if clip.clip_id in numbers:
            told = any(issue.code == "duplicate_clip" for issue in clip.issues)
            more = () if told else (Issue("duplicate_clip", f"another row of {clip.clip_id}"),)
            free = next(name for n in numbers[clip.clip_id] if (name := f"{clip.clip_id}.{n}") not in taken)
            taken.add(free)
            clip = replace(clip, clip_id=free, issues=(*clip.issues, *more))  # noqa: PLW2901
        else:
            numbers[clip.clip_id] = itertools.count(2)
        out.append(clip)
    return tuple(out)


def source_table(name: str, results: Path = Path("results")) -> Path:
    """Path of the source table of one database, which lists its clips and their source digests."""
    return results / "sources" / f"{name}.tsv"


def refresh_sources(configured: Mapping[str, Database]) -> None:
    """Update the source tables from the disk; called when the workflow starts.

    A table is rewritten only if it changed, so its time stamp changes only then. The table of an embedded database
    that is not rendered yet is written by the rule that renders it, that of clips of recordings by the rule that cuts
    them.

    Raises
    ------
    DatabaseError
        As in :func:`read`, or if no clip has a readable source.
    """
    present = {
        name: database
        for name, database in configured.items()
        if not isinstance(database, RecordingClips)
        and (not isinstance(database, SyntheticDatabase) or source_table(name).exists())
    }
    for name, listing in read_all(present).items():
        if isinstance(listing, DatabaseError):
            raise listing
        path, clips = source_table(name), listing.clips
        if reason := _unusable(clips, present[name].folder(name)):
            raise DatabaseError(f"databases.{name}: {reason}")
        text = clip_tables.dumps(clips)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            files.write_text(path, text)


def _unusable(clips: tuple[Clip, ...], folder: Path) -> str:
    """Why no clip can be used; "" if one can."""
    if any(clip.digest and quality.status(clip.issues) is not quality.Status.REJECTED for clip in clips):
        return ""
    codes = Counter(
        next((issue.code for issue in clip.issues if issue.severity is quality.Status.REJECTED), "source_missing")
        for clip in clips
    )
    if codes.keys() == {"source_missing"}:
        return f"none of {len(clips)} clips is in {folder}; is the disk mounted?"
    shown = ", ".join(f"{code} {number}" for code, number in codes.most_common())
    return f"all {len(clips)} clips are rejected: {shown}; `mer-features check` names each clip and the reason"
