"""The page about the format says what the schema says, and its Python samples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mer_features.features import recording_schema, schema
from mer_features.features.export import FIXED_RANGE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cache-format.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def _section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("group", schema.GROUPS.values(), ids=lambda group: group.name or "root")
def test_tables_are_the_schema(group: schema.Group):
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \| (\w+) \| (\w+) \|", _section(f"/{group.name}" if group.name else "Root"), re.M
    )
    assert rows == [(item.name, ", ".join(item.dims), item.dtype, item.units) for item in group.variables]


@pytest.mark.parametrize(
    "group", recording_schema.RECORDING_FILE.values(), ids=lambda group: group.name or "root of recordings"
)
def test_tables_and_attributes_of_recordings_are_the_schema(group: schema.Group):
    section = _section(f"/{group.name}" if group.name else "Root of recordings")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (\w+) \| (\w+) \|", section, re.M)
    assert rows == [(item.name, ", ".join(item.dims), item.dtype, item.units) for item in group.variables]
    names = {*group.attributes} - {*(schema.STAGE_ATTRIBUTES if group.name == "signals" else ())}
    assert [name for name in sorted({*names, "coordinates"}) if f"`{name}`" not in section] == []
    assert not group.name or f"`coordinates` = `{group.own_coordinates}`" in section.replace("\n", " ")


@pytest.mark.parametrize("group", schema.GROUPS.values(), ids=lambda group: group.name or "root")
def test_attributes_are_named(group: schema.Group):
    names = {*group.attributes, *(("coordinates",) if group.has_rows else ())}
    section = _section(f"/{group.name}" if group.name else "Root")
    if set(schema.STAGE_ATTRIBUTES) <= names and group is not schema.FACES:
        names -= {*schema.STAGE_ATTRIBUTES, "coordinates"}  # listed once for all groups of stages
    assert [name for name in sorted(names) if f"`{name}`" not in section] == []


def test_tree_is_the_schema():
    tree = re.findall(r"^[├└]── (\w+)/", _section("Tree"), re.M)
    assert tree == [name for name in schema.GROUPS if name]
    tree = re.findall(r"^[├└]── (\w+)/", _section("Files of recordings"), re.M)
    assert tree == [name for name in recording_schema.RECORDING_FILE if name]


def test_what_version_1_lacks_is_listed():
    section = _section("Version 1")
    assert all(f"`{name}`" in section for name in schema.ATTRIBUTE_SINCE)
    assert all(f"`/{name}`" in section for name in (*schema.REQUIRED_IN_1, "flow_maps") if name)
    assert f"`{schema.CLIP_ID_COPY.name}`" in section


def test_numbers_are_the_schema_s():
    flow = _section("/flow")
    assert f"1/{round(1 / schema.FLOW_SCALE)} px" in flow
    assert f"1/{round(1 / schema.STRAIN_SCALE)}" in flow
    assert f"±{schema.FLOW_LIMIT:g} px and strain beyond {schema.STRAIN_LIMIT:g}" in flow
    assert f"{FIXED_RANGE['u'][0]:g}..{FIXED_RANGE['v'][1]:g} px and strain 0..{FIXED_RANGE['strain'][1]:g}" in PAGE
    assert f"format version {schema.VERSION}" in PAGE


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_python_samples_run(built: Path, maps: Path, recordings: Path, number: int, capsys: pytest.CaptureFixture[str]):
    for module in ("xarray", "torch"):
        if re.search(rf"^(import|from) {module}", SAMPLES[number], re.M):
            pytest.importorskip(module)
    code = SAMPLES[number].replace("results/features/demo.h5", str(built))
    code = code.replace("results/features/maps.h5", str(maps)).replace("results/features/set.h5", str(recordings))
    exec(compile(code, "sample", "exec"), {})
    assert capsys.readouterr().out
