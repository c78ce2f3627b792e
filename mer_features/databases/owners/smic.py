"""Adapter for SMIC and SMIC-E; see ``docs/databases/smic.md``.

There are three cameras: HS with 100 frames per second, VIS and NIR with 25. In the short release, frames are in
``s3/micro/negative/s3_ne_01/image257900.bmp``, and a clip's folder holds exactly the frames from onset to offset. The
long release (SMIC-E) has longer recordings and an annotation sheet. Sources: public loading code and annotation
tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError
from mer_features.core.recordings import SEPARATOR
from mer_features.databases import adapter, sheets
from mer_features.databases.adapter import Release
from mer_features.databases.errata import Errata
from mer_features.databases.films import MERGED, Annotation, EventReader, Film, Films, with_ends
from mer_features.databases.folders import Tree, unpadded
from mer_features.databases.listing import DatabaseError, Listing, Note, Published, PublishedRecordings, RecordedListing
from mer_features.databases.options import OwnerDatabase, SmicRecordings
from mer_features.databases.sheets import Column, Row, Sheet
from mer_features.databases.table import safe_name

FPS = {"hs": 100.0, "vis": 25.0, "nir": 25.0}
EMOTIONS = {"negative": "ne", "positive": "po", "surprise": "sur"}
#: Camera, then ``-e`` for the long clips, then ``-cropped`` for the owners' face crops.
VARIANTS = tuple(f"{camera}{long}{crop}" for camera in FPS for long in ("", "-e") for crop in ("", "-cropped"))
_SUBJECT = re.compile(r"s[0-9]{1,2}", re.IGNORECASE)
_CLIP = re.compile(r"s([0-9]+)_(ne|po|sur)_[0-9]+", re.IGNORECASE)  # later expressions have one more number
_SHEET = r"smic[-_ ]({})[-_ ]e[-_ ]annotation.*\.(?:xlsx|xls|csv)"
COLUMNS = {
    "subject": Column(("Subject",)),
    "clip": Column(("Filename",)),
    "onset": Column(("OnsetF", "OnsetF NIR")),
    "offset": Column(("OffsetF", "OffsetF NIR")),
    "onset2": Column(("Onset2F", "Onset2F NIR"), needed=False),
    "offset2": Column(("Offset2F", "Offset2F NIR"), needed=False),
    "onset3": Column(("Onset3F",), needed=False),
    "offset3": Column(("Offset3F",), needed=False),
    "first": Column(("FirstF", "FirstF NIR"), needed=False),
    "last": Column(("LastF", "LastF NIR"), needed=False),
    "emotion": Column(("Emotion",)),
}
#: (camera, whether long) -> published counts; those of the long NIR clips are not known.
_71 = Published("short clips", 71, 8, {"negative": 23, "positive": 28, "surprise": 20})
PUBLISHED = {
    ("hs", False): (Published("short clips", 164, 16, {"negative": 70, "positive": 51, "surprise": 43}),),
    ("vis", False): (_71,),
    ("nir", False): (_71,),
    ("hs", True): (
        Published(
            "sheet of 157 rows, every expression a clip", 166, 16, {"negative": 71, "positive": 51, "surprise": 44}
        ),
    ),
    ("vis", True): (
        Published("sheet of 71 rows, every expression a clip", 76, 8, {"negative": 26, "positive": 28, "surprise": 22}),
    ),
}
PUBLISHED_RECORDINGS = {
    "hs-e": (
        PublishedRecordings("sheet of 157 rows", 157, 157, 16, 166, 0),
        PublishedRecordings("sheet of 157 rows, s1_ne_03 outside its recording", 157, 156, 16, 165, 0),
        PublishedRecordings("sheet of 162 rows", 162, 162, 16, 167, 0),
        PublishedRecordings("sheet of 162 rows, s1_ne_03 outside its recording", 162, 161, 16, 166, 0),
    ),
    "vis-e": (PublishedRecordings("sheet of 71 rows", 71, 71, 8, 76, 0),),
    "nir-e": (),
}
#: (recording, number of the expression) -> name of the clip in the short release that has the same frame numbers.
_SHORT_NAMES = {
    ("s3_ne_02", 2): "s3_ne_03",
    ("s4_ne_04", 2): "s4_ne_05",
    ("s4_ne_04", 3): "s4_ne_06",
    ("s9_sur_01", 2): "s9_sur_02",
}


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Clips of one camera: the short clips from their folders, the long clips from the sheet.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        Folder that the archives were unpacked into.
    options
        ``variant``: one of :data:`VARIANTS`, default ``hs``; ``sheet`` and ``errata`` apply to the long clips only.

    Raises
    ------
    DatabaseError
        If the variant is unknown, its folder is missing or, for the long clips, the sheet is missing or unreadable.
    """
    tree = Tree(root)
    variant = adapter.variant(name, options, VARIANTS)
    camera = variant.split("-")[0]
    searches = {key: partial(_parts, tree, key) for key in VARIANTS}
    part, notes = adapter.choose_part(tree, searches, variant, _expected(variant))
    long = variant.removesuffix("-cropped").endswith("-e")
    if not long and options.sheet:
        raise DatabaseError(
            f"databases.{name}.sheet: the short clips ({variant}) need no sheet; leave the key out, or read the long "
            f"clips with `variant: {camera}-e`"
        )
    listing = _long(name, tree, part, camera, options) if long else _short(name, tree, part, camera)
    return Listing(listing.clips, (*notes, *listing.notes), PUBLISHED.get((camera, long), ()))


