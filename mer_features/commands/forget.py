"""Removes a person from everything a workflow has made, without computing anything again for the others.

What belongs to one clip (rows of tables, groups of stage files, rows of feature files) is taken out and the file keeps
its time stamp, so that the next run sees nothing to do. What was learned from many people together (trained systems,
pre-trainings, reference styles, figures, the report) cannot be taken apart: it is deleted, and the next run makes it
again from those who are left.
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
from mer_features.core.clips import Clip
from mer_features.core.files import write_text
from mer_features.databases import exclusion
from mer_features.stages import run as stages
from mer_features.stages import store


@dataclass
class Forgotten:
    """What was done.

    Attributes
    ----------
    database
        Whose subject it was.
    clips
        Identifiers of the clips.
    rewritten, removed
        Files that lost the subject, and files and folders that are gone.
    left
        Files that still name one of the clips; should be empty.
    """

    database: str
    clips: tuple[str, ...]
    rewritten: list[Path] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)


def forget(subject: str, results: Path = Path("results"), database: str | None = None) -> Forgotten:
    """Remove a subject from a folder of results and keep it from coming back there.

    A killed call can be repeated, also after a run: what says which clips are the subject's is changed last.

    Parameters
    ----------
    subject
        As the clip tables (``results/clips/<database>.tsv``) name it.
    results
        Folder of results; Snakemake's own records beside it (``.snakemake``) are cleaned, too.
    database
        Needed only where several databases have a subject of this name: they are different people.

    Raises
    ------
    ValueError
        If nobody or several are meant, nobody would be left, or a file cannot be read.
    RuntimeError
        If a workflow is running in the folder.
    """
    records = results.absolute().parent / ".snakemake"
    if any((records / "locks").glob("*")):
        raise RuntimeError(f"{records.parent}: a workflow runs here, or was killed (then `snakemake --unlock`)")
    name, clips = _find(subject, results, database)
    done = Forgotten(name, tuple(clip.clip_id for clip in clips))
    exclusion.remember(results, name, subject)
    _joint_files(done, subject, results)
    _notes(done, subject, results, records)
    _own_files(done, results)  # after all that a killed call would not find any more once these are gone
    _notes(done, subject, results, records)
    _source_files(done, clips, subject, results)
    _tables(done, subject, results)
    done.left = [path for path in _files(results, records) if _mentions(path, done.clips)]
    return done


def _find(subject: str, results: Path, database: str | None) -> tuple[str, tuple[Clip, ...]]:
    """The database that has the subject, and the subject's clips."""
    listed = _listed(results)
    if not listed:
        raise ValueError(f"{results}: no results of the workflow here; expected tables in {results / 'sources'}")
    found = {name: clips for name, clips in listed.items() if any(clip.subject == subject for clip in clips)}
    if database is not None:
        found = {name: clips for name, clips in found.items() if name == database}
    if len(found) > 1:
        raise ValueError(f"{subject!r} is a subject of {', '.join(found)}: different people; say which by --database")
    if not found:
        known = "; ".join(f"{name}: {', '.join(_subjects(clips))}" for name, clips in listed.items())
        raise ValueError(f"{subject!r} is not a subject of {database or 'any database'}; there are {known}")
    ((name, clips),) = found.items()
    if len(_subjects(clips)) == 1:
        raise ValueError(f"{subject!r} is all of {name}: take the database out of the configuration, delete {results}")
    return name, tuple(clip for clip in clips if clip.subject == subject)


def _listed(results: Path) -> dict[str, tuple[Clip, ...]]:
    """Clips of every database: those of its table, and those that only a stage file still has.

    A call that was killed, and a run after it, leave stage files of people whom no table lists any more.
    """
    listed = {path.stem: clip_tables.read(path) for path in sorted((results / "sources").glob("*.tsv"))}
    for name, clips in listed.items():
        known = {clip.clip_id for clip in clips}
        for path in sorted(path for stage in stages.SPECS for path in (results / stage / name).glob("*.h5")):
            with store.ShardReader(path) as reader:
                beyond = [clip_id for clip_id in reader.clip_ids if clip_id not in known]
            known.update(beyond)
            listed[name] += tuple(Clip(one, name, one.partition("/")[0], source="") for one in beyond)
    return listed


def _subjects(clips: Iterable[Clip]) -> list[str]:
    return sorted({clip.subject for clip in clips})


# Files with something of each clip


def _own_files(done: Forgotten, results: Path) -> None:
    for stage in stages.SPECS:
        for path in sorted((results / stage / done.database).glob("*.h5")):
            _shorten(done, path, store.drop)
    feature_file = results / "features" / f"{done.database}.h5"
    if feature_file.exists():
        _shorten(done, feature_file, _drop_from_cache)


def _drop_from_cache(path: Path, clip_ids: tuple[str, ...]) -> int:
    with feature_file.open_features(path) as features:
        if {row.clip_id for row in features.clips} <= set(clip_ids):
            path.unlink()  # nobody else could be used
            return len(clip_ids)
    return feature_file.drop(path, clip_ids)


def _shorten(done: Forgotten, path: Path, drop: Callable[[Path, tuple[str, ...]], int]) -> None:
    with _keeping_time(path):
        changed = drop(path, done.clips)
    if changed:
        (done.rewritten if path.exists() else done.removed).append(path)


@contextmanager
def _keeping_time(path: Path) -> Iterator[None]:
    """What a job reads keeps its time stamp: for Snakemake nothing has happened."""
    before = path.stat()
    yield
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# What was learned from many


