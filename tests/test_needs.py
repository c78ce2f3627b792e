"""What a job asks of a cluster grows with its shard and its attempt, and never with what it is not told."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mer_features.core import clips
from mer_features.core.clips import Clip
from mer_features.stages import run as stages
from mer_features.workflow import needs
from mer_features.workflow.plan import Plan

CLIP = Clip("s1/a", "db", "s1", "frames/a")
TREE = {"databases": {"tiny": {"adapter": "synthetic", "preset": "tiny"}}}


def plan(**resources: object) -> Plan:
    return Plan(TREE | {"resources": resources}, refresh=False)


@pytest.mark.parametrize(
    ("known", "frames"),
    [
        ({"first": 10, "last": 19, "onset": 12, "offset": 14, "fps": 200.0}, 10),
        ({"onset": 12, "offset": 14, "fps": 200.0}, 6),  # recorded longer than annotated
        ({"onset": 14, "offset": 12, "fps": 200.0}, 600),  # reversed: as if not annotated
        ({"fps": 30.0}, 90),
        ({}, needs.UNKNOWN_FRAMES),
    ],
)
def test_frames_come_from_the_annotation(known: dict[str, float], frames: int):
    assert needs.frames([replace(CLIP, **known)]) == frames
    assert needs.frames([replace(CLIP, **known)] * 3) == 3 * frames


def test_minutes_grow_with_frames_and_attempt_and_shrink_with_threads():
    few, many = (needs.stage_minutes("faces", count, 1, 1) for count in (100, 100_000))
    assert needs.START_MINUTES < few < many
    assert needs.stage_minutes("faces", 100_000, 4, 1) < many
    assert needs.stage_minutes("faces", 100_000, 1, 3) == 3 * many


def test_memory_leaves_room_for_snakemake_itself():
    assert needs.memory_mb(1000, 1) >= 1000 + 150
    assert needs.memory_mb(1000, 2) >= 2000 + 150


def test_every_stage_has_a_measured_cost():
    assert needs.SECONDS_PER_FRAME.keys() == {*stages.SPECS, "cache"}


@pytest.mark.parametrize("step", [*needs.SECONDS_PER_FRAME, *needs.STEPS, *needs.TRAINING_MINUTES])
def test_every_step_asks_for_more_at_a_second_attempt(step: str, tmp_path: Path):
    table = tmp_path / "s000.tsv"
    table.write_text(clips.dumps([CLIP]))
    arguments = {"wildcards": None, "input": SimpleNamespace(clips=table), "threads": 1}
    asked = plan().needs(step)
    for ask in (asked["mem_mb"], asked["runtime"]):
        used = {name: value for name, value in arguments.items() if name in inspect.signature(ask).parameters}
        first, second = (ask(**used, attempt=attempt) for attempt in (1, 2))
        assert isinstance(first, int)
        assert 150 < first < second or 0 < first < second
    assert "gpu" not in asked


def test_only_training_asks_for_a_gpu_and_only_where_one_is_wanted():
    on = plan(device="gpu", devices=3)
    assert {step for step in needs.TRAINING_MINUTES if "gpu" in on.needs(step)} == set(needs.TRAINING_MINUTES)
    assert (on.needs("pretrain")["gpu"], on.needs("train")["gpu"]) == (3, 1)
    assert not [step for step in (*needs.SECONDS_PER_FRAME, *needs.STEPS) if "gpu" in on.needs(step)]
    assert "gpu" not in plan(device="auto").needs("train")


def test_a_table_that_is_not_there_yet_has_no_clips(tmp_path: Path):
    assert needs.listed(tmp_path / "s000.tsv") == ()


def test_the_feature_file_asks_for_what_it_holds_of_every_clip(tmp_path: Path):
    asked = []
    for count in (1, 10_000):
        table = tmp_path / f"{count}.tsv"
        table.write_text(clips.dumps([replace(CLIP, first=1, last=60)] * count))
        asked.append(
            {
                step: plan().needs(step)["mem_mb"](None, SimpleNamespace(clips=table), 1, 1)
                for step in ("cache", "faces")
            }
        )
    few, many = asked
    assert many["cache"] - few["cache"] >= 0.05 * 10_000
    assert many["faces"] == few["faces"]
