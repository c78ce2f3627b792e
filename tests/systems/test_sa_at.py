"""SA-AT against its parameter counts, its equations written out in NumPy, and small problems it must solve."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torch.nn import functional as F

from mer_features import training
from mer_features.protocols import (
    EXPECTED_COUNTS,
    FoldRow,
    FoldTable,
)
from mer_features.systems import registry
from mer_features.systems.common import (
    backbones,
    engine,
    macro,
)
from mer_features.systems.common.backbones import Output
from mer_features.systems.common.contract import (
    Examples,
    Execution,
    Material,
    Setup,
)
from mer_features.systems.sa_at import network as sa_at_network
from mer_features.systems.sa_at import teacher as sa_at_teacher
from mer_features.systems.sa_at import train
from mer_features.systems.sa_at.recipe import (
    SAATRecipe,
    SAATTeacherRecipe,
)
from mer_features.training.options import System

CLASSES = ("negative", "positive", "surprise")
TINY = {"student": "resnet8", "stem": "strided", "size": 32, "init_std": 0.1, "learning_rate": 0.01, "batch_size": 8}
FAST = SAATRecipe(**TINY, epochs=6, flip=False)
TEACHER = SAATTeacherRecipe(
    network="resnet14", stem="strided", size=32, init_std=0.1, learning_rate=0.01, batch_size=8, epochs=4, held_out=0.25
)


def faces(n: int, seed: int = 0, side: int = 32) -> Examples:
    """Noise with a bright spot whose place is the class; four clips a person."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % 3
    made = rng.integers(0, 120, (n, 3, side, side)).astype(np.uint8)
    for image, label in zip(made, labels, strict=True):
        image[:, side * label // 3 : side * (label + 1) // 3, side // 4 : side // 2] += 100
    return Examples({"image": made}, labels, np.arange(n) // 4)


def reversed_classes(examples: Examples) -> Material:
    """The same clips with the classes in another order, as another database may have them."""
    features = {"image": examples.features["image"][:, None]}  # one face a clip
    return Material(Examples(features, 2 - examples.labels, examples.subjects), CLASSES[::-1])


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "weights.pt"
    train.pretrain(TEACHER, reversed_classes(faces(36, seed=9)), Setup(seed=3), path)
    return path


def setup(path: Path | None = None, seed: int = 0, **keys) -> Setup:
    return Setup(seed, pretrained=path, class_names=CLASSES, **keys)


def student(recipe: SAATRecipe, path: Path | None = None, seed: int = 0) -> train.Student:
    return train.build(recipe, 3, setup(path, seed)).network


def state(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.clone().numpy() for name, value in network.state_dict().items()}


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet110", 1_727_507),
        ("resnet50", 755_347),
        ("resnet38", 560_915),
        ("alexnet", 57_016_131),
        ("vgg16", 134_272_835),
    ],
)
@pytest.mark.parametrize("stem", ["cifar", "strided"])
def test_parameter_counts(name: str, count: int, stem: str):
    with torch.device("meta"):
        assert engine.parameters(sa_at_network.classifier(name, 3, stem)) == count


@pytest.mark.parametrize(
    ("name", "stem", "mebibytes"),
    [("resnet110", "cifar", 512.75), ("resnet110", "strided", 35.0), ("resnet38", "cifar", 176.75)],
)
def test_memory_that_an_image_keeps_for_the_gradient(name: str, stem: str, mebibytes: float):
    """What docs/systems/sa_at.md says about the paper's batch of 64; no arithmetic is done on the meta device."""
    sizes = []
    for count in (1, 2):
        kept: dict[int, tuple[int, torch.Tensor]] = {}

        def keep(tensor: torch.Tensor, kept: dict = kept) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage._cdata] = (storage.nbytes(), tensor)
            return tensor

        with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            sa_at_network.classifier(name, 3, stem)(torch.empty(count, 3, 256, 256))
        sizes.append(sum(size for size, _ in kept.values()))
    assert (sizes[1] - sizes[0]) / 2**20 == pytest.approx(mebibytes, abs=0.01)


