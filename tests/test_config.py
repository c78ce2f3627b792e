from pathlib import Path

import pytest

from mer_features.protocols.options import Protocol
from mer_features.stages.options import STAGES
from mer_features.workflow import config

DEMO = {"databases": {"demo": {"adapter": "synthetic"}}}


def _error(tree: dict) -> str:
    with pytest.raises(config.ConfigError) as caught:
        config.validate(tree, "my.yaml")
    return str(caught.value)


def test_only_databases_must_be_written():
    assert config.validate(DEMO).faces.size == 256
    assert "databases" in _error({})


def test_wrong_keys_are_answered_with_the_nearest_right_one():
    message = _error(DEMO | {"flow": {"metod": "tvl1"}})
    assert "my.yaml" in message
    assert "flow.metod" in message
    assert "did you mean 'method'" in message


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        ({"faces": {"size": "big"}}, ["faces.size", "'big'"]),
        ({"flow": {"method": "magic"}}, ["flow.method", "'magic'", "tvl1"]),
        ({"cache": {"keyframes": 4}}, ["cache.keyframes", "odd"]),
        ({"apex": {"policy": "lbp_roi", "spotters": ["interframe_diff"]}}, ["lbp_roi"]),
        ({"protocols": {"p": {"databases": ["nope"]}}}, ["protocols.p.databases", "'nope'", "demo"]),
        ({"systems": {"s": {"system": "fr", "protocols": ["nope"]}}}, ["systems.s.protocols", "'nope'"]),
        ({"systems": {"s": {"system": "xy", "protocols": ["p"]}}}, ["unknown system 'xy'", "fr"]),
        ({"databases": {"a b": {"adapter": "synthetic"}}}, ["'a b'"]),
        ({"databases": {"demo": {"adapter": "casme9"}}}, ["casme9", "synthetic", "table"]),
        ({"databases": {"demo": {"adapter": "synthetic", "overrides": {"flow": {"x": 1}}}}}, ["x"]),
    ],
)
def test_every_error_names_key_found_and_accepted(tree: dict, parts: list[str]):
    message = _error(DEMO | tree)
    for part in parts:
        assert part in message


TWO = {"databases": {"demo": {"adapter": "synthetic"}, "other": {"adapter": "synthetic"}}}


def _protocol(tree: dict) -> Protocol:
    return config.validate(TWO | {"protocols": {"p": tree}}).protocols["p"]


def test_a_preset_says_what_a_protocol_is():
    found = _protocol({"preset": "cdmer-7", "databases": {"smic-hs": "demo", "casme2": "other"}})
    assert (found.databases, found.roles) == (("other", "demo"), ("casme2", "smic-hs"))
    assert (found.folds, found.test, found.labels) == ("transfer", ("demo",), "cdmer-7")
    assert Protocol.model_validate(found.model_dump(mode="json")) == found
    assert _protocol({"preset": "mmew-6", "databases": ["demo"]}).folds == 5


