"""EIDNet against its parameter counts, its equations written out in NumPy, and small problems it must solve."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torch.nn import functional as F

from mer_features.core import fingerprint
from mer_features.features.parts import window_around
from mer_features.systems import registry
from mer_features.systems.common import backbones, engine, macro
from mer_features.systems.common.contract import (
    Examples,
    Execution,
    Material,
    Setup,
)
from mer_features.systems.eidnet import disentangling, train
from mer_features.systems.eidnet import network as eidnet_images
from mer_features.systems.eidnet import network as eidnet_losses
from mer_features.systems.eidnet import network as eidnet_network
from mer_features.systems.eidnet.network import (
    EIDNet,
    Output,
)
from mer_features.systems.eidnet.recipe import (
    EIDNetRecipe,
    MacroNetRecipe,
)
from mer_features.training import half
from mer_features.training.options import System

CLASSES = ("negative", "positive", "surprise")
FIVE = ("disgust", "happiness", "others", "repression", "surprise")
SIDE = 64
SMALL = {"backbone": "small", "size": SIDE, "augment": False}
FAST = EIDNetRecipe(
    **SMALL, encoder_rate=3e-3, classifier_rate=3e-3, decoder_rate=3e-3, epochs=4, half_period=8, tuning_epochs=2,
    tuning_rate=1e-3, discriminator_rate=1e-3, batch_size=16,
)  # fmt: skip
MACRO = MacroNetRecipe(
    **SMALL, encoder_rate=3e-3, classifier_rate=3e-3, epochs=6, half_period=8, batch_size=16, held_out=0.25
)


def clips(n: int, seed: int = 0, frames: int = 2, classes: int = 3) -> Examples:
    """Persons of random tone; the expression is a bright bar whose place is the class; three clips a person."""
    rng = np.random.default_rng(seed)
    stored = eidnet_images.stored_side(SIDE)
    labels = np.arange(n, dtype=np.int64) % classes
    tones = rng.integers(0, 100, (n, 3, 1, 1))
    neutral = (tones[np.arange(n) // 3] + rng.integers(0, 20, (n, 3, stored, stored))).astype(np.uint8)
    expression = np.repeat(neutral[:, None], frames, axis=1)
    expression += rng.integers(0, 10, expression.shape).astype(np.uint8)
    for faces, label in zip(expression, labels, strict=True):
        faces[:, :, 10 + 40 // classes * label : 20 + 40 // classes * label, 20:54] += 110
    return Examples({"neutral": neutral, "expression": expression}, labels, np.arange(n) // 3)


def material(names: tuple[str, ...] = CLASSES[::-1]) -> Material:
    """Macro clips whose classes stand in another order."""
    made = clips(24, seed=7, frames=3)
    return Material(Examples(made.features, len(names) - 1 - made.labels, made.subjects), names)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    path = tmp_path_factory.mktemp("macro") / "weights.pt"
    return path, train.pretrain(MACRO, material(), Setup(seed=2), path)


@pytest.fixture(scope="module")
def macronet(said: tuple[Path, dict]) -> Path:
    return said[0]


def setup(path: Path | None = None, seed: int = 0, names: tuple[str, ...] = CLASSES, **keys) -> Setup:
    return Setup(seed, pretrained=path, class_names=names, **keys)


def tuning(path: Path, recipe: EIDNetRecipe = FAST, names: tuple[str, ...] = CLASSES) -> train.Tuning:
    torch.manual_seed(1)
    micro = EIDNet(recipe.backbone, len(names))
    return train.Tuning(recipe, micro, train.Macro(path, names, recipe)).train()


def batch_of(made: train.Tuning, examples: Examples) -> engine.Batch:
    torch.manual_seed(4)
    return next(iter(made.batches(examples)))


def state(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.clone().numpy() for name, value in network.state_dict().items()}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------- networks


def test_parameter_counts():
    with torch.device("meta"):
        three, five = EIDNet("resnet18", 3), EIDNet("resnet18", 5)
        assert engine.parameters(three.encoder) == 19_570_240 == 11_176_512 + 8_393_728
        assert engine.parameters(three.decoder) == 6_288_163
        assert engine.parameters(three.classifier) == 132_099
        assert engine.parameters(five.classifier) == 132_613
        assert engine.parameters(eidnet_network.Discriminator(512)) == 2_360_321
        assert engine.parameters(eidnet_network.Discriminator(512, "batch")) == 2_361_089


@pytest.mark.parametrize(
    ("backbone", "channels", "places"),
    [("resnet18", 512, 7), ("resnet34", 512, 7), ("resnet101", 2048, 7), ("alexnet", 256, 6), ("small", 64, 14)],
)
def test_shapes(backbone: str, channels: int, places: int):
    with torch.device("meta"):
        images = torch.empty(2, 3, 224, 224)
        network = EIDNet(backbone, 4)
        found = network.pair(images, images)
        assert tuple(found.logits.shape) == (2, 4)
        assert tuple(found.reconstruction.shape) == (2, 3, 224, 224)
        maps = {tuple(part.shape) for part in (found.neutral_identity, found.expression_identity, network(images)[0])}
        assert maps == {(2, channels, places, places)}
        early = network.encoder.shared(images)
        assert backbone != "resnet18" or tuple(early.shape) == (2, 256, 14, 14)
        assert tuple(eidnet_network.Discriminator(channels)(network(images).embedding).shape) == (2,)


@pytest.mark.parametrize(("backbone", "size"), [("resnet18", 128), ("alexnet", 160), ("small", 64)])
def test_the_smallest_images_pass(backbone: str, size: int):
    EIDNetRecipe(backbone=backbone, size=size)
    with torch.device("meta"):
        network, images = EIDNet(backbone, 3), torch.empty(2, 3, size, size)
        assert eidnet_network.Discriminator(network.encoder.channels)(network(images).embedding).shape == (2,)
        assert network.pair(images, images).reconstruction.shape == images.shape
    with pytest.raises(ValueError, match=f"{backbone} needs {size} pixels" if size > 64 else "greater than"):
        EIDNetRecipe(backbone=backbone, size=size - 32)


def test_the_branches_start_equal_and_are_not_tied():
    encoder = EIDNet("small", 3).encoder
    assert equal(state(encoder.expression), state(encoder.identity))
    with torch.no_grad():
        next(encoder.expression.parameters()).zero_()
    assert not equal(state(encoder.expression), state(encoder.identity))


def test_imagenet_weights_are_the_users(tmp_path: Path):
    torch.manual_seed(0)
    weights = backbones.resnet("resnet18").state_dict()
    torch.save(weights, tmp_path / "r18.pth")
    encoder = EIDNet("resnet18", 3, tmp_path / "r18.pth").encoder
    for branch in (encoder.expression, encoder.identity):
        assert torch.equal(branch[0][1].conv2.weight, weights["layer4.1.conv2.weight"])
    assert torch.equal(encoder.shared[0].weight, weights["conv1.weight"])
    with pytest.raises(ValueError, match=r"r18\.pth: found nothing for features"):
        EIDNet("alexnet", 3, tmp_path / "r18.pth")


# ---------------------------------------------------------------- losses


def test_losses_in_numpy():
    rng = np.random.default_rng(0)
    a, p, n = (rng.normal(size=(6, 5, 3, 3)) for _ in range(3))
    ta, tp, tn = map(torch.tensor, (a, p, n))
    norms = [math.sqrt(((x - y) ** 2).sum()) for x, y in zip(a, p, strict=True)]
    assert float(eidnet_losses.distance(ta, tp, "norm")) == pytest.approx(np.mean(norms))
    assert float(eidnet_losses.distance(ta, tp, "mean_square")) == pytest.approx(((a - p) ** 2).mean())
    for on, reduced in (("pooled", lambda f: f.mean(axis=(1, 2))), ("map", np.ravel)):
        slow = [
            max(np.linalg.norm(reduced(x) - reduced(y)) - np.linalg.norm(reduced(x) - reduced(z)) + 0.3, 0)
            for x, y, z in zip(a, p, n, strict=True)
        ]
        assert float(eidnet_losses.triplet(ta, tp, tn, 0.3, on)) == pytest.approx(np.mean(slow))
        assert np.mean(slow) > 0
    real, fake = rng.normal(size=(2, 7)) * 3
    d = [1 / (1 + np.exp(-x)) for x in (real, fake)]
    found = eidnet_losses.discriminator(torch.tensor(real), torch.tensor(fake))
    assert float(found) == pytest.approx(np.mean(-np.log(d[0])) + np.mean(-np.log(1 - d[1])))
    assert float(eidnet_losses.adversarial(torch.tensor(fake))) == pytest.approx(np.mean(-np.log(d[1])))
    theirs, ours = rng.random((2, 9)) * 2
    slow = np.mean([max(x - y, 0) for x, y in zip(theirs, ours, strict=True)])
    assert float(eidnet_losses.inequality(torch.tensor(theirs), torch.tensor(ours))) == pytest.approx(slow)


def test_triplet_of_known_distances():
    def at(x: float) -> torch.Tensor:
        return torch.tensor([x, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)

    for on in ("pooled", "map"):
        assert float(eidnet_losses.triplet(at(0), at(5), at(5), 0.7, on)) == pytest.approx(0.7)  # f_pos = f_neg
    assert float(eidnet_losses.triplet(at(0), at(3), at(1), 1, "pooled")) == pytest.approx(3)
    assert float(eidnet_losses.triplet(at(0), at(1), at(3), 1, "pooled")) == 0
    assert float(eidnet_losses.triplet(at(0), at(1), at(3), 0, "map")) == 0


def test_a_discriminator_that_knows_nothing():
    zeros = torch.zeros(5)
    assert float(eidnet_losses.discriminator(zeros, zeros)) == pytest.approx(2 * math.log(2))
    assert float(eidnet_losses.adversarial(zeros)) == pytest.approx(math.log(2))


def test_the_discriminator_sees_the_scale_of_an_embedding():
    """The triplet loss depends on it. Batch norm removes it: macro and micro embeddings are separate batches."""
    torch.manual_seed(0)
    embeddings = torch.rand(6, 8, 7, 7) + 0.1
    change = {}
    for norm in ("none", "batch"):
        judge = eidnet_network.Discriminator(8, norm).train()
        with torch.no_grad():
            change[norm] = (judge(10 * embeddings) - judge(embeddings)).abs().mean() / judge(embeddings).std()
    assert change["none"] > 1
    assert change["batch"] < 0.01


@pytest.mark.parametrize(("norm", "paired", "terms"), [
    ("none", 1, {"triplet", "lir", "lir_active", "adversarial"}),
    ("batch", 1, {"triplet", "lir", "lir_active"}),
    ("batch", 2, {"triplet", "lir", "lir_active", "adversarial"}),
    ("none", 0, set()),
])  # fmt: skip
def test_terms_of_a_batch_with_few_macro_faces(norm: str, paired: int, terms: set[str], macronet: Path):
    network = tuning(macronet, FAST.model_copy(update={"discriminator_norm": norm}))
    batch = batch_of(network, clips(9))
    batch["paired"] = torch.arange(len(batch["label"])) < paired
    assert set(network.losses(batch, *network.outputs(batch))) == {"loss", "classification"} | terms


def test_inequality_is_as_printed():
    theirs, ours = torch.tensor([2.0], requires_grad=True), torch.tensor([0.5], requires_grad=True)
    found = eidnet_losses.inequality(theirs, ours)
    found.backward()
    assert float(found.detach()) == pytest.approx(1.5)
    assert float(ours.grad) == -1
    assert theirs.grad is None  # a constant for MicroNet
    ours.grad = None
    swapped = eidnet_losses.inequality(torch.tensor([0.5]), ours + 1.5)
    swapped.backward()
    assert float(swapped.detach()) == 0
    assert float(ours.grad) == 0


@pytest.mark.parametrize("form", ["mean_square", "norm"])
def test_equal_faces_have_equal_identities(form: str):
    torch.manual_seed(0)
    network = EIDNet("small", 3).eval()
    faces = torch.rand(2, 3, SIDE, SIDE)
    found = network.pair(faces, faces)
    assert float(eidnet_losses.distance(found.expression_identity, found.neutral_identity, form).detach()) == 0
    assert float(eidnet_losses.distance(faces, faces.clone().requires_grad_(), form).detach()) == 0
    moved = torch.zeros(2, 4, requires_grad=True)
    eidnet_losses.distance(moved, torch.zeros(2, 4), form).backward()
    assert torch.isfinite(moved.grad).all()  # a norm has no slope at 0


@pytest.mark.parametrize("form", ["mean_square", "norm"])
def test_a_perfect_decoder_and_equal_faces_leave_classification_alone(form: str):
    """L_rec compares with the expression face, not with the neutral one."""
    network = disentangling.Network(FAST.model_copy(update={"distance": form}), 3).eval()
    batch = network.batches(clips(6)).take(torch.arange(8))
    faces = eidnet_images.centre(batch["expression"], SIDE)
    network.net.decoder.forward = lambda *_: faces
    assert float(network.training_step(batch)["reconstruction"].detach()) == 0
    network.net.decoder.forward = lambda *_: eidnet_images.centre(batch["neutral"], SIDE)
    assert float(network.training_step(batch)["reconstruction"].detach()) > 0
    network.net.decoder.forward = lambda *_: faces
    found = network.training_step({**batch, "neutral": batch["expression"]})
    assert torch.equal(found["loss"], found["classification"])


@pytest.mark.parametrize("form", ["mean_square", "norm"])
def test_phase_1_is_eq_4(form: str):
    torch.manual_seed(0)
    recipe = FAST.model_copy(update={"distance": form, "reconstruction_weight": 0.3, "similarity_weight": 0.2})
    network = disentangling.Network(recipe, 3).eval()  # no dropout
    batch = network.batches(clips(6)).take(torch.arange(8))
    found = network.training_step(batch)
    neutral, expression = (eidnet_images.centre(batch[name], SIDE) for name in ("neutral", "expression"))
    with torch.no_grad():
        encoder = network.net.encoder
        f_e = encoder.expression(encoder.shared(expression))
        i_n, i_e = (encoder.identity(encoder.shared(faces)) for faces in (neutral, expression))
        made = network.net.decoder.net(torch.cat([f_e, i_n], dim=1))  # expression from E, identity from N
        logits = network.net.classifier(f_e).double().numpy()

    def distance(x: torch.Tensor, y: torch.Tensor) -> float:
        square = ((x - y).double().numpy() ** 2).reshape(len(x), -1)
        return float(square.mean() if form == "mean_square" else np.sqrt(square.sum(axis=1)).mean())

    surprise = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(8), batch["label"].numpy()])
    expected = surprise + 0.3 * distance(expression, made) + 0.2 * distance(i_e, i_n)
    assert float(found["loss"].detach()) == pytest.approx(expected, rel=1e-4)


def test_which_loss_reaches_which_part():
    def touched(term: str) -> set[str]:
        torch.manual_seed(0)
        network = disentangling.Network(FAST, 3)
        network.training_step(network.batches(clips(6)).take(torch.arange(8)))[term].backward()
        encoder = network.net.encoder
        parts = {
            "shared": encoder.shared, "expression": encoder.expression, "identity": encoder.identity,
            "decoder": network.net.decoder, "classifier": network.net.classifier,
        }  # fmt: skip
        return {
            name
            for name, part in parts.items()
            if any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
        }

    assert touched("reconstruction") == {"shared", "expression", "identity", "decoder"}
    assert touched("classification") == {"shared", "expression", "classifier"}
    assert touched("similarity") == {"shared", "identity"}


def test_phase_2_is_eq_10(macronet: Path):
    recipe = FAST.model_copy(update={"triplet_weight": 0.4, "adversarial_weight": 0.3, "lir_weight": 0.2})
    made = tuning(macronet, recipe).eval()  # no dropout, fixed batch norms
    batch = batch_of(made, clips(9))
    micro, positive, other = made.outputs(batch)
    found = {name: float(value.detach()) for name, value in made.losses(batch, micro, positive, other).items()}

    def surprise(logits: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        logits = logits.detach().double().numpy()
        return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels.numpy()]

    anchor, pos, neg = (
        part.detach().double().numpy().reshape(len(part), -1) for part in (micro[0], positive[0], other)
    )
    near, far = np.linalg.norm(anchor - pos, axis=1), np.linalg.norm(anchor - neg, axis=1)
    ours, theirs = surprise(micro.logits, batch["label"]), surprise(positive.logits, batch["macro_label"])
    score = made.discriminator(micro.embedding).detach().double().numpy()
    assert found["triplet"] == pytest.approx(np.maximum(near - far + 1, 0).mean(), rel=1e-4)
    assert found["lir"] == pytest.approx(np.maximum(theirs - ours, 0).mean(), rel=1e-4, abs=1e-6)
    assert found["lir_active"] == pytest.approx((theirs > ours).mean())
    assert found["adversarial"] == pytest.approx(np.log1p(np.exp(-score)).mean(), rel=1e-4)
    total = ours.mean() + 0.4 * found["triplet"] + 0.3 * found["adversarial"] + 0.2 * found["lir"]
    assert found["loss"] == pytest.approx(total, rel=1e-5)


# ---------------------------------------------------------------- triplets


def test_triplets_are_what_they_are_called(macronet: Path):
    made = tuning(macronet)
    examples = clips(12)
    every = examples.features["expression"].reshape(-1, *examples.features["expression"].shape[2:])
    places = {face.tobytes(): place for place, face in enumerate(every)}
    known = {
        face.numpy().tobytes(): int(label) for face, label in zip(made.macro.faces, made.macro.labels, strict=True)
    }
    anchors = []
    for batch in made.batches(examples):
        assert batch["paired"].all()
        for row in range(len(batch["label"])):
            label = int(batch["label"][row])
            anchors.append(places[batch["anchor"][row].numpy().tobytes()])
            assert examples.labels[anchors[-1] // 2] == label
            negative = places[batch["negative"][row].numpy().tobytes()]  # a KeyError if it were no training frame
            assert examples.labels[negative // 2] == int(batch["negative_label"][row]) != label
            theirs = known[batch["positive"][row].numpy().tobytes()]
            assert theirs == int(batch["macro_label"][row]) == 2 - label  # its classes are in the reverse order
    assert sorted(anchors) == list(range(24))


def test_negatives_and_positives_are_spread(macronet: Path):
    made = tuning(macronet)
    examples = clips(6)
    seen: dict[str, set[bytes]] = {"negative": set(), "positive": set()}
    torch.manual_seed(0)
    for _ in range(20):
        for batch in made.batches(examples):
            for name, faces in seen.items():
                faces |= {face.numpy().tobytes() for face in batch[name]}
    assert len(seen["negative"]) == 12
    assert len(seen["positive"]) > 0.8 * len(made.macro.faces)


def test_classes_without_a_macro_counterpart_are_classified_alone(tmp_path: Path):
    names = ("disgust", "happiness", "surprise")
    made = Material(clips(18, seed=3, frames=1), names)
    train.pretrain(MACRO.model_copy(update={"epochs": 1}), made, Setup(), tmp_path / "w.pt")
    recipe = FAST.model_copy(update={"triplet_weight": 1.0, "lir_weight": 1.0, "adversarial_weight": 1.0})
    network = tuning(tmp_path / "w.pt", recipe, FIVE).eval()
    assert network.macro.counterparts == [0, 1, -1, -1, 2]
    batch = batch_of(network, clips(20, classes=5))
    assert batch["paired"].tolist() == [FIVE[label] in names for label in batch["label"]]
    micro, positive, other = network.outputs(batch)
    alone = {**batch, "paired": torch.zeros_like(batch["paired"])}
    plain = network.losses(alone, micro, positive, other)
    assert set(plain) == {"loss", "classification"}
    assert torch.equal(plain["loss"], plain["classification"])
    # What an unpaired anchor, its positive or its negative is makes no difference to the other three losses.
    found = network.losses(batch, micro, positive, other)
    masked = ~batch["paired"]
    embedding, theirs, third = micro.embedding.clone(), positive.embedding.clone(), other.clone()
    for part in (embedding, theirs, third):
        part[masked] += 100
    moved = network.losses(batch, Output(embedding, micro.logits), Output(theirs, positive.logits), third)
    for name in ("triplet", "lir", "adversarial", "classification"):
        assert float(moved[name].detach()) == pytest.approx(float(found[name].detach()), rel=1e-5)
    with pytest.raises(ValueError, match="none of anger, fear"):
        train.Macro(tmp_path / "w.pt", ("anger", "fear"), FAST)


def test_one_class_has_no_negatives(macronet: Path):
    examples = clips(4)
    same = Examples(examples.features, np.zeros(4, np.int64), examples.subjects)
    with pytest.raises(ValueError, match="two classes"):
        tuning(macronet).batches(same)


def test_networks_that_cannot_be_compared_are_refused(macronet: Path):
    with pytest.raises(ValueError, match="MacroNet has size 64, the recipe 96"):
        train.build(FAST.model_copy(update={"size": 96}), 3, setup(macronet))


# ---------------------------------------------------------------- phase II


class Once:
    """One batch an epoch; Lightning takes a list for several loaders."""

    def __init__(self, batch: engine.Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[engine.Batch]:
        yield self.batch


def one_step(network: train.Tuning, examples: Examples) -> dict:
    """A step of phase II in Lightning's loop, with what its gradients were."""
    engine.run(network, Once(batch_of(network, examples)), 1, Setup())
    return {name: p.grad for name, p in network.named_parameters()}