@pytest.mark.parametrize("depth", [38, 50, 110])
def test_a_network_has_as_many_weighted_layers_as_its_name_says(depth: int):
    with torch.device("meta"):
        parts = backbones.ResNet(depth, 3).modules()
    assert sum(isinstance(part, torch.nn.Conv2d | torch.nn.Linear) for part in parts) == depth


@pytest.mark.parametrize(("stem", "sides"), [("cifar", (256, 128, 64)), ("strided", (64, 32, 16))])
def test_shapes_at_the_papers_size(stem: str, sides: tuple[int, ...]):
    with torch.device("meta"):
        output = backbones.ResNet(38, 3, stem)(torch.empty(2, 3, 256, 256))
    assert tuple(output.logits.shape) == (2, 3)
    assert [tuple(m.shape) for m in output.maps] == [(2, w, s, s) for w, s in zip((16, 32, 64), sides, strict=True)]


def test_a_depth_that_is_not_of_the_family_is_refused():
    with pytest.raises(ValueError, match="depth 40 is not 6n"):
        backbones.ResNet(40, 3)


def test_the_shortcut_subsamples_and_pads_with_zeros():
    block = backbones.Block(2, 4, 2).eval()
    torch.nn.init.zeros_(block.second.weight)  # what is left is the shortcut
    x = torch.rand(1, 2, 4, 4)
    expected = torch.cat([x[:, :, [0, 2]][..., [0, 2]], torch.zeros(1, 2, 2, 2)], dim=1)
    torch.testing.assert_close(block(x), expected)


def test_initial_weights_are_normal():
    torch.manual_seed(0)
    network = sa_at_network.Recogniser("resnet38", 3, stem="cifar", scale="mean", std=0.02)
    largest = max((p for p in network.modules() if isinstance(p, torch.nn.Conv2d)), key=lambda p: p.weight.numel())
    assert largest.weight.numel() == 64 * 64 * 9
    assert largest.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(largest.weight.mean().item()) < 5 * 0.02 / math.sqrt(64 * 64 * 9)
    assert network.net.classifier.weight.std().item() == pytest.approx(0.02, rel=0.25)  # 192 of them
    assert not network.net.classifier.bias.any()


def test_images_are_scaled_as_the_recipe_says():
    examples = faces(6)
    network = sa_at_network.Recogniser("resnet8", 3, stem="strided", scale="mean", std=0.02).eval()
    network.measure(torch.from_numpy(examples.features["image"]))
    mean = examples.features["image"].astype(np.float64).mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(network.mean, mean, rtol=1e-6)
    scaled = (examples.features["image"] / 255 - mean[:, None, None]).astype(np.float32)
    torch.testing.assert_close(
        network(torch.from_numpy(examples.features["image"])).logits, network.net(torch.from_numpy(scaled)).logits
    )
    other = sa_at_network.Recogniser("resnet8", 3, stem="strided", scale="imagenet", std=0.02)
    other.measure(torch.from_numpy(examples.features["image"]))
    np.testing.assert_allclose(other.mean, (0.485, 0.456, 0.406))
    np.testing.assert_allclose(other.std, (0.229, 0.224, 0.225))


# ---------------------------------------------------------------- attention and losses


def slow_transfer(student_maps: list[np.ndarray], teacher_maps: list[np.ndarray], form: str, p: int) -> float:
    """The sum of Eq. 4, one image and one stage at a time."""
    total = 0.0
    for ours, theirs in zip(student_maps, teacher_maps, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            q_s = sum(np.abs(channel) ** p for channel in one).ravel()
            q_t = sum(np.abs(channel) ** p for channel in other).ravel()
            difference = q_s / math.sqrt((q_s**2).sum()) - q_t / math.sqrt((q_t**2).sum())
            found = math.sqrt((difference**2).sum()) if form == "norm" else (difference**2).mean()
            total += found / len(ours)
    return total


def output(maps: list[np.ndarray]) -> Output:
    return Output(torch.zeros(1), torch.zeros(1), tuple(torch.tensor(item) for item in maps))


@pytest.mark.parametrize("form", ["norm", "mean_square"])
@pytest.mark.parametrize("p", [1, 2])
def test_transfer_in_numpy(form: str, p: int):
    rng = np.random.default_rng(p)
    ours = [rng.normal(size=(5, c, s, s)).astype(np.float32) for c, s in ((4, 8), (6, 4), (3, 2))]
    theirs = [rng.normal(size=(5, c, s, s)).astype(np.float32) for c, s in ((2, 8), (9, 4), (3, 2))]
    found = float(sa_at_network.transfer(output(ours), output(theirs), form, p))
    assert found == pytest.approx(slow_transfer(ours, theirs, form, p), rel=1e-5)
    assert 0 < found < (3 * math.sqrt(2) if form == "norm" else 3)


@pytest.mark.parametrize("form", ["norm", "mean_square"])
def test_equal_attention_costs_nothing_whatever_its_size(form: str):
    maps = [np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32)]
    assert float(sa_at_network.transfer(output(maps), output(maps), form, 1)) == pytest.approx(0, abs=1e-6)
    larger = [3.7 * maps[0]]
    assert float(sa_at_network.transfer(output(larger), output(maps), form, 1)) == pytest.approx(0, abs=1e-6)
    other = [np.random.default_rng(1).normal(size=(2, 4, 6, 6)).astype(np.float32)]
    once = sa_at_network.transfer(output(maps), output(other), form, 1)
    torch.testing.assert_close(sa_at_network.transfer(output(larger), output(other), form, 1), once)


