"""What adapters have in common beyond sheets and folders: configuration keys, descending a tree, counting notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mer_features.config import OwnerDatabase
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Note
from mer_features.databases.table import safe_name
from mer_features.quality import ClipRejectedError, Issue

#: For databases of film clips: nobody says who is in them.
NO_SUBJECTS = Note("layout", "the owners name no persons: every clip is its own subject, so folds may share persons")

_NAMES_SHOWN = 5


def refuse(name: str, options: OwnerDatabase, *keys: str) -> None:
    """Refuse configuration keys that a database has no use for.

    Raises
    ------
    DatabaseError
        If one of ``sheet`` or ``variant`` is configured.
    """
    for key in keys:
        if getattr(options, key) is not None:
            raise DatabaseError(f"databases.{name}.{key}: {options.adapter} has no {key} to choose; leave the key out")


def variant(name: str, options: OwnerDatabase, known: Sequence[str]) -> str:
    """The configured variant, the first known one by default.

    Raises
    ------
    DatabaseError
        If another one is configured.
    """
    chosen = options.variant or known[0]
    if chosen not in known:
        raise DatabaseError(f"databases.{name}.variant: {chosen!r} is unknown; known are {', '.join(known)}")
    return chosen


def descend(tree: Tree, *names: str) -> Path:
    """The folder reached from the root by these names, whatever their case.

    Raises
    ------
    DatabaseError
        If one of them is missing or a link that leaves the root; names what the root holds.
    """
    place = tree.root
    for name in names:
        try:
            place = tree.folder(place, name)
        except ClipRejectedError as error:
            expected = f"expected the folder {'/'.join(names)} in {tree.root}"
            raise DatabaseError(f"{expected} ({error.issue.detail}); found {tree.contents()}") from error
    return place


def source(
    tree: Tree, parent: Path, *names: str, key: Callable[[str], str] = str.casefold
) -> tuple[Path, tuple[Issue, ...]]:
    """A clip's folder by the names on the way to it, and what forbids using it.

    Names are the same as folders under ``key``. A folder that is not there comes with safe names: nothing outside
    the root is ever listed.
    """
    place = parent
    try:
        for name in names:
            place = tree.folder(place, name, key)
    except ClipRejectedError as error:
        return parent.joinpath(*(safe_name(name) or "unnamed" for name in names)), (error.issue,)
    return place, ()


def counted(kind: str, what: str, names: Sequence[str]) -> tuple[Note, ...]:
    """One note that counts names and shows the first; none without names."""
    if not names:
        return ()
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return (Note(kind, f"{len(names)} {what}: {', '.join(names[:_NAMES_SHOWN])}{more}", len(names)),)
