"""The configurations of the papers' tables: each makes its rows, and every changed key is noticed."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from mer_features.databases.options import OwnerDatabase
from mer_features.features.options import Cache
from mer_features.protocols.options import Protocol
from mer_features.stages.options import Apex, Faces, Flow, Magnify, Style
from mer_features.systems import printed
from mer_features.training.options import Pretraining, System, TrainStyle
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
    """Recipe, pre-training and its own pre-training, database and every stage that is read, further options."""
    for name, protocol, system, made, preset in runs(path):
        before = printed.beside(system, made, preset)
        if before is None or not before.comparable:
            continue
        for place in places(made):
            other = copy.deepcopy(made)
            change(other, place)
            found = printed.differences(before.printed, system, other)
            if place[-1] == "source" and system == "ststnet":  # its own maps, or flow computed as its authors did
                assert not found
            elif found:
                assert any(place[-1] in item.key for item in found), (name, protocol, place, found)
            else:
                assert place[-1] in idle_keys(made, place), (name, protocol, place)


def places(tree: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Places of all values of a setting."""
    if isinstance(tree, dict):
        return [found for key, value in tree.items() for found in places(value, (*place, key))]
    return [place] if place[-1] != "pretraining" else []


def change(tree: dict[str, Any], place: tuple[str, ...]) -> None:
    *folders, key = place
    for folder in folders:
        tree = tree[folder]
    if folders[0] == "options":
        tree[key] = ["other", tree[key][1]]
    else:
        tree[key] = ["other"] if isinstance(tree[key], list) else "other"


def idle_keys(made: dict[str, Any], place: tuple[str, ...]) -> set[str]:
    """Keys of stages that have no effect beside the others, listed here once more."""
    if place[-3:-2] != ("stages",):
        return set()
    for folder in place[:-1]:
        made = made[folder]
    spotter = made["apex.fallback"] if made.get("apex.policy") == "annotated" else made.get("apex.policy")
    return {
        *(("apex.lbp_points", "apex.lbp_radius_px") if spotter != "lbp_roi" else ()),
        *(("apex.fallback",) if made.get("apex.policy") != "annotated" else ()),
        *(("faces.margin",) if made["faces.mode"] != "box" else ()),
        *(("faces.detector", "faces.detect_side", "faces.min_score") if made["faces.mode"] == "precropped" else ()),
        *(("faces.landmark_model",) if made["faces.mode"] == "precropped" else ()),
        *(key for key in made if key.startswith(("magnify.phase_", "magnify.eulerian_"))),
    }


#: What may change in a configuration whose run is the printed one; each is no input of the results, or fails elsewhere.
UNNOTICED = {
    Protocol: {
        "preset", "databases", "roles", "labels", "folds", "test",  # fixed by the preset
        "accept_counts",  # other counts are another protocol
        "spots",  # are recognised beside the annotated clips, and never trained on
    },
    OwnerDatabase: {
        "adapter", "root", "shards", "overrides",  # overrides reach the stages
        "sheet", "variant", "unlisted",  # other clips are other counts
        "fps",
    },
    System: {
        "system", "protocols", "ablation", "recipe", "pretrained",  # as keys of recipe and pre-training
        "seeds", "folds_per_job", "embedding",
        "shuffle_labels",  # a control has no printed row
    },
    Pretraining: {"protocol", "seed", "pretrained"},
    Faces: {"stills"},  # follows from the database
    Apex: {"spotters"},
    Flow: {"pairs"},
    Style: {"model"},  # an option
    Cache: {"gzip_level"},
    TrainStyle: {"checkpoint_steps"},
}  # fmt: skip


def test_no_other_key_of_a_configuration_goes_unnoticed():
    """A key that is added to a section is either compared or listed above."""
    trained = config.load(ROOT / "config/papers/sa_at/table-3.yaml")
    amplified = config.load(ROOT / "config/papers/map_mer/table-3.yaml")
    phases = config.load(ROOT / "config/papers/eidnet/table-2.yaml")
    styled, magnified = setting(trained, "sa-at", "cde"), setting(amplified, "samm", "samm-5")
    both = setting(phases, "eidnet", "cde")
    keys = {key for made in (styled, magnified, both) for part in made["stages"].values() for key in part}
    keys |= {key for made in (styled, magnified, both) for key in made["options"]}
    keys |= {f"pretraining.{key}" for key in both["pretraining"]}
    sections = {
        "faces": Faces, "apex": Apex, "flow": Flow, "magnify": Magnify, "style": Style, "cache": Cache,
        "train_style": TrainStyle, "protocol": Protocol, "pretraining": Pretraining,
    }  # fmt: skip
    for name, model in sections.items():
        names = {field.alias or key for key, field in model.model_fields.items()} - UNNOTICED.get(model, set())
        assert {f"{name}.{key}" for key in names} <= keys, name
    names = set(OwnerDatabase.model_fields) - UNNOTICED[OwnerDatabase]
    assert {f"database.{key.replace('exclude_', 'excluded_')}" for key in names} <= keys
    assert set(System.model_fields) == UNNOTICED[System]