@pytest.mark.parametrize("p", [1, 2])
def test_disjoint_attention_is_the_largest_distance(p: int):
    one, other = np.zeros((2, 3, 4, 5), np.float32), np.zeros((2, 3, 4, 5), np.float32)
    one[:, 1, 0, 0], other[:, 2, 3, 4] = 7, 0.1
    norm = sa_at_network.transfer(output([one]), output([other]), "norm", p)
    square = sa_at_network.transfer(output([one]), output([other]), "mean_square", p)
    assert float(norm) == pytest.approx(math.sqrt(2))
    assert float(square) == pytest.approx(2 / 20)


@pytest.mark.parametrize("form", ["norm", "mean_square"])
def test_a_map_of_zeros_is_no_accident(form: str):
    dead = torch.zeros(1, 3, 4, 4, requires_grad=True)
    alive = output([np.ones((1, 3, 4, 4), np.float32)])
    both = sa_at_network.transfer(Output(dead, dead, (dead,)), output([np.zeros((1, 3, 4, 4), np.float32)]), form, 1)
    assert float(both.detach()) == 0
    found = sa_at_network.transfer(Output(dead, dead, (dead,)), alive, form, 1)
    found.backward()
    assert math.isfinite(float(found.detach()))
    assert torch.isfinite(dead.grad).all()


def test_a_larger_map_is_averaged_to_the_smaller():
    small = np.random.default_rng(0).random((1, 2, 2, 2)).astype(np.float32)
    large = np.kron(small, np.ones((3, 3), np.float32))
    assert float(sa_at_network.transfer(output([small]), output([large]), "norm", 1)) == pytest.approx(0, abs=1e-6)


def test_the_loss_is_eq_4(taught: Path):
    examples = faces(8)
    batch = engine.Batches(examples, 8).take(torch.arange(8))
    for keys, beta in (({}, 1), ({"at_form": "mean_square"}, 1000), ({"beta": 3.5, "at_p": 2}, 3.5)):
        network = student(FAST.model_copy(update=keys), taught).train()
        found = network.training_step(batch)
        made = network.net(batch["image"])
        maps = [[m.detach().numpy() for m in of.maps] for of in (made, network.teacher(batch["image"]))]
        recipe = network.recipe
        attended = slow_transfer(*maps, recipe.at_form, recipe.at_p)
        logits = made.logits.detach().double().numpy()
        surprise = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(8), examples.labels])
        assert found["attention"].item() == pytest.approx(attended, rel=1e-4)
        assert found["classification"].item() == pytest.approx(surprise, rel=1e-5)
        assert found["loss"].item() == pytest.approx(surprise + beta / 2 * attended, rel=1e-4)


def test_knowing_nothing_costs_ln_3():
    network = student(FAST.model_copy(update={"beta": 0}))
    torch.nn.init.zeros_(network.net.net.classifier.weight)
    batch = engine.Batches(faces(6), 6).take(torch.arange(6))
    assert network.training_step(batch)["loss"].item() == pytest.approx(math.log(3))


