"""CapsuleNet: squash, routing and margin loss against closed forms and numpy, published sizes, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torchvision import models

from mer_features.systems.baselines import capsulenet
from mer_features.systems.baselines.recipe import CapsuleNetRecipe
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Examples, Setup
from mer_features.systems.registry import recipe

# ---------------------------------------------------------------- capsules


@pytest.mark.parametrize("length", [1e-3, 0.1, 1.0, 3.0, 100.0])
def test_squash_keeps_the_direction_and_bounds_the_length(length: float):
    vector = torch.tensor([[0.6, 0.0, -0.8]], dtype=torch.float64) * length
    found = capsulenet.squash(vector)
    torch.testing.assert_close(found, vector / length * length**2 / (1 + length**2), rtol=1e-5, atol=1e-12)
    assert torch.linalg.vector_norm(found) < 1


def test_squash_of_nothing_is_nothing_and_has_a_gradient():
    vector = torch.zeros(2, 8, requires_grad=True)
    found = capsulenet.squash(vector)
    found.sum().backward()
    assert not found.any()
    assert torch.isfinite(vector.grad).all()


def routed(votes: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Procedure 1 of Sabour et al. in loops: capsules (N, K, D), and the last weights (N, I, K)."""
    clips, primaries, classes, width = votes.shape
    capsules, weights = np.zeros((clips, classes, width)), np.zeros((clips, primaries, classes))
    for n in range(clips):
        logits = np.zeros((primaries, classes))
        for step in range(iterations):
            for i in range(primaries):
                weights[n, i] = np.exp(logits[i]) / np.exp(logits[i]).sum()
            for k in range(classes):
                total = sum(weights[n, i, k] * votes[n, i, k] for i in range(primaries))
                square = total @ total
                capsules[n, k] = square / (1 + square) * total / np.sqrt(square)
            if step < iterations - 1:
                for i in range(primaries):
                    for k in range(classes):
                        logits[i, k] += votes[n, i, k] @ capsules[n, k]
    return capsules, weights


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_routing_is_the_published_procedure(iterations: int):
    votes = np.random.default_rng(0).normal(size=(2, 5, 3, 4))
    made = capsulenet.route(torch.from_numpy(votes), iterations)
    np.testing.assert_allclose(made, routed(votes, iterations)[0], rtol=1e-6)


def test_without_agreement_the_classes_share_evenly():
    """One iteration: each class receives a third of every vote."""
    votes = torch.zeros(1, 6, 3, 2, dtype=torch.float64)
    votes[..., 0] = 1
    made = capsulenet.route(votes, 1)
    torch.testing.assert_close(made[..., 0], torch.full((1, 3), 4 / 5, dtype=torch.float64))  # length 2, squashed


def test_routing_favours_the_class_on_which_votes_agree():
    """Votes for class 0 are equal; those for class 1 are of the same length and point in all directions."""
    angles = 2 * np.pi * np.arange(8) / 8
    votes = np.zeros((1, 8, 2, 2))
    votes[0, :, 0, 0] = 1
    votes[0, :, 1] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    votes[0, 0, 1] = 0.5, 0.5  # or its capsule would be 0
    lengths = [np.linalg.norm(capsulenet.route(torch.from_numpy(votes), n)[0], axis=1) for n in (1, 2, 3)]
    assert lengths[0][0] < lengths[1][0] < lengths[2][0]
    assert lengths[2][0] > 10 * lengths[2][1]


def test_gradients_do_not_flow_through_the_weights_of_the_routing():
    values = np.random.default_rng(1).normal(size=(2, 5, 3, 4))
    votes, fixed = (torch.from_numpy(values.copy()).requires_grad_() for _ in range(2))
    weights = torch.from_numpy(routed(values, 3)[1])
    capsulenet.route(votes, 3).square().sum().backward()
    capsulenet.squash((weights[..., None] * fixed).sum(dim=1)).square().sum().backward()
    torch.testing.assert_close(votes.grad, fixed.grad)


def test_margin_loss_by_hand():
    lengths = torch.tensor([[0.95, 0.05, 0.3], [0.2, 0.5, 0.1]])
    labels = torch.tensor([0, 1])
    first = 0.5 * 0.2**2  # the right class is long enough; of the others, one is 0.2 too long
    second = 0.4**2 + 0.5 * 0.1**2
    found = capsulenet.margin_loss(lengths, labels, 0.9, 0.1, 0.5)
    torch.testing.assert_close(found, torch.tensor((first + second) / 2))
    stricter = capsulenet.margin_loss(lengths[:1], labels[:1], 0.99, 0.01, 0.5)
    torch.testing.assert_close(stricter, torch.tensor(0.04**2 + 0.5 * (0.04**2 + 0.29**2)))