def test_a_step_of_phase_2_leaves_alone_what_it_must(macronet: Path):
    network = tuning(macronet)
    before, frozen = state(network), state(network.macro.network.network)
    grads = one_step(network, clips(9))
    assert equal(frozen, state(network.macro.network.network))  # weights and buffers
    assert all(p.grad is None for p in network.macro.network.network.parameters())
    assert not network.macro.network.network.training
    changed = {name for name, value in state(network).items() if not np.array_equal(value, before[name])}
    parts = {".".join(name.split(".")[: 3 if "encoder" in name else 2]) for name in changed}
    assert {"net.encoder.shared", "net.encoder.expression", "net.classifier", "discriminator.net"} <= parts
    assert not any("identity" in name or "decoder" in name for name in changed)
    untouched = [name for name, grad in grads.items() if grad is None]
    assert {name for name in grads if "identity" in name or "decoder" in name} == set(untouched)


def test_each_loss_moves_its_own_side(macronet: Path):
    network = tuning(macronet)
    batch = batch_of(network, clips(9))
    micro, positive, other = network.outputs(batch)
    network.criticism(positive.embedding, micro.embedding).backward()
    assert all(p.grad is None for p in network.net.parameters())
    assert any(p.grad is not None and p.grad.any() for p in network.discriminator.parameters())
    kept = [p.grad.clone() for p in network.discriminator.parameters()]
    network.discriminator.requires_grad_(False)
    network.losses(batch, micro, positive, other)["adversarial"].backward()
    assert all(torch.equal(p.grad, grad) for p, grad in zip(network.discriminator.parameters(), kept, strict=True))
    assert any(p.grad is not None and p.grad.any() for p in network.net.encoder.expression.parameters())
    assert all(p.grad is None for p in network.net.classifier.parameters())


