"""FR against its parameter counts, its equations written out in NumPy, and small problems it must solve."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torch.nn import functional as F

from mer_features.systems import registry
from mer_features.systems.common import engine
from mer_features.systems.common.contract import (
    Examples,
    Setup,
)
from mer_features.systems.fr import train as fr
from mer_features.systems.fr.recipe import FRRecipe

#: A recipe that learns in a few steps.
FAST = FRRecipe(optimiser="adam", learning_rate=1e-3, attention_scale="d", epochs=8, batch_size=8)


def flows(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 2, 28, 28, generator=torch.Generator().manual_seed(seed))


def examples(features: np.ndarray, labels: np.ndarray) -> Examples:
    return Examples({"flow": features}, labels, np.arange(len(labels)))


def moving_spots(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a spot whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    features = rng.random((n, 2, 28, 28)).astype(np.float32) * 0.3
    for clip, label in zip(features, labels, strict=True):
        clip[:, 4 + 8 * label : 10 + 8 * label, 8:20] += 0.7
    return features, labels.astype(np.int64)


def net(recipe: FRRecipe | None = None, classes: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return fr.network(recipe or FRRecipe(), classes).eval()


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("keys", "classes", "count"),
    [
        ({"refine": "none"}, 3, 6_449_867),
        ({"refine": "none"}, 4, 6_450_892),
        ({}, 3, 10_252_750),
        ({}, 4, 11_433_936),
        ({}, 5, 12_615_122),
        ({"refine": "fc"}, 3, 10_252_750),
        ({"fusion": "concat"}, 3, 10_252_750 + 2 * 1024 * 256),
        ({"variant": "table7"}, 3, 10_241_781),
        ({"variant": "table7"}, 4, 11_423_096),
    ],
)
def test_parameter_counts(keys: dict, classes: int, count: int):
    with torch.device("meta"):
        found = fr.network(FRRecipe(**keys), classes)
    assert sum(p.numel() for p in found.parameters()) == count


def test_stages_have_the_parameters_of_the_description():
    trunk = fr.Trunk()
    blocks = [sum(p.numel() for p in trunk.streams[0][i].parameters()) for i in (0, 1)]
    assert blocks == [1_284, 10_336]
    assert sum(p.numel() for p in trunk.join.parameters()) == 6_423_552


def test_shapes():
    output = net()(flows(5))
    assert [tuple(part.shape) for part in output] == [(5, 3), (5, 1024), (5, 3), (5, 1024)]
    assert tuple(net(FRRecipe(fusion="concat"))(flows(2)).refined.shape) == (2, 3072)
    basic = net(FRRecipe(refine="none"), 4)(flows(2))
    assert tuple(basic.logits.shape) == (2, 4)
    assert basic.proposals is None
    assert basic.refined is None


# ---------------------------------------------------------------- forward


def test_inception_block_is_four_branches():
    """The merged entry and the late ReLU against four branches of separate convolutions, each with its ReLU."""
    torch.manual_seed(1)
    block = fr.Inception(5, 4, norm=False)
    x = torch.rand(2, 5, 9, 9)
    weight, bias = block.entry[0].weight, block.entry[0].bias
    entry = [F.relu(F.conv2d(x, weight[i : i + 4], bias[i : i + 4])) for i in (0, 4, 8)]
    three = F.relu(F.conv2d(entry[1], block.three[0].weight, block.three[0].bias, padding=1))
    five = F.relu(F.conv2d(entry[2], block.five[0].weight, block.five[0].bias, padding=2))
    pool = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-math.inf), 3, stride=1)
    pool = F.relu(F.conv2d(pool, block.pool[1][0].weight, block.pool[1][0].bias))
    expected = torch.cat([entry[0], three, five, pool], dim=1)
    torch.testing.assert_close(block(x), F.max_pool2d(expected, 2))


@pytest.mark.parametrize("scale", [1, "d"])
@pytest.mark.parametrize("fusion", ["sum", "concat"])
def test_refinement_in_numpy(scale: str, fusion: str):
    """z -> proposals, z' and logits by the equations."""
    model = net(FRRecipe(attention_scale=scale, fusion=fusion))
    output = model(flows(3))
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    z = output.shared.detach().double().numpy()

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    specific, proposals = [], []
    for k in range(3):
        scores = linear(z, f"attention.{k}")
        attention = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(attention.sum(axis=1), 1)
        assert attention.min() > 0
        specific.append(attention * z * (1024 if scale == "d" else 1))
        hidden = np.maximum(linear(specific[-1], f"detectors.{k}.0"), 0)
        proposals.append(linear(hidden, f"detectors.{k}.2")[:, 0])
    refined = sum(specific) if fusion == "sum" else np.concatenate(specific, axis=1)
    logits = linear(np.maximum(linear(refined, "classifier.0"), 0), "classifier.3")
    np.testing.assert_allclose(output.proposals.detach(), np.stack(proposals, axis=1), atol=1e-5)
    np.testing.assert_allclose(output.refined.detach(), refined, atol=1e-5)
    np.testing.assert_allclose(output.logits.detach(), logits, atol=1e-5)


