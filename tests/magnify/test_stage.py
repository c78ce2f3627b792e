"""The stage, its place among the others, and the flow of amplified pairs."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mer_features.core.clips import Clip
from mer_features.stages import flow
from mer_features.stages import magnify as package
from mer_features.stages import run as stages
from mer_features.stages.magnify import magnify, process
from mer_features.stages.options import Flow, Magnify
from mer_features.workflow import config
from mer_features.workflow.plan import Plan

from .pictures import bump, face, moved, stored

CLIP = Clip("s/c", "d", "s", "")


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    picture = face(96)
    field = bump(96, (0.6, -0.3), 12.0)
    return np.stack([stored(moved(picture, size * field), 1, index) for index, size in enumerate((-1, 0, 0.5, 1, 0.2))])


@pytest.fixture
def inputs(crops: np.ndarray) -> dict:
    position = {"onset": 1, "apex": 3, "offset": 4}
    return {"faces": {"crops": crops}, "apex": SimpleNamespace(attrs=position)}


def test_the_apex_is_amplified_against_the_onset(inputs: dict, crops: np.ndarray):
    record = process(CLIP, inputs, Magnify(factor=4))
    assert record.clip_id == "s/c"
    assert record.attrs == {"factor": 4.0, "method": "phase", "model_digest": ""}
    assert list(record.arrays) == ["apex"]
    np.testing.assert_array_equal(record.arrays["apex"], magnify(crops[1], crops[3], 4)[None])


def test_flow_goes_to_the_amplified_apex_and_says_how_much_larger_it_is(inputs: dict, crops: np.ndarray):
    amplified = process(CLIP, inputs, Magnify(factor=4)).arrays["apex"]
    inputs["magnify"] = {"apex": amplified}
    pairs = ("offset_amplified", "onset_apex", "onset_amplified")
    options = Flow(method="dis", light="as_recorded", pairs=pairs)
    record = flow.process(CLIP, inputs, options)
    for found, (first, second) in zip(
        record.arrays["flow"], [(4, amplified[0]), (1, crops[3]), (1, amplified[0])], strict=True
    ):
        np.testing.assert_array_equal(found, flow.estimate(crops[first], second, "dis"))
    lengths = np.hypot(*record.arrays["flow"].swapaxes(0, 1)).mean(axis=(1, 2))
    assert record.attrs["magnified_by"] == pytest.approx(lengths[2] / lengths[1], rel=1e-5)
    assert 2.5 < record.attrs["magnified_by"] < 5


@pytest.mark.parametrize("names", [("onset_apex",), ("onset_amplified",), ("onset_amplified", "offset_apex")])
def test_how_much_larger_is_unknown_without_both_pairs(names):
    assert flow.magnified_by({name: np.ones((2, 4, 4)) for name in names}) is None


def test_how_much_larger_is_unknown_without_motion():
    still = np.zeros((2, 4, 4))
    assert flow.magnified_by({"onset_apex": still, "onset_amplified": still + 1}) is None
    assert flow.magnified_by({"onset_apex": still + 1, "onset_amplified": 3 * still + 6}) == pytest.approx(6)


# The configuration


def _config(**sections: object) -> config.Config:
    return config.validate({"databases": {"one": {"adapter": "synthetic"}, "two": {"adapter": "synthetic"}}} | sections)


def test_amplified_pairs_need_a_method():
    pairs = {"pairs": ["onset_apex", "onset_amplified"]}
    assert _config(flow=pairs).features_of("one").stages == ("faces", "apex", "magnify", "flow", "descriptors")
    with pytest.raises(config.ConfigError, match=r"flow.pairs of one: .*onset_amplified.*magnify.method, not `none`"):
        _config(flow=pairs, magnify={"method": "none"})


def test_the_stage_can_be_off_for_all_or_for_one_database():
    assert _config(magnify={"method": "none"}).features_of("one").stages == ("faces", "apex", "flow", "descriptors")
    tree = {
        "one": {"adapter": "synthetic", "overrides": {"magnify": {"method": "none"}}},
        "two": {"adapter": "synthetic"},
    }
    mixed = config.validate({"databases": tree})
    assert mixed.features_of("one").stages == ("faces", "apex", "flow", "descriptors")
    assert mixed.features_of("two").stages == ("faces", "apex", "magnify", "flow", "descriptors")


@pytest.mark.parametrize("name", ["table-3", "table-4"])
def test_the_preset_of_paper_004_takes_each_database_s_own_target(name: str):
    chosen = config.load(Path(__file__).parents[2] / f"config/papers/map_mer/{name}.yaml")
    pairs = {database: chosen.features_of(database).options("flow").pairs for database in chosen.databases}
    assert {"onset_apex", "offset_apex"} <= set(pairs["casme2"])
    assert {"onset_amplified", "offset_amplified"} <= set(pairs["samm"])
    for database in chosen.databases:
        options = chosen.features_of(database).options("magnify")
        assert (options.method, options.factor) == ("learned", 6)


# What runs when


def _plan(**sections: object) -> Plan:
    return Plan({"databases": {"one": {"adapter": "synthetic"}}} | sections, refresh=False)


def test_flow_reads_the_stage_only_where_a_pair_needs_it():
    plain, amplified = _plan(), _plan(flow={"pairs": ["onset_amplified"]}, descriptors={"methods": []})
    assert set(plain.stage_inputs("flow", "one")) == {"faces", "apex"}
    assert amplified.stage_inputs("flow", "one")["magnify"] == "results/magnify/one/{shard}.h5"
    assert set(plain.stage_inputs("magnify", "one")) == {"faces", "apex"}


def test_the_content_of_a_weights_file_decides_not_its_time(tmp_path: Path):
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"first")
    options = {"method": "learned", "weights": str(weights)}
    before = _plan(magnify=options).stage_weights("magnify", "one")
    times = weights.stat()
    weights.write_bytes(b"other")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = _plan(magnify=options).stage_weights("magnify", "one")
    assert before.keys() == after.keys() == {"weights"}
    assert before != after


def test_only_a_network_needs_the_training_environment():
    assert _plan(magnify={"method": "learned"}).magnify_environment == "train"
    assert _plan(magnify={"method": "phase"}).magnify_environment == "features"


def test_the_code_of_a_network_counts_only_where_it_runs(monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(stages.fingerprint, "of", lambda *modules, **_: seen.append(modules) or "")
    for method in ("phase", "learned"):
        stages.code_fingerprint("magnify", Magnify(method=method))
    assert seen[0][0] == "mer_features.stages.magnify.__init__"
    assert "mer_features.stages.magnify.learned" not in seen[0]
    assert "mer_features.stages.magnify.learned" in seen[1]


def test_the_fingerprint_sees_every_module_of_the_classical_methods(monkeypatch: pytest.MonkeyPatch):
    from mer_features.core import fingerprint

    files = {path.name for path in fingerprint.files("mer_features.stages.magnify.__init__")}
    assert {"phase.py", "motion.py", "riesz.py", "pyramid.py", "image.py", "eulerian.py"} <= files
    assert not {"learned.py", "train.py", "pairs.py", "video.py"} & files


# The trained network: here only how it is called; its own tests are beside its module


class _Doubled:
    digest = "0123abcd"

    def __call__(self, reference: np.ndarray, moved: np.ndarray, factor: float) -> np.ndarray:
        assert reference.shape == moved.shape
        assert reference.shape[2] == 3
        return np.clip(reference + factor * (moved.astype(float) - reference), 0, 255).astype(np.uint8)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> list:
    asked: list = []
    module = types.ModuleType("mer_features.stages.magnify.learned")
    module.load = lambda weights: asked.append(weights) or _Doubled()
    monkeypatch.setitem(sys.modules, "mer_features.stages.magnify.learned", module)
    package.learned_model.cache_clear()
    yield asked
    package.learned_model.cache_clear()


def test_the_network_is_read_once_and_its_digest_is_kept(network: list, inputs: dict, crops: np.ndarray):
    options = Magnify(method="learned", factor=2, weights="mine.safetensors")
    record = process(CLIP, inputs, options)
    assert record.attrs["model_digest"] == "0123abcd"
    np.testing.assert_array_equal(record.arrays["apex"][0], _Doubled()(crops[1], crops[3], 2))
    process(CLIP, inputs, options)
    assert network == [Path("mine.safetensors")]


def test_grey_goes_through_the_network_as_three_equal_channels(network: list, crops: np.ndarray):
    grey = crops[..., :1]
    out = magnify(grey[1], grey[3], 2, "learned")
    assert out.shape == grey[1].shape
    np.testing.assert_array_equal(out, _Doubled()(*(np.repeat(grey[i], 3, axis=2) for i in (1, 3)), 2)[..., :1])
    assert network == [None]