@pytest.mark.parametrize("name", ["triplet", "adversarial", "lir"])
def test_a_weight_of_0_switches_its_loss_off(name: str, macronet: Path):
    totals = {}
    for weight in (0.0, 1.0, 2.0):
        others = dict.fromkeys(("triplet_weight", "adversarial_weight", "lir_weight"), 0.0)
        recipe = FAST.model_copy(update={**others, f"{name}_weight": weight})
        network = tuning(macronet, recipe).eval()
        batch = batch_of(network, clips(9))
        terms = network.losses(batch, *network.outputs(batch))
        totals[weight] = float((terms["loss"] - terms["classification"]).detach())
        value = float(terms[name].detach()) if name in terms else None
    assert totals[0.0] == 0
    assert totals[2.0] == pytest.approx(2 * value, rel=1e-3, abs=1e-6)
    assert name == "lir" or totals[1.0] > 0


def test_without_an_adversary_the_discriminator_rests(macronet: Path):
    network = tuning(macronet, FAST.model_copy(update={"adversarial_weight": 0.0}))
    before = state(network.discriminator)
    one_step(network, clips(9))
    assert equal(before, state(network.discriminator))


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # Lightning calls both
@pytest.mark.parametrize("phase", [1, 2])
def test_the_rates_fall_and_rise_again(phase: int, macronet: Path):
    factors: list[float] = []
    recipe = EIDNetRecipe(**SMALL)
    network = disentangling.Network(recipe, 3) if phase == 1 else tuning(macronet, recipe)
    assert recipe.epochs == recipe.tuning_epochs == 30
    if phase == 1:
        made = network.configure_optimizers()
        starts = [group["lr"] for group in made["optimizer"].param_groups]
        for _ in range(31):
            factors.append(made["optimizer"].param_groups[0]["lr"] / 1e-4)
            made["optimizer"].step()
            made["lr_scheduler"].step()
        assert starts == [1e-4, 1e-4, 1e-5]
    else:
        network.training_step = lambda _: factors.append(network.optimizers()[0].param_groups[0]["lr"] / 5e-6)
        engine.run(_lossless(network), Once({"x": torch.zeros(1)}), 30, Setup())
        assert [optimiser["optimizer"].param_groups[0]["lr"] for optimiser in network.configure_optimizers()] == [
            5e-6, 1e-5,
        ]  # fmt: skip
        factors.append(1.0)  # epoch 30 is not trained
    assert [factors[epoch] for epoch in range(0, 31, 5)] == pytest.approx([1, 0.75, 0.25, 0, 0.25, 0.75, 1], abs=1e-9)


