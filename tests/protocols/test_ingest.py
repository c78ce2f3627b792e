"""From an owner's tree, built from the true tables, through the adapters to the published lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mer_features import databases, protocols
from mer_features.core.clips import Clip
from mer_features.protocols import PRESETS, CountsError
from mer_features.protocols.options import Protocol
from mer_features.workflow import config
from tests.databases.trees import RELEASES
from tests.protocols import published
from tests.protocols.test_published_lists import NEED_EP02_07, as_official, official

#: Name in the configuration -> release of the shared generator.
TREES = {
    "c2": "casme2-2014", "c2-2019": "casme2-2019", "mine-samm": "samm", "hs": "smic-hs", "vis": "smic-vis",
    "nir": "smic-nir",
}  # fmt: skip


@pytest.fixture(scope="module")
def listed(owners: dict[str, Path]) -> dict[str, tuple[Clip, ...]]:
    """Every clip of every tree, by the name of the database."""
    tree = {name: RELEASES[release][2] | {"root": str(owners[release])} for name, release in TREES.items()}
    settings = config.validate({"databases": tree})
    return {name: databases.read(name, settings.databases[name]).clips for name in TREES}


def build(name: str, listed: dict[str, tuple[Clip, ...]], *, casme2: str = "c2") -> protocols.FoldTable:
    names = {role: published.MINE[role] for role in PRESETS[name].roles}
    if "casme2" in names:
        names["casme2"] = casme2
    protocol = Protocol.model_validate({"preset": name, "databases": names})
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


def test_both_sheets_in_one_tree(owners: dict[str, Path], tmp_path: Path):
    """Owners who kept both sheets get either edition's lists, whichever sheet is read."""
    names = [next(owners[name].glob("*.xlsx")) for name in ("casme2-2014", "casme2-2019")]
    for sheet in names:
        shutil.copy(sheet, tmp_path)
    frames = owners["casme2-2014"] / "CASME2_RAW_selected"
    for folder in frames.glob("*/*"):
        clip = tmp_path / folder.relative_to(frames.parent)
        clip.mkdir(parents=True)
        (clip / next(folder.iterdir()).name).touch()
    for chosen in (None, names[0].name):
        tree = {"adapter": "casme2", "root": str(tmp_path)} | ({"sheet": chosen} if chosen else {})
        clips = databases.read("c2", config.validate({"databases": {"c2": tree}}).databases["c2"]).clips
        for name, number in (("casme2-5-2014", 246), ("casme2-5-2019", 249), ("casme2-3", 147)):
            assert len(protocols.build("mine", clips, published.preset(name), 0).rows) == number
