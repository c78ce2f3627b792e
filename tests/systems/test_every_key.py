"""Every key of every system's recipe changes what it names: the input, the network, a loss, the answer or the training.

A key that nothing reads, or that reaches more than it should (an augmentation that moves the answer in testing), shows
here. What a changed loss or network must be is the business of the systems' own tests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from mer_features import training
from mer_features.systems.common import engine, macro, video_draws
from mer_features.systems.common.contract import (
    Examples,
    Setup,
)
from mer_features.systems.eidnet import train
from mer_features.systems.ma2mi import network as ma2mi_images
from mer_features.systems.ma2mi import pretraining
from mer_features.systems.registry import (
    PRETRAINING,
    RECIPES,
    Recipe,
)
from mer_features.systems.sa_at import network as sa_at_network

CLASSES = ("negative", "positive", "surprise")
SIDE = 64
PARTS = ("input", "network", "weights", "batches", "loss", "answer", "optimiser", "epochs")

#: Small recipes, and which of their keys, given which other value, change which part first.
SMALL: dict[str, dict[str, Any]] = {
    "fr": {"batch_size": 4},
    "off_apexnet": {"batch_size": 4},
    "ststnet": {"batch_size": 4},
    "dual_inception": {"batch_size": 4},
    "imagenet_flow": {"network": "googlenet", "size": SIDE, "batch_size": 4},
    "capsulenet": {"size": 136, "batch_size": 4, "absent_margin": 0.0},
    "sa_at": {"student": "resnet8", "stem": "strided", "size": 32, "batch_size": 4},
    "map_mer": {"image_size": 32, "width": 16, "blocks": 1, "awm_width": 16, "batch_size": 8},
    "ma2mi": {"backbone": "small", "size": SIDE, "batch_size": 4, "pretrain": "none"},
    "eidnet": {"backbone": "small", "size": SIDE, "batch_size": 4},
    "future": {"backbone": "small", "size": SIDE, "dit_width": 16, "dit_depth": 1, "dit_heads": 2},
}
#: Stands for the value of a key with two values that is not the default.
OTHER = object()
FLOW = {
    "source": ("flow_maps", "input"), "resize": ("area", "input"), "scale": ("symmetric", "input"),
    "initialisation": (OTHER, "weights"), "learning_rate": (0.5, "optimiser"), "batch_size": (3, "batches"),
    "epochs": (7, "epochs"),
}  # fmt: skip
CHANGES: dict[str, dict[str, tuple[Any, str]]] = {
    "fr": FLOW | {
        "refine": ("fc", "loss"), "fusion": ("concat", "network"), "variant": ("table7", "network"),
        "attention_scale": (OTHER, "loss"), "loss_weight": (2.0, "loss"), "optimiser": (OTHER, "optimiser"),
        "momentum": (0.8, "optimiser"),
    },
    "off_apexnet": FLOW,
    "ststnet": FLOW | {
        "batch_norm": (False, "network"), "order": (OTHER, "input"),
    },
    "dual_inception": FLOW,
    "imagenet_flow": {
        "source": ("flow_maps", "input"), "network": ("alexnet", "network"), "size": (96, "input"),
        "learning_rate": (0.5, "optimiser"), "batch_size": (3, "batches"), "epochs": (7, "epochs"),
    },
    "capsulenet": {
        "size": (144, "input"), "routings": (1, "loss"), "present_margin": (0.5, "loss"),
        "absent_margin": (0.1, "loss"), "absent_weight": (9.0, "loss"), "augment": (False, "loss"),
        "learning_rate": (0.5, "optimiser"), "decay": (0.5, "optimiser"), "batch_size": (3, "batches"),
        "epochs": (7, "epochs"),
    },
    "sa_at": {
        "images": ("faces", "input"), "micro_training": (False, "network"), "student": ("resnet14", "network"),
        "stem": ("cifar", "loss"), "size": (48, "input"), "scale": ("imagenet", "weights"), "beta": (7.0, "loss"),
        "at_form": ("mean_square", "loss"), "at_p": (2, "loss"), "flip": (False, "loss"),
        "init_std": (0.1, "weights"), "learning_rate": (0.5, "optimiser"), "batch_size": (3, "batches"),
        "epochs": (7, "epochs"),
    },
    "map_mer": {
        "target": ("amplified", "input"), "image_size": (64, "input"), "threshold": (0.5, "input"),
        "branches": (1, "network"), "awm": ("paper", "network"), "awm_width": (32, "network"),
        "gate": ("sigmoid", "loss"), "width": (24, "network"), "blocks": (2, "network"),
        "au_alignment": (False, "loss"), "wscl": ("literal", "loss"), "alignment_weight": (0.9, "loss"),
        "temperature": (0.7, "loss"), "label_smoothing": (0.0, "loss"), "combine": ("logits", "answer"),
        "region_replacing": (0.0, "batches"), "flip": (0.0, "batches"), "erasing": (0.0, "batches"),
        "learning_rate": (0.5, "optimiser"), "weight_decay": (0.3, "optimiser"), "restart": (4, "optimiser"),
        "batch_size": (3, "batches"), "epochs": (7, "epochs"), "select": ("val", "batches"),
    },
    "ma2mi": {
        "backbone": ("resnet18", "network"), "size": (96, "input"), "fusion": ("sum", "network"),
        "position": ("none", "network"), "learning_rate": (0.5, "optimiser"), "decay": (0.5, "optimiser"),
        "epochs": (7, "epochs"), "weight_decay": (0.3, "optimiser"), "tuned": ("action", "loss"),
        "augment": (False, "loss"), "batch_size": (3, "batches"),
    },
    "eidnet": {
        "size": (96, "input"), "augment": (False, "loss"),
        "distance": ("norm", "loss"), "reconstruction_weight": (3.0, "loss"), "similarity_weight": (3.0, "loss"),
        "encoder_rate": (0.5, "optimiser"), "classifier_rate": (0.5, "optimiser"),
        "decoder_rate": (0.5, "optimiser"), "weight_decay": (0.3, "optimiser"), "half_period": (4, "optimiser"),
        "batch_size": (3, "batches"), "epochs": (7, "epochs"), "triplet_weight": (3.0, "loss"),
        "adversarial_weight": (3.0, "loss"), "lir_weight": (30.0, "loss"), "margin": (9.0, "loss"),
        "triplet_on": ("pooled", "loss"), "discriminator_norm": ("batch", "loss"),
        "tuning_rate": (0.5, "optimiser"), "discriminator_rate": (0.5, "optimiser"),
        "tuning_epochs": (7, "epochs"), "phases": ("I", "network"),
    },
    "future": {
        "backbone": ("resnet18", "network"), "size": (96, "network"), "fusion": ("sum", "network"),
        "position": ("none", "network"), "learning_rate": (0.5, "optimiser"), "decay": (0.5, "optimiser"),
        "epochs": (7, "epochs"), "weight_decay": (0.3, "optimiser"), "space": ("pixel", "network"),
        "dit_width": (32, "network"), "dit_depth": (2, "network"), "dit_heads": (4, "loss"), "patch": (4, "network"),
        "residual": (True, "loss"), "reconstruction_form": ("mean", "loss"), "equivariance": ("norm", "loss"),
    },
}  # fmt: skip
#: Other keys that a changed key needs.
WITH = {("map_mer", "branches"): {"awm": "none"}, ("fr", "momentum"): {"optimiser": "sgd"}}
#: Keys that need files, videos or large images; tests of the systems' own files change them.
ELSEWHERE = {
    "imagenet_flow": {"imagenet_weights"},
    "capsulenet": {"imagenet_weights"},
    "map_mer": {"imagenet", "val_share"},
    "ma2mi": {"imagenet_weights", "pretrain", "reconstruction", "reconstruction_form"},
    "eidnet": {"imagenet_weights", "backbone"},
    "future": {"imagenet_weights", "delta", "batch_size"},
}
#: What draws in training alone: the answer must not move.
AUGMENTATIONS = {
    ("sa_at", "flip"), ("map_mer", "region_replacing"), ("map_mer", "flip"), ("map_mer", "erasing"),
    ("ma2mi", "augment"), ("eidnet", "augment"), ("capsulenet", "augment"),
}  # fmt: skip


# ---------------------------------------------------------------- what there is to see of a recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretrained")


def variable(name: str, rng: np.random.Generator) -> np.ndarray:
    """Something like the cache variable of this name."""
    kind = name.split("/", maxsplit=1)[0]
    if kind == "action_units_text":
        return np.asarray("4+7")
    if kind == "flow":
        return rng.normal(size=(100, 100)).astype(np.float32)
    if kind == "flow_maps":
        return rng.integers(0, 256, (28, 28), dtype=np.uint8)
    frames = (5,) if name == "faces/keyframes" else ()
    return rng.integers(0, 255, (*frames, 100, 100, 3)).astype(np.uint8)


def examples(kind: str, recipe: Recipe) -> Examples:
    """Eight clips through ``prepare``; the variables are the same whatever the recipe reads of them."""
    module = training.module_of(kind)
    labels = np.arange(8) % 3
    clips = []
    for number in range(8):
        names = module.variables(recipe)
        clip = {name: variable(name, np.random.default_rng([number, *name.encode()])) for name in names}
        clips.append(module.prepare(recipe, clip))
    features = {name: np.stack([clip[name] for clip in clips]) for name in clips[0]}
    return Examples(features, labels, np.arange(8) // 2)


def teacher(folder: Path) -> Path:
    path = folder / "teacher.pt"
    torch.manual_seed(5)
    network = sa_at_network.Recogniser("resnet8", 3, stem="strided", scale="mean", std=0.1)
    about = {"task": "sa_at", "classes": CLASSES, "network": "resnet8", "stem": "strided", "scale": "mean"}
    macro.write(path, network.state_dict(), about)
    return path


def macronet(folder: Path, backbone: str, size: int) -> Path:
    path = folder / "macronet.pt"
    torch.manual_seed(5)
    faces = torch.randint(0, 255, (9, 3, size + 9, size + 9), dtype=torch.uint8)
    weights = {"faces": faces, "labels": torch.arange(9) % 3, **train.EIDNet(backbone, 3).state_dict()}
    macro.write(path, weights, {"task": "eidnet", "classes": CLASSES, "backbone": backbone, "size": size})
    return path


def pretrained(kind: str, recipe: Recipe, folder: Path) -> Path | None:
    if recipe.pretraining is None:
        return None
    return teacher(folder) if kind == "sa_at" else macronet(folder, recipe.backbone, recipe.size)


def plain(found: Any) -> dict[str, float]:
    terms = found if isinstance(found, dict) else {"loss": found}
    return {name: round(float(torch.as_tensor(value).detach()), 6) for name, value in terms.items()}


def schedule(configured: Any) -> list[Any]:
    """Kinds, settings and the rates of ten epochs of all optimisers."""
    seen = []
    for item in configured if isinstance(configured, list) else [configured]:
        optimiser = item["optimizer"] if isinstance(item, dict) else item
        settings = [{**group, "params": len(group["params"])} for group in optimiser.param_groups]
        seen.append([type(optimiser).__name__, str(settings)])
        for _ in range(10 if isinstance(item, dict) else 0):
            optimiser.step()
            item["lr_scheduler"].step()
            seen.append([group["lr"] for group in optimiser.param_groups])
    return seen


def described(network: engine.Network, batches: Any, step: Callable[[Any], Any]) -> dict[str, Any]:
    """The parts of a network under training."""
    state = {name: value.clone() for name, value in network.state_dict().items()}  # a step moves batch norms
    torch.manual_seed(1)
    drawn = list(batches)
    network.train()
    torch.manual_seed(2)
    found = plain(step(drawn[0]))
    return {
        "network": [type(network).__name__] + [(name, tuple(value.shape)) for name, value in state.items()],
        "weights": [round(float(value.double().abs().sum()), 4) for value in state.values()],
        "batches": [[round(float(value.double().sum()), 3) for value in batch.values()] for batch in drawn],
        "loss": found,
        "optimiser": schedule(network.configure_optimizers()),
        "epochs": network.epochs,
    }


def parts(kind: str, keys: dict[str, Any], folder: Path) -> dict[str, Any]:
    """All that a recipe decides of a system."""
    if kind == "future":
        return future(PRETRAINING["ma2mi"](**SMALL[kind] | keys))
    recipe = RECIPES[kind](**SMALL[kind] | keys)
    given = examples(kind, recipe)
    start = pretrained(kind, recipe, folder)
    system = training.module_of(kind).build(recipe, 3, Setup(3, pretrained=start, class_names=CLASSES))
    network = system.network
    torch.manual_seed(3)
    if kind == "ma2mi":
        torch.nn.init.normal_(network.head.weight)  # zero at first, which hides what is before it
    if kind == "capsulenet":
        with torch.no_grad():
            network.capsules.weight.mul_(20)  # capsules are very short at first, which hides the routing
    seen = {"input": [(name, value.shape, value.tobytes()) for name, value in given.features.items()]}
    if recipe.__class__ is RECIPES["sa_at"] and not recipe.micro_training:
        return seen | {"network": type(network).__name__}
    seen |= {"answer": network.eval().scores(engine.tensors(given.features)).detach().numpy().round(6).tobytes()}
    seen |= described(network, network.batches(given), network.training_step)
    if kind == "eidnet" and recipe.phases == "I+II":
        torch.manual_seed(4)
        tuning = train.Tuning(recipe, network.net, train.Macro(start, CLASSES, recipe))
        second = described(tuning, tuning.batches(given), lambda batch: tuning.losses(batch, *tuning.outputs(batch)))
        for name in ("loss", "optimiser", "epochs"):
            seen[name] = [seen[name], second[name]]
    return seen


def future(recipe: Recipe) -> dict[str, Any]:
    """The pre-training of MA2MI, which makes its batches from video."""
    torch.manual_seed(3)
    network = pretraining.Network(recipe, video_draws.Order(4, 0))
    with torch.no_grad():
        for weight in network.model.dit.parameters():
            weight.add_(0.1 * torch.randn_like(weight))  # DiT's last layer is 0 at first and hides what is before it
    side, rng = recipe.size, np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 4, 3, 96, 96)).astype(np.uint8)[..., :side, :side]
    codes = torch.from_numpy(rng.normal(size=(2, 4, 4, side // 8, side // 8)).astype(np.float32))
    tau = torch.from_numpy(np.stack([ma2mi_images.random_tau(rng) for _ in range(4)]))
    first, second = torch.from_numpy(images)
    batch = {"first": first, "second": second, "from": codes[0], "to": codes[1], "tau": tau}
    shape = {"network": [type(network).__name__, recipe.grid, *network.model.dit.places.shape]}
    found = described(network, [batch], network.training_step)
    return found | {"network": [*shape["network"], *found["network"]]}


# ---------------------------------------------------------------- tests


@pytest.fixture(scope="module")
def base(folder: Path) -> Callable[[str], dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}

    def of(kind: str) -> dict[str, Any]:
        if kind not in made:
            made[kind] = parts(kind, {}, folder)
        return made[kind]

    return of


@pytest.mark.parametrize("kind", CHANGES)
def test_no_key_is_forgotten(kind: str):
    recipe = PRETRAINING["ma2mi"] if kind == "future" else RECIPES[kind]
    assert set(CHANGES[kind]) | ELSEWHERE.get(kind, set()) == set(recipe.model_fields)


def test_no_network_is_forgotten():
    assert set(CHANGES) - {"future"} == set(RECIPES) - {"linear", "svm"}  # those two have tests of two keys each


@pytest.mark.parametrize("kind", CHANGES)
def test_the_same_recipe_is_the_same(kind: str, base: Callable, folder: Path):
    assert parts(kind, {}, folder) == base(kind)


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in CHANGES.items() for key in keys])
def test_a_key_changes_what_it_names(kind: str, key: str, base: Callable, folder: Path):
    value, named = CHANGES[kind][key]
    if value is OTHER:
        field = RECIPES[kind].model_fields[key]
        (value,) = set(get_args(field.annotation)) - {field.default}
    before, after = base(kind), parts(kind, {key: value, **WITH.get((kind, key), {})}, folder)
    changed = {name for name in PARTS if before.get(name) != after.get(name)}
    assert named in changed
    earlier = {"input", "network", "weights", "batches"} if named == "loss" else set(PARTS[: PARTS.index(named)])
    assert not changed & earlier
    if named in ("answer", "optimiser", "epochs"):
        assert changed == {named}
    if (kind, key) in AUGMENTATIONS:
        assert "loss" in changed
        assert "answer" not in changed