def _lossless(network: train.Tuning) -> train.Tuning:
    note = network.training_step
    network.training_step = lambda batch: {"loss": torch.zeros(1), "noted": float(note(batch) is None)}
    return network


# ---------------------------------------------------------------- input


@pytest.mark.parametrize("apex", [0, 6, 12])
def test_five_keyframes_stand_around_the_apex(apex: int):
    window = window_around(apex, 13, 5)
    assert len(set(window)) == 5
    assert apex in window
    assert 0 <= min(window) <= max(window) < 13


def test_inputs_are_the_onset_and_all_keyframes():
    rng = np.random.default_rng(0)
    clip = {
        "faces/onset": rng.integers(0, 255, (73, 73, 1)).astype(np.uint8),
        "faces/keyframes": rng.integers(0, 255, (5, 73, 73, 1)).astype(np.uint8),
    }
    assert set(train.variables(FAST)) == set(clip)
    made = train.prepare(FAST, clip)
    assert made["neutral"].shape == (3, 73, 73)
    assert made["expression"].shape == (5, 3, 73, 73)
    for channel in range(3):
        np.testing.assert_array_equal(made["expression"][:, channel], clip["faces/keyframes"][..., 0])
    assert eidnet_images.stored_side(224) == 256


@pytest.mark.parametrize(("apex", "expected"), [(107, [105, 106, 107]), (105, [104, 105, 106]), (103, [103, 104, 105])])
def test_macro_faces_are_those_nearest_to_the_apex(apex: int, expected: list[int]):
    """CK+ ends at its apex, 107: its last three frames."""
    numbers = np.arange(103, 108)
    clip = {
        "faces/onset": np.zeros((73, 73, 3), np.uint8),
        "faces/keyframes": np.broadcast_to(numbers[:, None, None, None], (5, 73, 73, 3)).astype(np.uint8),
        "faces/keyframe_number": numbers, "apex": np.int64(apex),
    }  # fmt: skip
    assert set(train.pretraining_variables(MACRO)) == set(clip)
    made = train.pretraining_prepare(MACRO, clip)
    assert made["expression"][:, 0, 0, 0].tolist() == expected
    with pytest.raises(ValueError, match=r"frames: expected at most 5.*found 7"):
        train.pretraining_prepare(MACRO.model_copy(update={"frames": 7}), clip)


