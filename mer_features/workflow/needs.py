"""What a job asks of a cluster: memory and minutes, from the frames of its shard and the attempt.

Asking for too much costs a place in the queue, asking for too little costs the job, so a first attempt asks for
several times what was measured (docs/scale.md) and every further one for as much again. Nothing here can change a
result, and nothing here reaches the parameters that decide what runs again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mer_features.core import clips as clip_tables
from mer_features.core.clips import Clip

#: Snakemake's own processes inside a cluster job, beside what the rule's script needs.
SNAKEMAKE_MB = 250
#: Least minutes of any job: starting Python from a slow shared disk is among them.
START_MINUTES = 5
#: CPU seconds per frame, at the slow end of what was measured (docs/scale.md), for each stage at its default options,
#: and for the feature file, which one process writes.
SECONDS_PER_FRAME = {
    "faces": 0.013,
    "apex": 0.005,
    "magnify": 0.005,
    "flow": 0.008,
    "style": 0.01,
    "descriptors": 0.004,
    "cache": 0.003,
}
#: How much slower than the measured machine a node, its disk and the user's choice of method may be.
SAFETY = 5.0
#: What a step holds of every clip at once, twice what was measured; stages hold a clip at a time.
MB_PER_CLIP = {"cache": 0.1}
#: Frames assumed for a clip whose sheet gives neither ends nor rate.
UNKNOWN_FRAMES = 150
#: A recording is longer than the annotated movement; seconds to assume when only the frame rate is known.
_MARGIN, _UNKNOWN_SECONDS = 2.0, 3.0
#: Memory and minutes for steps that no frame count predicts, on their first attempt.
STEPS: dict[str, tuple[int, int]] = {
    "synth": (2000, 120),
    "ingest": (500, 15),
    "film": (2000, 120),
    "signals": (1000, 240),
    "spot": (3000, 240),
    "recording_cache": (1500, 60),
    "style_fit": (1500, 60),
    "protocol": (500, 15),
    "assess": (1500, 60),
    "style_measure": (1500, 60),
    "evaluate": (1000, 30),
    "compare": (1000, 30),
    "report": (1500, 30),
}
#: Minutes of a training job's first attempt; a training that ran out of time goes on from its last checkpoint.
TRAINING_MINUTES = {"pretrain": 1440, "train": 240, "embed": 60, "train_style": 1440, "train_magnifier": 600}


def frames(clips: Iterable[Clip]) -> int:
    """Frames that reading these clips will take, from their annotation alone: no folder is looked into."""
    return sum(map(_frames, clips))


def _frames(clip: Clip) -> int:
    if clip.first is not None and clip.last is not None:
        return max(1, clip.last - clip.first + 1)
    if clip.onset is not None and clip.offset is not None and clip.offset >= clip.onset:
        return math.ceil(_MARGIN * (clip.offset - clip.onset + 1))
    return math.ceil(clip.fps * _UNKNOWN_SECONDS) if clip.fps else UNKNOWN_FRAMES


def listed(table: str | Path) -> tuple[Clip, ...]:
    """Clips of a table; none if it is not there yet."""
    return clip_tables.read(table) if Path(table).exists() else ()


def stage_minutes(stage: str, count: int, threads: int, attempt: int) -> int:
    """Minutes to ask for a stage (or the feature file) of so many frames."""
    work = SAFETY * SECONDS_PER_FRAME[stage] * count / threads / 60
    return attempt * (START_MINUTES + math.ceil(work))


def memory_mb(need_mb: int, attempt: int) -> int:
    """Memory to ask for where the script itself needs ``need_mb``."""
    return attempt * need_mb + SNAKEMAKE_MB


def of_stage(stage: str, process_mb: int) -> dict[str, Callable[..., int]]:
    """Resources of a stage's rule, as functions that Snakemake calls for each shard and attempt."""

    def memory(wildcards: Any, input: Any, threads: int, attempt: int) -> int:  # noqa: A002, ARG001  # Snakemake's
        held = MB_PER_CLIP[stage] * len(listed(input.clips)) if stage in MB_PER_CLIP else 0
        return memory_mb(process_mb * threads + math.ceil(held), attempt)

    def minutes(wildcards: Any, input: Any, threads: int, attempt: int) -> int:  # noqa: A002, ARG001  # the same
        return stage_minutes(stage, frames(listed(input.clips)), threads, attempt)

    return {"mem_mb": memory, "runtime": minutes}


def of_step(need_mb: int, minutes: int) -> dict[str, Callable[..., int]]:
    """Resources of a rule whose work no frame count predicts, as functions that Snakemake calls for each attempt."""

    def memory(wildcards: Any, attempt: int) -> int:  # noqa: ARG001  # Snakemake's signature
        return memory_mb(need_mb, attempt)

    def time(wildcards: Any, attempt: int) -> int:  # noqa: ARG001  # the same
        return attempt * minutes

    return {"mem_mb": memory, "runtime": time}