def test_own_protocols_are_a_few_lines():
    assert _protocol({"databases": ["demo"]}).folds == "loso"
    own = _protocol({"databases": ["demo", "other"], "folds": "transfer", "test": ["other"], "labels": "samm-3"})
    assert Protocol.model_validate(own.model_dump(mode="json")) == own


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        ({"preset": "megc19", "databases": {}}, ["'megc19' is unknown", "did you mean 'megc2019'", "cdmer-12"]),
        ({"preset": ["x"], "databases": ["demo"]}, ["['x'] is unknown"]),
        ({"preset": "cdmer-7", "databases": ["demo", "other"]},
         ["'cdmer-7' needs {casme2: <database>, smic-hs: <database>}", "['demo', 'other']"]),
        ({"preset": "cdmer-7", "databases": {"casme2": "demo", "smic": "other"}}, ["needs {casme2", "'smic'"]),
        ({"preset": "samm-5"}, ["needs {samm: <database>}", "None"]),
        ({"preset": "samm-5", "databases": {"samm": "nope"}}, ["protocols.p.databases", "'nope'", "demo, other"]),
        ({"preset": "samm-5", "databases": ["demo"], "folds": 5}, ["folds: preset 'samm-5' fixes it"]),
        ({"preset": "samm-5", "databases": ["demo"], "labels": "samm-4"}, ["labels: preset 'samm-5' fixes it"]),
        ({"preset": "samm-5", "databases": ["demo"], "lables": "x"}, ["lables", "did you mean 'labels'"]),
        ({"databases": {"samm": "demo"}}, ["`preset`"]),
        ({"databases": ["demo"], "roles": ["samm"]}, ["`preset`"]),
        ({"databases": ["demo", "demo"]}, ["listed twice"]),
        ({"databases": ["demo"], "accept_counts": True}, ["accept_counts"]),
        ({"databases": ["demo", "other"], "folds": "transfer"}, ["test: "]),
        ({"databases": ["demo", "other"], "test": ["demo"]}, ["test: "]),
        ({"databases": ["demo"], "folds": "transfer", "test": ["demo"]}, ["found demo", "some of demo, not all"]),
        ({"databases": ["demo"], "labels": "samm-33"}, ["unknown label map 'samm-33'", "samm-3"]),
    ],
)  # fmt: skip
def test_protocols_that_cannot_be_are_refused(tree: dict, parts: list[str]):
    message = _error(TWO | {"protocols": {"p": tree}})
    for part in ["protocols.p", *parts]:
        assert part in message


def test_overrides_reach_one_database_only():
    tree = {
        "databases": {
            "a": {"adapter": "synthetic", "overrides": {"apex": {"policy": "lbp_roi"}}},
            "b": {"adapter": "synthetic"},
        }
    }
    plan = config.validate(tree)
    assert plan.features_of("a").options("apex").policy == "lbp_roi"
    assert plan.features_of("b").options("apex").policy == "annotated"
    assert plan.features_of("a").options("flow") == plan.features_of("b").options("flow")


def test_what_cannot_change_a_result_is_in_no_stage():
    for stage in STAGES:
        options = config.validate(DEMO).features_of("demo").options(stage)
        assert not {"threads", "device", "mem_mb", "seed"} & set(options)


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", ""])
def test_a_file_that_is_no_tree_is_named(tmp_path: Path, content: str):
    path = tmp_path / "my.yaml"
    path.write_text(content)
    with pytest.raises(config.ConfigError, match=r"my\.yaml"):
        config.load(path)


def test_a_pretraining_on_held_out_subjects_is_refused():
    tree = {
        "databases": {"demo": {"adapter": "synthetic"}, "macro": {"adapter": "synthetic", "preset": "macro"}},
        "protocols": {
            "three": {"databases": ["demo"]},
            "big": {"databases": ["macro"]},
            "leak": {"databases": ["demo"]},
        },
        "style": {"method": "clahe"},
        "pretraining": {"teacher": {"task": "sa_at", "protocol": "big"}},
        "systems": {"sa-at": {"system": "sa_at", "protocols": ["three"], "pretrained": "teacher"}},
    }
    config.validate(tree)
    tree["pretraining"]["teacher"]["protocol"] = "leak"
    with pytest.raises(config.ConfigError, match=r"systems\.sa-at\.pretrained: 'teacher' learns from 'demo', which is"):
        config.validate(tree)


def test_shipped_configurations_are_valid():
    folder = Path(__file__).parent.parent / "config"
    files = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("papers/*/table*.yaml"))]
    assert len(files) > 20
    for file in files:
        config.load(file)


def _write(folder: Path, **trees: str) -> Path:
    for name, text in trees.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "mine.yaml"


