"""The shipped configurations, with roots that exist: each is a plan, and together they are one for Snakemake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mer_features.databases import source_table
from mer_features.systems import registry
from mer_features.workflow import config
from mer_features.workflow.plan import Plan
from tests.databases.test_dfew import release as dfew
from tests.databases.test_flow_maps import ROWS, file_name, pixels, save
from tests.databases.test_flow_maps import table as labels
from tests.databases.test_hostile import casme2, mmew, own, row, samm
from tests.databases.trees import frames

REPOSITORY = Path(__file__).parents[2]
PAPERS = REPOSITORY / "config" / "papers"
PRESETS = [*sorted((REPOSITORY / "config").glob("*.yaml")), *sorted(PAPERS.glob("*/table*.yaml"))]


def flow_maps(folder: Path) -> None:
    folder.mkdir()
    for clip in ROWS:
        save(folder / file_name(clip), pixels(1))
    labels(folder.parent / "labels.csv", ROWS)


def bu3dfe(root: Path) -> None:
    folder = root / "BU_3DFE/F0001"
    folder.mkdir(parents=True)
    for model in ("NE00", "HA01"):
        (folder / f"F0001_{model}WH_F2D.bmp").write_bytes(b"x")


def afew(root: Path) -> None:
    for part in ("Train_AFEW", "Val_AFEW"):
        (root / part / "Happy").mkdir(parents=True)
        (root / part / "Happy/000100001.avi").write_bytes(b"x")


def ferv39k(root: Path) -> None:
    for name, clip in (("train", "Action/Sad/0010"), ("test", "War/Surprise/1003")):
        frames(root / "2_ClipsforFaceCrop" / clip, range(1, 4), "{}.jpg")
        (root / "4_setups/All_scenes").mkdir(parents=True, exist_ok=True)
        (root / f"4_setups/All_scenes/{name}_All.csv").write_text(f"{clip} {clip.split('/')[1]}\n")


def smic(root: Path) -> None:
    for camera in ("HS", "VIS", "NIR"):
        frames(root / f"SMIC_all_raw/{camera}/s1/micro/negative/s1_ne_01", range(1, 6), "image{:06d}.bmp")


BUILD: dict[str, Callable[[Path], object]] = {
    "smic": smic,
    "casme2": lambda root: (casme2(root, [row()]), frames(root / "CASME2_RAW_selected/sub24/EP02_07", range(61, 107))),
    "samm": lambda root: samm(root, [row()]),
    "mmew": lambda root: mmew(root, [row()]),
    "dfew": dfew,
    "bu3dfe": bu3dfe,
    "afew": afew,
    "ferv39k": ferv39k,
    "table": lambda root: own(root, [row()]),
    "flow_maps": lambda root: flow_maps(root / "STSNet_whole_norm_u_v_os"),
    "ckplus": lambda root: frames(root / "cohn-kanade-images/S005/001", range(1, 6), "S005_001_{:08d}.png"),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny release for each adapter that a shipped configuration names."""
    found = {}
    for adapter, build in BUILD.items():
        root = tmp_path_factory.mktemp(adapter)
        build(root)
        found[adapter] = str(root)
    found["flow_maps"] += "/STSNet_whole_norm_u_v_os"
    return found


#: Adapters of what the workflow makes itself.
MADE = ("synthetic", "recordings")


def with_roots(path: Path, roots: dict[str, str]) -> dict[str, Any]:
    tree = config.read_tree(path)
    for database in tree["databases"].values():
        if database["adapter"] not in MADE:
            assert database["root"].startswith(("/data/", "data/"))  # nobody's folder
            database["root"] = roots[database["adapter"]]
        if "labels" in database:
            database["labels"] = "../labels.csv"
    return tree


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_configuration_is_a_plan(path: Path, roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan(with_roots(path, roots), refresh=True)
    for database in plan.databases:
        assert source_table(database).exists() or database in (*plan.synthetic, *plan.recordings.databases)
        assert plan.features(database).stages or plan.config.databases[database].adapter == "flow_maps"
        assert all(plan.stage(stage, database) for stage in plan.features(database).stages)
    for protocol, system in plan.runs:
        assert plan.system(system, protocol)["recipe"]
    macro = {task.protocol for task in plan.config.pretraining.values()}
    unused = set(plan.config.protocols) - macro - {protocol for protocol, _ in plan.runs}
    assert not unused or not plan.runs


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_configuration_without_systems_says_so(path: Path):
    """Systems that do not exist yet are named in a comment, never as a key that would be refused."""
    text = path.read_text(encoding="utf-8")
    tree = config.read_tree(path)
    systems = {system["system"] for system in tree.get("systems", {}).values()}
    assert all(registry.recipe(system) for system in systems)
    if tree.get("protocols") and not systems and not tree.get("pretraining"):
        assert "section will follow when the system exists" in text


def _renamed(key: str, value: Any, before: str) -> Any:
    """A value of an entry; names of other entries get the file's name in front."""
    if key not in {"databases", "recordings", "spotter", "spots", "protocol", "protocols", "pretrained"}:
        return value
    if key == "spots":
        return {before + spots: before + events for spots, events in value.items()}
    if key == "spotter" and isinstance(value, dict):  # a section, not a name
        return value
    if isinstance(value, dict):
        return {role: before + name for role, name in value.items()}
    return before + value if isinstance(value, str) else [before + name for name in value]


def dry_run(folder: Path, configuration: Path) -> subprocess.CompletedProcess[str]:
    """Snakemake's plan of a configuration, with results in a folder."""
    command = ["-s", REPOSITORY / "Snakefile", "--configfile", configuration, "--workflow-profile", "none", "-n"]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *map(str, command), "--quiet", "--cores", "1"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.workflow
def test_snakemake_plans_them_all(roots: dict[str, str], tmp_path: Path):
    """Those of `config` as one, so that Snakemake starts once: names get the file's name in front."""
    pytest.importorskip("snakemake", reason="the workflow extra is not installed")
    sections = ("databases", "recordings", "spotting", "protocols", "pretraining", "systems")
    joined: dict[str, dict[str, Any]] = {section: {} for section in sections}
    for path in sorted((REPOSITORY / "config").glob("*.yaml")):
        tree, before = with_roots(path, roots), f"{path.stem}-"
        for section in sections:
            joined[section] |= {
                before + name: {key: _renamed(key, value, before) for key, value in item.items()}
                for name, item in tree.get(section, {}).items()
            }
    style = {"method": "clahe"}  # any one, for the systems that read it
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(joined | {"style": style}))
    done = dry_run(tmp_path, tmp_path / "all.yaml")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    read = [name for name, item in joined["databases"].items() if item["adapter"] not in MADE]
    assert sorted(path.stem for path in (tmp_path / "results" / "sources").glob("*.tsv")) == sorted(read)


@pytest.mark.workflow
def test_snakemake_reads_what_a_configuration_includes(roots: dict[str, str], tmp_path: Path):
    """A table of a paper, whose databases, stages and protocol are in three other files."""
    pytest.importorskip("snakemake", reason="the workflow extra is not installed")
    shutil.copytree(PAPERS, tmp_path / "papers")
    for path in (tmp_path / "papers/databases").glob("*.yaml"):
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        for database in tree["databases"].values():
            database["root"] = roots[database["adapter"]]
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    done = dry_run(tmp_path, tmp_path / "papers/eidnet/table-2.yaml")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    listed = sorted(path.stem for path in (tmp_path / "results" / "sources").glob("*.tsv"))
    assert listed == ["casme2", "ckplus", "samm", "smic-hs"]