@pytest.mark.parametrize(
    ("table", "run", "protocol", "changed", "key"),
    [
        ("eidnet/table-2", "eidnet", "cde", {"cache": {"keyframes": 1}}, "cache.keyframes"),
        ("eidnet/table-2", "eidnet", "cde", {"protocols": {"macro": {"labels": "ckplus-5"}}}, "pretraining.labels"),
        (
            "eidnet/table-2", "eidnet", "cde",
            {"databases": {"ckplus": {"overrides": {"apex": {"policy": "midpoint"}}}}}, "pretraining.apex.policy",
        ),
        (
            "eidnet/table-2", "eidnet", "cde",
            {"databases": {"ckplus": {"exclude_subjects": ["S005"]}}}, "pretraining.database.excluded_subjects",
        ),
        (
            "ma2mi/table-1", "macro-recognition", "casme2-5",
            {"protocols": {"macro": {"labels": {"contempt": ["contempt"]}}}}, "pretraining.labels",
        ),
        (
            "ma2mi/table-1", "ma2mi", "casme2-5",
            {"databases": {"dfew": {"unlabelled": False}}}, "pretraining.database.unlabelled",
        ),
        (
            "ma2mi/table-1", "ma2mi", "casme2-5",
            {"pretraining": {"future": {"protocol": "macro", "databases": []}}}, "pretraining.source",
        ),
        ("sa_at/table-3", "sa-at", "cde", {"train_style": {"epochs": 1}}, "train_style.epochs"),
        ("sa_at/table-3", "sa-at", "cde", {"style": {"model": "/x/model.pt"}}, "style.model"),
        (
            "sa_at/table-3", "sa-at", "cde",
            {"databases": {"bu3dfe": {"overrides": {"faces": {"size": 64}}}}}, "pretraining.faces.size",
        ),
        ("fr/table-3", "fr", "cdmer-1", {"protocols": {"cdmer-1": {"transfer_folds": 5}}}, "protocol.transfer_folds"),
        ("fr/table-1", "fr", "cde", {"databases": {"casme2": {"errata": False}}}, "database.errata"),
    ],
)  # fmt: skip
def test_a_changed_input_is_noticed(table: str, run: str, protocol: str, changed: dict[str, Any], key: str):
    path = ROOT / f"config/papers/{table}.yaml"
    tree = config.validate(config.merge(config.read_tree(path), changed))
    found = printed.beside(tree.systems[run].system, setting(tree, run, protocol), tree.protocols[protocol].preset)
    assert not found.foreign
    assert any(key in item.key for item in found.differences), [item.key for item in found.differences]


@pytest.mark.parametrize(
    ("table", "run", "protocol", "recipe"),
    [
        ("sa_at/table-3", "sa-at", "cde", {"beta": 1.0}),  # what None means
        ("sa_at/table-3", "resnet", "cde", {"epochs": 3, "student": "resnet8"}),  # nothing is trained
        ("eidnet/table-2", "phase-1", "cde", {"tuning_epochs": 3, "adversarial_weight": 0}),
        ("map_mer/table-4", "casme2-sb", "casme2-5", {"wscl": "code", "temperature": 1.0, "awm_width": 8}),
        ("fr/table-1", "basic-inception", "cde", {"attention_scale": 1, "fusion": "concat", "loss_weight": 0.5}),
        ("fr/table-1", "fr", "cde", {"source": "flow", "epochs": 20}),
    ],
)
def test_a_key_without_effect_makes_no_difference(table: str, run: str, protocol: str, recipe: dict[str, Any]):
    path = ROOT / f"config/papers/{table}.yaml"
    tree = config.validate(config.merge(config.read_tree(path), {"systems": {run: {"recipe": recipe}}}))
    found = printed.beside(tree.systems[run].system, setting(tree, run, protocol), tree.protocols[protocol].preset)
    assert found.comparable, [str(item) for item in found.differences]


def test_a_texture_descriptor_does_not_depend_on_flow():
    path = ROOT / "config/papers/fr/table-2.yaml"
    changed = {"flow": {"method": "dis"}, "apex": {"policy": "midpoint"}}
    tree = config.validate(config.merge(config.read_tree(path), changed))
    beside = {name: printed.beside("svm", setting(tree, name, "cde"), "megc2019") for name in ("lbp-top", "bi-woof")}
    assert beside["lbp-top"].comparable
    assert {item.key for item in beside["bi-woof"].differences} == {"flow.method", "apex.policy"}


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
    named = set(re.findall(r"config/papers/(\w+/table[\w-]*\.yaml)", PAGE.read_text(encoding="utf-8")))
    assert named == {name_of(path) for path in TABLES}
