"""The training rule: what a kill costs, what decides its result, what its files hold, which models are refused."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from torch import nn

from mer_features.stages import style
from mer_features.stages.options import Style
from mer_features.stages.style import (
    generators,
    networks,
)
from mer_features.stages.style.fitted import (
    Source,
    fit,
)
from mer_features.stages.style.networks import Generator
from mer_features.training.options import TrainStyle
from mer_features.training.style import (
    features,
    fitting,
    training,
)
from mer_features.training.style.cyclegan import CycleGAN
from mer_features.training.style.features import (
    NAMES,
    renderings,
)

from .conftest import restyled

RECIPE = TrainStyle(
    size=24, width=4, blocks=1, batch_size=2, epochs=2, decay_epochs=1, pool=3,
    feature_size=32, feature_width=4, feature_epochs=1, feature_batch_size=8, checkpoint_steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def crops(people) -> np.ndarray:
    plain = people(8, 6)
    return np.concatenate([plain[:4], restyled(plain[4:])])[:, ::2, ::2]


def _train(folder: Path, crops: np.ndarray, recipe: TrainStyle = RECIPE, seed: int = 0) -> Path:
    training.train(folder / "model.pt", crops, recipe, clusters=2, seed=seed)
    return folder / "model.pt"


def _same(one: Path, other: Path) -> bool:
    states = [generators.load(path).generators.state_dict() for path in (one, other)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.fixture(scope="module")
def whole(crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train(tmp_path_factory.mktemp("whole"), crops)


@pytest.mark.parametrize("loop", [CycleGAN, features.RenderingClassifier])
def test_a_killed_training_goes_on_to_the_same_bits(
    crops: np.ndarray, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: type
):
    steps: list[int] = []
    step = loop.step

    def interrupted(self, number: int) -> dict[str, float]:
        if number == 3 and 3 not in steps:
            steps.append(number)
            raise KeyboardInterrupt
        steps.append(number)
        return step(self, number)

    monkeypatch.setattr(loop, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path, crops)
    model = _train(tmp_path, crops)
    assert steps[:6] == [0, 1, 2, 3, 2, 3]  # the checkpoint was after step 1
    assert _same(model, whole)
    assert (tmp_path / "model.training/generators-0-1.csv").read_text() == (
        whole.parent / "model.training/generators-0-1.csv"
    ).read_text()


def test_order_does_not_decide_and_the_seed_does(crops: np.ndarray, whole: Path, tmp_path: Path):
    assert _same(_train(tmp_path / "order", crops[::-1]), whole)
    assert not _same(_train(tmp_path / "seed", crops, seed=1), whole)


def test_a_checkpoint_of_another_recipe_is_not_taken_up(crops: np.ndarray, tmp_path: Path):
    other = RECIPE.model_copy(update={"learning_rate": 1e-3})
    _train(tmp_path / "one", crops)
    assert _same(_train(tmp_path / "one", crops, other), _train(tmp_path / "two", crops, other))


def test_its_files(whole: Path):
    folder = whole.parent / "model.training"
    rows = list(csv.DictReader((folder / "generators-0-1.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    sheet = cv2.imread(str(max((folder / "samples").glob("generators*.png"))))
    assert sheet.shape == (6 * 24, 3 * 24, 3)
    assert not list(folder.rglob("*.tmp"))
    facts = generators.load(whole).facts
    assert facts["recipe"] == RECIPE.model_dump(mode="json")
    assert sum(facts["clusters"]) == facts["crops"] == 8


def test_all_pairs_are_averaged(crops: np.ndarray, tmp_path: Path):
    assert generators.pairs_of(3, "pair") == [(0, 2)]
    assert generators.pairs_of(3, "all_pairs") == [(0, 1), (0, 2), (1, 2)]
    recipe = RECIPE.model_copy(update={"generators": "all_pairs", "epochs": 1, "decay_epochs": 0})
    training.train(tmp_path / "m.pt", crops, recipe, clusters=3, seed=0)
    model = generators.load(tmp_path / "m.pt")
    assert len(model.generators) == 6
    x = networks.pictures(torch.from_numpy(crops[:1]))
    mean = sum(generator(x) for generator in model.generators) / 6
    expected = ((mean[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(generators.aggregate(crops[0], model) - expected).max() <= 1


class Shift(nn.Module):
    """Moves the picture by a pixel to the right."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.roll(1, dims=3)


def _model(*modules: nn.Module) -> generators.Model:
    return generators.Model(nn.ModuleList(modules), {})


def test_generators_that_keep_a_face_return_it(crops: np.ndarray):
    odd = crops[0][:47, :45]
    for image in (crops[0], odd, odd[..., :1]):
        np.testing.assert_array_equal(generators.aggregate(image, _model(nn.Identity(), nn.Identity())), image)