def _names(variant: str) -> tuple[str, ...]:
    camera, *rest = variant.upper().split("-")
    return (f"SMIC-{camera}-E", f"{camera}_long") if "E" in rest else (camera,)


def _parts(tree: Tree, variant: str) -> list[Path]:
    crops = variant.endswith("-cropped")
    return [folder for folder in tree.search(_names(variant), _SUBJECT, depth=4) if _is_cropped(tree, folder) == crops]


def _is_cropped(tree: Tree, folder: Path) -> bool:
    """Whether a folder belongs to the owners' crops: ``SMIC_all_cropped`` is above it, perhaps above the root."""
    above = (*tree.root.resolve().parts[-2:], *folder.relative_to(tree.root).parts)
    return any("crop" in part.lower() for part in above)


def _expected(variant: str) -> str:
    crops = "cropped" if variant.endswith("-cropped") else "raw"
    names = _names(variant)
    if len(names) > 1:
        return f"a folder {names[0]} or {names[1]} ({crops}) with the subjects' folders (s01, s02, ...)"
    return f"a folder SMIC_all_{crops}/{names[0]} with the subjects' folders (s1, s2, ...)"


def _short(name: str, tree: Tree, part: Path, camera: str) -> Listing:
    clips: list[Clip] = []
    notes: list[Note] = []
    subjects = [folder for folder in tree.entries(part).folders if _SUBJECT.fullmatch(folder)]
    for subject in sorted(subjects, key=lambda folder: int(folder[1:])):
        try:
            micro = tree.folder(part / subject, "micro")
        except ClipRejectedError as error:
            notes.append(Note("layout", str(error.issue.detail)))
            continue
        for emotion in tree.entries(micro).folders:
            if emotion.lower() not in EMOTIONS:
                notes.append(Note("unlisted_folder", tree.shown(micro / emotion)))
                continue
            here = tree.entries(micro / emotion)
            clips += [_short_clip(name, tree, micro / emotion / clip, camera) for clip in here.folders + here.leaving]
    notes += _disagreements(clips, "is in the folder {}, but its name says otherwise; the folder is used")
    return Listing(tuple(clips), (*notes, *tree.notes()))


def _short_clip(name: str, tree: Tree, folder: Path, camera: str) -> Clip:
    subject, emotion, clip = folder.parts[-4], folder.parent.name.lower(), safe_name(folder.name) or "unnamed"
    _, numbers, issues = adapter.source_frames(tree, folder.parent, folder.name)
    onset, offset = (numbers[0], numbers[-1]) if numbers else (None, None)
    source = folder if tree.inside(folder) else folder.parent
    marks = {"onset": onset, "offset": offset, "fps": FPS[camera]}
    return adapter.clip_of(name, subject, clip, source, emotion, issues, **marks)


def _disagreements(clips: Sequence[Clip], what: str) -> list[Note]:
    """A note for each clip whose name, e.g. ``s3_ne_01``, contradicts its subject or its emotion."""
    notes = []
    for clip in clips:
        match = _CLIP.match(clip.name)
        same = match and unpadded(f"s{match[1]}") == unpadded(clip.subject)
        if not (same and match and match[2].lower() == EMOTIONS.get(clip.emotion)):
            notes.append(Note("layout", f"{clip.clip_id} {what.format(clip.emotion)}"))
    return notes


