"""Removes a subject from all results of a workflow, without recomputing anything for the other subjects.

Data of single clips (rows of tables, groups of stage files, rows of feature files) is removed, and the file keeps its
time stamp, so that the next run does not repeat the step. Results that were learned from many subjects together
(trained systems, pre-trainings, reference styles, scores, the report) cannot be separated by subject. They are
deleted, and the next run computes them again from the remaining subjects.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from mer_features import features as feature_file
from mer_features import protocols
from mer_features.core import clips as clip_tables
from mer_features.core import recordings as recording_tables
from mer_features.core.clips import Clip
from mer_features.core.files import write_text
from mer_features.databases import exclusion
from mer_features.stages import run as stages
from mer_features.stages import store


@dataclass
class Forgotten:
    """Result of removing one subject.

    Attributes
    ----------
    database
        Database of the subject.
    clips
        Identifiers of the removed clips.
    recordings
        Identifiers of the recordings from which the clips were cut, by set of recordings.
    rewritten
        Files from which the subject was removed.
    removed
        Files and folders that were deleted.
    left
        Files that still contain the identifier of one of the clips or recordings; should be empty.
    """

    database: str
    clips: tuple[str, ...]
    recordings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rewritten: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)


def forget(subject: str, results: Path = Path("results"), database: str | None = None) -> Forgotten:
    """Remove a subject from a folder of results and exclude it from later runs in that folder.

    If the call is interrupted it can be repeated, even after another run: the tables that assign clips to the subject
    are changed last.

    Parameters
    ----------
    subject
        Name of the subject in the clip tables (``results/clips/<database>.tsv``).
    results
        Folder of results. Snakemake's records in the folder next to it (``.snakemake``) are cleaned as well.
    database
        Needed only if several databases have a subject of this name, because these are different people.

    Raises
    ------
    ValueError
        If no subject or several subjects have this name, if no other subject would remain, or if a file cannot be
        read.
    RuntimeError
        If a workflow is running in the folder.
    """
    records = results.absolute().parent / ".snakemake"
    if any((records / "locks").glob("*")):
        raise RuntimeError(
            f"{records.parent} is locked: a workflow is running here, or was killed (then run `snakemake --unlock`)"
        )
    name, clips = _find(subject, results, database)
    outcome = Forgotten(name, tuple(clip.clip_id for clip in clips), _recordings(clips, results))
    exclusion.remember(results, name, subject)
    _joint_files(outcome, subject, results)
    _notes(outcome, subject, results, records)
    _own_files(outcome, results)  # only now: a repeated call finds the files above with the help of these
    _notes(outcome, subject, results, records)
    _source_files(outcome, clips, subject, results)
    _tables(outcome, subject, results)
    identifiers = {*outcome.clips, *(item for items in outcome.recordings.values() for item in items)}
    outcome.left = [path for path in _files(results, records) if _mentions(path, identifiers)]
    return outcome


def _find(subject: str, results: Path, database: str | None) -> tuple[str, tuple[Clip, ...]]:
    """The database of the subject, and the subject's clips."""
    listed = _listed(results)
    if not listed:
        raise ValueError(f"{results}: no results of the workflow found; expected tables in {results / 'sources'}")
    matches = {name: clips for name, clips in listed.items() if any(clip.subject == subject for clip in clips)}
    if database is not None:
        matches = {name: clips for name, clips in matches.items() if name == database}
    if len(matches) > 1:
        raise ValueError(f"several databases have a subject {subject!r} ({', '.join(matches)}); choose one: --database")
    if not matches:
        known = "; ".join(f"{name}: {', '.join(_subjects(clips))}" for name, clips in listed.items())
        raise ValueError(f"{subject!r} is not a subject of {database or 'any database'}; known subjects are {known}")
    ((name, clips),) = matches.items()
    if len(_subjects(clips)) == 1:
        raise ValueError(
            f"{subject!r} is the only subject of {name}; instead, remove the database from the configuration "
            f"and delete {results}"
        )
    return name, tuple(clip for clip in clips if clip.subject == subject)