def test_included_files_give_what_the_including_file_leaves_open(tmp_path: Path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/deep.yaml").write_text("seed: 4\nfaces: {size: 64, mode: box}\n")
    (tmp_path / "parts/first.yaml").write_text("include: [deep.yaml]\nseed: 5\nflow: {pairs: [onset_apex]}\n")
    path = _write(
        tmp_path,
        second="seed: 6\nfaces: {margin: 0.2}\n",
        mine="include: [parts/first.yaml, second.yaml]\nfaces: {size: 96}\nflow: {pairs: [offset_apex]}\n",
    )
    tree = config.read_tree(path)
    assert tree == {
        "seed": 6,
        "faces": {"size": 96, "mode": "box", "margin": 0.2},
        "flow": {"pairs": ["offset_apex"]},
    }


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        (
            {"mine": "include: [gone.yaml]\n"},
            r"mine\.yaml: include: .*gone\.yaml: expected a configuration file, found no such file",
        ),
        ({"mine": "include: other.yaml\n"}, r"mine\.yaml: include: expected a list of files, found 'other\.yaml'"),
        ({"mine": "include: [3]\n"}, r"mine\.yaml: include: expected a list of files, found \[3\]"),
        ({"mine": "include: [b.yaml]\n", "b": "include: [mine.yaml]\n"}, r"mine\.yaml: include: .*includes itself"),
        ({"mine": "include: [b.yaml]\n", "b": "seed: 1\nseed: 2\n"}, r"b\.yaml.*line 1: given twice: seed"),
        ({"mine": "include: [b.yaml]\n", "b": "[1]\n"}, r"b\.yaml: expected a tree of sections, found list"),
    ],
)
def test_a_wrong_include_is_named(tmp_path: Path, trees: dict[str, str], message: str):
    with pytest.raises(config.ConfigError, match=message):
        config.read_tree(_write(tmp_path, **trees))


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path):
    path = tmp_path / "my.yaml"
    path.write_text("seed: 1\nfaces: {size: 64}\nfaces: {size: 96}\n")
    with pytest.raises(config.ConfigError, match=r"my\.yaml.*line 1: given twice: faces"):
        config.load_for_command(path)


def test_merged_keys_are_not_given_twice(tmp_path: Path):
    path = tmp_path / "my.yaml"
    path.write_text("faces: &f {size: 64}\nflow: {method: dis}\nmagnify: {<<: {factor: 2}, factor: 3}\n")
    assert config.load_for_command(path).magnify.factor == 3


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"faces": {"sise": 3}}, ["databases.a.overrides: faces.sise", "unknown key"]),
        ({"faces": {"size": "big"}}, ["databases.a.overrides: faces.size", "integer", "'big'"]),
        ({"apex": {"policy": "lbp_roi", "spotters": ["roi_diff"]}}, ["databases.a.overrides: apex", "lbp_roi"]),
    ],
)
def test_wrong_overrides_are_named_with_their_database(overrides: dict, parts: list[str]):
    message = _error({"databases": {"a": {"adapter": "synthetic", "overrides": overrides}}})
    for part in parts:
        assert part in message


@pytest.mark.parametrize("seeds", [[0, 0], [-1], [2**32]])
def test_seeds_are_different_and_in_range(seeds: list[int]):
    system = {"system": "fr", "protocols": ["p"], "seeds": seeds}
    assert "systems.s.seeds" in _error(TWO | {"protocols": {"p": {"databases": ["a"]}}, "systems": {"s": system}})


def test_published_maps_and_frames_are_not_combined():
    message = _error(
        {
            "databases": {"d": {"adapter": "synthetic"}, "m": {"adapter": "flow_maps", "root": "maps"}},
            "protocols": {"both": {"databases": ["d", "m"]}},
            "systems": {"fr": {"system": "fr", "protocols": ["both"]}},
        }
    )
    assert "systems.fr: the feature files have no group in common: d has /" in message
    assert "m has /flow_maps" in message