def test_testing_sees_the_centre():
    faces = torch.arange(8 * 8, dtype=torch.uint8).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    found = eidnet_images.centre(faces, 6)
    expected = (
        faces[..., 1:7, 1:7].float() / 255 - torch.tensor(backbones.IMAGENET_MEAN)[:, None, None]
    ) / torch.tensor(backbones.IMAGENET_STD)[:, None, None]
    torch.testing.assert_close(found, expected)
    np.testing.assert_array_equal(eidnet_images.shown(found), faces[..., 1:7, 1:7].permute(0, 2, 3, 1).numpy())


def test_a_pair_has_one_view_and_every_pair_its_own():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    faces = torch.from_numpy(rng.integers(0, 255, (2, 3, 73, 73)).astype(np.uint8)).repeat(4, 1, 1, 1)
    kept = faces.clone()
    one, other = eidnet_images.random_views(SIDE, faces, faces)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(faces, kept)
    assert not any(torch.allclose(one[0], one[row]) for row in (2, 4, 6))  # the same face in other views


def test_views_are_rotations_cuts_and_mirror_images(monkeypatch: pytest.MonkeyPatch):
    """A plane that tells x, y and 1 in its channels shows where each pixel was taken from."""
    axis = torch.arange(101.0) + 50
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    plane = torch.stack([columns, rows, torch.full_like(rows, 200)])[None].repeat(64, 1, 1, 1)
    monkeypatch.setattr(backbones, "normalised", lambda images: images * 255)
    torch.manual_seed(0)
    (found,) = eidnet_images.random_views(64, plane)
    inside = found[:, 2, 16:48, 16:48]
    assert (inside > 199).all()  # the middle never leaves the face
    x, y = found[:, 0] - 100, found[:, 1] - 100  # pixels from the middle of the face
    right = torch.stack([x[:, 32, 47] - x[:, 32, 16], y[:, 32, 47] - y[:, 32, 16]], dim=1) / 31  # step to the right
    down = torch.stack([x[:, 47, 32] - x[:, 16, 32], y[:, 47, 32] - y[:, 16, 32]], dim=1) / 31
    length = right.norm(dim=1)
    torch.testing.assert_close(length, down.norm(dim=1), rtol=1e-3, atol=1e-3)  # proportions are kept
    torch.testing.assert_close((right * down).sum(dim=1), torch.zeros(64), atol=1e-2, rtol=0)
    area = (length * 64 / 101) ** 2
    assert 0.69 < area.min() < 0.75
    assert 0.95 < area.max() < 1.01
    mirrored = right[:, 0] < 0
    assert 16 < int(mirrored.sum()) < 48
    angle = torch.rad2deg(torch.atan2(down[:, 0], down[:, 1]))
    assert angle.abs().max() < 10.1
    assert angle.max() > 7
    assert angle.min() < -7


