"""Adapter for CK+, the extended Cohn-Kanade database of posed and spontaneous macro-expressions.

Frames are in ``cohn-kanade-images/S005/001/S005_001_00000011.png``. ``Emotion`` and ``FACS`` have the same folders of
subjects and sequences, each with a text file named after the last frame. A sequence starts neutral and ends at its
peak: the first frame is the onset, the last frame is the apex, and the offset was not recorded. Many sequences have
no label, and ``Emotion`` may be empty or missing. Sources: the owners' ReadMe and public loaders of the release.
"""

from __future__ import annotations

from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import OwnerDatabase

IMAGES = "cohn-kanade-images"

#: Emotion words; an ``_emotion.txt`` holds the index of one.
EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
PUBLISHED = (Published("owners' ReadMe", 593, 123),)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Every sequence as a clip, labelled or not.

    Raises
    ------
    DatabaseError
        If there are no sequences in ``cohn-kanade-images`` below ``root``, or a sheet or variant is configured.
    """
    adapter.refuse(name, options, "sheet", "variant")
    tree = Tree(root)
    images = adapter.descend(tree, IMAGES)
    labels = Tree(root)  # a second tree, so that the text files are not reported as foreign files
    clips = tuple(
        _clip(name, (tree, labels), images, subject, sequence)
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
    """Names of the sub-folders, including links that leave the root, so that their clips are listed and rejected."""
    here = tree.entries(folder)
    return sorted([*here.folders, *here.leaving])


def _clip(name: str, trees: tuple[Tree, Tree], images: Path, subject: str, sequence: str) -> Clip:
    tree, labels = trees
    source, numbers, problems = adapter.source_frames(tree, images, subject, sequence)
    issues = list(problems)
    emotion = _emotion(_label_file(labels, "Emotion", subject, sequence), issues)
    action_units = _action_units(_label_file(labels, "FACS", subject, sequence), issues)
    onset, apex = (numbers[0], numbers[-1]) if numbers else (None, None)
    marks = {"onset": onset, "apex": apex, "action_units": action_units}
    return adapter.clip_of(name, subject, sequence, source, emotion, issues, **marks)


def _label_file(tree: Tree, kind: str, subject: str, sequence: str) -> tuple[str, str]:
    """Name and text of a sequence's file in ``Emotion`` or ``FACS``; both are empty without a file."""
    folder, missing = adapter.source(tree, tree.root, kind, subject, sequence)
    files = [] if missing else [file for file in tree.entries(folder).files if file.lower().endswith(".txt")]
    if not files:
        return "", ""
    return files[-1], (folder / files[-1]).read_text(encoding="utf-8", errors="replace")


def _emotion(file: tuple[str, str], issues: list[Issue]) -> str:
    """The emotion word of the number in an ``_emotion.txt``."""
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
    """Action units of a ``_facs.txt`` (one line ``unit intensity`` per unit) as ``4+9``, without the intensities."""
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
