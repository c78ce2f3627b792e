"""The configurations of the papers' tables: each makes its rows, and every changed key is noticed."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from mer_features.systems import printed
from mer_features.workflow import config
from mer_features.workflow.setting import setting

ROOT = Path(__file__).parents[1]
TABLES = sorted((ROOT / "config" / "papers").glob("*/table*.yaml"))
#: Runs whose row is in the paper but not legible in the copy that we have.
_NOT_LEGIBLE = {("ma2mi/table-3.yaml", "from-ferv39k", "casme2-5"), ("ma2mi/table-3.yaml", "from-ferv39k", "mmew-6")}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def runs(path: Path) -> list[tuple[str, str, str, dict[str, Any], str | None]]:
    """Name, protocol, system, setting and preset of every run of a configuration."""
    tree = config.load(path)
    return [
        (name, protocol, item.system, setting(tree, name, protocol), tree.protocols[protocol].preset)
        for name, item in tree.systems.items()
        for protocol in item.protocols
    ]


@pytest.mark.parametrize("path", TABLES, ids=name_of)
def test_every_run_of_a_table_is_the_printed_one(path: Path):
    """Runs that are called ours, and our yardstick, are not in the paper."""
    for name, protocol, system, made, preset in runs(path):
        if name.startswith("ours-") or system == "linear" or (name_of(path), name, protocol) in _NOT_LEGIBLE:
            continue
        found = printed.beside(system, made, preset)
        assert found is not None, name
        assert found.comparable, (name, protocol, found.printed.where, [str(item) for item in found.differences])


@pytest.mark.parametrize("path", TABLES, ids=name_of)
def test_our_own_runs_differ_from_every_printed_one(path: Path):
    for name, protocol, system, made, preset in runs(path):
        if name.startswith("ours-"):
            found = printed.beside(system, made, preset)
            assert found.differences, (name, protocol)


@pytest.mark.parametrize("path", TABLES, ids=name_of)
def test_every_single_changed_key_is_noticed(path: Path):
    """Recipe, pre-training and its own pre-training, and the options of every stage that is read."""
    for name, protocol, system, made, preset in runs(path):
        before = printed.beside(system, made, preset)
        if before is None or not before.comparable:
            continue
        for change in changes(made):
            other = copy.deepcopy(made)
            change_in(other, change)
            found = printed.differences(before.printed, system, other)
            if not found:
                assert is_idle(made, change), (name, protocol, change)
            else:
                assert any(change[-1].split("@")[0] in item.key for item in found), (name, change, found)


def changes(tree: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Places of all values of a setting."""
    if isinstance(tree, dict):
        return [found for key, value in tree.items() for found in changes(value, (*place, key))]
    return [place] if place[-1] != "pretraining" else []


def change_in(tree: dict[str, Any], place: tuple[str, ...]) -> None:
    *folders, key = place
    for folder in folders:
        tree = tree[folder]
    tree[key] = ["other"] if isinstance(tree[key], list) else "other"


def is_idle(made: dict[str, Any], place: tuple[str, ...]) -> bool:
    """Whether a key has no effect beside the others."""
    if place[-1] == "source":  # STSTNet reads either of its inputs
        return True
    if place[0] != "stages":
        return False
    stages, key = made["stages"][place[1]], place[2]
    without_effect = {
        "apex.lbp_points": "lbp_roi" not in (stages.get("apex.policy"), stages.get("apex.fallback")),
        "apex.lbp_radius_px": "lbp_roi" not in (stages.get("apex.policy"), stages.get("apex.fallback")),
        "apex.fallback": stages.get("apex.policy") != "annotated",
        "faces.margin": stages.get("faces.mode") != "box",
        "style.clusters": stages.get("style.method") == "none",
    }
    return without_effect.get(key, False) or key.startswith(("magnify.phase_", "magnify.eulerian_"))


def test_shuffled_labels_have_no_printed_row():
    """The report shows no printed result beside a control; see mer_features.report.results."""
    page = (ROOT / "mer_features/report/results.py").read_text(encoding="utf-8")
    assert "None if run.shuffled else printed.beside" in page


PAGE = ROOT / "docs" / "papers.md"


def rows_of_the_page() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if re.match(r"(Table|Figure)", row[0])]


def test_the_page_says_of_every_table_who_makes_it_or_why_nobody_does():
    rows = rows_of_the_page()
    assert len(rows) > 40
    for row in rows:
        assert row[1].startswith(("made by", "not made, because")), row


def test_the_page_names_every_configuration_and_no_other():
    named = set(re.findall(r"papers/(\w+/table[\w-]*\.yaml)", PAGE.read_text(encoding="utf-8")))
    assert named == {name_of(path) for path in TABLES}
