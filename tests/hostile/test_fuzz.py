"""Whatever is thrown at the configuration, the clip table and the cache: a value or a sentence, never a crash."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mer_features.core import clips, quality
from mer_features.core.clips import Clip
from mer_features.databases import DatabaseError, table
from mer_features.workflow import config
from mer_features.workflow.config import Config, ConfigError

hypothesis = pytest.importorskip("hypothesis", reason="the dev extra is not installed")
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SAMPLE = Path(__file__).parents[1] / "data" / "cache-v1.h5"
#: The same examples at every run, few enough for every commit.
quick = settings(
    derandomize=True, deadline=None, database=None, max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
KEYS = (
    "adapter",
    "root",
    "table",
    "preset",
    "shards",
    "overrides",
    "method",
    "pairs",
    "size",
    "databases",
    "protocols",
)
keys = st.sampled_from([*Config.model_fields, *KEYS]) | st.text(max_size=8) | st.integers() | st.none()
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
GOOD: dict[str, Any] = {"databases": {"a": {"adapter": "synthetic"}}, "protocols": {"p": {"databases": ["a"]}}}


def _valid_or_said(tree: Any, folder: Path) -> None:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    try:
        assert isinstance(config.load(path), Config)
    except ConfigError as error:
        assert str(path) in str(error)
        assert 20 < len(str(error)) < 20_000


@quick
@given(tree=trees)
@example(tree={})
@example(tree=GOOD)
def test_any_yaml_tree_is_valid_or_answered(tmp_path: Path, tree: Any):
    _valid_or_said(tree, tmp_path)


@quick
@given(section=st.sampled_from(sorted(Config.model_fields)), value=trees)
@example(section="databases", value={"a": {"adapter": "synthetic", "overrides": {"flow": {"pairs": 3}}}})
@example(section="databases", value={"a": {"adapter": "synthetic", "overrides": {"descriptors": {"methods": None}}}})
@example(section="systems", value={"fr": {"system": "fr", "protocols": ["p"], "recipe": {"epochs": None}}})
def test_any_section_of_a_sound_tree_is_valid_or_answered(tmp_path: Path, section: str, value: Any):
    _valid_or_said(GOOD | {section: value}, tmp_path)


@quick
@given(text=st.text(max_size=60))
def test_any_text_is_a_configuration_or_answered(tmp_path: Path, text: str):
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        config.load(path)
    except ConfigError as error:
        assert str(path) in str(error)


# Tables

cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.none() | st.integers(min_value=0, max_value=2**62)
issues = st.lists(st.builds(quality.Issue, st.sampled_from(sorted(quality.CODES)), cells), max_size=3).map(tuple)
any_clip = st.builds(
    Clip, cells, cells, cells, cells, numbers, numbers, numbers, numbers, numbers,
    fps=st.none() | st.floats(min_value=1e-3, max_value=1e7), emotion=cells, action_units=cells, corrected=cells,
    digest=cells, issues=issues,
)  # fmt: skip


@quick
@given(listed=st.lists(any_clip, max_size=4))
@example(listed=[Clip("s/c", "d", "s", 'a"\tb\r\nc\r', emotion="\0", action_units="\u2028")])
def test_a_clip_table_comes_back_as_it_was(tmp_path: Path, listed: list[Clip]):
    path = tmp_path / "clips.tsv"
    path.write_bytes(clips.dumps(listed).encode())
    assert clips.read(path) == tuple(listed)


@quick
@given(text=st.binary(max_size=200))
def test_any_bytes_are_a_clip_table_or_answered(tmp_path: Path, text: bytes):
    path = tmp_path / "clips.tsv"
    path.write_bytes(clips.dumps([]).encode() + text)
    try:
        clips.read(path)
    except ValueError as error:
        assert str(path) in str(error)


@quick
@given(rows=st.lists(st.lists(cells, max_size=11), max_size=5))
def test_any_cells_make_clips_with_safe_names(tmp_path: Path, rows: list[list[str]]):
    path = tmp_path / "own.tsv"
    lines = ["\t".join((*table.REQUIRED, *table.OPTIONAL)), *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    try:
        listed = table.read("d", tmp_path, path).clips
    except DatabaseError as error:
        assert str(path) in str(error)
        return
    for clip in listed:
        subject, name = clip.clip_id.split("/")
        assert not {subject, name} & {"", ".", ".."}
        assert len(clip.clip_id.encode()) <= 145
        assert Path(clip.source).resolve().is_relative_to(tmp_path) or "unsafe_path" in {i.code for i in clip.issues}
    copy = tmp_path / "clips.tsv"
    copy.write_bytes(clips.dumps(listed).encode())
    assert clips.read(copy) == listed


# The cache: HDF5 may bring the interpreter down, so that it is read in another one

_READ = """
import json, sys, faulthandler
from pathlib import Path
from mer_features import features as feature_file
faulthandler.enable()
for path in sys.argv[1:]:
    print(json.dumps({"path": path}), flush=True)
    said = feature_file.validate(path)
    assert all(isinstance(line, str) and line for line in said)
    values = 0
    try:
        with feature_file.open_features(path) as features:
            for name in features.variables():
                variable = features[name]
                values += sum(variable[row] is not None for row in range(min(len(variable), 8)))
            features.clips, features.rejected
    except Exception as error:
        print(json.dumps({"type": type(error).__name__, "text": str(error)}), flush=True)
print(json.dumps({"done": True}), flush=True)
"""
SPOILED = 120


def _spoil(data: bytes, number: int) -> bytes:
    """Bits turned, bytes overwritten, a part cut off or doubled; the same for the same number."""
    dice, out = random.Random(number), bytearray(data)
    kind = number % 4
    if kind == 0:
        return bytes(out[: dice.randrange(len(out))])
    if kind == 3:
        start = dice.randrange(len(out))
        return bytes(out[:start] + out[start : start + 512] + out[start:])
    # The heads of groups and datasets lie among the data; turning a few bits anywhere rarely meets them.
    for _ in range(dice.choice((1, 8, 64, 512))):
        place = dice.randrange(len(out))
        out[place] = out[place] ^ (1 << dice.randrange(8)) if kind == 1 else dice.randrange(256)
    return bytes(out)


def test_no_spoiled_cache_brings_the_interpreter_down(tmp_path: Path):
    data = SAMPLE.read_bytes()
    paths = []
    for number in range(SPOILED):
        path = tmp_path / f"{number:03d}.h5"
        path.write_bytes(_spoil(data, number))
        paths.append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", _READ, *paths], capture_output=True, text=True, timeout=120, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (lines[-1:], done.stderr[-3000:])
    assert lines[-1] == {"done": True}
    assert sum("path" in line for line in lines) == SPOILED
    refused = [line["text"] for line in lines if "text" in line]
    assert len(refused) > SPOILED // 4  # the damage was felt
    assert all(refused)