def _long(name: str, tree: Tree, part: Path, camera: str, options: OwnerDatabase) -> Listing:
    sheet, other_sheets = _long_sheet(tree, camera, options.sheet)
    rows, range_notes = _expressions(sheet.rows)
    release = Release(name, tree, part, _SUBJECT, _subject_folder, FPS[camera], clip_key=unpadded)
    listing = adapter.read_release(release, rows, Errata("smic", options.errata))
    contradictions = _disagreements(listing.clips, "is {} in the sheet, but its name says otherwise; the sheet is used")
    return Listing(listing.clips, (sheet.note, *other_sheets, *range_notes, *contradictions, *listing.notes))


def _long_sheet(tree: Tree, camera: str, option: Path | None) -> tuple[Sheet, tuple[Note, ...]]:
    own = re.compile(_SHEET.format(camera), re.IGNORECASE)
    # The HS workbook also holds a sheet of the VIS clips.
    pattern = own if tree.files(own, _SUBJECT) else re.compile(_SHEET.format("|".join(FPS)), re.IGNORECASE)
    expected = f"SMIC-{camera.upper()}-E_annotation.xlsx"
    path, others = sheets.choose(tree, option, pattern, expected=expected, subject=_SUBJECT)
    return sheets.read(path, COLUMNS, titles=(camera,), never=tuple(other for other in FPS if other != camera)), others


def _subject_folder(subject: str) -> str:
    return adapter.numbered_folder("s{:02d}", subject, digits=2)


def _expressions(rows: tuple[Row, ...]) -> tuple[list[Row], list[Note]]:
    """One row for each expression of a recording, and notes on frame ranges that are not used as they are."""
    listed = {row.cells["clip"] for row in rows}
    out: list[Row] = []
    notes: list[Note] = []
    for row in rows:
        base = {key: row.cells[key] for key in ("subject", "emotion")} | _recording(row, notes)
        out.append(Row(row.line, base | {key: row.cells[key] for key in ("clip", "onset", "offset")}))
        for number, onset, offset in _later(row, base, notes):
            clip = _SHORT_NAMES.get((row.cells["clip"], number), f"{row.cells['clip']}_{number}")
            if clip not in listed:
                folder = row.cells["clip"]
                out.append(Row(row.line, base | {"clip": clip, "folder": folder, "onset": onset, "offset": offset}))
                notes.append(Note("sheet", f"{clip} is expression {number} of the recording {folder}"))
    return out, notes


def _recording(row: Row, notes: list[Note]) -> dict[str, str]:
    """First and last frame of the recording, unless they exclude the expression."""
    texts = {key: row.cells[key] for key in ("first", "last") if row.cells.get(key)}
    onset, offset = (sheets.frame_number(row.cells[key]) for key in ("onset", "offset"))
    first, last = (sheets.frame_number(texts[key]) if key in texts else None for key in ("first", "last"))
    readable = all(sheets.frame_number(text) is not None for text in texts.values())
    early = first is not None and onset is not None and onset < first
    late = last is not None and offset is not None and offset > last
    if readable and not early and not late:
        return texts
    shown = "..".join(texts.values())
    notes.append(Note("sheet", f"{row.cells['clip']}: the recording's range {shown} excludes the expression; not used"))
    return {}


def _later(row: Row, base: dict[str, str], notes: list[Note]) -> Iterator[tuple[int, str, str]]:
    """Second and third expression, without ranges that are outside the recording or repeat another expression."""
    ranges = {(row.cells["onset"], row.cells["offset"])}
    low, high = (sheets.frame_number(base.get(key, "")) for key in ("first", "last"))
    for number in (2, 3):
        texts = row.cells.get(f"onset{number}", ""), row.cells.get(f"offset{number}", "")
        onset, offset = map(sheets.frame_number, texts)
        if texts == ("", ""):
            continue
        if onset is None or offset is None or onset > offset or texts in ranges or _outside(onset, offset, low, high):
            shown = "..".join(texts)
            notes.append(Note("sheet", f"{row.cells['clip']}: expression {number}, {shown}, is a leftover; not read"))
            continue
        ranges.add(texts)
        yield number, *texts


def _outside(onset: int, offset: int, low: int | None, high: int | None) -> bool:
    return (low is not None and onset < low) or (high is not None and offset > high)