# ---------------------------------------------------------------- MacroNet


def test_macronet_is_measured_on_subjects_it_has_not_seen(said: tuple[Path, dict]):
    path, found = said
    assert json.loads(json.dumps(found)) == found
    assert found["clips"] + found["held_out"]["clips"] == 24
    assert found["held_out"]["war"] > 1 / 3  # better than guessing
    assert found["losses"][-1]["loss"] < found["losses"][0]["loss"]
    weights, about = macro.read(path, "eidnet")
    assert about == {"task": "eidnet", "classes": list(CLASSES[::-1]), "backbone": "small", "size": 64}
    # Faces that MacroNet did not learn from are no positives of phase II.
    trained = macro.part(material().examples, MACRO.held_out, seed=2).trained
    assert 0 < len(trained) == found["clips"] < 24
    assert torch.equal(weights["faces"], torch.from_numpy(trained.features["expression"]).flatten(0, 1))
    np.testing.assert_array_equal(weights["labels"], np.repeat(trained.labels, 3))


def test_macronet_learns_from_all_clips_by_default(tmp_path: Path):
    recipe = MacroNetRecipe(**SMALL, epochs=1)
    found = train.pretrain(recipe, material(), Setup(), tmp_path / "w.pt")
    assert found["clips"] == 24
    assert "held_out" not in found
    assert len(macro.read(tmp_path / "w.pt", "eidnet")[0]["faces"]) == 72
    with pytest.raises(ValueError, match="labelled clips"):
        train.pretrain(recipe, Material(classes=CLASSES), Setup(), tmp_path / "w.pt")


def test_a_file_that_lacks_a_part_is_named(macronet: Path, tmp_path: Path):
    weights, about = macro.read(macronet, "eidnet")
    del weights["faces"], about["size"]
    macro.write(tmp_path / "old.pt", weights, about)
    with pytest.raises(ValueError, match=r"old\.pt: a MacroNet without faces, size"):
        train.Macro(tmp_path / "old.pt", CLASSES, FAST)
    with pytest.raises(ValueError, match="needs the file of a pre-training"):
        train.build(FAST, 3, setup())


