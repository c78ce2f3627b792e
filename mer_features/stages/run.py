"""Runs a stage over the clips of one shard: reads its inputs, calls its pure function clip by clip, writes its file."""

from __future__ import annotations

import errno
import importlib
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from mer_features.core import fingerprint
from mer_features.core.clips import Clip
from mer_features.core.jobs import track
from mer_features.core.quality import ClipRejectedError, Issue, Status, dumps, status
from mer_features.core.section import Section
from mer_features.stages.options import Apex, Descriptors, Faces, Flow, Magnify, Stage, Style
from mer_features.stages.store import ClipRecord, ClipView, ShardReader, ShardWriter, StageFailedError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageSpec:
    """One stage: its module (whose ``process`` does the work), the stages it reads, the type of its options.

    ``code`` names the modules whose edit runs the stage again, by default ``module`` and all it builds on.
    """

    module: str
    inputs: tuple[Stage, ...]
    options: type[Section]
    code: tuple[str, ...] = ()


#: Stages in the order of the flow.
SPECS: dict[Stage, StageSpec] = {
    "faces": StageSpec("mer_features.stages.faces", (), Faces),
    "apex": StageSpec("mer_features.stages.apex", ("faces",), Apex),
    # Not the whole package: the network changes no picture of a method without one.
    "magnify": StageSpec(
        "mer_features.stages.magnify", ("faces", "apex"), Magnify, ("mer_features.stages.magnify.__init__",)
    ),
    "flow": StageSpec("mer_features.stages.flow", ("faces", "apex"), Flow),
    "style": StageSpec("mer_features.stages.style", ("faces", "apex"), Style),
    "descriptors": StageSpec("mer_features.stages.descriptors", ("faces",), Descriptors),
}
#: What every stage's file depends on besides the stage itself.
_COMMON = ("mer_features.stages.run", "mer_features.stages.store")
#: The trained network and the weights that the package ships.
NETWORK = ("mer_features.stages.magnify.learned", "mer_features.stages.magnify.weights")


def inputs(stage: Stage, options: Section) -> tuple[Stage, ...]:
    """The stages that a stage reads under these options."""
    more: tuple[Stage, ...] = ()
    if isinstance(options, Flow) and options.amplified:
        more = ("magnify",)
    elif isinstance(options, Descriptors) and options.of_flow:
        more = ("flow",)
    return SPECS[stage].inputs + more


def code_fingerprint(stage: Stage, options: Section | None = None, scripts: tuple[Path, ...] = ()) -> str:
    """Fingerprint of the code of one stage, plus what only these options run; ``scripts`` as in ``fingerprint.of``."""
    spec = SPECS[stage]
    network = NETWORK if isinstance(options, Magnify) and options.method == "learned" else ()
    return fingerprint.of(*(spec.code or (spec.module,)), *_COMMON, *network, scripts=scripts)


def plain(options: Section) -> dict[str, Any]:
    """Options as JSON values, by the names that a configuration uses."""
    return options.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class _Task:
    stage: Stage
    clip: Clip
    options: Section


def run(
    stage: Stage,
    clips: tuple[Clip, ...],
    inputs: Mapping[Stage, Path],
    output: Path,
    options: Section,
    *,
    threads: int = 1,
    durable: bool = True,
) -> dict[Status, int]:
    """Run one stage for one shard and write its stage file.

    Parameters
    ----------
    stage
        Key of :data:`SPECS`.
    clips
        The shard's clips.
    inputs
        Stage files of the stages this one reads, by stage name.
    output
        The stage file to write (atomically).
    options
        The stage's options, of the type that :data:`SPECS` names.
    threads
        Worker processes; the result does not depend on it.
    durable
        False for a file that is not needed after a power cut: the run then does not wait for the disk.

    Returns
    -------
    dict
        Number of clips in each state.

    Raises
    ------
    StageFailedError
        If no clip got through and at least one failed with an unexpected error.
    """
    tasks = [_Task(stage, clip, options) for clip in clips]
    counts = dict.fromkeys(Status, 0)
    broken: list[str] = []
    with ShardWriter(output, stage, plain(options), code_fingerprint(stage, options), durable=durable) as writer:
        for record in track(_records(tasks, inputs, threads), len(tasks), f"{stage} {output.stem}"):
            writer.add(record)
            counts[record.status] += 1
            broken += [f"{record.clip_id}: {i.detail}" for i in record.issues if i.code == "internal_error"]
            if "traceback" in record.attrs:
                log.error("%s failed in %s:\n%s", record.clip_id, stage, record.attrs["traceback"])
            if record.issues:
                log.warning("%s is %s: %s", record.clip_id, record.status, dumps(record.issues))
        if broken and not counts[Status.OK] + counts[Status.WARNED]:
            raise StageFailedError(f"{stage} failed on every clip; the first: {broken[0]}")
    log.info("%s: %s", output.name, ", ".join(f"{count} {state}" for state, count in counts.items()))
    return counts


