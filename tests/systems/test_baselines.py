"""The methods that papers compare with: published sizes, shapes, and that they learn."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mer_features.stages.flow import strain
from mer_features.systems.baselines import svm
from mer_features.systems.baselines.recipe import DualInceptionRecipe, OffApexNetRecipe, StstNetRecipe, SvmRecipe
from mer_features.systems.common.contract import Examples, Setup
from mer_features.systems.fr.recipe import FRRecipe
from mer_features.systems.registry import recipe

# ---------------------------------------------------------------- support vector machine


def described(n: int, classes: int, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.random.default_rng(99).normal(size=(classes, 40))
    return Examples({"descriptor": centres[labels] + rng.normal(size=(n, 40))}, labels, np.arange(n))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_decides_as_machines_of_one_class_against_the_rest(classes: int):
    train, test = described(60, classes), described(40, classes, seed=1)
    made = svm.build(SvmRecipe(C=0.5), classes, Setup())
    made.fit(train)
    margins = []
    for label in range(classes):
        one = make_pipeline(StandardScaler(), SVC(kernel="linear", C=0.5))
        one.fit(train.features["descriptor"], train.labels == label)
        margins.append(one.decision_function(test.features["descriptor"]))
    found = made.predict(test.features)
    np.testing.assert_array_equal(found.argmax(axis=1), np.argmax(margins, axis=0))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == test.labels).mean() > 0.8


def test_a_class_without_training_clips_is_never_chosen(tmp_path: Path):
    train = described(30, 3)
    keep = np.flatnonzero(train.labels != 1)
    made = svm.build(SvmRecipe(), 3, Setup())
    made.fit(train.take(keep))
    found = made.predict(train.features)
    assert found.shape == (30, 3)
    assert found[:, 1].max() == 0
    made.save(tmp_path / "w")
    other = svm.build(SvmRecipe(), 3, Setup())
    other.load(tmp_path / "w")
    np.testing.assert_array_equal(other.predict(train.features), found)


def test_separates_eight_clips_one_or_all_at_a_time_and_leaves_them_alone():
    clips = described(8, 3)
    clips.features["descriptor"][:] = np.random.default_rng(5).normal(size=(8, 40))  # nothing in it but their number
    kept = clips.features["descriptor"].copy()
    made = svm.build(SvmRecipe(), 3, Setup())
    made.fit(clips)
    found = made.predict(clips.features)
    np.testing.assert_array_equal(found.argmax(axis=1), clips.labels)
    for number in range(8):
        alone = made.predict({"descriptor": kept[number : number + 1]})
        np.testing.assert_allclose(alone[0], found[number], rtol=1e-6)
    np.testing.assert_array_equal(clips.features["descriptor"], kept)


@pytest.mark.parametrize("change", [{}, {"C": 1e-4}])
def test_slack_is_the_recipes(change: dict):
    clips = described(30, 3)
    made, one = svm.build(SvmRecipe(**change), 3, Setup()), svm.build(SvmRecipe(), 3, Setup())
    for system in (made, one):
        system.fit(clips)
    assert np.allclose(made.predict(clips.features), one.predict(clips.features)) == (not change)


def test_reads_its_descriptor():
    chosen = SvmRecipe(descriptor="bi_woof")
    assert svm.variables(chosen) == ("descriptors/bi_woof",)
    clip = {"descriptors/bi_woof": np.arange(200.0)}
    np.testing.assert_array_equal(svm.prepare(chosen, clip)["descriptor"], np.arange(200.0))


# ---------------------------------------------------------------- networks on flow

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torch.nn import functional as F

from mer_features.systems.baselines import (
    dual_inception,
    off_apexnet,
    ststnet,
)
from mer_features.systems.common import engine
from mer_features.systems.fr import train as fr

NETWORKS = {"off_apexnet": off_apexnet, "ststnet": ststnet, "dual_inception": dual_inception}
#: That trains in a second.
FAST = {
    "off_apexnet": {"learning_rate": 1e-3, "epochs": 15, "batch_size": 8},
    "ststnet": {"learning_rate": 2e-2, "epochs": 60, "batch_size": 12},
    "dual_inception": {"learning_rate": 1e-3, "epochs": 10, "batch_size": 8},
}


@pytest.mark.parametrize(
    ("network", "made", "parameters"),
    [
        (off_apexnet.OffApexNet, OffApexNetRecipe(), 2_664_475),
        (ststnet.StstNet, StstNetRecipe(), 1_683),
        (ststnet.StstNet, StstNetRecipe(batch_norm=False), 1_651),
        (dual_inception.DualInception, DualInceptionRecipe(), 6_449_867),
    ],
)
def test_parameters_are_as_published(network: type, made: object, parameters: int):
    assert engine.parameters(network(made, 3)) == parameters


def test_maps_have_the_published_sizes():
    made = ststnet.StstNet(StstNetRecipe(), 3).eval()
    flow = torch.rand(2, 3, 28, 28)
    convolved, pooled = [], []
    for layer in made.features.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _given, found: convolved.append(found.shape))
        if isinstance(layer, torch.nn.AvgPool2d):
            layer.register_forward_hook(lambda _layer, given, _found: pooled.append(given[0].shape))
    assert made.features(flow).shape == (2, 400)
    assert sum(shape[1] for shape in convolved) == 16
    assert {tuple(shape[2:]) for shape in convolved} == {(30, 30)}
    assert pooled == [(2, 16, 10, 10)]
    stream = off_apexnet.stream()
    assert stream[:3](flow[:, :1]).shape == (2, 6, 14, 14)
    assert stream(flow[:, :1]).shape == (2, 16, 7, 7)
    torch.nn.init.zeros_(made.head.weight)
    torch.nn.init.zeros_(made.head.bias)
    assert F.cross_entropy(made(flow), torch.tensor([0, 1])).item() == pytest.approx(math.log(3))


def test_dual_inception_is_fr_without_refinement():
    torch.manual_seed(0)
    ours = dual_inception.DualInception(DualInceptionRecipe(), 3)
    theirs = fr.network(FRRecipe(refine="none"), 3)
    theirs.trunk.load_state_dict(ours.features.state_dict())
    theirs.classifier.load_state_dict(ours.head.state_dict())
    flow = torch.rand(3, 2, 28, 28)
    torch.testing.assert_close(theirs(flow).logits, ours(flow))


def moving_spots(n: int, planes: int, seed: int = 0) -> Examples:
    """Flow that is strong in one of three places, by class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    flow = rng.normal(0, 0.1, (n, planes, 28, 28)).astype(np.float32)
    for item, label in zip(flow, labels, strict=True):
        item[:, 9 * label : 9 * label + 9, 8:20] += 1
    return Examples({"flow": flow}, labels, np.arange(n))