def test_capsules_learn_to_separate_maps():
    torch.manual_seed(0)
    capsules = capsulenet.Capsules(9, 3, routings=3)
    labels = torch.arange(12) % 3
    maps = torch.rand(12, 256, 9, 9)
    for clip, label in zip(maps, labels, strict=True):
        clip[:, 3 * label : 3 * label + 3] += 1
    optimiser = torch.optim.Adam(capsules.parameters(), 1e-3)
    losses = []
    for _ in range(15):
        lengths = torch.linalg.vector_norm(capsules(maps), dim=-1)
        losses.append(capsulenet.margin_loss(lengths, labels, 0.9, 0.1, 0.5))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[0].item() == pytest.approx(0.81, abs=0.01)  # capsules of almost no length
    assert losses[-1] < 0.1
    assert torch.linalg.vector_norm(capsules(maps), dim=-1).argmax(dim=1).equal(labels)


# ---------------------------------------------------------------- network

SMALL = {"size": 136, "batch_size": 2, "epochs": 1}


def faces(n: int, side: int = 145, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples({"image": rng.integers(0, 256, (n, 3, side, side), np.uint8)}, np.arange(n) % 3, np.arange(n))


def test_sizes_are_those_of_the_published_code():
    network = capsulenet.Network(CapsuleNetRecipe(), 3)
    assert network.capsules.weight.shape == (32 * 6 * 6, 3, 16, 8)
    resnet = models.resnet18(weights=None)
    early = sum(engine.parameters(part) for part in (resnet.conv1, resnet.bn1, *(
        getattr(resnet, f"layer{stage}") for stage in (1, 2, 3)
    )))  # fmt: skip
    square = 256 * 256 * 9 * 9 + 256
    assert engine.parameters(network) == early + 2 * square + 1152 * 3 * 16 * 8 == 13_842_496
    with torch.inference_mode():
        maps = network.eval().features(torch.rand(1, 3, 224, 224))
        assert maps.shape == (1, 256, 20, 20)
        assert network.capsules.primary(maps).shape == (1, 32 * 8, 6, 6)
        assert network.capsules(maps).shape == (1, 3, 16)


def test_trains_a_step_keeps_and_does_not_mind_company(tmp_path: Path):
    made, clips = capsulenet.build(recipe("capsulenet", SMALL), 3, Setup(seed=1)), faces(4)
    made.fit(clips)
    np.testing.assert_array_equal(clips.features["image"], faces(4).features["image"])  # left alone
    assert len(made.losses()) == 1
    found = made.predict(clips.features)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    alone = made.predict({"image": clips.features["image"][2:3]})
    np.testing.assert_allclose(alone[0], found[2], rtol=1e-4)
    assert made.embed(clips.features)["capsules"].shape == (4, 3 * 16)
    made.save(tmp_path / "w.pt")
    other = capsulenet.build(recipe("capsulenet", SMALL), 3, Setup(seed=2))
    other.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(other.predict(clips.features), found)


def test_only_training_images_are_augmented_each_on_its_own():
    network = capsulenet.Network(recipe("capsulenet", SMALL), 3)
    face = torch.from_numpy(faces(1).features["image"][0])
    torch.manual_seed(0)
    first, second = network.augmentation(face), network.augmentation(face)
    assert first.shape == second.shape == (3, 136, 136)
    assert not first.equal(second)
    assert network.crop(face).equal(face[:, 4:140, 4:140])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_apex_face_is_the_input(channels: int):
    face = np.random.default_rng(0).integers(0, 256, (240, 240, channels), np.uint8)
    chosen = CapsuleNetRecipe()
    assert capsulenet.variables(chosen) == ("faces/apex",)
    made = capsulenet.prepare(chosen, {"faces/apex": face})["image"]
    np.testing.assert_array_equal(made, np.broadcast_to(face, (240, 240, 3)).transpose(2, 0, 1))


def test_training_starts_from_the_weights_of_a_file(tmp_path: Path):
    torch.manual_seed(3)
    resnet = models.resnet18(weights=None)
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    network = capsulenet.Network(recipe("capsulenet", {**SMALL, "imagenet_weights": tmp_path / "resnet18.pth"}), 3)
    assert network.features[0].weight.equal(resnet.conv1.weight)
    assert network.features[5][1].conv2.weight.equal(resnet.layer3[1].conv2.weight)
    torch.save(models.resnet34(weights=None).fc.state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: found nothing for conv1\.weight"):
        capsulenet.Network(recipe("capsulenet", {**SMALL, "imagenet_weights": tmp_path / "other.pth"}), 3)


def test_margins_that_exclude_each_other_are_refused():
    with pytest.raises(ValidationError, match=r"absent_margin: found 0\.95, expected less than present_margin, 0\.9"):
        CapsuleNetRecipe(absent_margin=0.95)
    published = recipe("capsulenet", ablation="published code")
    assert (published.present_margin, published.absent_margin, published.absent_weight) == (0.99, 0.01, 0.5)
