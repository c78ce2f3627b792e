"""One database: clips, frames, apexes, labels, errata and duplicates, counted and beside what is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mer_features import databases
from mer_features.core import clips as clip_tables
from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue, Status
from mer_features.databases import DatabaseError, Note, Published
from mer_features.databases.adapter import FrameNumbers
from mer_features.databases.folders import Tree
from mer_features.databases.options import SyntheticDatabase
from mer_features.workflow.config import Config

#: Issues by which a clip has nothing on disk to be read.
_MISSING = frozenset({"source_missing", "unsafe_path", "no_frames"})
_APEX = ("apex_outside", "apex_equals_onset", "apex_equals_offset")


@dataclass(frozen=True)
class Label:
    """Clips of one emotion word, found and published; ``None`` where nothing is known of this database."""

    emotion: str
    found: int
    published: int | None


@dataclass
class DatabaseCheck:
    """What a look at one database found.

    ``found`` and ``missing`` add up to ``clips``, which are the listed ones; ``unlisted`` counts folders on disk
    without a row. ``frames`` counts ``files``, numbers ``missing`` between a clip's first and last, and ``foreign``
    files. ``apexes`` counts clips by what is wrong with the annotated apex.
    """

    name: str
    root: str
    error: str = ""
    note: str = ""
    clips: int = 0
    found: int = 0
    missing: int = 0
    unlisted: int = 0
    duplicates: int = 0
    errata: int = 0
    subjects: int = 0
    states: dict[str, int] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    apexes: dict[str, int] = field(default_factory=dict)
    spotter: str = ""  # which finds the apex where none is annotated
    edition: str = ""  # of the published counts
    published_clips: int | None = None
    published_subjects: int | None = None
    labels: list[Label] = field(default_factory=list)
    issues: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether a run would start: the database can be read and has a clip that is not rejected."""
        return not self.error and (bool(self.note) or self.clips > self.states.get(Status.REJECTED, 0))

    @property
    def problems(self) -> list[str]:
        """What has to be looked at before a run, one line each."""
        if self.error:
            return [self.error]
        rejected = self.states.get(Status.REJECTED, 0)
        lines = [f"{rejected} of {self.clips} clips are rejected"] if rejected else []
        if self.published_clips is not None and self.published_clips != self.clips:
            lines.append(f"{self.clips} clips are listed, {self.published_clips} published ({self.edition})")
        differing = [f"{x.emotion} {x.found}, published {x.published}" for x in self.labels if _differs(x)]
        if differing:
            lines.append(f"labels are not those published ({self.edition}): {'; '.join(differing)}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for machines."""
        emotions = {label.emotion: label.found for label in self.labels}
        return asdict(self) | {"usable": self.usable, "problems": self.problems, "emotions": emotions}


def _differs(label: Label) -> bool:
    return label.published is not None and label.published != label.found


def check_database(config: Config, name: str, clips_of: dict[str, tuple[Clip, ...]]) -> DatabaseCheck:
    """Look at one database.

    Parameters
    ----------
    config
        The configuration.
    name
        Of the database.
    clips_of
        Its clips are added here, with the issues that the stages will find in their frame numbers.
    """
    root = config.database_root(name)
    result = DatabaseCheck(name, str(root))
    if isinstance(config.databases[name], SyntheticDatabase) and not (root / databases.SHEET).exists():
        result.note = "embedded database, not rendered yet: the workflow renders it"
        return result
    try:
        listing = databases.read(name, config.databases[name])
    except DatabaseError as error:
        result.error = str(error)
        return result
    tree = Tree(root)
    clips, frames = _foresee(listing.clips, tree)
    clips_of[name] = clips
    # An adapter that lists the frames itself has told of foreign files already.
    told = any(note.kind == "foreign_file" for note in listing.notes)
    notes = listing.notes if told else tuple(dict.fromkeys((*listing.notes, *tree.notes())))
    _count(result, clips, notes)
    result.frames = frames | {"foreign": _total(notes, "foreign_file")}
    result.spotter = config.features_of(name).apex.fallback
    _compare(result, Counter(clip.emotion or "(none)" for clip in clips), listing.published)
    return result


def _count(result: DatabaseCheck, clips: Sequence[Clip], notes: Sequence[Note]) -> None:
    codes = [{issue.code for issue in clip.issues} for clip in clips]
    states = Counter(quality.status(clip.issues) for clip in clips)
    result.clips = len(clips)
    result.missing = sum(bool(found & _MISSING) for found in codes)
    result.found = len(clips) - result.missing
    result.unlisted = _total(notes, "unlisted_folder")
    result.duplicates = sum("duplicate_clip" in found for found in codes)
    result.errata = sum(issue.code == "erratum_applied" for clip in clips for issue in clip.issues)
    result.subjects = len({clip.subject for clip in clips})
    result.states = {str(state): states[state] for state in Status}
    result.apexes = {
        "annotated": sum(clip.apex is not None for clip in clips),
        "not annotated": sum(clip.apex is None for clip in clips),
        **{code: sum(code in found for found in codes) for code in _APEX},
    }
    result.issues = [
        {"clip": clip.clip_id, "code": issue.code, "detail": issue.detail} for clip in clips for issue in clip.issues
    ]
    result.notes = [{"kind": note.kind, "detail": note.detail} for note in notes]


def _total(notes: Sequence[Note], kind: str) -> int:
    return sum(note.count for note in notes if note.kind == kind)


def _compare(result: DatabaseCheck, found: Counter[str], editions: Sequence[Published]) -> None:
    """Set the labels beside those of the nearest edition of the release that is known."""

    def distance(edition: Published) -> int:
        words = {*edition.emotions, *found} if edition.emotions else set()
        each = sum(abs(edition.emotions.get(word, 0) - found[word]) for word in words)
        return each + abs(edition.clips - result.clips)

    nearest = min(editions, key=distance, default=None)
    expected = nearest.emotions if nearest else {}
    words = dict.fromkeys([*expected, *(word for word, _ in found.most_common())])
    result.labels = [Label(word, found[word], expected.get(word, 0) if expected else None) for word in words]
    if nearest:
        result.edition, result.published_clips = nearest.edition, nearest.clips
        result.published_subjects = nearest.subjects or None


def _foresee(clips: Sequence[Clip], tree: Tree) -> tuple[tuple[Clip, ...], dict[str, int]]:
    """Clips with the issues that follow from their frame numbers, and numbers of files and of missing frames."""
    numbers_of = FrameNumbers(tree)
    files: dict[str, int] = {}
    out, missing = [], 0
    for clip in clips:
        if quality.status(clip.issues) is Status.REJECTED or not Path(clip.source).is_dir():
            out.append(clip)
            continue
        numbers, unusable = numbers_of(Path(clip.source))
        files[clip.source] = len(numbers)
        issues, holes = foreseen(clip, numbers) if numbers else (unusable, 0)
        out.append(replace(clip, issues=tuple(dict.fromkeys((*clip.issues, *issues)))))
        missing += holes
    return tuple(out), {"files": sum(files.values()), "missing": missing}


def foreseen(clip: Clip, numbers: Sequence[int]) -> tuple[tuple[Issue, ...], int]:
    """What the stages will say of a clip's frame numbers and marks, and how many numbers have no frame.

    Parameters
    ----------
    clip
        As listed.
    numbers
        Numbers of the frames in its folder, ascending.
    """
    first, last = clip.first, clip.last
    here = [n for n in numbers if (first is None or n >= first) and (last is None or n <= last)]
    if not here:
        return (Issue("no_frames", f"{len(numbers)} images, none with a number in {first}..{last}"),), 0
    if len(here) < 2:
        return (Issue("few_frames", f"{len(here)} frame"),), 0
    holes = clip_tables.gaps(here, first, last)
    keys = clip_tables.key_frames(clip, here)
    known = {issue.code for issue in clip.issues}
    issues = [issue for issue in keys.issues if issue.code != "frame_not_on_disk" or issue.code not in known]
    for code, mark in (("apex_equals_onset", keys.onset), ("apex_equals_offset", keys.offset)):
        if keys.apex == mark:
            issues.append(Issue(code, f"frame {here[mark]}"))
    return (*clip_tables.missing_frames(holes), *issues), sum(high - low + 1 for low, high in holes)