# Recordings of the long release


def read_recordings(name: str, root: Path, options: SmicRecordings) -> RecordedListing:
    """The recordings of the long release of one camera, and every expression of the sheet as a micro-expression.

    Parameters
    ----------
    name
        Configured name of the database.
    root
        As for :func:`read`.
    options
        ``variant``, ``sheet``, ``errata``, and ``overlaps``: whether recordings that share frames become one.

    Raises
    ------
    DatabaseError
        If the folder of the recordings or the sheet is missing, or the sheet cannot be read.
    """
    tree, camera = Tree(root), options.variant.split("-")[0]
    searches = {key: partial(_parts, tree, key) for key in VARIANTS}
    part, other_parts = adapter.choose_part(tree, searches, options.variant, _expected(options.variant))
    sheet, other_sheets = _long_sheet(tree, camera, options.sheet)
    films = Films(tree, name, FPS[camera])
    for folder in adapter.clip_folders(tree, part, _SUBJECT):
        films.add(f"{folder.parent.name}/{safe_name(folder.name)}", folder)
    rows, range_notes = _expressions(sheet.rows)
    annotations = _annotations(rows, films)
    merged = _merge(films) if options.overlaps == "merge" else ()
    annotations, repeated = _distinct(annotations, films)
    reader = EventReader(films, Errata("smic", options.errata))
    events = reader.events(annotations)
    notes = (sheet.note, *other_parts, *other_sheets, *range_notes, *merged, *repeated, *reader.notes(), *tree.notes())
    return RecordedListing(films.recordings, events, (), notes, PUBLISHED_RECORDINGS[options.variant])


def _annotations(rows: Iterable[Row], films: Films) -> list[Annotation]:
    annotations = []
    for row in rows:
        cells = row.cells
        folder, subject = safe_name(cells.get("folder", cells["clip"])), safe_name(_subject_folder(cells["subject"]))
        if folder:  # otherwise a remark below the table
            recording = films.add_missing(f"{subject or 'unknown'}/{folder}")
            texts = {key: cells[key] for key in ("onset", "offset", "emotion")}
            annotations.append(Annotation(row.line, recording, cells["clip"], kind="micro", **texts))
    return annotations


def _merge(films: Films) -> tuple[Note, ...]:
    """Put one film in the place of those of a subject that share frames."""
    groups: list[list[Film]] = []
    present = [film for film in films if film.numbers]
    for film in sorted(present, key=lambda film: (film.recording.subject, film.numbers[0], film.numbers[-1])):
        last = groups[-1] if groups else []
        end = max((other.numbers[-1] for other in last), default=-1)
        if last and last[0].recording.subject == film.recording.subject and film.numbers[0] <= end:
            last.append(film)
        else:
            groups.append([film])
    shared = [group for group in groups if len(group) > 1]
    for group in shared:
        films.replace(group, _one_film(group))
    names = [" + ".join(film.recording.recording_id for film in group) for group in shared]
    fewer = sum(len(group) - 1 for group in shared)
    text = f"recordings fewer, because these share frames and are one film each (`overlaps: merge`): {'; '.join(names)}"
    return (Note(MERGED, f"{fewer} {text}", fewer),) if shared else ()


def _one_film(group: Sequence[Film]) -> Film:
    first = group[0].recording
    names = "+".join(film.recording.recording_id.split("/", 1)[1] for film in group)
    recording = replace(
        first,
        recording_id=f"{first.subject}/{names}",
        source=SEPARATOR.join(film.recording.source for film in group),
    )
    return with_ends(Film(recording, tuple(sorted({number for film in group for number in film.numbers}))))


def _distinct(annotations: Iterable[Annotation], films: Films) -> tuple[list[Annotation], tuple[Note, ...]]:
    """The annotations without those that repeat another one of the same film, and a note on them."""
    kept: dict[tuple[str, str, str], Annotation] = {}
    repeated = []
    for annotation in annotations:
        film = films.of(annotation.recording_id)
        name = film.recording.recording_id if film else annotation.recording_id
        if (key := (name, annotation.onset, annotation.offset)) in kept:
            repeated.append(f"{annotation.name} ({kept[key].name})")
        else:
            kept[key] = annotation
    return list(kept.values()), adapter.note_count("sheet", "expressions are in two rows and were read once", repeated)