def _joint_files(done: Forgotten, subject: str, results: Path) -> None:
    for name in (f"assess/{done.database}.json", "report.html", "style/measured.json"):
        _remove(done, results / name)
    _forget_style(done, results)
    pretrained = _forget_pretraining(done, results)
    for table in sorted((results / "protocols").glob("*.tsv")):
        owners = {row.owner for row in protocols.read(table).rows}
        if pretrained or (done.database, subject) in owners:
            _remove(done, table)
            for folder in ("runs", "logs/train", "logs/embed", "logs/evaluate"):
                _remove(done, results / folder / table.stem)
    if pretrained:
        _remove(done, results / "runs")


def _forget_style(done: Forgotten, results: Path) -> None:
    """Reference styles and generators that may have seen the subject."""
    fit = results / "style" / "fitted.json"
    if fit.exists() and done.database not in json.loads(fit.read_text(encoding="utf-8"))["source"]["databases"]:
        return
    for name in ("fitted.json", "model.pt", "model.training"):
        _remove(done, results / "style" / name)


def _forget_pretraining(done: Forgotten, results: Path) -> bool:
    """Remove pre-trainings that may have seen the subject; every system that may have started from one goes, too."""
    found = False
    for folder in sorted((results / "pretraining").glob("*")):
        summary = folder / "summary.json"
        told = json.loads(summary.read_text(encoding="utf-8")).get("databases") if summary.exists() else None
        if told is None or done.database in told:
            found = True
            _remove(done, folder)
    return found


def _remove(done: Forgotten, path: Path) -> None:
    if not path.exists():
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    done.removed.append(path)


# Logs and Snakemake's records

#: Folders of Snakemake's with texts.
_LOGS = ("log", "slurm_logs", "auxiliary")


def _notes(done: Forgotten, subject: str, results: Path, records: Path) -> None:
    """Delete logs that name the subject, and Snakemake's records of files that are gone or that name the clips.

    Records of files that stay are kept: without them Snakemake would not know what those were made from.
    """
    word = re.compile(rb"(?<![\w+.-])" + re.escape(subject.encode()) + rb"(?![\w+-])")
    for path in _unfinished(results, records):
        _remove(done, path)
    for folder in (results / "logs", results / "benchmarks", *(records / name for name in _LOGS)):
        for path in _files(folder):
            if _mentions(path, done.clips) or word.search(path.read_bytes()):
                _remove(done, path)
    for path in _files(records / "metadata"):
        made = records.parent / _recorded(path, records / "metadata")
        if not made.exists() or _mentions(path, done.clips):  # gone now, or by an earlier call that was killed
            _remove(done, path)


def _unfinished(results: Path, records: Path) -> list[Path]:
    """What killed runs leave: half-written files, and copies of outputs and scripts that Snakemake keeps meanwhile."""
    return [*results.rglob(".*.tmp"), *(records / name for name in ("backup", "scripts", "shadow"))]


def _recorded(path: Path, folder: Path) -> str:
    """The file that one of Snakemake's records is of: its name is that path in base 64, long ones cut with ``@``."""
    coded = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
    try:
        return base64.urlsafe_b64decode(coded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


# Tables, the one that is asked who it is last of all


def _source_files(done: Forgotten, clips: Iterable[Clip], subject: str, results: Path) -> None:
    """What was rendered into the results themselves; a database outside is the owner's and only read."""
    data = results / "data" / done.database
    for clip in clips:
        source = Path(clip.source)
        if source.absolute().is_relative_to(data.absolute()):
            _remove(done, source)
            _remove(done, data / "truth" / f"{clip.clip_id}.npz")
    for folder in (data / "frames" / subject, data / "truth" / subject):
        _remove(done, folder)
    for sheet in sorted(data.glob("*.tsv")):
        rows = list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8")), delimiter="\t"))
        _write(done, sheet, _tsv([row for row in rows if row["subject"] != subject], rows))


def _tsv(rows: list[dict[str, str]], like: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(like[0]) if like else [], delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _tables(done: Forgotten, subject: str, results: Path) -> None:
    folder = results / "clips" / done.database
    for path in (
        *sorted(folder.glob("*.tsv")),
        folder.with_suffix(".tsv"),
        results / "sources" / f"{done.database}.tsv",
    ):
        if not path.exists():
            continue
        left = [clip for clip in clip_tables.read(path) if clip.subject != subject]
        if left:
            _write(done, path, clip_tables.dumps(left))
        else:
            _remove(done, path)


def _write(done: Forgotten, path: Path, text: str) -> None:
    if path.read_text(encoding="utf-8") != text:
        with _keeping_time(path):
            write_text(path, text)
        done.rewritten.append(path)


# Looking for what is left


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _mentions(path: Path, clip_ids: Iterable[str]) -> bool:
    """Whether a file's bytes hold a clip's identifier, as text in any of the spellings that the package writes."""
    data = path.read_bytes()
    return any(spelt in data for clip_id in clip_ids for spelt in _spellings(clip_id))


def _spellings(text: str) -> set[bytes]:
    """UTF-8 for tables and HDF5, UTF-32 for numpy's texts, escapes of JSON and of file names."""
    escaped = json.dumps(text)[1:-1]
    return {text.encode(), text.encode("utf-32-le"), escaped.encode(), quote(text, safe="").encode()}
