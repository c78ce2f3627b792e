"""Finds the expressions of own recordings, one result folder for each, without configuration, labels or training."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from shlex import quote

from mer_features.commands.find import page, pictures, tables
from mer_features.commands.find.checks import Check, check
from mer_features.commands.find.spots import Search, search, strongest
from mer_features.core.files import write_text
from mer_features.core.jobs import track
from mer_features.core.quality import ClipRejectedError
from mer_features.frames import FrameSequence, open_frames
from mer_features.spotting.options import RegionSpotter
from mer_features.spotting.tables import RATES_HZ
from mer_features.stages.options import SignalOptions
from mer_features.stages.signals import Signals, measure
from mer_features.stages.signals.store import SignalReader, SignalWriter

log = logging.getLogger(__name__)

#: File by which a folder is known as a result of this command.
MARK = "find.json"
#: Everything that a result folder may hold.
FILES = (MARK, "index.html", "events.tsv", "signals.h5", "clips.tsv", "config.yaml")
#: Frames from which a frame rate is estimated, and the factor by which that of the header must be wrong.
_RATE_FRAMES, _RATE_FACTOR = 60, 1.5


@dataclass(frozen=True)
class Outcome:
    """What became of one recording."""

    source: Path
    folder: Path
    error: str = ""  # why it could not be searched; empty if it was
    result: str = ""  # one sentence
    checks: tuple[Check, ...] = ()
    clips: bool = False  # whether a table of clips was written

    @property
    def name(self) -> str:
        """Of the recording."""
        return self.folder.name.removesuffix("-found")

    @property
    def text(self) -> str:
        """What a user reads: the result, the checks that failed, and how to go on."""
        if self.error:
            return f"rejected {self.source}: {self.error}"
        lines = [f"{self.source}: {self.result}", *(f"  {check.text}" for check in self.failed)]
        lines.append(f"  {self.folder / 'index.html'}")
        if self.clips:
            table, root = quote(str(self.folder / "clips.tsv")), quote(str(self.source.resolve().parent))
            lines.append(f"  mer-features check {quote(str(self.folder / 'config.yaml'))}")
            lines.append(f"  mer-features extract {table} --root {root} -o {quote(f'{self.name}.h5')}")
        return "\n".join(lines)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks of the recording that failed."""
        return tuple(item for item in self.checks if not item.passed)


def find(sources: Sequence[Path], output: Path, *, fps: float | None = None, clips: bool = False) -> Iterator[Outcome]:
    """Find the expressions of recordings; a recording that cannot be used does not stop the others.

    Parameters
    ----------
    sources
        Videos or folders of numbered frames.
    output
        Folder in which each recording gets a folder ``<name>-found``. An earlier result there is replaced, anything
        else never.
    fps
        Frames per second; needed for folders of frames. A video has time stamps.
    clips
        Also write ``clips.tsv`` and ``config.yaml``, with which the workflow takes what was found.

    Yields
    ------
    Outcome
        Of each recording, as soon as it is done, in the order of ``sources``.

    Raises
    ------
    ValueError
        Before any work, if a result folder is not one of this command, if a source lies in it, or for a frame rate
        that no camera has.
    """
    if fps is not None and not RATES_HZ[0] <= fps <= RATES_HZ[1]:
        raise ValueError(f"found {fps:g} frames per second, expected {RATES_HZ[0]:g} to {RATES_HZ[1]:g}")
    folders = [output / f"{name}-found" for name in tables.safe_names(sources)]
    for folder in folders:
        _require_free(folder, sources)
    for source, folder in zip(sources, folders, strict=True):
        try:
            yield _find(source, folder, fps, clips=clips)
        except (ClipRejectedError, ValueError, OSError, RuntimeError) as error:
            log.info("%s", source, exc_info=True)
            yield Outcome(source, folder, error=_reason(source, error))


def _reason(source: Path, error: Exception) -> str:
    """Why a recording cannot be used, without its name."""
    reason = str(error).replace(f"{source}: ", "")
    if isinstance(error, ClipRejectedError) and error.issue.code == "no_face":
        reason += "; expected the face of one person, seen from the front"
    return reason