class _Inputs:
    """The stage files that a stage reads, opened when they are first asked for; use as a context manager."""

    def __init__(self, paths: Mapping[Stage, Path]) -> None:
        self._paths = paths
        self._readers: dict[Stage, ShardReader] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def views(self, clip_id: str) -> dict[Stage, ClipView]:
        """Records of one clip by stage, valid as long as the files are open."""
        for name, path in self._paths.items():
            if name not in self._readers:
                self._readers[name] = self._stack.enter_context(ShardReader(path))
        return {name: reader.view(clip_id) for name, reader in self._readers.items()}


def _records(tasks: list[_Task], inputs: Mapping[Stage, Path], threads: int) -> Iterator[ClipRecord]:
    """Results in the order of the tasks; the caller's writing overlaps with the workers' computing."""
    if threads == 1:
        with _Inputs(inputs) as files:
            for task in tasks:
                yield _work(task, files)
    else:
        # Results are large: few are kept waiting, so memory does not grow with the shard.
        pool = joblib.Parallel(n_jobs=threads, return_as="generator", pre_dispatch="n_jobs", batch_size=1)
        yield from pool(joblib.delayed(_work_alone)(task, inputs) for task in tasks)


def _work_alone(task: _Task, inputs: Mapping[Stage, Path]) -> ClipRecord:
    """One clip in a worker process, which keeps no file open between clips."""
    with _Inputs(inputs) as files:
        return _work(task, files)


def _work(task: _Task, inputs: _Inputs) -> ClipRecord:
    """One clip; whatever goes wrong becomes an issue of this clip alone."""
    _single_thread()
    clip = task.clip
    if task.stage == "faces" and status(clip.issues) is Status.REJECTED:
        return ClipRecord(clip.clip_id, issues=clip.issues)
    carried = clip.issues if task.stage == "faces" else ()
    try:
        views = inputs.views(clip.clip_id)
        if any(view.status is Status.REJECTED for view in views.values()):
            return ClipRecord(clip.clip_id, attrs={"skipped": True}, issues=_rejections(views))
        process = importlib.import_module(SPECS[task.stage].module).process
        record = process(clip, views, task.options)
    except ClipRejectedError as error:
        _require_source(task)
        return ClipRecord(clip.clip_id, issues=(*carried, error.issue))
    except (MemoryError, OSError):
        # The machine's fault, not the clip's: the job fails, is reported and can be run again.
        raise
    except Exception as error:  # one bad clip never stops a run
        issue = Issue("internal_error", f"{task.stage}: {error!r}")
        # The worker's log is not the job's: the traceback travels with the record.
        return ClipRecord(clip.clip_id, attrs={"traceback": traceback.format_exc()}, issues=(*carried, issue))
    if record.issues:
        _require_source(task)
    record.issues = (*carried, *record.issues)
    result: ClipRecord = record
    return result


def _require_source(task: _Task) -> None:
    """A listed source that has disappeared is the machine's fault: no clip may be rejected for it."""
    clip = task.clip
    if task.stage == "faces" and clip.digest and not Path(clip.source).exists():
        hint = "was there when the workflow started and is gone; is its disk mounted? Mount it and run again"
        raise FileNotFoundError(errno.ENOENT, hint, clip.source)


def _rejections(views: Mapping[Stage, ClipView]) -> tuple[Issue, ...]:
    rejections = (issue for view in views.values() for issue in view.issues if issue.severity is Status.REJECTED)
    return tuple(dict.fromkeys(rejections))


def _single_thread() -> None:
    # Workers share the cores among clips: a kernel with threads of its own would oversubscribe them.
    import cv2  # noqa: PLC0415  # loaded in workers only

    cv2.setNumThreads(1)