def test_other_imagenet_weights_are_another_input(tmp_path: Path):
    path = tmp_path / "r18.pth"
    digests = []
    for content in (b"one", b"other"):
        path.write_bytes(content)
        system = System(system="eidnet", protocols=("p",), ablation="Phase I", recipe={"imagenet_weights": str(path)})
        digests.append(fingerprint.of_files(system.full_recipe))
        assert fingerprint.of_files(MacroNetRecipe(imagenet_weights=path)) == digests[-1]
    assert digests == [{"imagenet_weights": hashlib.sha256(content).hexdigest()} for content in (b"one", b"other")]


# ---------------------------------------------------------------- system


@pytest.fixture(scope="module")
def trained(macronet: Path) -> train.System:
    system = train.build(FAST.model_copy(update={"epochs": 8, "tuning_epochs": 8}), 3, setup(macronet, seed=5))
    system.fit(clips(24))
    return system


def test_both_phases_learn(trained: train.System):
    first, second = trained.losses()[:8], trained.losses()[8:]
    assert set(first[0]) == {"loss", "classification", "reconstruction", "similarity"}
    assert set(second[0]) == {
        "loss", "classification", "triplet", "adversarial", "lir", "lir_active", "discriminator", "unpaired",
    }  # fmt: skip
    assert first[-1]["loss"] < first[0]["loss"]
    for name in ("classification", "discriminator"):  # the adversarial loss of MicroNet rises while the latter falls
        assert second[-1][name] < second[0][name]
    others = clips(30, seed=1)
    assert np.mean(trained.predict(others.features).argmax(axis=1) == others.labels) > 0.9


def test_overfits_eight_clips(macronet: Path):
    rng = np.random.default_rng(0)
    noise = np.kron(rng.integers(0, 255, (8, 1, 3, 8, 8)), np.ones((10, 10)))[..., :73, :73].astype(np.uint8)
    examples = Examples(
        {"neutral": noise[::-1, 0].copy(), "expression": noise}, np.array([0, 1, 2, 0, 1, 2, 0, 1]), np.arange(8)
    )
    recipe = FAST.model_copy(update={"epochs": 40, "half_period": 80, "batch_size": 8, "tuning_epochs": 1})
    system = train.build(recipe, 3, setup(macronet))
    system.fit(examples)
    np.testing.assert_array_equal(system.predict(examples.features).argmax(axis=1), examples.labels)


def test_a_clip_counts_once_whatever_the_order_of_its_frames(trained: train.System):
    features = clips(6, seed=2, frames=5).features
    together = trained.predict(features)
    assert together.shape == (6, 3)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-6)
    shuffled = {**features, "expression": features["expression"][:, [3, 0, 4, 1, 2]]}
    np.testing.assert_allclose(trained.predict(shuffled), together, atol=1e-6)
    single = [trained.predict({**features, "expression": features["expression"][:, [f]]}) for f in range(5)]
    np.testing.assert_allclose(np.mean(single, axis=0), together, atol=1e-6)
    assert not np.allclose(single[0], together, atol=1e-7)
    neutral = {**features, "neutral": np.zeros_like(features["neutral"])}
    np.testing.assert_array_equal(trained.predict(neutral), together)  # testing needs no neutral face


def test_one_clip_is_as_good_as_many(trained: train.System):
    features = clips(5, seed=2).features
    alone = [trained.predict({name: values[i : i + 1] for name, values in features.items()}) for i in range(5)]
    np.testing.assert_allclose(np.concatenate(alone), trained.predict(features), atol=1e-6)


def test_saved_weights_give_the_same_answers(trained: train.System, macronet: Path, tmp_path: Path):
    features = clips(5, seed=2).features
    trained.save(tmp_path / "w.pt")
    again = train.build(FAST, 3, setup(macronet, seed=99))
    assert not np.allclose(again.predict(features), trained.predict(features))
    again.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(again.predict(features), trained.predict(features))
    found, expected = again.embed(features), trained.embed(features)
    assert all(np.array_equal(found[name], expected[name]) for name in ("phase_1", "phase_2"))
    assert not any("macro" in name for name in again.network.state_dict())  # neither MacroNet nor its faces


def test_phase_1_alone_is_the_first_half_bit_for_bit(macronet: Path):
    examples = clips(9)
    alone = train.build(FAST.model_copy(update={"phases": "I"}), 3, setup())
    alone.fit(examples)
    both = train.build(FAST, 3, setup(macronet))
    both.fit(examples)
    features = clips(5, seed=2).features
    layers = both.embed(features)
    np.testing.assert_array_equal(alone.embed(features)["phase_1"], layers["phase_1"])
    assert not np.allclose(layers["phase_1"], layers["phase_2"])
    assert set(alone.embed(features)) == {"phase_1"}
    assert alone.losses() == both.losses()[:4]
    assert alone.companions() is None


def test_training_leaves_the_clips_as_they_are(macronet: Path):
    examples = clips(9)
    kept = {name: values.copy() for name, values in examples.features.items()}
    train.build(FAST.model_copy(update={"augment": True, "epochs": 1, "tuning_epochs": 1}), 3, setup(macronet)).fit(
        examples
    )
    for name, values in kept.items():
        np.testing.assert_array_equal(examples.features[name], values)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # Lightning calls both