def test_a_descriptor_that_no_stage_computes_is_refused():
    tree = {
        "databases": {"d": {"adapter": "synthetic"}},
        "protocols": {"p": {"databases": ["d"]}},
        "systems": {"s": {"system": "svm", "protocols": ["p"], "recipe": {"descriptor": "mdmo"}}},
    }
    assert "systems.s: it reads the descriptor mdmo, and descriptors.methods of d has lbp_top, bi_woof" in _error(tree)
    config.validate(tree | {"descriptors": {"methods": ["mdmo"]}})


def test_a_style_of_each_fold_is_not_there_before_the_folds():
    tree = {
        "databases": {"d": {"adapter": "synthetic"}, "m": {"adapter": "synthetic"}},
        "protocols": {"p": {"databases": ["d"]}, "macro": {"databases": ["m"]}},
        "style": {"method": "statistical", "fit_on": "fold"},
        "pretraining": {"teacher": {"task": "sa_at", "protocol": "macro", "recipe": {"images": "style"}}},
        "systems": {"s": {"system": "sa_at", "protocols": ["p"], "pretrained": "teacher"}},
    }
    assert "pretraining.teacher: it reads /style" in _error(tree)
    tree["pretraining"]["teacher"]["recipe"] = {}
    config.validate(tree)


def test_a_later_file_wins_with_all_that_it_includes(tmp_path: Path):
    first = tmp_path / "first.yaml"
    first.write_text("seed: 11\nfaces: {size: 64, margin: 0.1}\n")
    (tmp_path / "part.yaml").write_text("seed: 22\nfaces: {size: 96}\n")
    second = tmp_path / "second.yaml"
    second.write_text("include: [part.yaml]\nflow: {method: dis}\n")
    written = {"seed": 11, "faces": {"size": 64, "margin": 0.1}, "include": ["part.yaml"], "flow": {"method": "dis"}}
    expected = {"seed": 22, "faces": {"size": 96, "margin": 0.1}, "flow": {"method": "dis"}}
    assert config.completed(written, [first, second]) == expected
    assert config.completed(written | {"seed": 5}, [first, second]) == expected | {"seed": 5}  # --config seed=5
    changed = written | {"faces": {"size": 64, "margin": 0.3}}
    assert config.completed(changed, [first, second])["faces"] == {"size": 96, "margin": 0.3}
    with pytest.raises(
        config.ConfigError, match="include: expected in a configuration file, found on the command line"
    ):
        config.completed({"include": ["x.yaml"]}, [])


def test_null_leaves_out_an_entry_of_an_included_file(tmp_path: Path):
    (tmp_path / "part.yaml").write_text("systems: {a: {system: fr}, b: {system: fr}}\ncache: {keyframes: 3}\n")
    path = tmp_path / "mine.yaml"
    path.write_text("include: [part.yaml]\nsystems: {a: null, c: {system: fr}}\n")
    assert config.read_tree(path)["systems"] == {"b": {"system": "fr"}, "c": {"system": "fr"}}


def test_the_same_folder_under_another_name_is_a_leak(tmp_path: Path):
    tree = {
        "databases": {name: {"adapter": "casme2", "root": str(tmp_path)} for name in ("tested", "again")},
        "protocols": {"p": {"databases": ["tested"]}, "macro": {"databases": ["again"]}},
        "style": {"method": "clahe"},
        "pretraining": {"teacher": {"task": "sa_at", "protocol": "macro"}},
        "systems": {"s": {"system": "sa_at", "protocols": ["p"], "pretrained": "teacher"}},
    }
    assert "learns from 'again', which has the folder of 'tested'" in _error(tree)
    tree["databases"]["again"]["root"] = str(tmp_path / "other")
    config.validate(tree)


def test_a_misspelt_override_of_still_images_is_named_with_its_place():
    tree = {"databases": {"b": {"adapter": "bu3dfe", "root": "bu", "overrides": {"face": {"size": 64}}}}}
    assert "databases.b.bu3dfe.overrides.face: unknown key" in _error(tree)
    tree["databases"]["b"]["overrides"] = {"faces": {"size": 64}}
    assert config.validate(tree).features_of("b").faces.stills