@pytest.mark.parametrize("name", NETWORKS)
def test_learns_keeps_and_does_not_mind_company(name: str, tmp_path: Path):
    module, planes = NETWORKS[name], 3 if name == "ststnet" else 2
    chosen = recipe(name, FAST[name])
    made, clips = module.build(chosen, 3, Setup(seed=1)), moving_spots(24, planes)
    made.fit(clips)
    np.testing.assert_array_equal(clips.features["flow"], moving_spots(24, planes).features["flow"])  # left alone
    test = moving_spots(30, planes, seed=1)
    found = made.predict(test.features)
    assert (found.argmax(axis=1) == test.labels).mean() > 0.9
    one = made.predict({"flow": test.features["flow"][4:5]})
    np.testing.assert_allclose(one[0], found[4], atol=1e-5)
    made.save(tmp_path / "w.pt")
    other = module.build(chosen, 3, Setup(seed=2))
    other.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(other.predict(test.features), found)
    assert len(made.losses()) == chosen.epochs
    assert made.embed(test.features)["features"].shape[0] == 30


@pytest.mark.parametrize("name", NETWORKS)
def test_overfits_eight_clips(name: str):
    rng = np.random.default_rng(0)
    planes = 3 if name == "ststnet" else 2
    flow = np.kron(rng.random((8, planes, 4, 4)), np.ones((7, 7))).astype(np.float32)
    examples = Examples({"flow": flow}, np.array([0, 1, 2, 0, 1, 2, 0, 1]), np.arange(8))
    keys = FAST[name] | ({"epochs": 300, "learning_rate": 3e-2} if name == "ststnet" else {"epochs": 40})
    made = NETWORKS[name].build(recipe(name, keys), 3, Setup(seed=0))
    made.fit(examples)
    np.testing.assert_array_equal(made.predict(examples.features).argmax(axis=1), examples.labels)


