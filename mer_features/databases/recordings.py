"""Recordings, events and blinks of a configured database, with what explains differences from published counts.

:func:`read_recordings` lists them. The adapters of the owners' databases are in
:mod:`mer_features.databases.owners`, that of own tables in :mod:`mer_features.databases.recording_tables`.
"""

from __future__ import annotations

import hashlib
import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mer_features.core import files, quality
from mer_features.core import recordings as rows
from mer_features.core.quality import Issue
from mer_features.core.recordings import KINDS, Recording
from mer_features.databases import Sources, exclusion, recording_tables
from mer_features.databases.films import DROPPED, LEFT_OUT, MERGED
from mer_features.databases.listing import DatabaseError, PublishedRecordings, RecordedListing
from mer_features.databases.options import AnyRecordings, RecordingsDatabase, SyntheticRecordings, TableRecordings

#: Notes that explain why counts differ from the published ones.
_REASONS = (DROPPED, LEFT_OUT, MERGED, "excluded")


def read_recordings(name: str, database: RecordingsDatabase, results: Path = Path("results")) -> RecordedListing:
    """Everything that a configured database holds, with the digests of the sources. No image is opened.

    Subjects that the configuration excludes or that were forgotten (``forgotten.json`` in ``results``) are left out
    with their events and blinks.

    Parameters
    ----------
    name
        Name of the database in the configuration.
    database
        Its section of the configuration.
    results
        The folder that holds the list of forgotten subjects.

    Raises
    ------
    DatabaseError
        If the root is missing, a table cannot be read, or no recording is left.
    """
    root = database.folder(name)
    if not root.is_dir():
        raise DatabaseError(f"recordings.{name}.root: {root} is not a folder; expected the recordings there")
    if isinstance(database, TableRecordings):
        listing = recording_tables.read(name, root, database)
    else:
        module = importlib.import_module(f"mer_features.databases.owners.{database.adapter}")
        listing = module.read_recordings(name, root, database)
    left_out = exclusion.LeftOut(name, database.exclude_subjects, results)
    chosen, notes = exclusion.without(listing.recordings, left_out)
    if not chosen:
        reason = f"all {len(listing.recordings)} belong to excluded subjects" if listing.recordings else "none is there"
        raise DatabaseError(f"recordings.{name}: no recording is listed in {root}; {reason}")
    sources, kept = Sources(root), {recording.recording_id for recording in chosen}
    return replace(
        listing,
        recordings=tuple(_with_digest(recording, sources) for recording in chosen),
        events=tuple(event for event in listing.events if event.recording_id in kept),
        blinks=tuple(blink for blink in listing.blinks if blink.recording_id in kept),
        notes=(*listing.notes, *notes),
    )


def source_tables(name: str, results: Path = Path("results")) -> Path:
    """Folder of ``recordings.tsv`` and ``events.tsv`` of one set of recordings."""
    return results / "sources" / "recordings" / name


def refresh_recordings(configured: Mapping[str, AnyRecordings]) -> None:
    """Update the tables of recordings and events from the disk; called when the workflow starts.

    A table is rewritten only if it changed, so its time stamp changes only then. The tables of embedded recordings are
    written by the rule that renders them.

    Raises
    ------
    DatabaseError
        As in :func:`read_recordings`.
    """
    for name, database in configured.items():
        if isinstance(database, SyntheticRecordings):
            continue
        listing = read_recordings(name, database)
        texts = {
            "recordings.tsv": rows.dumps(listing.recordings),
            "events.tsv": rows.dumps_events(listing.events),
        }
        for file, text in texts.items():
            path = source_tables(name) / file
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                files.write_text(path, text)


def _with_digest(recording: Recording, sources: Sources) -> Recording:
    """The recording with a digest over its sources; rejected if one holds a link out of the root."""
    if quality.status(recording.issues) is quality.Status.REJECTED:
        return recording
    examined = [(source, *sources.examine(source)) for source in recording.sources]
    leaving = [f"{Path(source).name}/{link} leaves the root" for source, _, link in examined if link]
    if leaving:
        return replace(recording, issues=(*recording.issues, *(Issue("unsafe_path", text) for text in leaving)))
    digests = [digest for _, digest, _ in examined]
    joined = hashlib.blake2b("\n".join(digests).encode(), digest_size=12).hexdigest()
    return replace(recording, digest=digests[0] if len(digests) == 1 else joined)


def counts(listing: RecordedListing) -> dict[str, int]:
    """Number of recordings, of those with an event (``annotated``), of subjects in these, of events by kind, blinks."""
    annotated = {event.recording_id for event in listing.events}
    kinds = Counter(event.kind for event in listing.events)
    return {
        "recordings": len(listing.recordings),
        "annotated": len(annotated),
        "subjects": len({item.subject for item in listing.recordings if item.recording_id in annotated}),
        **{kind: kinds[kind] for kind in KINDS},
        "blinks": len(listing.blinks),
    }


def published_counts(edition: PublishedRecordings) -> dict[str, int]:
    """The counts of an edition, without those that are not known, in the order of :func:`counts`."""
    values = {what: getattr(edition, what) for what in ("recordings", "annotated", "subjects", *KINDS)}
    return {what: count for what, count in values.items() if count is not None}


@dataclass(frozen=True)
class Comparison:
    """The counts of a listing beside those of the most similar published edition.

    ``differences`` has the found and the published number of what differs; recordings that were merged count as
    distributed. ``reasons`` are those known, whether they explain a difference or not. ``chosen`` is whether an option
    of the configuration explains all differences.
    """

    edition: str
    published: dict[str, int]
    differences: dict[str, tuple[int, int]]
    reasons: tuple[str, ...] = ()
    chosen: bool = False

    @property
    def lines(self) -> list[str]:
        """One line for all differences, and one for each reason; empty if nothing differs."""
        if not self.differences:
            return []
        told = [f"{found} {_WORDS[what]}, published {count}" for what, (found, count) in self.differences.items()]
        reasons = self.reasons or ("(no reason is known: are all files and all rows there?)",)
        return [f"{'; '.join(told)} ({self.edition})", *reasons]


_WORDS = {
    "recordings": "recordings", "annotated": "recordings with an event", "subjects": "subjects",
    "micro": "micro-expressions", "macro": "macro-expressions",
}  # fmt: skip


def compare(listing: RecordedListing) -> Comparison | None:
    """Compare a listing with what is published; None if nothing is."""
    found = counts(listing)
    merged = _total(listing, MERGED)
    found |= {"recordings": found["recordings"] + merged, "annotated": found["annotated"] + merged}
    editions = [(edition.edition, published_counts(edition)) for edition in listing.published]
    if not editions:
        return None
    name, published = min(editions, key=lambda item: sum(abs(found[what] - n) for what, n in item[1].items()))
    differences = {what: (found[what], count) for what, count in published.items() if found[what] != count}
    reasons = [note.detail for note in listing.notes if note.kind in _REASONS]
    missing = [item.recording_id for item in listing.recordings if any(i.code == "source_missing" for i in item.issues)]
    if missing:
        reasons.append(f"{len(missing)} recordings of the sheet are not on disk, e.g. {missing[0]}")
    fewer = sum(published[kind] - found[kind] for kind in KINDS)
    same_recordings = "recordings" not in differences
    return Comparison(
        name, published, differences, tuple(reasons), same_recordings and fewer == _total(listing, DROPPED)
    )


def _total(listing: RecordedListing, kind: str) -> int:
    return sum(note.count for note in listing.notes if note.kind == kind)