def test_the_teacher_is_neither_trained_nor_moved(taught: Path):
    network = student(FAST, taught)
    before = state(network.teacher.network)
    network.train()
    optimiser = network.configure_optimizers()
    for batch in network.batches(faces(16)):
        network.training_step(batch)["loss"].backward()
        optimiser.step()
    after = state(network.teacher.network)
    assert all(np.array_equal(before[name], after[name]) for name in before)  # batch norms' buffers among them
    assert all(value.grad is None for value in network.teacher.network.parameters())
    assert not network.teacher.network.training
    assert not any("teacher" in name for name in network.state_dict())
    held = {id(value) for group in optimiser.param_groups for value in group["params"]}
    assert held.isdisjoint(id(value) for value in network.teacher.network.parameters())
    assert held == {id(value) for value in network.net.parameters()}


def test_attention_reaches_the_student(taught: Path):
    grads = []
    batch = engine.Batches(faces(8), 8).take(torch.arange(8))
    for beta in (1e-9, 50):
        network = student(FAST.model_copy(update={"beta": beta}), taught).train()
        network.training_step(batch)["loss"].backward()
        grads.append(network.net.net.stem[0].weight.grad)
    assert not torch.allclose(*grads)


def test_beta_0_is_plain_training_bit_for_bit():
    examples = faces(20)
    recipe = FAST.model_copy(update={"beta": 0, "flip": True, "epochs": 2})
    system = train.build(recipe, 3, Setup(seed=4))
    system.fit(examples)
    with engine.seeded(4):
        plain = sa_at_network.Recogniser("resnet8", 3, stem="strided", scale="mean", std=recipe.init_std)
    plain.measure(torch.from_numpy(examples.features["image"]))
    optimiser = torch.optim.Adam(plain.parameters(), recipe.learning_rate)
    with engine.seeded(4):
        for _ in range(2):
            for batch in engine.Batches(examples, 8, fewest=2):
                optimiser.zero_grad()
                images = sa_at_teacher.flipped(batch["image"])
                F.cross_entropy(plain(images).logits, batch["label"]).backward()
                optimiser.step()
    trained = state(system.network.net)
    assert all(np.array_equal(trained[name], value) for name, value in state(plain).items())


# ---------------------------------------------------------------- input


def test_flips_mirror_half_and_leave_what_they_were_given():
    images = torch.from_numpy(faces(200, side=8).features["image"])
    kept = images.clone()
    torch.manual_seed(0)
    found = sa_at_teacher.flipped(images)
    torch.testing.assert_close(images, kept)
    mirrored = (found == images.flip(3)).flatten(1).all(1)
    same = (found == images).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 60 < int(mirrored.sum()) < 140


def test_training_leaves_the_clips_as_they_are(taught: Path):
    examples = faces(8)
    kept = examples.features["image"].copy()
    train.build(FAST.model_copy(update={"flip": True, "epochs": 1}), 3, setup(taught)).fit(examples)
    np.testing.assert_array_equal(examples.features["image"], kept)


@pytest.mark.parametrize("images", ["style", "faces"])
def test_style_chooses_the_variable(images: str, monkeypatch: pytest.MonkeyPatch):
    recipe = FAST.model_copy(update={"images": images, "beta": 0})
    rng = np.random.default_rng(0)
    arrays = {
        name: [rng.integers(0, 255, (48, 48, 3)).astype(np.uint8)]
        for name in ("style/apex", "faces/apex", "faces/onset")
    }

    class Cache:
        clips = (SimpleNamespace(source_sha256="x"),)
        groups = ("faces", "style")

        def require(self, *groups: str, purpose: str) -> None:
            assert purpose
            assert set(groups) <= set(self.groups)

        def index(self, _: str) -> int:
            return 0

        def __getitem__(self, name: str) -> list[np.ndarray]:
            return arrays[name]

        def close(self) -> None:
            pass

    monkeypatch.setattr(training.data, "open_features", lambda _: Cache())
    row = FoldRow("s/c", "demo", "s", "surprise", "surprise", "demo/s")
    inputs = training.Inputs(train.variables(recipe), lambda clip: train.prepare(recipe, clip))
    system = train.build(recipe, 3, Setup(seed=0))

    def answer() -> np.ndarray:
        return system.predict(training.load_clips({"demo": Path("d.h5")}, FoldTable((row,)), inputs).features)

    before = answer()
    arrays["style/apex"], arrays["faces/apex"] = arrays["faces/apex"], arrays["style/apex"]
    assert not np.array_equal(answer(), before)
    other = {"style": "faces", "faces": "style"}[images]
    swapped = answer()
    arrays[f"{other}/apex"] = [np.zeros((48, 48, 3), np.uint8)]
    np.testing.assert_array_equal(answer(), swapped)