def _find(source: Path, folder: Path, fps: float | None, *, clips: bool) -> Outcome:
    name = folder.name.removesuffix("-found")
    frames = open_frames(source)
    if fps is None:
        _correct_rate(frames)
    with _replacing(folder) as target:
        signals = _measured(frames, name, target / "signals.h5", fps)
        checks, found = check(signals), search(signals, name, RegionSpotter(tune=False))
        write_text(target / "events.tsv", tables.events(found))
        write_text(target / "index.html", page.render(source, found, checks, _loops(frames, name, found)))
        with_clips = clips and bool(found.entries)
        if with_clips:
            write_text(target / "clips.tsv", tables.clips(found, name, source, fps or frames.fps))
            write_text(target / "config.yaml", tables.configuration(source, folder / "clips.tsv"))
        write_text(target / MARK, tables.summary(found, source, checks))
    return Outcome(source, folder, result=page.result_text(found), checks=checks, clips=with_clips)


def _correct_rate(frames: FrameSequence) -> None:
    """Replace a missing or wrong frame rate of a video by that of its first time stamps.

    Browsers write films whose header has no rate, or 1000 frames per second.

    Raises
    ------
    ValueError
        If there is neither a rate nor a time stamp, as in a folder of frames.
    """
    times = [frame.time_s for frame in itertools.islice(frames, _RATE_FRAMES)]
    seconds = times[-1] - times[0]
    measured = (len(times) - 1) / seconds if seconds > 0 else None  # NaN is not above 0
    if measured and (not frames.fps or not 1 / _RATE_FACTOR < frames.fps / measured < _RATE_FACTOR):
        frames.fps = measured
    if not frames.fps:
        raise ValueError(
            f"{frames.source}: the frame rate is not known, as in every folder of frames; add `--fps RATE`"
        )


def _measured(frames: FrameSequence, name: str, target: Path, fps: float | None) -> Signals:
    """Signals of the recording, which are also written to a file."""
    options = SignalOptions()
    rate = fps or frames.fps or 1.0
    total = None if frames.count_hint is None else -(-frames.count_hint // options.step(rate))
    with (
        SignalWriter(target, options.model_dump(mode="json")) as writer,
        writer.recording(name) as sink,
        closing(track(itertools.count(), total, f"{name}: measure")) as rows,  # type: ignore[type-var]  # a generator
    ):

        def advance(_: int) -> None:
            next(rows)

        sink.issues = measure(frames, options, advance, sink=sink, fps=fps)
    with SignalReader(target) as reader:
        return reader.read(name)


def _loops(frames: FrameSequence, name: str, found: Search) -> dict[int, pictures.Loop]:
    """Pictures of the spots with the highest scores; the recording is decoded once more."""
    chosen = strongest(found.entries, pictures.MOST)
    if not chosen:
        return {}
    return dict(track(pictures.loops(frames, found, chosen), len(chosen), f"{name}: pictures"))


def _require_free(folder: Path, sources: Sequence[Path]) -> None:
    """Raise ValueError unless the folder does not exist or is an earlier result, and holds no source."""
    for source in sources:
        if source.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{folder}: the result would overwrite {source}; choose another folder with -o")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder}: exists and is not a folder; choose another one with -o")
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()}
    foreign = sorted(names - set(FILES)) if MARK in names else sorted(names)
    if foreign:
        what = "holds other files" if MARK in names else "was not made by this command"
        raise ValueError(f"{folder}: {what} ({', '.join(foreign[:5])}); move them or choose another folder with -o")


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A temporary folder that gets the name of ``folder`` if the block succeeds, in place of an earlier result."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{escape(folder.name)}.*.tmp"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}.", suffix=".tmp", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if folder.exists():
            earlier = temporary.with_suffix(".old.tmp")
            folder.rename(earlier)
            temporary.rename(folder)
            shutil.rmtree(earlier)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