@pytest.mark.parametrize(("module", "epoch"), [(disentangling.Network, 2), (train.Tuning, 1)])
def test_a_killed_training_goes_on_bit_for_bit(
    module: type, epoch: int, macronet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = FAST.model_copy(update={"augment": True, "epochs": 3})
    where = {n: replace(setup(macronet), execution=Execution(checkpoint_s=0), state=tmp_path / n) for n in "ab"}
    whole = train.build(recipe, 3, where["a"])
    whole.fit(clips(9))
    step = module.training_step

    def killed(self: engine.Network, batch: engine.Batch) -> dict:
        if self.current_epoch == epoch:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(module, "training_step", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.build(recipe, 3, where["b"]).fit(clips(9))
    monkeypatch.setattr(module, "training_step", step)
    torch.rand(3)  # another process: its generator is elsewhere
    resumed = train.build(recipe, 3, where["b"])
    resumed.fit(clips(9))
    assert equal(state(whole.network), state(resumed.network))
    assert resumed.losses() == whole.losses()


def test_pictures_show_the_reconstruction(trained: train.System):
    features = clips(3, seed=2).features
    found = trained.explain(features)
    assert list(found) == ["neutral", "expression", "reconstruction"]
    assert {(picture.shape, str(picture.dtype)) for picture in found.values()} == {((3, SIDE, SIDE, 3), "uint8")}
    start = (73 - SIDE) // 2
    middle = features["expression"][:, 1, :, start : start + SIDE, start : start + SIDE].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found["expression"], middle)


def test_macro_embeddings_stand_beside_the_micro_ones(trained: train.System, macronet: Path):
    beside = trained.companions()
    assert set(beside.features) == set(trained.embed(clips(3).features))
    weights, _ = macro.read(macronet, "eidnet")
    sizes = torch.bincount(weights["labels"]).tolist()[::-1]  # negative is its last class
    assert [beside.labels.count(name) for name in CLASSES] == sizes
    faces = eidnet_images.centre(weights["faces"][weights["labels"] == 2], SIDE)
    expected = trained.macro.network(faces).embedding.mean(dim=(2, 3)).numpy()
    ours = beside.features["phase_2"][np.array(beside.labels) == "negative"]
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(expected, axis=0), atol=1e-5)
    rows = half._companion_clips(beside, "held-out half").rows
    assert {row.label for row in rows} == {f"{name} (macro)" for name in CLASSES}


def test_at_most_200_random_macro_faces_of_a_class_are_drawn(trained: train.System, monkeypatch: pytest.MonkeyPatch):
    assert train.PLOTTED == half._FRAMES == 200
    monkeypatch.setattr(train, "PLOTTED", 5)
    every = {row.tobytes() for row in trained.companions().features["phase_2"]}
    assert len(every) == 15
    torch.rand(7)  # the state outside does not matter
    assert {row.tobytes() for row in trained.companions().features["phase_2"]} == every
    with engine.seeded(9):
        assert {row.tobytes() for row in trained.macro.companions(trained.recipe).features["phase_2"]} != every


def test_features_of_frames_average_to_those_of_clips(trained: train.System):
    features = clips(6, seed=2, frames=5).features
    frames, whole = trained.embed_frames(features), trained.embed(features)
    assert set(frames) == set(whole) == {"phase_1", "phase_2"}
    for name, values in frames.items():
        assert values.shape == (6, 5, whole[name].shape[1])
        np.testing.assert_allclose(values.mean(axis=1), whole[name], atol=1e-6)
        assert not np.allclose(values[:, 0], values[:, 1])


# ---------------------------------------------------------------- recipes


def test_the_ablations_are_the_papers_and_the_losses():
    rows = {name: registry.recipe("eidnet", None, name) for name in EIDNetRecipe.ablations}
    assert {name: row.pretraining for name, row in rows.items()} == {
        "Phase I": None, "Phase I + Phase II": "eidnet", "no triplet": "eidnet", "no adversary": "eidnet",
        "no LIR": "eidnet", "literal": "eidnet",
    }  # fmt: skip
    System(system="eidnet", protocols=("p",), ablation="Phase I")
    with pytest.raises(ValueError, match="needs a pre-training of task 'eidnet'"):
        System(system="eidnet", protocols=("p",))


def test_the_papers_recipe_takes_a_step_of_each_phase():
    torch.manual_seed(0)
    recipe = EIDNetRecipe()
    network = disentangling.Network(recipe, 3)
    faces = torch.randint(0, 255, (2, 3, 256, 256), dtype=torch.uint8)
    before = state(network.net)
    made = network.configure_optimizers()["optimizer"]
    network.training_step({"neutral": faces, "expression": faces.flip(0), "label": torch.tensor([0, 1])})[
        "loss"
    ].backward()
    made.step()
    weights = {name for name, _ in network.net.named_parameters()}
    after = state(network.net)
    assert {name for name in weights if not np.array_equal(before[name], after[name])} == weights
    faces_of = train.Macro.__new__(train.Macro)
    faces_of.network = macro.Frozen(EIDNet(recipe.backbone, 3))
    second = train.Tuning(recipe, network.net, faces_of)
    batch = {
        "anchor": faces, "negative": faces.flip(0), "positive": faces.flip(3), "label": torch.tensor([0, 1]),
        "macro_label": torch.tensor([0, 1]), "paired": torch.tensor([True, True]),
    }  # fmt: skip
    losses = engine.run(second, Once(batch), 1, Setup())
    assert all(math.isfinite(value) for value in losses[0].values())
    assert F.softplus(torch.zeros(1)).item() == pytest.approx(losses[0]["adversarial"], abs=0.5)