def test_flat_attention_divides_by_the_width():
    model = net(FRRecipe(attention_scale=1))
    for unit in model.attention:
        torch.nn.init.zeros_(unit.weight)
        torch.nn.init.zeros_(unit.bias)
    output = model(flows(2))
    torch.testing.assert_close(output.refined, 3 * output.shared / 1024)


def test_fc_refinement_is_a_rectified_layer():
    model = net(FRRecipe(refine="fc"))
    output = model(flows(2))
    torch.testing.assert_close(output.refined, sum(F.relu(unit(output.shared)) for unit in model.attention))


def test_two_unit_detectors_give_the_two_class_softmax():
    model = net(FRRecipe(variant="table7"))
    output = model(flows(2))
    specific = model.specific(model.attention[1], output.shared)
    probability = F.softmax(model.detectors[1][:3](specific), dim=1)[:, 1]
    torch.testing.assert_close(torch.sigmoid(output.proposals[:, 1]), probability)


def test_streams_are_not_tied_and_see_both_components():
    flow = flows(2)
    for recipe in (FRRecipe(), FRRecipe(variant="table7")):
        model = net(recipe)
        assert not torch.allclose(model(flow).shared, model(flow.flip(1)).shared)
    streams = net().trunk.streams
    assert len(streams) == 2
    assert not torch.equal(streams[0][0].three[0].weight, streams[1][0].three[0].weight)
    shared = net(FRRecipe(variant="table7")).trunk
    assert engine.parameters(shared.stream) == 11_620 + 264  # with the scales and shifts of 132 channels


def test_refine_none_has_the_same_trunk():
    plain = {name: p.shape for name, p in net(FRRecipe(refine="none")).trunk.named_parameters()}
    assert plain == {name: p.shape for name, p in net().trunk.named_parameters()}


@pytest.mark.parametrize("keys", [{}, {"variant": "table7"}, {"refine": "none"}])
def test_one_clip_is_as_good_as_many(keys: dict):
    model = net(FRRecipe(**keys))
    many = model(flows(6)).logits
    torch.testing.assert_close(torch.cat([model(clip[None]).logits for clip in flows(6)]), many)


# ---------------------------------------------------------------- losses


