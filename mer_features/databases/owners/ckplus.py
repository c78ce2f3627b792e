"""Adapter for CK+, the extended Cohn-Kanade database of posed and spontaneous macro-expressions.

``cohn-kanade-images/S005/001/S005_001_00000011.png``; in the same subject and sequence folders of ``Emotion`` and
``FACS`` a text file named after the last frame. A sequence starts neutral and ends at its peak: the first frame is
the onset, the last one the apex, and the offset was not recorded. Many sequences have no label, and ``Emotion`` may
be empty or absent. Sources: the owners' ReadMe and public loaders of the release.
"""

from __future__ import annotations

from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter
from mer_features.databases.adapter import FrameNumbers
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import OwnerDatabase
from mer_features.databases.table import safe_name

IMAGES = "cohn-kanade-images"

#: Word of the number in an ``_emotion.txt``.
EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
PUBLISHED = (Published("owners' ReadMe", 593, 123),)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Every sequence as a clip, labelled or not.

    Raises
    ------
    DatabaseError
        If ``root`` holds no sequences under ``cohn-kanade-images``, or a sheet or variant is configured.
    """
    adapter.refuse(name, options, "sheet", "variant")
    tree = Tree(root)
    images = adapter.descend(tree, IMAGES)
    side = Tree(root)  # its text files are no foreign ones
    clips = tuple(
        _clip(name, (tree, side), images, subject, sequence)
        for subject in _names(tree, images)
        for sequence in _names(tree, images / subject)
    )
    if not clips:
        raise DatabaseError(f"{images}: no sequence; expected folders like S005/001")
    unlabelled = sum(not clip.emotion for clip in clips)
    text = f"{unlabelled} of {len(clips)} sequences have no emotion label"
    notes = (Note("sheet", text, unlabelled),) if unlabelled else ()
    return Listing(clips, (*notes, *tree.notes()), PUBLISHED)


def _names(tree: Tree, folder: Path) -> list[str]:
    """Sub-folders by name; a link that leaves the root counts, so that its clip says so."""
    here = tree.entries(folder)
    return sorted([*here.folders, *here.leaving])


def _clip(name: str, trees: tuple[Tree, Tree], images: Path, subject: str, sequence: str) -> Clip:
    tree, side = trees
    source, found = adapter.source(tree, images, subject, sequence)
    numbers, unusable = ((), ()) if found else FrameNumbers(tree)(source)
    issues = [*found, *unusable]
    return Clip(
        clip_id=f"{safe_name(subject)}/{safe_name(sequence)}",
        database=name,
        subject=safe_name(subject),
        source=source.as_posix(),
        onset=numbers[0] if numbers else None,
        apex=numbers[-1] if numbers else None,
        emotion=_emotion(_side_file(side, "Emotion", subject, sequence), issues),
        action_units=_action_units(_side_file(side, "FACS", subject, sequence), issues),
        issues=tuple(issues),
    )


def _side_file(tree: Tree, kind: str, subject: str, sequence: str) -> tuple[str, str]:
    """Name and text of a sequence's file in another branch of the tree; empty if it has none."""
    folder, missing = adapter.source(tree, tree.root, kind, subject, sequence)
    files = [] if missing else [file for file in tree.entries(folder).files if file.lower().endswith(".txt")]
    if not files:
        return "", ""
    return files[-1], (folder / files[-1]).read_text(encoding="utf-8", errors="replace")


def _emotion(file: tuple[str, str], issues: list[Issue]) -> str:
    """The word of the one number in an ``_emotion.txt``."""
    name, text = file
    if not name:
        return ""
    try:
        number = float(text)
        if number.is_integer() and number >= 0:
            return EMOTIONS[int(number)]
    except (ValueError, IndexError):
        pass
    issues.append(Issue("bad_cell", f"{name}: {text.strip()[:40]!r} is not a number from 0 to {len(EMOTIONS) - 1}"))
    return ""


def _action_units(file: tuple[str, str], issues: list[Issue]) -> str:
    """The units of a ``_facs.txt``, a line ``unit intensity`` each, as ``4+9``; the intensities are not kept."""
    name, text = file
    units = []
    for line in filter(str.strip, text.splitlines()):
        try:
            number = float(line.split()[0])
        except ValueError:
            number = 0
        if number >= 1 and number.is_integer():
            units.append(str(int(number)))
        else:
            issues.append(Issue("bad_cell", f"{name}: {line.strip()[:40]!r} does not start with an action unit"))
    return "+".join(units)
