from pathlib import Path

import pytest
import yaml

from mer_features import config

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


def test_overrides_reach_one_database_only():
    tree = {
        "databases": {
            "a": {"adapter": "synthetic", "overrides": {"apex": {"policy": "lbp_roi"}}},
            "b": {"adapter": "synthetic"},
        }
    }
    plan = config.validate(tree)
    assert plan.stage_options("apex", "a")["policy"] == "lbp_roi"
    assert plan.stage_options("apex", "b")["policy"] == "annotated"
    assert plan.stage_options("flow", "a") == plan.stage_options("flow", "b")


def test_what_cannot_change_a_result_is_in_no_stage():
    for stage in config.STAGES:
        options = config.validate(DEMO).stage_options(stage, "demo")
        assert not {"threads", "device", "mem_mb", "seed"} & set(options)


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", ""])
def test_a_file_that_is_no_tree_is_named(tmp_path: Path, content: str):
    path = tmp_path / "my.yaml"
    path.write_text(content)
    with pytest.raises(config.ConfigError, match=r"my\.yaml"):
        config.load(path)


def test_shipped_configurations_are_valid():
    folder = Path(__file__).parent.parent / "config"
    files = sorted(folder.glob("*.yaml"))
    assert files
    for file in files:
        config.validate(yaml.safe_load(file.read_text()), str(file))