def slow_losses(logits: np.ndarray, proposals: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Eq. 4, 5 and 7 as printed, with the mean over clips."""
    n, classes = logits.shape
    proposal = classification = 0.0
    for i in range(n):
        for k in range(classes):
            p = 1 / (1 + math.exp(-proposals[i, k]))
            t = 1.0 if labels[i] == k else 0.0
            proposal += -(t * math.log(p) + (1 - t) * math.log(1 - p)) / classes / n
        classification += -math.log(math.exp(logits[i, labels[i]]) / sum(map(math.exp, logits[i]))) / n
    return proposal, classification


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_losses_in_numpy(classes: int):
    rng = np.random.default_rng(classes)
    logits, proposals = rng.normal(size=(2, 7, classes)) * 3
    labels = rng.integers(0, classes, 7)
    output = fr.Output(torch.tensor(logits), torch.zeros(7, 1024), torch.tensor(proposals))
    found = fr.losses(output, torch.tensor(labels), 0.85)
    proposal, classification = slow_losses(logits, proposals, labels)
    assert float(found.proposal) == pytest.approx(proposal)
    assert float(found.classification) == pytest.approx(classification)
    assert float(found.total) == pytest.approx(0.85 * proposal + classification)


def test_losses_of_knowing_nothing():
    output = fr.Output(torch.zeros(6, 3), torch.zeros(6, 1024), torch.zeros(6, 3))
    found = fr.losses(output, torch.arange(6) % 3, 0.85)
    assert float(found.proposal) == pytest.approx(math.log(2))
    assert float(found.classification) == pytest.approx(math.log(3))
    assert float(found.total) == pytest.approx(1.6878, abs=5e-5)


def test_backbone_has_the_classification_loss_alone():
    output = fr.Output(torch.zeros(6, 3), torch.zeros(6, 1024))
    assert float(fr.losses(output, torch.arange(6) % 3, 0.85).total) == pytest.approx(math.log(3))


def test_perfect_detectors_leave_the_classification_gradient():
    model = net()
    output = model(flows(3))
    labels = torch.arange(3)
    perfect = torch.where(F.one_hot(labels, 3) > 0, 200.0, -200.0) + 0 * output.proposals
    found = fr.losses(output._replace(proposals=perfect), labels, 0.85)
    assert found.proposal.item() == pytest.approx(0, abs=1e-12)
    found.total.backward()
    assert all(float(unit.weight.grad.abs().sum()) > 0 for unit in model.attention)
    assert float(model.trunk.join.weight.grad.abs().sum()) > 0


def test_detectors_learn_from_the_proposal_loss_only():
    model = net()
    labels = torch.arange(3)
    fr.losses(model(flows(3)), labels, 0.0).total.backward()
    weights = [detector[0].weight for detector in model.detectors]
    assert all(weight.grad is None or not weight.grad.any() for weight in weights)
    fr.losses(model(flows(3)), labels, 0.85).total.backward()
    assert all(weight.grad.any() for weight in weights)


def test_detectors_are_independent():
    model = net()
    model(flows(3)).proposals[:, 1].sum().backward()
    touched = [any(p.grad is not None and p.grad.any() for p in d.parameters()) for d in model.detectors]
    assert touched == [False, True, False]


# ---------------------------------------------------------------- input


def test_input_is_scaled_by_clip_and_component():
    rng = np.random.default_rng(0)
    clip = {"flow/u[onset_apex]": rng.normal(size=(256, 256)), "flow/v[onset_apex]": rng.normal(size=(256, 256)) * 9}
    made = fr.prepare(FRRecipe(), clip)["flow"]
    assert made.shape == (2, 28, 28)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made.min(axis=(1, 2)), [0, 0])
    np.testing.assert_array_equal(made.max(axis=(1, 2)), [1, 1])
    twice = {name: 2 * plane + 5 for name, plane in clip.items()}
    np.testing.assert_allclose(fr.prepare(FRRecipe(), twice)["flow"], made, atol=1e-5)


def test_input_is_resized_bilinearly():
    rng = np.random.default_rng(1)
    u = rng.normal(size=(100, 90)).astype(np.float32)
    made = fr.prepare(FRRecipe(), {"flow/u[onset_apex]": u, "flow/v[onset_apex]": u})["flow"]
    expected = F.interpolate(torch.from_numpy(u)[None, None], (28, 28), mode="bilinear", align_corners=False)[0, 0]
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(made[0], expected, atol=1e-5)


def test_symmetric_input_keeps_sign_and_zero():
    u = np.zeros((28, 28), np.float32)
    u[3, 4], u[5, 6] = -4, 2
    clip = {"flow/u[onset_apex]": u, "flow/v[onset_apex]": np.zeros_like(u)}
    made = fr.prepare(FRRecipe(scale="symmetric"), clip)["flow"]
    np.testing.assert_allclose(made[0], u / 4)
    np.testing.assert_array_equal(made[1], clip["flow/v[onset_apex]"])


def test_no_flow_is_zeros():
    still = np.zeros((64, 64), np.float32)
    made = fr.prepare(FRRecipe(), {"flow/u[onset_apex]": still, "flow/v[onset_apex]": still - 3})["flow"]
    np.testing.assert_array_equal(made, np.zeros((2, 28, 28)))


# ---------------------------------------------------------------- training


def test_overfits_eight_clips():
    rng = np.random.default_rng(0)
    features = np.kron(rng.random((8, 2, 4, 4)), np.ones((7, 7))).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    system = fr.build(FAST.model_copy(update={"epochs": 20}), 3, Setup(seed=0))
    system.fit(examples(features, labels))
    np.testing.assert_array_equal(system.predict({"flow": features}).argmax(axis=1), labels)


def test_training_leaves_the_clips_as_they_are():
    features, labels = moving_spots(9)
    system = fr.build(FAST.model_copy(update={"epochs": 1}), 3, Setup(seed=0))
    system.fit(examples(features, labels))
    np.testing.assert_array_equal(features, moving_spots(9)[0])


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("Basic Inception", fr.Basic, 6_449_867),
        ("FR-fc", fr.FR, 10_252_750),
        ("FR-concat", fr.FR, 10_777_038),
        ("Table 7", fr.FR, 10_241_781),
        ("literal", fr.FR, 10_252_750),
    ],
)
def test_each_named_ablation_is_its_network(name: str, kind: type, count: int):
    made = registry.recipe("fr", None, name)
    with torch.device("meta"):
        network = fr.Network(made, 3).net
    assert type(network) is kind
    assert engine.parameters(network) == count
    assert (made.refine == "fc") == (name == "FR-fc")
    assert set(FRRecipe.ablations) == {"Basic Inception", "FR-fc", "FR-concat", "Table 7", "literal"}


def test_the_literal_recipe_is_the_printed_one():
    made = registry.recipe("fr", None, "literal")
    assert (made.optimiser, made.learning_rate, made.momentum, made.attention_scale) == ("sgd", 0.001, 0.0, 1)
    assert made.batch_size == 32


@pytest.mark.parametrize("text", ["attention_scale: 1", 'attention_scale: "1"'])
def test_the_printed_scale_is_a_number_or_a_text(text: str):
    assert FRRecipe(**yaml.safe_load(text)).attention_scale == 1
    with pytest.raises(ValueError, match="attention_scale"):
        FRRecipe(attention_scale=2)


def test_a_momentum_that_nothing_uses_is_refused():
    with pytest.raises(ValueError, match=r"momentum: found 0\.8; only `optimiser: sgd` uses it"):
        FRRecipe(momentum=0.8)


@pytest.mark.parametrize("keys", [{"refine": "attention"}, {"refine": "none"}, {"variant": "table7"}])
def test_generalises_to_clips_it_has_not_seen(keys: dict):
    system = fr.build(FAST.model_copy(update=keys), 3, Setup(seed=0))
    system.fit(examples(*moving_spots(15, seed=0)))
    features, labels = moving_spots(30, seed=1)
    assert np.mean(system.predict({"flow": features}).argmax(axis=1) == labels) > 0.9


@pytest.fixture(scope="module")
def trained() -> engine.TorchSystem:
    system = fr.build(FAST.model_copy(update={"epochs": 2}), 3, Setup(seed=5))
    system.fit(examples(*moving_spots(12)))
    return system


def test_the_same_seed_gives_the_same_weights(trained: engine.TorchSystem):
    features, labels = moving_spots(12)
    torch.rand(7)  # the state of the global generator must not matter
    again = fr.build(FAST.model_copy(update={"epochs": 2}), 3, Setup(seed=5))
    again.fit(examples(features, labels))
    np.testing.assert_array_equal(again.predict({"flow": features}), trained.predict({"flow": features}))
    other = fr.build(FAST.model_copy(update={"epochs": 2}), 3, Setup(seed=6))
    other.fit(examples(features, labels))
    assert not np.allclose(other.predict({"flow": features}), trained.predict({"flow": features}))


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    system = fr.build(FAST.model_copy(update={"epochs": 1}), 3, Setup(seed=5))
    system.fit(examples(*moving_spots(4)))
    torch.testing.assert_close(torch.rand(4), expected)


def test_saved_weights_give_the_same_predictions(trained: engine.TorchSystem, tmp_path: Path):
    features, _ = moving_spots(9, seed=4)
    trained.save(tmp_path / "w.pt")
    other = fr.build(FAST, 3, Setup(seed=99))
    assert not np.allclose(other.predict({"flow": features}), trained.predict({"flow": features}))
    other.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(other.predict({"flow": features}), trained.predict({"flow": features}))


def test_predictions_are_probabilities_and_embeddings_are_the_networks(trained: engine.TorchSystem):
    features, _ = moving_spots(9)
    probabilities = trained.predict({"flow": features})
    assert probabilities.shape == (9, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    layers = trained.embed({"flow": features})
    assert {name: layer.shape for name, layer in layers.items()} == {"z": (9, 1024), "z_refined": (9, 1024)}
    assert layers["z"].min() == 0  # rectified
    assert set(fr.build(FRRecipe(refine="none"), 3, Setup(seed=0)).embed({"flow": features})) == {"z"}


def test_training_says_nothing(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder):
    system = fr.build(FAST.model_copy(update={"epochs": 1}), 3, Setup(seed=0))
    system.fit(examples(*moving_spots(4)))
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(("keys", "kind"), [({"optimiser": "sgd", "momentum": 0.8}, "SGD"), ({}, "Adam")])
def test_optimiser_is_the_recipes(keys: dict, kind: str):
    recipe = FRRecipe(learning_rate=0.0005, **keys)
    with torch.device("meta"):
        optimiser = fr.Network(recipe, 3).configure_optimizers()
    assert type(optimiser).__name__ == kind
    assert optimiser.defaults["lr"] == 0.0005
    assert optimiser.defaults.get("momentum", 0.8) == 0.8
    assert optimiser.defaults["weight_decay"] == 0
