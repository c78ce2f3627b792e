"""Check of one database: counts of clips, frames, apexes, labels, errata and duplicates, next to published counts."""

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
from mer_features.core.jobs import counted
from mer_features.core.quality import Issue, Status
from mer_features.databases import DatabaseError, Listing, Note, Published
from mer_features.databases.adapter import frames_on_disk
from mer_features.databases.folders import Tree
from mer_features.databases.options import FlowMapsDatabase, RecordingClips, SyntheticDatabase
from mer_features.workflow.config import Config

#: Issues of clips that have no readable file on disk.
_MISSING = frozenset({"source_missing", "unsafe_path", "no_frames"})
_APEX = ("apex_outside", "apex_equals_onset", "apex_equals_offset")


@dataclass(frozen=True)
class Label:
    """Numbers of clips with one emotion word, found and published; ``published`` is ``None`` if it is not known."""

    emotion: str
    found: int
    published: int | None


@dataclass
class DatabaseCheck:
    """Results of the check of one database.

    ``clips`` counts the listed clips; it is the sum of ``found`` and ``missing``. ``unlisted`` counts folders and flow
    maps on disk without a row in the sheet. ``frames`` counts image ``files``, ``missing`` frame numbers between the
    first and the last frame of a clip, and ``foreign`` files. ``apexes`` counts clips with and without an annotated
    apex, and clips for each problem of the annotated apex. Published flow maps have neither frames nor an apex: both
    are empty.
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
    spotter: str = ""  # finds the apex of clips without an annotated one
    edition: str = ""  # edition of the database that the published counts belong to
    published_clips: int | None = None
    published_subjects: int | None = None
    labels: list[Label] = field(default_factory=list)
    issues: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether a run would start: the database can be read and at least one clip is not rejected."""
        return not self.error and (bool(self.note) or self.clips > self.states.get(Status.REJECTED, 0))

    @property
    def problems(self) -> list[str]:
        """Problems to resolve before a run, one line each."""
        if self.error:
            return [self.error]
        rejected = self.states.get(Status.REJECTED, 0)
        lines = [f"{rejected} of {counted(self.clips, 'clip')} rejected"] if rejected else []
        if self.published_clips is not None and self.published_clips != self.clips:
            listed = counted(self.clips, "clip")
            lines.append(f"{listed} listed, but {self.published_clips} published ({self.edition})")
        differing = [f"{x.emotion} {x.found}, published {x.published}" for x in self.labels if _differs(x)]
        if differing:
            lines.append(f"label counts differ from those published ({self.edition}): {'; '.join(differing)}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """The results as plain values, ready for JSON."""
        emotions = {label.emotion: label.found for label in self.labels}
        return asdict(self) | {"usable": self.usable, "problems": self.problems, "emotions": emotions}


def _differs(label: Label) -> bool:
    return label.published is not None and label.published != label.found


def rendered(config: Config, name: str) -> bool:
    """Whether a database is there to be read: an embedded one may not be rendered yet, and clips are cut in a run."""
    database = config.databases[name]
    if isinstance(database, RecordingClips):
        return False
    return not isinstance(database, SyntheticDatabase) or (config.database_root(name) / databases.SHEET).exists()


def check_database(
    config: Config, name: str, listing: Listing | DatabaseError | None, clips_of: dict[str, tuple[Clip, ...]]
) -> DatabaseCheck:
    """Check one database.

    Parameters
    ----------
    config
        The configuration.
    name
        Name of the database in the configuration.
    listing
        Its clips, or the reason why it cannot be read; ``None`` for an embedded database that is not rendered yet, and
        for clips of recordings.
    clips_of
        Clips of each database; the clips of this one are added, with the issues that the stages will find in their
        frame numbers.
    """
    root = config.database_root(name)
    result = DatabaseCheck(name, str(root))
    if listing is None:
        database = config.databases[name]
        result.note = (
            f"clips of the recordings {database.recordings}, which are checked below: the workflow cuts them"
            if isinstance(database, RecordingClips)
            else "embedded database, not rendered yet: the workflow renders it"
        )
        return result
    if isinstance(listing, DatabaseError):
        result.error = str(listing)
        return result
    tree = Tree(root)
    clips, frames = _foresee(listing.clips, tree)
    clips_of[name] = clips
    # An adapter that lists the frames itself has already reported foreign files.
    reported = any(note.kind == "foreign_file" for note in listing.notes)
    notes = listing.notes if reported else tuple(dict.fromkeys((*listing.notes, *tree.notes())))
    _count(result, clips, notes)
    if not isinstance(config.databases[name], FlowMapsDatabase):
        result.frames = frames | {"foreign": _total(notes, "foreign_file")}
        result.apexes = _apexes(clips)
        result.spotter = config.features_of(name).apex.fallback
    _compare(result, Counter(clip.emotion or "(none)" for clip in clips), listing.published)
    return result


def _count(result: DatabaseCheck, clips: Sequence[Clip], notes: Sequence[Note]) -> None:
    codes = [{issue.code for issue in clip.issues} for clip in clips]
    states = Counter(quality.status(clip.issues) for clip in clips)
    result.clips = len(clips)
    result.missing = sum(bool(clip_codes & _MISSING) for clip_codes in codes)
    result.found = len(clips) - result.missing
    result.unlisted = _total(notes, "unlisted_folder") + _total(notes, "unlisted_file")
    result.duplicates = sum("duplicate_clip" in clip_codes for clip_codes in codes)
    result.errata = sum(issue.code == "erratum_applied" for clip in clips for issue in clip.issues)
    result.subjects = len({clip.subject for clip in clips})
    result.states = {str(state): states[state] for state in Status}
    result.issues = [
        {"clip": clip.clip_id, "code": issue.code, "detail": issue.detail} for clip in clips for issue in clip.issues
    ]
    result.notes = [{"kind": note.kind, "detail": note.detail} for note in notes]


def _apexes(clips: Sequence[Clip]) -> dict[str, int]:
    codes = [{issue.code for issue in clip.issues} for clip in clips]
    return {
        "annotated": sum(clip.apex is not None for clip in clips),
        "not annotated": sum(clip.apex is None for clip in clips),
        **{code: sum(code in clip_codes for clip_codes in codes) for code in _APEX},
    }


def _total(notes: Sequence[Note], kind: str) -> int:
    return sum(note.count for note in notes if note.kind == kind)


def _compare(result: DatabaseCheck, counts: Counter[str], editions: Sequence[Published]) -> None:
    """Compare the label counts with those of the most similar published edition."""

    def distance(edition: Published) -> int:
        words = {*edition.emotions, *counts} if edition.emotions else set()
        difference = sum(abs(edition.emotions.get(word, 0) - counts[word]) for word in words)
        return difference + abs(edition.clips - result.clips)

    nearest = min(editions, key=distance, default=None)
    expected = nearest.emotions if nearest else {}
    words = dict.fromkeys([*expected, *(word for word, _ in counts.most_common())])
    result.labels = [Label(word, counts[word], expected.get(word, 0) if expected else None) for word in words]
    if nearest:
        result.edition, result.published_clips = nearest.edition, nearest.clips
        result.published_subjects = nearest.subjects or None


def _foresee(clips: Sequence[Clip], tree: Tree) -> tuple[tuple[Clip, ...], dict[str, int]]:
    """Clips with the issues that follow from their frame numbers, and the counts of files and missing frames."""
    files: dict[str, int] = {}
    out, missing = [], 0
    for clip in clips:
        if quality.status(clip.issues) is Status.REJECTED or not Path(clip.source).is_dir():
            out.append(clip)
            continue
        numbers, unusable = frames_on_disk(tree, Path(clip.source))
        files[clip.source] = len(numbers)
        issues, holes = foreseen(clip, numbers) if numbers else (unusable, 0)
        out.append(replace(clip, issues=tuple(dict.fromkeys((*clip.issues, *issues)))))
        missing += holes
    return tuple(out), {"files": sum(files.values()), "missing": missing}


def foreseen(clip: Clip, numbers: Sequence[int]) -> tuple[tuple[Issue, ...], int]:
    """Issues that the stages will report for a clip's frame numbers and key frames.

    Parameters
    ----------
    clip
        The clip as listed.
    numbers
        Numbers of the frames in its folder, in ascending order.

    Returns
    -------
    tuple
        The issues, and how many frame numbers between the clip's first and last frame have no frame.
    """
    first, last = clip.first, clip.last
    inside = [n for n in numbers if (first is None or n >= first) and (last is None or n <= last)]
    if not inside:
        images = counted(len(numbers), "image")
        return (Issue("no_frames", f"{images}, none with a number in {first}..{last}"),), 0
    if len(inside) < 2:
        return (Issue("few_frames", counted(len(inside), "frame")),), 0
    holes = clip_tables.gaps(inside, first, last)
    keys = clip_tables.key_frames(clip, inside)
    known = {issue.code for issue in clip.issues}
    issues = [issue for issue in keys.issues if issue.code != "frame_not_on_disk" or issue.code not in known]
    for code, mark in (("apex_equals_onset", keys.onset), ("apex_equals_offset", keys.offset)):
        if keys.apex == mark:
            issues.append(Issue(code, f"frame {inside[mark]}"))
    return (*clip_tables.missing_frames(holes), *issues), sum(high - low + 1 for low, high in holes)