@pytest.mark.parametrize("name", NETWORKS)
def test_input_is_resized_and_scaled(name: str):
    module = NETWORKS[name]
    rng = np.random.default_rng(0)
    clip = {variable: rng.normal(size=(64, 64)).astype(np.float32) for variable in module.variables(recipe(name))}
    made = module.prepare(recipe(name, {"scale": "minmax"}), clip)["flow"]
    assert made.shape == (len(clip), 28, 28)
    np.testing.assert_array_equal(made.min(axis=(1, 2)), 0)
    np.testing.assert_array_equal(made.max(axis=(1, 2)), 1)
    stored = module.prepare(recipe(name, {"scale": "bytes"}), clip)["flow"]
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, np.rint(255 * made))
    signed = module.prepare(recipe(name, {"scale": "symmetric"}), clip)["flow"]
    turned = module.prepare(recipe(name, {"scale": "symmetric"}), {key: -value for key, value in clip.items()})["flow"]
    np.testing.assert_allclose(turned, -signed, atol=1e-6)


@pytest.mark.parametrize("name", [*NETWORKS, "fr"])
@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_a_mirrored_face_gives_mirrored_planes_and_turns_u_around(name: str, resize: str):
    """A face mirrored moves the other way along x: u changes its sign, v and strain do not."""
    module = {**NETWORKS, "fr": fr}[name]
    rng = np.random.default_rng(0)
    u, v = (cv2.GaussianBlur(rng.normal(size=(84, 84)).astype(np.float32), (0, 0), 3) for _ in "uv")

    def clip(u: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
        planes = {"u": u, "v": v, "strain": strain.magnitude(u, v)}
        return {f"flow/{plane}[onset_apex]": values for plane, values in planes.items()}

    for scale, turned in (("symmetric", lambda plane: -plane), ("minmax", lambda plane: 1 - plane)):
        order = {"order": "u_v_strain"} if name == "ststnet" else {}
        chosen = recipe(name, {"scale": scale, "resize": resize, **order})
        straight, mirrored = (
            module.prepare(chosen, each)["flow"] for each in (clip(u, v), clip(-u[:, ::-1], v[:, ::-1]))
        )
        expected = straight[..., ::-1].copy()
        expected[0] = turned(expected[0])
        np.testing.assert_allclose(mirrored, expected, atol=1e-5)


@pytest.mark.parametrize(("order", "channels"), [("strain_v_u", "strain v u"), ("u_v_strain", "u v strain")])
def test_ststnet_orders_its_planes(order: str, channels: str):
    chosen = recipe("ststnet", {"order": order, "scale": "minmax"})
    assert ststnet.variables(chosen) == tuple(f"flow/{name}[onset_apex]" for name in channels.split())
    planes = {f"flow/{name}[onset_apex]": np.zeros((28, 28), np.float32) for name in ("u", "v", "strain")}
    for number, name in enumerate(("u", "v", "strain")):
        planes[f"flow/{name}[onset_apex]"][number, 0] = 1  # its place names the plane
    made = ststnet.prepare(chosen, planes)["flow"]
    assert [("u", "v", "strain")[int(plane[:, 0].argmax())] for plane in made] == channels.split()


# ---------------------------------------------------------------- initial weights

BUILDERS = {
    "off_apexnet": off_apexnet.OffApexNet,
    "ststnet": ststnet.StstNet,
    "dual_inception": dual_inception.DualInception,
    "fr": fr.network,
}


def layers(name: str, initialisation: str) -> list[torch.nn.Module]:
    torch.manual_seed(0)
    network = BUILDERS[name](recipe(name, {"initialisation": initialisation}), 3)
    return [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)]


@pytest.mark.parametrize("name", BUILDERS)
def test_keras_draws_from_glorots_range_and_sets_biases_to_0(name: str):
    for layer in layers(name, "keras"):
        for weight in layer.weight.split(getattr(layer, "parts", len(layer.weight))):  # each as if it were alone
            places = weight[0, 0].numel()  # of the kernel
            fans = (weight.shape[0] + weight.shape[1]) * places
            assert_uniform(weight, math.sqrt(6 / fans))
        assert not layer.bias.any()


@pytest.mark.parametrize("name", BUILDERS)
def test_torch_keeps_the_weights_that_torch_draws(name: str):
    for layer in layers(name, "torch"):
        bound = 1 / math.sqrt(layer.weight[0].numel())
        assert_uniform(layer.weight, bound)
        assert 0 < layer.bias.abs().max() <= bound


def assert_uniform(weight: torch.Tensor, bound: float) -> None:
    """Whether weights fill -bound..bound evenly, by their largest value and their spread."""
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.abs().max() > bound * (1 - 20 / weight.numel())
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=4 / math.sqrt(weight.numel()))