def _listed(results: Path) -> dict[str, tuple[Clip, ...]]:
    """Clips of every database: those in its table, and those that remain only in a stage file.

    An interrupted call followed by a run can leave stage files of subjects that are no longer in any table.
    """
    listed = {path.stem: clip_tables.read(path) for path in sorted((results / "sources").glob("*.tsv"))}
    for name, clips in listed.items():
        known = {clip.clip_id for clip in clips}
        for path in sorted(path for stage in stages.SPECS for path in (results / stage / name).glob("*.h5")):
            with store.ShardReader(path) as reader:
                unlisted = [clip_id for clip_id in reader.clip_ids if clip_id not in known]
            known.update(unlisted)
            listed[name] += tuple(Clip(clip_id, name, clip_id.partition("/")[0], source="") for clip_id in unlisted)
    return listed


def _recordings(clips: Iterable[Clip], results: Path) -> dict[str, tuple[str, ...]]:
    """Recordings of the subject of some clips, in the sets from which the clips were cut.

    A subject of the same name in another set is another person.
    """
    sources, subjects = {clip.source for clip in clips}, {clip.subject for clip in clips}
    sets = {}
    for table in sorted((results / "recordings").glob("*.tsv")):
        films = [film for film in recording_tables.read(table) if film.subject in subjects]
        if any(source in sources for film in films for source in film.sources):
            sets[table.stem] = tuple(film.recording_id for film in films)
    return sets


def _subjects(clips: Iterable[Clip]) -> list[str]:
    return sorted({clip.subject for clip in clips})


# Files that hold data of single clips


def _own_files(outcome: Forgotten, results: Path) -> None:
    for stage in stages.SPECS:
        for path in sorted((results / stage / outcome.database).glob("*.h5")):
            _shorten(outcome, path, store.drop, outcome.clips)
    for name, identifiers in {outcome.database: outcome.clips, **outcome.recordings}.items():
        path = results / "features" / f"{name}.h5"
        if path.exists():
            _shorten(outcome, path, _drop_from_feature_file, identifiers)


def _drop_from_feature_file(path: Path, identifiers: tuple[str, ...]) -> int:
    if _row_names(path) <= set(identifiers):
        path.unlink()  # no other clip was usable, or no other recording is in the set
        return len(identifiers)
    return feature_file.drop(path, identifiers)


def _row_names(path: Path) -> set[str]:
    with feature_file.open_features(path) as features:
        if not features.of_recordings:
            return {row.clip_id for row in features.clips}
    with feature_file.open_recordings(path) as file:
        return {row.recording_id for row in file.recordings}


def _shorten(
    outcome: Forgotten, path: Path, drop: Callable[[Path, tuple[str, ...]], int], identifiers: tuple[str, ...]
) -> None:
    with _keeping_time(path):
        changed = drop(path, identifiers)
    if changed:
        (outcome.rewritten if path.exists() else outcome.removed).append(path)


@contextmanager
def _keeping_time(path: Path) -> Iterator[None]:
    """Keep the time stamp of a file, so that Snakemake does not run the steps that read it again."""
    before = path.stat()
    yield
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# Results learned from many subjects


def _joint_files(outcome: Forgotten, subject: str, results: Path) -> None:
    for name in (f"assess/{outcome.database}.json", "report.html", "style/measured.json"):
        _remove(outcome, results / name)
    _forget_style(outcome, results)
    pretrained = _forget_pretraining(outcome, results)
    for table in sorted((results / "protocols").glob("*.tsv")):
        owners = {row.owner for row in protocols.read(table).rows}
        if pretrained or (outcome.database, subject) in owners:
            for folder in ("runs", "logs/train", "logs/embed", "logs/evaluate"):
                _remove(outcome, results / folder / table.stem)
            for name in (f"comparisons/{table.stem}.json", f"logs/compare/{table.stem}.log"):
                _remove(outcome, results / name)
            _remove(outcome, table)  # last: a repeated call finds the files above with its help
    if pretrained:
        for name in ("runs", "comparisons"):
            _remove(outcome, results / name)


def _forget_style(outcome: Forgotten, results: Path) -> None:
    """Remove reference styles and generators that may have used the subject."""
    fit = results / "style" / "fitted.json"
    if fit.exists() and outcome.database not in json.loads(fit.read_text(encoding="utf-8"))["source"]["databases"]:
        return
    for name in ("fitted.json", "model.pt", "model.training"):
        _remove(outcome, results / "style" / name)