def test_bending_generators_are_refused(people, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    faces = list(people(3, 7))
    statistical = fit(faces, method="statistical", clusters=1, seed=0, source=Source("all"))
    (tmp_path / "w.pt").write_bytes(b"weights")
    for modules, method in (((nn.Identity(),), "cyclegan"), ((Shift(),), "statistical")):
        made = _model(*modules)
        monkeypatch.setattr(generators, "load", lambda *_, made=made: made)
        found = fitting.with_generators(statistical, faces, tmp_path / "w.pt")
        assert found.method == method
        assert found.weights_sha256 == generators.digest(tmp_path / "w.pt")
    assert found.displacement_px == pytest.approx(1, abs=0.2)
    assert "bend faces" in found.refused
    # What was asked for as `cyclegan` is then made by the statistical method.
    made = style.aggregate(faces[0], "cyclegan", found)
    np.testing.assert_array_equal(made, style.aggregate(faces[0], "statistical", statistical))


def test_nothing_in_a_file_is_executed(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="not a file of style generators"):
        generators.load(tmp_path / "evil.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("nested", [False, True])
def test_generators_of_a_trained_san_are_read(crops: np.ndarray, tmp_path: Path, prefix: str, nested: bool):
    """A made-up file with the names of SAN's public network, of an early PyTorch release."""
    torch.manual_seed(0)
    pair = [Generator(8, 2), Generator(8, 2)]
    named = {f"{prefix}features.0.weight": torch.ones(3), f"{prefix}stage1.0.bias": torch.ones(1)}
    for name, generator in zip(("netG_A", "netG_B"), pair, strict=True):
        named |= {f"{prefix}{name}.{key}": value for key, value in generator.state_dict().items()}
        named |= {f"{prefix}{name}.model.2.running_mean": torch.zeros(8)}
    torch.save({"state_dict": named} if nested else named, tmp_path / "san.pt")
    model = generators.load(tmp_path / "san.pt")
    assert (model.facts["width"], model.facts["blocks"], len(model.generators)) == (8, 2, 2)
    crop = crops[0] if crops[0].shape[2] == 3 else np.repeat(crops[0], 3, axis=2)
    x = torch.from_numpy(crop).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        levels = ((pair[0].eval()(x) + pair[1].eval()(x)) / 2 + 1) * 127.5  # (G_A(x) + G_B(x)) / 2
    expected = levels[0].permute(1, 2, 0).round().clamp(0, 255).numpy()
    assert np.abs(generators.aggregate(crop, model) - expected).max() <= 1


def test_a_network_without_generators_is_refused(tmp_path: Path):
    torch.save({"netG_A.model.1.weight": torch.ones(4, 3, 7, 7)}, tmp_path / "half.pt")
    with pytest.raises(ValueError, match="netG_A and netG_B of SAN"):
        generators.load(tmp_path / "half.pt")


def test_generators_exchanged_after_their_acceptance_are_noticed(whole: Path):
    with pytest.raises(ValueError, match="not the generators that were accepted"):
        generators.load(whole, "00" * 32)


def test_renderings_differ_in_style_only(crops: np.ndarray):
    made = renderings(crops[0])
    assert made.shape == (len(NAMES), *crops[0].shape)
    np.testing.assert_array_equal(made[0], crops[0])
    assert (made[1] == made[1][..., :1]).all()
    assert made[2].mean() > made[0].mean() + 30
    assert np.median(made[3]) > 200  # paper with strokes
    assert made[3].min() < 100


def test_renderings_are_learned(crops: np.ndarray):
    recipe = RECIPE.model_copy(update={"feature_epochs": 40, "feature_width": 8})
    classifier = features.RenderingClassifier(crops, recipe, seed=0)
    for number in range(classifier.steps):
        found = classifier.step(number)
    assert found["rendering_accuracy"] > 0.8
    assert classifier.features().shape == (8, 64)


def test_weights_to_start_from(crops: np.ndarray, tmp_path: Path):
    weights = networks.ResNet18(1000, 4).state_dict()
    torch.save(weights, tmp_path / "imagenet.pth")
    recipe = RECIPE.model_copy(update={"feature_weights": tmp_path / "imagenet.pth"})
    found = features.RenderingClassifier(crops, recipe, seed=0).network.state_dict()
    assert torch.equal(found["layer3.0.conv1.weight"], weights["layer3.0.conv1.weight"])
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: not weights of a resnet18"):
        features.RenderingClassifier(
            crops, RECIPE.model_copy(update={"feature_weights": tmp_path / "other.pth"}), seed=0
        )


def test_clusters_are_sorted_by_size_and_must_be_two():
    points = np.concatenate([np.zeros((5, 2)), np.ones((2, 2)), 9 * np.ones((3, 2))])
    points += np.random.default_rng(0).normal(scale=0.01, size=points.shape)
    assert [members.tolist() for members in features.clusters(points, 3, 0)] == [[5, 6], [7, 8, 9], [0, 1, 2, 3, 4]]
    with pytest.raises(ValueError, match="two styles"):
        features.clusters(np.zeros((4, 2)), 3, 0)


def test_crops_to_train_on_come_from_folders_too(crops: np.ndarray, tmp_path: Path):
    for number, crop in enumerate(crops[:2]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), crop[..., ::-1])
    np.testing.assert_array_equal(fitting.training_crops([tmp_path]), crops[:2])
    cv2.imwrite(str(tmp_path / "9.png"), crops[0, :10])
    with pytest.raises(ValueError, match="expected one"):
        fitting.training_crops([tmp_path])


def test_generators_need_to_be_given():
    with pytest.raises(ValueError, match="crop sizes none"):
        fitting.fit_shards([], Style(method="cyclegan", fit_on="all"), seed=0)


def test_other_code_or_weights_are_another_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    weights = tmp_path / "resnet18.pt"
    weights.write_bytes(b"first")
    recipe = TrainStyle(feature_weights=weights)
    faces = np.zeros((2, 8, 8, 3), np.uint8)
    before = training._identity(faces, recipe, 2, 0)
    weights.write_bytes(b"other")
    assert training._identity(faces, recipe, 2, 0) != before
    weights.write_bytes(b"first")
    assert training._identity(faces, recipe, 2, 0) == before
    monkeypatch.setattr(training.fingerprint, "of", lambda *_: "edited")
    assert training._identity(faces, recipe, 2, 0) != before
