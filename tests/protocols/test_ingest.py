"""From an owner's tree, built from the true tables, through the adapters to the published lists."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mer_features import config, databases, protocols
from mer_features.clips import Clip
from mer_features.protocols import PRESETS, CountsError
from tests.protocols import published
from tests.protocols.test_published_lists import NEED_EP02_07, as_official, official

TREES = {
    "c2": ("casme2", "casme2_coding_20140508.csv", {"adapter": "casme2"}),
    "c2-2019": ("casme2", "casme2_coding_20190701.csv", {"adapter": "casme2"}),
    "mine-samm": ("samm", "samm_micro_facs_codes_v2.csv", {"adapter": "samm"}),
    "hs": ("smic-hs", "smic_3class_xia.csv", {"adapter": "smic", "variant": "hs"}),
    "vis": ("smic-vis", "smic_vis_e_annotation.csv", {"adapter": "smic", "variant": "vis"}),
    "nir": ("smic-nir", "smic_vis_e_annotation.csv", {"adapter": "smic", "variant": "nir"}),
}


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_fake_tree", published.shared("datasets", "make_fake_tree.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_fake_tree"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Clip, ...]]:
    """Every clip of every tree, by the name of the database."""
    make = maker().make_tree
    root = tmp_path_factory.mktemp("trees")
    for name, (kind, table, _) in TREES.items():
        path = published.shared("datasets", "annotations", table)
        make(kind, path, root / name, frames_per_clip=3, size=(8, 6))
    tree = {name: options | {"root": str(root / name)} for name, (_, _, options) in TREES.items()}
    settings = config.validate({"databases": tree})
    return {name: databases.read(settings, name).clips for name in TREES}


def build(name: str, listed: dict[str, tuple[Clip, ...]], *, casme2: str = "c2") -> protocols.FoldTable:
    names = {role: published.MINE[role] for role in PRESETS[name].roles}
    if "casme2" in names:
        names["casme2"] = casme2
    protocol = config.Protocol.model_validate({"preset": name, "databases": names})
    return protocols.build("mine", [clip for clips in listed.values() for clip in clips], protocol, 0)


def test_every_row_is_a_clip(listed: dict[str, tuple[Clip, ...]]):
    assert {name: len(clips) for name, clips in listed.items()} == {
        "c2": 255, "c2-2019": 255, "mine-samm": 159, "hs": 164, "vis": 71, "nir": 71,
    }  # fmt: skip


def test_megc2019_clip_for_clip_from_the_trees(listed: dict[str, tuple[Clip, ...]]):
    table = build("megc2019", listed)
    assert set(as_official(table)) == official()
    assert len(table.rows) == 442
    newer = build("megc2019", listed, casme2="c2-2019")
    assert [(row.clip_id, row.label) for row in newer.rows] == [(row.clip_id, row.label) for row in table.rows]


@pytest.mark.parametrize("casme2", ["c2", "c2-2019"])
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "mmew-6"])
def test_published_counts_from_the_trees(name: str, casme2: str, listed: dict[str, tuple[Clip, ...]]):
    if name in NEED_EP02_07:
        with pytest.raises(CountsError, match="sub24/EP02_07 is not listed"):
            build(name, listed, casme2=casme2)
        return
    table = build(name, listed, casme2=casme2)
    assert list(table.counts().values()) == list(PRESETS[name].counts.values())


def test_both_sheets_in_one_tree(tmp_path: Path):
    """Owners who kept both sheets get either edition's lists, whichever sheet is read."""
    make = maker().make_tree
    for year in (2014, 2019):
        table = published.shared("datasets", "annotations", published.TABLES[year])
        make("casme2", table, tmp_path / str(year), frames_per_clip=3, size=(8, 6))
    (sheet,) = (tmp_path / "2014").glob("*.xlsx")
    sheet.rename(tmp_path / "2019" / sheet.name)
    for chosen in (None, sheet.name):
        tree = {"adapter": "casme2", "root": str(tmp_path / "2019")} | ({"sheet": chosen} if chosen else {})
        clips = databases.read(config.validate({"databases": {"c2": tree}}), "c2").clips
        for name, number in (("casme2-5-2014", 246), ("casme2-5-2019", 249), ("casme2-3", 147)):
            assert len(protocols.build("mine", clips, published.preset(name), 0).rows) == number