def _forget_pretraining(outcome: Forgotten, results: Path) -> bool:
    """Remove pre-trainings that may have used the subject; returns whether there was one."""
    removed = False
    for folder in sorted((results / "pretraining").glob("*")):
        summary = folder / "summary.json"
        databases = json.loads(summary.read_text(encoding="utf-8")).get("databases") if summary.exists() else None
        if databases is None or outcome.database in databases:
            removed = True
            _remove(outcome, folder)
    return removed


def _remove(outcome: Forgotten, path: Path) -> None:
    if not path.exists():
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    outcome.removed.append(path)


# Logs and Snakemake's records

#: Snakemake's folders of text files.
_LOGS = ("log", "slurm_logs", "auxiliary")


def _notes(outcome: Forgotten, subject: str, results: Path, records: Path) -> None:
    """Delete logs that name the subject, and Snakemake's records of deleted files or with names of the clips.

    Records of remaining files are kept: Snakemake needs them to know what these files were made from.
    """
    word = re.compile(rb"(?<![\w+.-])" + re.escape(subject.encode()) + rb"(?![\w+-])")
    for path in _unfinished(results, records):
        _remove(outcome, path)
    for folder in (results / "logs", results / "benchmarks", *(records / name for name in _LOGS)):
        for path in _files(folder):
            if _mentions(path, outcome.clips) or word.search(path.read_bytes()):
                _remove(outcome, path)
    for path in _files(records / "metadata"):
        output = records.parent / _recorded(path, records / "metadata")
        if not output.exists() or _mentions(path, outcome.clips):  # deleted now or by an earlier, interrupted call
            _remove(outcome, path)


def _unfinished(results: Path, records: Path) -> list[Path]:
    """Leftovers of interrupted runs: half-written files, and Snakemake's temporary copies of outputs and scripts."""
    return [*results.rglob(".*.tmp"), *(records / name for name in ("backup", "scripts", "shadow"))]


def _recorded(path: Path, folder: Path) -> str:
    """The path of the file that a Snakemake record describes.

    The record's name is that path in base 64; long names are split into folders that start with ``@``.
    """
    coded = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
    try:
        return base64.urlsafe_b64decode(coded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


# Tables; the one that assigns clips to subjects is changed last


def _source_files(outcome: Forgotten, clips: Iterable[Clip], subject: str, results: Path) -> None:
    """Remove files of clips rendered into the results; files of a database outside the results are never changed."""
    data = results / "data" / outcome.database
    for clip in clips:
        source = Path(clip.source)
        if source.absolute().is_relative_to(data.absolute()):
            _remove(outcome, source)
            _remove(outcome, data / "truth" / f"{clip.clip_id}.npz")
    for folder in (data / "frames" / subject, data / "truth" / subject):
        _remove(outcome, folder)
    for sheet in sorted(data.glob("*.tsv")):
        rows = list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8")), delimiter="\t"))
        _write(outcome, sheet, _tsv([row for row in rows if row["subject"] != subject], rows))


def _tsv(rows: list[dict[str, str]], like: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(like[0]) if like else [], delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _tables(outcome: Forgotten, subject: str, results: Path) -> None:
    folder = results / "clips" / outcome.database
    for path in (
        *sorted(folder.glob("*.tsv")),
        folder.with_suffix(".tsv"),
        results / "sources" / f"{outcome.database}.tsv",
    ):
        if not path.exists():
            continue
        left = [clip for clip in clip_tables.read(path) if clip.subject != subject]
        if left:
            _write(outcome, path, clip_tables.dumps(left))
        else:
            _remove(outcome, path)


def _write(outcome: Forgotten, path: Path, text: str) -> None:
    if path.read_text(encoding="utf-8") != text:
        with _keeping_time(path):
            write_text(path, text)
        outcome.rewritten.append(path)


# Search for remaining mentions


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _mentions(path: Path, clip_ids: Iterable[str]) -> bool:
    """Whether a file contains the identifier of one of the clips, in any encoding that the package writes."""
    data = path.read_bytes()
    return any(encoded in data for clip_id in clip_ids for encoded in _encodings(clip_id))


def _encodings(text: str) -> set[bytes]:
    """UTF-8 for tables and HDF5, UTF-32 for numpy strings, and the escapes of JSON and of file names."""
    escaped = json.dumps(text)[1:-1]
    return {text.encode(), text.encode("utf-32-le"), escaped.encode(), quote(text, safe="").encode()}