def test_faces_are_whole_and_grey_ones_have_three_equal_channels():
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 255, (64, 64, 1)).astype(np.uint8)
    made = train.prepare(FAST, {"style/apex": grey})["image"]
    assert made.shape == (3, 32, 32)
    assert made.dtype == np.uint8
    blocks = grey[..., 0].reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(made - blocks).max() <= 0.5
    colour = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(train.prepare(FAST, {"style/apex": colour})["image"], colour.transpose(2, 0, 1))


# ---------------------------------------------------------------- teacher


def test_the_teacher_is_measured_on_subjects_it_has_not_seen(tmp_path: Path):
    material = reversed_classes(faces(36, seed=9))
    said = train.pretrain(TEACHER, material, Setup(seed=3), tmp_path / "w.pt")
    assert json.loads(json.dumps(said)) == said
    assert said["clips"] + said["held_out"]["clips"] == 36
    parts = macro.part(material.examples, 0.25, 3)
    assert not set(parts.trained.subjects) & set(parts.held_out.subjects)
    assert len(set(parts.held_out.subjects)) in (2, 3)  # of nine
    _, about = macro.read(tmp_path / "w.pt", "sa_at")
    assert about["classes"] == list(CLASSES[::-1])
    teacher = train.Teacher(tmp_path / "w.pt")
    logits = teacher(torch.from_numpy(parts.held_out.features["image"][:, 0])).logits
    confusion = macro.confusion(logits.numpy(), parts.held_out.labels)
    assert confusion.tolist() == said["held_out"]["confusion"]  # the weights are those of the best epoch
    assert said["held_out"]["war"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert len(said["losses"]) == 4


def test_a_killed_teacher_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    material = reversed_classes(faces(36, seed=9))
    where = {name: replace(Setup(3, Execution(checkpoint_s=0)), state=tmp_path / name) for name in ("a", "b")}
    whole = train.pretrain(TEACHER, material, where["a"], tmp_path / "a.pt")
    step = sa_at_teacher.Network.training_step

    def killed(self: sa_at_teacher.Network, batch: engine.Batch) -> torch.Tensor:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(sa_at_teacher.Network, "training_step", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.pretrain(TEACHER, material, where["b"], tmp_path / "b.pt")
    assert not (tmp_path / "b.pt").exists()
    monkeypatch.setattr(sa_at_teacher.Network, "training_step", step)
    assert train.pretrain(TEACHER, material, where["b"], tmp_path / "b.pt") == whole
    (first, _), (second, _) = (macro.read(tmp_path / name, "sa_at") for name in ("a.pt", "b.pt"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_held_out_subjects_the_last_epoch_counts(tmp_path: Path):
    recipe = TEACHER.model_copy(update={"held_out": 0, "epochs": 1})
    said = train.pretrain(recipe, reversed_classes(faces(12)), Setup(), tmp_path / "w.pt")
    assert said["clips"] == 12
    assert "held_out" not in said


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_torchvision_teachers_see_whole_faces(name: str):
    with torch.device("meta"):
        found = sa_at_network.classifier(name, 3, "cifar")(torch.empty(2, 3, 256, 256))
    assert tuple(found.logits.shape) == (2, 3)
    assert tuple(found.features.shape) == (2, 4096)


def test_attention_from_a_network_without_stages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    about = {"task": "sa_at", "classes": list(CLASSES), "network": "alexnet", "stem": "cifar", "scale": "mean"}
    small = sa_at_network.Recogniser("resnet8", 3, stem="cifar", scale="mean", std=0.02)
    macro.write(tmp_path / "w.pt", small.state_dict(), about)
    monkeypatch.setattr(train, "Recogniser", lambda *_, **__: small)
    with pytest.raises(ValueError, match="needs a ResNet teacher, found alexnet"):
        train.build(FAST, 3, setup(tmp_path / "w.pt"))
    train.build(FAST.model_copy(update={"micro_training": False}), 3, setup(tmp_path / "w.pt"))


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    engine.write_weights(tmp_path / "w.pt", {"x": torch.zeros(1)})
    with pytest.raises(ValueError, match="found weights of no task, expected of pre-training sa_at"):
        train.build(FAST, 3, setup(tmp_path / "w.pt"))


def test_one_subject_cannot_be_parted():
    alone = faces(4)
    with pytest.raises(ValueError, match="only one subject"):
        macro.part(alone, 0.1, 0)


# ---------------------------------------------------------------- ablations


def test_the_ablations_are_table_3():
    rows = {name: registry.recipe("sa_at", None, name) for name in SAATRecipe.ablations}
    found = {name: (row.micro_training and row.weight > 0, row.images == "style") for name, row in rows.items()}
    assert found == {
        "ResNet": (False, False), "ResNet&SA": (False, True), "ResNet&AT": (True, False), "SA-AT": (True, True),
        "beta 0": (False, True),
    }  # fmt: skip
    assert rows["beta 0"].micro_training
    assert {name for name, row in rows.items() if row.pretraining} == set(rows) - {"beta 0"}
    assert System(system="sa_at", protocols=("p",), ablation="beta 0").full_recipe == rows["beta 0"]
    with pytest.raises(ValueError, match="needs a pre-training of task 'sa_at'"):
        System(system="sa_at", protocols=("p",))


def test_switches_change_what_they_name(taught: Path):
    assert isinstance(train.build(FAST, 3, setup(taught)).network, train.Student)
    assert student(FAST.model_copy(update={"beta": 0})).teacher is None
    direct = train.build(FAST.model_copy(update={"micro_training": False}), 3, setup(taught)).network
    assert isinstance(direct, train.Direct)
    batch = engine.Batches(faces(8), 8).take(torch.arange(8))
    losses = [
        student(FAST.model_copy(update=keys), taught).training_step(batch)["attention"].item()
        for keys in ({}, {"at_p": 2}, {"at_form": "mean_square"})
    ]
    assert len(set(losses)) == 3


def test_the_teacher_applied_directly_tells_the_classes_by_name(taught: Path):
    recipe = FAST.model_copy(update={"micro_training": False})
    system = train.build(recipe, 3, setup(taught))
    examples = faces(12, seed=5)
    before = system.predict(examples.features)
    system.fit(examples)
    np.testing.assert_array_equal(system.predict(examples.features), before)
    assert system.losses() == []
    logits = train.Teacher(taught)(torch.from_numpy(examples.features["image"])).logits
    expected = F.softmax(logits, dim=1).numpy()[:, ::-1]  # its order is reversed
    np.testing.assert_allclose(before, expected, atol=1e-6)
    two = train.build(recipe, 2, replace(setup(taught), class_names=CLASSES[1:]))
    expected = F.softmax(logits[:, [1, 0]], dim=1).numpy()
    np.testing.assert_allclose(two.predict(examples.features), expected, atol=1e-6)
    with pytest.raises(ValueError, match="cannot recognise disgust, surprise"):
        train.build(recipe, 2, replace(setup(taught), class_names=("disgust", "surprise")))


# ---------------------------------------------------------------- training


def test_overfits_eight_clips(taught: Path):
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(0, 255, (8, 3, 4, 4)), np.ones((8, 8))).astype(np.uint8)
    examples = Examples({"image": images}, np.array([0, 1, 2, 0, 1, 2, 0, 1]), np.arange(8))
    system = train.build(FAST.model_copy(update={"epochs": 40}), 3, setup(taught))
    system.fit(examples)
    np.testing.assert_array_equal(system.predict(examples.features).argmax(axis=1), examples.labels)


@pytest.fixture(scope="module")
def trained(taught: Path) -> engine.TorchSystem:
    system = train.build(FAST.model_copy(update={"epochs": 20}), 3, setup(taught, seed=5))
    system.fit(faces(24))
    return system


def test_generalises_to_clips_it_has_not_seen(trained: engine.TorchSystem):
    others = faces(30, seed=1)
    assert np.mean(trained.predict(others.features).argmax(axis=1) == others.labels) > 0.9
    assert [set(epoch) for epoch in trained.losses()] == [{"loss", "classification", "attention"}] * 20


def test_saved_weights_give_the_same_predictions(trained: engine.TorchSystem, taught: Path, tmp_path: Path):
    others = faces(9, seed=2)
    trained.save(tmp_path / "w.pt")
    again = train.build(FAST, 3, setup(taught, seed=99))
    assert not np.allclose(again.predict(others.features), trained.predict(others.features))
    again.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(again.predict(others.features), trained.predict(others.features))


def test_one_clip_is_as_good_as_many(trained: engine.TorchSystem):
    features = faces(5, seed=2).features
    many = trained.predict(features)
    alone = [trained.predict({"image": features["image"][i : i + 1]}) for i in range(5)]
    np.testing.assert_allclose(np.concatenate(alone), many, atol=1e-6)
    np.testing.assert_allclose(many.sum(axis=1), 1, rtol=1e-6)


def test_features_and_pictures(trained: engine.TorchSystem):
    features = faces(3, seed=2).features
    assert trained.embed(features)["features"].shape == (3, 64)
    found = trained.explain(features)
    assert list(found) == ["image", *(f"{who}_stage_{n}" for who in ("student", "teacher") for n in (1, 2, 3))]
    for picture in found.values():
        assert picture.shape == (3, 32, 32, 3)
        assert picture.dtype == np.uint8
    np.testing.assert_array_equal(found["image"], features["image"].transpose(0, 2, 3, 1))
    # Where attention is least the face shows through, where it is most the colour does.
    heat = sa_at_network.attention(trained.network.net(torch.from_numpy(features["image"])).maps[0], 1)[0].detach()
    grown = F.interpolate(heat[None, None], (32, 32), mode="bilinear")[0, 0].numpy()
    changed = np.abs(found["student_stage_1"][0].astype(int) - found["image"][0]).sum(axis=2)
    assert np.corrcoef(grown.ravel(), changed.ravel())[0, 1] > 0.3


def test_a_killed_student_goes_on_bit_for_bit(taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = FAST.model_copy(update={"epochs": 3, "flip": True})
    where = {name: replace(setup(taught), execution=Execution(checkpoint_s=0), state=tmp_path / name) for name in "ab"}
    whole = train.build(recipe, 3, where["a"])
    whole.fit(faces(17))
    step = train.Student.training_step

    def killed(self: train.Student, batch: engine.Batch) -> dict:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(train.Student, "training_step", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train.build(recipe, 3, where["b"]).fit(faces(17))
    monkeypatch.setattr(train.Student, "training_step", step)
    resumed = train.build(recipe, 3, where["b"])
    resumed.fit(faces(17))
    first, second = state(whole.network), state(resumed.network)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert resumed.losses() == whole.losses()


def test_the_papers_recipe_takes_a_step():
    torch.manual_seed(0)
    recipe = SAATRecipe()
    teacher_recipe = SAATTeacherRecipe()
    guide = macro.Frozen(
        sa_at_network.Recogniser(teacher_recipe.network, 3, stem="cifar", scale="mean", std=teacher_recipe.init_std)
    )
    network = train.Student(recipe, 3, guide).train()
    batch = engine.Batches(faces(1, side=recipe.size), recipe.batch_size).take(torch.arange(1))
    optimiser = network.configure_optimizers()
    assert optimiser.defaults["lr"] == 1e-4
    before = state(network.net)
    network.training_step(batch)["loss"].backward()
    optimiser.step()
    weights = {name for name, _ in network.net.named_parameters()}
    after = state(network.net)
    assert {name for name in weights if not np.array_equal(before[name], after[name])} == weights


def test_the_protocol_is_the_papers():
    counts = EXPECTED_COUNTS["megc2019"]
    rows = {"smic": (70, 51, 43, 16), "casme2": (88, 32, 25, 24), "samm": (92, 26, 15, 28)}
    assert {name: tuple(counts[name][what] for what in (*CLASSES, "subjects")) for name in rows} == rows
    assert sum(sum(row[:3]) for row in rows.values()) == 442
    assert sum(row[3] for row in rows.values()) == 68
