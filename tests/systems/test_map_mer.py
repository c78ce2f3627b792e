"""MAP-MER against its parameter counts, its equations written out in NumPy, and small problems it must solve."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pydantic
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import (
    backbones,
    engine,
)
from mer_features.systems.common.contract import (
    Examples,
    Execution,
    Setup,
)
from mer_features.systems.map_mer import network as cams
from mer_features.systems.map_mer import network as parts
from mer_features.systems.map_mer import network as terms
from mer_features.systems.map_mer import train
from mer_features.systems.map_mer.recipe import MapMerRecipe
from mer_features.systems.registry import recipe
from tests.shared import shared

#: A network small enough to train in seconds.
SMALL = {"image_size": 32, "width": 16, "blocks": 1, "awm_width": 32, "batch_size": 8, "epochs": 2}
#: Features a region of that network.
D = 128
#: Nothing drawn at random while training.
STILL = {"flip": 0.0, "erasing": 0.0, "region_replacing": 0.0}


def small(**keys: object) -> MapMerRecipe:
    return MapMerRecipe.model_validate({**SMALL, **keys})


def net(made: MapMerRecipe | None = None, classes: int = 3) -> parts.MapMer:
    torch.manual_seed(0)
    return parts.network(made or small(), classes).eval()


def faces(n: int, side: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def examples(n: int = 12, side: int = 32, seed: int = 0) -> Examples:
    """Noise with a bright spot whose row is the class; action units overlap within and between classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    planes = rng.integers(0, 80, (n, 3, side, side)).astype(np.uint8)
    for clip, label in zip(planes, labels, strict=True):
        clip[:, 2 + 9 * label : 9 + 9 * label, 8:24] += 150
    units = np.zeros((n, train.A), np.uint8)
    for clip, label in zip(units, labels, strict=True):
        clip[[label + 1, label + 2, 12 + rng.integers(3)]] = 1
    return Examples({"planes": planes, "units": units}, labels.astype(np.int64), np.arange(n) // 3)


# ---------------------------------------------------------------- network


@pytest.mark.parametrize(("classes", "head", "total"), [(3, 265_219, 24_311_462), (5, 266_245, 24_313_514)])
def test_parameter_counts(classes: int, head: int, total: int):
    with torch.device("meta"):
        made = parts.network(MapMerRecipe(), classes)
    assert engine.parameters(made.base) == 683_936
    assert [engine.parameters(branch) for branch in made.branches] == [10_496_896] * 2
    assert engine.parameters(made.awm) == 2_103_296
    assert [engine.parameters(item) for item in made.heads] == [head] * 2
    assert engine.parameters(made) == total


def test_shapes_at_the_papers_size():
    with torch.device("meta"):
        made = parts.network(MapMerRecipe(), 5).eval()
        seen = {}
        for name in ("base.pool", "base.layer1", "base.layer2", "branches.1.layer3", "branches.1.layer4"):
            made.get_submodule(name).register_forward_hook(
                lambda _module, _input, out, name=name: seen.update({name: tuple(out.shape[1:])})
            )
        output = made(torch.zeros(2, 3, 224, 224))
    assert seen == {
        "base.pool": (64, 28, 56),
        "base.layer1": (64, 28, 56),
        "base.layer2": (128, 14, 28),
        "branches.1.layer3": (256, 7, 14),
        "branches.1.layer4": (512, 4, 7),
    }
    assert [tuple(part.shape) for part in output] == [(2, 2, 5), (2, 2, 512), (2, 1024)]


def test_halves_are_the_upper_and_the_lower_rows():
    seen: list[Tensor] = []
    made = net()
    made.base.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    x = faces(2)
    made(x)
    torch.testing.assert_close(seen[0], x[:, :, :16])
    torch.testing.assert_close(seen[1], x[:, :, 16:])


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
def test_shuffle_attention_in_numpy(gate: str):
    torch.manual_seed(1)
    module = parts.ShuffleAttention(16, gate)
    for value in module.parameters():
        nn.init.normal_(value)
    x = torch.randn(3, 16, 5, 4, dtype=torch.float32)
    weights = {name: value.detach().double().numpy() for name, value in module.named_parameters()}
    planes = x.double().numpy()
    groups = planes.reshape(3, 4, 4, 5, 4)
    gates = np.empty_like(groups)
    for n in range(3):
        for g in range(4):
            for k in range(2):
                gates[n, g, k] = (
                    weights["channel_weight"][g, k] * groups[n, g, k].mean() + weights["channel_bias"][g, k]
                )
                place = groups[n, g, 2 + k]
                normed = (place - place.mean()) / np.sqrt(place.var() + 1e-5)
                normed = normed * weights["norm.weight"][k] + weights["norm.bias"][k]
                gates[n, g, 2 + k] = weights["spatial_weight"][g, k] * normed + weights["spatial_bias"][g, k]
    gates = np.exp(gates) / np.exp(gates).sum(axis=1, keepdims=True) if gate == "softmax" else 1 / (1 + np.exp(-gates))
    gated = (groups * gates).reshape(3, 16, 5, 4)
    order = [channel // 2 + 8 * (channel % 2) for channel in range(16)]  # two groups, interleaved
    np.testing.assert_allclose(module(x).detach(), gated[:, order], atol=1e-5)


@pytest.mark.parametrize(("gate", "share"), [("softmax", 0.25), ("sigmoid", 1 / (1 + math.exp(-1)))])
def test_new_shuffle_attention_only_scales_and_shuffles(gate: str, share: float):
    x = torch.rand(2, 8, 3, 3)
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    torch.testing.assert_close(parts.ShuffleAttention(8, gate)(x), share * x[:, order])


def test_a_block_is_torchvisions_with_attention_before_the_sum():
    torch.manual_seed(0)
    block = parts.AttentiveBlock(32, 64, 2, "sigmoid").eval()
    x = torch.randn(2, 32, 8, 8)
    inner = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    torch.testing.assert_close(block(x), F.relu(block.attention(inner) + block.downsample(x)))
    block.attention = nn.Identity()
    torch.testing.assert_close(block(x), super(parts.AttentiveBlock, block).forward(x))


def test_branch_features_have_unit_length():
    output = net(small(awm="none"))(faces(4))
    torch.testing.assert_close(output.regions.norm(dim=2), torch.ones(4, 2))
    torch.testing.assert_close(output.aligned.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(output.aligned * math.sqrt(2), output.regions.flatten(1))


def zero_last_affine(made: parts.MapMer) -> None:
    norm = made.awm.layers[-2]
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)


def test_area_weights_of_a_zeroed_module_are_a_half():
    made, plain = net(), net(small(awm="none"))
    zero_last_affine(made)
    plain.load_state_dict(made.state_dict(), strict=False)
    torch.testing.assert_close(made(faces(3)).regions, plain(faces(3)).regions / 2)


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_area_weights_in_numpy(variant: str):
    made = net(small(awm=variant)).awm
    for value in made.parameters():
        nn.init.normal_(value, std=0.3)
    x = torch.randn(4, 2 * D)
    linear = [layer for layer in made.layers if isinstance(layer, nn.Linear)]
    norms = [layer for layer in made.layers if isinstance(layer, nn.LayerNorm)]

    def stage(values: np.ndarray, index: int) -> np.ndarray:
        weight, bias = (value.detach().double().numpy() for value in linear[index].parameters())
        values = values @ weight.T + bias
        if variant == "paper":
            return values
        scale, shift = (value.detach().double().numpy() for value in norms[index].parameters())
        spread = np.sqrt(values.var(axis=1, keepdims=True) + 1e-5)
        return (values - values.mean(axis=1, keepdims=True)) / spread * scale + shift

    expected = 1 / (1 + np.exp(-stage(np.maximum(stage(x.double().numpy(), 0), 0), 1)))
    np.testing.assert_allclose(made(x).detach(), expected, atol=1e-5)
    assert len(norms) == (2 if variant == "code" else 0)


class Fixed(nn.Module):
    """A branch that always finds the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x), D), self.value)


def test_the_first_half_of_the_features_belongs_to_the_eyes():
    made = net()
    made.branches = nn.ModuleList([Fixed(0.0), Fixed(1.0)])
    regions = made(faces(2)).regions
    assert not regions[:, 0].any()
    assert (regions[:, 1] > 0).all()


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_gradient_through_the_area_weights_input(variant: str):
    """Detached, the slope of X_F in X is X_weight and nothing else."""
    made = net(small(awm=variant))
    x = torch.rand(1, 2 * D, requires_grad=True)
    weight = made.awm(x)
    (slope,) = torch.autograd.grad((x * weight).sum(), x)
    assert torch.allclose(slope, weight) == (variant == "code")


def test_who_learns_from_which_loss():
    made = net().train()
    given = examples(6)
    labels, units = torch.from_numpy(given.labels), torch.from_numpy(given.features["units"])

    def touched(loss: str) -> dict[str, bool]:
        made.zero_grad()
        getattr(terms.losses(made(faces(6)), labels, units, torch.ones(3), small()), loss).backward()
        return {
            name: any(value.grad is not None and bool(value.grad.any()) for value in module.parameters())
            for name, module in made.named_children()
        }

    assert touched("classification") == {"base": True, "branches": True, "awm": True, "heads": True}
    assert touched("alignment") == {"base": True, "branches": True, "awm": True, "heads": False}


@pytest.mark.parametrize("region", [0, 1])
def test_the_base_learns_from_both_halves_and_each_branch_from_one(region: int):
    made = net()
    made(faces(2)).logits[:, region].sum().backward()
    assert made.base.conv1.weight.grad.any()
    slopes = [branch.layer4[0].conv1.weight.grad for branch in made.branches]
    assert [slope is not None and bool(slope.any()) for slope in slopes] == [region == 0, region == 1]


def test_imagenet_weights_go_to_base_and_both_branches(tmp_path: Path):
    torch.manual_seed(7)
    known = backbones.resnet("resnet18").state_dict()
    torch.save(known, tmp_path / "resnet18.pth")
    made = net(MapMerRecipe(imagenet=tmp_path / "resnet18.pth"))
    for part, count in [(made.base, 60 - 1), *[(branch, 60) for branch in made.branches]]:
        own = part.state_dict()
        shared_names = own.keys() & known.keys()
        assert own.keys() - shared_names == {name for name in own if ".attention." in name}
        assert len(shared_names) > count // 2
        for name in shared_names:
            torch.testing.assert_close(own[name], known[name])


# ---------------------------------------------------------------- losses


def multi_hot(sets: list[set[int]]) -> Tensor:
    made = torch.zeros(len(sets), train.A, dtype=torch.uint8)
    for row, units in zip(made, sets, strict=True):
        row[sorted(units)] = 1
    return made


def test_overlap_of_action_units():
    sets = [{4, 7}, {4}, {1, 2}, {1, 2}, {1}, {2}, set(), set()]
    found = terms.overlap(multi_hot(sets))
    expected = [[len(a & b) / len(a | b) if a | b else 0 for b in sets] for a in sets]
    np.testing.assert_allclose(found, expected)
    assert found[0, 1] == 0.5
    assert (found[2, 3], found[4, 5], found[6, 7]) == (1, 0, 0)


@pytest.mark.parametrize("texts", [("4+7+L10", "10+R7+4"), ("L12 or L14", "12,14"), ("15A+17", "17+15B"), ("", "?")])
def test_sets_do_not_depend_on_order_or_letters(texts: tuple[str, str]):
    assert train.unit_numbers(texts[0]) == train.unit_numbers(texts[1])


@pytest.mark.parametrize("name", ["casme2_5class_dualbranch.csv", "samm_5class_dualbranch.csv"])
def test_sets_are_the_digit_groups_of_the_papers_tables(name: str):
    with shared("datasets", "annotations", name).open(encoding="utf-8") as handle:
        texts = [row["Action Units"] for row in csv.DictReader(handle)]
    assert len(texts) > 100
    for text in texts:
        assert train.unit_numbers(text) == sorted({int(group) for group in re.findall(r"\d+", text)}), text


def test_class_weights():
    counts = [57, 26, 26, 15, 12]
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    found = terms.class_weights(labels, 5)
    np.testing.assert_allclose(found, [1, 2.1923, 2.1923, 3.8, 4.75], atol=1e-4)
    assert terms.class_weights(torch.tensor([0, 0, 2]), 3).tolist() == [1, 2, 2]


def slow_cross_entropy(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, smoothing: float) -> float:
    total, drawn = 0.0, 0.0
    classes = logits.shape[1]
    for row, label in zip(logits, labels, strict=True):
        shares = np.exp(row) / np.exp(row).sum()
        total -= (1 - smoothing) * weights[label] * math.log(shares[label])
        total -= smoothing / classes * sum(weights[c] * math.log(shares[c]) for c in range(classes))
        drawn += weights[label]
    return total / drawn


def slow_alignment(features: np.ndarray, w: np.ndarray, temperature: float, variant: str) -> float:
    """Eq. 5 clip by clip, with the sums of each variant written out."""
    B = len(features)
    losses = []
    for i in range(B):
        others = [j for j in range(B) if j != i]
        everyone = range(B)
        positives = everyone if variant == "code" else others
        scale = sum(w[i, j] for j in (others if variant == "excluded_self" else everyone))
        compared = everyone if variant == "literal" else others
        if sum(w[i, j] for j in positives) == 0:
            continue
        denominator = sum(math.exp(features[i] @ features[k] / temperature) for k in compared)
        losses.append(
            -sum(w[i, j] * math.log(math.exp(features[i] @ features[j] / temperature) / denominator) for j in positives)
            / scale
        )
    return sum(losses) / len(losses) if losses else 0.0


VARIANTS = ("excluded_self", "literal", "code")


@pytest.mark.parametrize("regions", [1, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_loss_in_numpy(regions: int, smoothing: float):
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(7, regions, 4)), np.array([0, 1, 2, 3, 0, 0, 1])
    weights = np.array([1.0, 1.5, 3, 2])
    found = terms.classification(*map(torch.from_numpy, (logits, labels, weights)), smoothing)
    expected = sum(slow_cross_entropy(logits[:, r], labels, weights, smoothing) for r in range(regions))
    assert float(found) == pytest.approx(expected)


def test_flat_logits_cost_the_log_of_the_classes_whatever_the_weights():
    found = terms.classification(torch.zeros(4, 2, 5), torch.arange(4), torch.tensor([1.0, 2, 3, 4, 5]), 0.0)
    assert float(found) == pytest.approx(2 * math.log(5))


@pytest.mark.parametrize("variant", VARIANTS)
def test_alignment_in_numpy(variant: str):
    rng = np.random.default_rng(4)
    features = rng.normal(size=(9, 6))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    sets = [set(rng.integers(1, 9, rng.integers(1, 4)).tolist()) for _ in range(7)] + [set(), {60}]
    w = terms.overlap(multi_hot(sets)).double()
    found = terms.alignment(torch.from_numpy(features), w, 0.1, variant)
    assert float(found) == pytest.approx(slow_alignment(features, w.numpy(), 0.1, variant))


@pytest.mark.parametrize(("variant", "expected"), [("excluded_self", 1.9459), ("code", 1.9459), ("literal", 1.8195)])
def test_alignment_of_identical_clips(variant: str, expected: float):
    features = F.normalize(torch.ones(8, 5), dim=1)
    assert float(terms.alignment(features, torch.ones(8, 8), 0.1, variant)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("variant", ["excluded_self", "literal"])  # `code` rewards distance from all but itself
def test_parallel_partners_cost_less_than_orthogonal_ones(variant: str):
    w = torch.eye(4)
    w[0, 1] = w[1, 0] = 1
    apart, together = torch.eye(4), torch.eye(4)
    together[1] = together[0]
    far, near = (float(terms.alignment(features, w, 0.1, variant)) for features in (apart, together))
    assert math.isfinite(far)
    assert near < far


def test_alignment_by_class_is_the_supervised_contrastive_loss():
    """Khosla et al. 2020, L_out: mean over positives of the log share, for every anchor."""
    rng = np.random.default_rng(5)
    features = F.normalize(torch.from_numpy(rng.normal(size=(8, 6))), dim=1)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    w = (labels[:, None] == labels).double()
    expected = []
    for i in range(8):
        others = [j for j in range(8) if j != i]
        scores = torch.log_softmax(features[others] @ features[i] / 0.1, dim=0)
        expected.append(-scores[labels[others] == labels[i]].mean())
    torch.testing.assert_close(terms.alignment(features, w, 0.1, "excluded_self"), torch.stack(expected).mean())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n", [1, 4])
def test_no_shared_unit_is_no_loss_and_no_gradient(variant: str, n: int):
    features = F.normalize(torch.rand(n, 3), dim=1).requires_grad_()
    found = terms.alignment(features, torch.zeros(n, n), 0.1, variant)
    found.backward()
    assert found == 0
    assert not features.grad.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_total_loss_in_numpy(variant: str):
    given = examples(6)
    made = small(wscl=variant)
    output = net(made)(faces(6))
    units, weights = torch.from_numpy(given.features["units"]), torch.tensor([1.0, 2, 3])
    found = terms.losses(output, torch.from_numpy(given.labels), units, weights, made)
    logits, features = output.logits.detach().double().numpy(), output.aligned.detach().double().numpy()
    sets = [set(np.flatnonzero(row)) for row in given.features["units"]]
    w = np.array([[len(a & b) / len(a | b) for b in sets] for a in sets])
    classified = sum(slow_cross_entropy(logits[:, r], given.labels, weights.numpy(), 0.1) for r in range(2))
    aligned = slow_alignment(features, w, 0.1, variant)
    expected = [0.7 * classified + 0.3 * aligned, classified, aligned]
    assert [part.item() for part in found] == pytest.approx(expected, 1e-5)


# ---------------------------------------------------------------- input


def clip_of(size: int = 64, seed: int = 0, target: str = "apex") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    flow = {f"flow/{c}[{a}_{target}]": rng.normal(size=(size, size)) for a in ("onset", "offset") for c in "uv"}
    face = rng.integers(0, 255, (size, size, 3)).astype(np.uint8)
    return {"magnified/apex": face, **flow, "action_units_text": np.asarray("4+7+L10")}


@pytest.mark.parametrize("target", ["apex", "amplified"])
def test_reads_what_it_declares(target: str):
    made = small(target=target)
    given = clip_of(target=target)
    assert set(train.variables(made)) == set(given)
    prepared = train.prepare(made, given)
    assert (prepared["planes"].shape, prepared["planes"].dtype) == ((3, 32, 32), np.uint8)
    assert np.flatnonzero(prepared["units"]).tolist() == [4, 7, 10]


def test_planes_of_the_crops_own_size_are_not_resampled():
    given = clip_of(32)
    made = train.prepare(small(), given)["planes"]
    luma = given["magnified/apex"] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(made[0] - luma).max() <= 0.51
    for plane, pair in zip(made[1:], ("onset_apex", "offset_apex"), strict=True):
        length = np.sqrt(given[f"flow/u[{pair}]"] ** 2 + given[f"flow/v[{pair}]"] ** 2)
        grey = ((length - length.min()) / (length.max() - length.min()) * 255).astype(np.uint8)
        np.testing.assert_array_equal(plane, np.where(grey < 1.5 * grey.mean(), 0, grey))
        assert plane.min() == 0
        assert plane.max() == 255


def test_the_threshold_is_a_key():
    u, v = np.random.default_rng(0).normal(size=(2, 40, 40))
    kept = [np.count_nonzero(train.moved(u, v, threshold)) for threshold in (0, 1, 1.5, 2)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] >= 40 * 40 - 30  # all but those that round to 0


@pytest.mark.parametrize("shift", [0, 3])
def test_no_movement_is_zero_planes(shift: float):
    still = np.full((40, 40), shift, np.float32)
    assert not train.moved(still, still, 1.5).any()


def test_a_mirrored_clip_gives_mirrored_planes():
    given = clip_of()
    mirrored = {name: value if value.ndim == 0 else value[:, ::-1] for name, value in given.items()}
    mirrored |= {name: -value for name, value in mirrored.items() if name.startswith("flow/u")}
    straight, turned = (train.prepare(small(), clip)["planes"] for clip in (given, mirrored))
    np.testing.assert_array_equal(turned, straight[..., ::-1])


# ---------------------------------------------------------------- augmentation


def drawn(given: Examples, seed: int = 0, **keys: object) -> dict[str, np.ndarray]:
    """All batches of one pass, in the order of the clips."""
    torch.manual_seed(seed)
    found = list(train.Batches(given, small(**{**STILL, **keys})))
    whole = {name: torch.cat([batch[name] for batch in found]).numpy() for name in found[0]}
    order = np.argsort(whole["index"])
    return {name: values[order] for name, values in whole.items()}


def test_without_augmentation_clips_come_as_they_are():
    given = examples()
    for seed in (0, 1):
        found = drawn(given, seed)
        np.testing.assert_allclose(found["planes"] * 255, given.features["planes"], atol=1e-4)
        np.testing.assert_array_equal(found["units"], given.features["units"])
        np.testing.assert_array_equal(found["label"], given.labels)


def test_mirrored_planes_are_mirrored():
    given = examples()
    found = drawn(given, flip=1.0)["planes"] * 255
    np.testing.assert_allclose(found, given.features["planes"][..., ::-1], atol=1e-4)


def test_erased_planes_hold_one_rectangle_of_noise():
    given = examples(30)
    found = drawn(given, erasing=1.0)["planes"]
    changed = np.abs(found * 255 - given.features["planes"]).max(axis=1) > 0.01
    for mask in changed:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.01 <= mask.mean() <= 0.32
    assert np.std(found[np.repeat(changed[:, None], 3, axis=1)]) == pytest.approx(1, abs=0.1)


def test_replaced_mouths_come_from_training_clips_of_the_class():
    given = examples(30)
    planes, units, labels = given.features["planes"], given.features["units"], given.labels
    found = drawn(given, region_replacing=1.0)
    for index, (image, seen, label) in enumerate(zip(found["planes"], found["units"], found["label"], strict=True)):
        np.testing.assert_allclose(image[:, :16] * 255, planes[index, :, :16], atol=1e-4)
        assert label == labels[index]
        distance = np.abs(planes[:, :, 16:] - image[:, 16:] * 255).max(axis=(1, 2, 3))
        (donor,) = np.flatnonzero(distance < 1e-3)
        assert labels[donor] == label
        np.testing.assert_array_equal(seen, units[index] | units[donor])
        assert donor != index  # "another sample", section 3.2


def test_the_only_clip_of_a_class_keeps_its_mouth():
    given = examples(7)
    given.labels[:] = [0, 1, 1, 1, 1, 1, 1]
    found = drawn(given, region_replacing=1.0)["planes"] * 255
    kept = np.abs(found - given.features["planes"]).max(axis=(1, 2, 3)) < 1e-3
    assert kept.tolist() == [True] + [False] * 6


def test_half_of_the_clips_are_replaced():
    given = examples(200, side=4)
    found = drawn(given, region_replacing=0.5)["planes"] * 255
    share = np.mean(np.abs(found - given.features["planes"]).max(axis=(1, 2, 3)) > 0.5)
    assert 0.4 < share < 0.6


def test_donors_are_augmented_by_themselves():
    """Half of the mouths face the other way than the eyes they come under."""
    given = examples(200, side=4)
    given.features["planes"][:] = np.array([0, 80, 160, 240], np.uint8)
    found = drawn(given, region_replacing=1.0, flip=0.5)["planes"]
    turned = found[:, 0, [0, -1], 0] > 0
    assert 0.4 < np.mean(turned[:, 0] != turned[:, 1]) < 0.6


def test_augmentation_leaves_the_clips_alone():
    given = examples()
    before = {name: values.copy() for name, values in given.features.items()}
    drawn(given, region_replacing=1.0, flip=1.0, erasing=1.0)
    for name, values in before.items():
        np.testing.assert_array_equal(given.features[name], values)


# ---------------------------------------------------------------- training


def trained(given: Examples, seed: int = 0, **keys: object) -> engine.TorchSystem:
    system = train.build(small(**keys), 3, Setup(seed))
    system.fit(given)
    return system


@pytest.fixture(scope="module")
def fitted() -> engine.TorchSystem:
    return trained(examples(), seed=5)


def test_overfits_eight_clips():
    rng = np.random.default_rng(0)
    planes = np.kron(rng.integers(0, 255, (8, 3, 4, 4)), np.ones((8, 8))).astype(np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    units = multi_hot([{1, label + 4} for label in labels.tolist()]).numpy()
    system = trained(Examples({"planes": planes, "units": units}, labels, np.arange(8)), epochs=20, **STILL)
    np.testing.assert_array_equal(system.predict({"planes": planes, "units": units}).argmax(axis=1), labels)


def test_generalises_to_clips_it_has_not_seen():
    system = trained(examples(24), epochs=10, batch_size=12, **STILL)
    fresh = examples(30, seed=1)
    assert np.mean(system.predict(fresh.features).argmax(axis=1) == fresh.labels) > 0.9


def test_the_printed_recipe_takes_a_step():
    made = train.Network(MapMerRecipe(), 5)
    given = examples(2, side=224)
    batch = next(iter(made.batches(given)))
    found = made.training_step(batch)
    optimiser = made.configure_optimizers()["optimizer"]
    found["loss"].backward()
    before = made.net.base.conv1.weight.detach().clone()
    optimiser.step()
    assert torch.isfinite(found["loss"])
    assert (made.net.base.conv1.weight != before).any()
    assert set(found) == {"loss", "classification", "alignment"}


def test_learning_rate_restarts_at_epochs_10_30_and_70():
    with torch.device("meta"):
        configured = train.Network(MapMerRecipe(), 3).configure_optimizers()
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]
    assert optimiser.defaults["weight_decay"] == 1e-5
    optimiser.step = lambda: None  # type: ignore[method-assign]  # nothing to learn: the rates alone matter
    optimiser._opt_called = True
    rates = []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    assert [epoch for epoch, rate in enumerate(rates) if rate == pytest.approx(3e-3)] == [0, 10, 30, 70]
    cycles = [rates[a:b] for a, b in ((0, 10), (10, 30), (30, 70))]
    assert all(cycle == sorted(cycle, reverse=True) for cycle in cycles)
    assert rates[20] == pytest.approx(1.5e-3)


def test_class_weights_are_the_training_clips():
    given = examples(10)  # 4, 3, 3
    made = train.Network(small(), 3)
    made.batches(given)
    np.testing.assert_allclose(made.class_weights, [1, 4 / 3, 4 / 3])


def test_at_most_128_clips_are_one_batch():
    sizes = {n: [len(b["label"]) for b in train.Batches(examples(n, 4), MapMerRecipe(**STILL))] for n in (128, 130)}
    assert sizes == {128: [128], 130: [128, 2]}


def test_the_same_seed_gives_the_same_weights(fitted: engine.TorchSystem):
    given = examples()
    torch.rand(3)
    np.testing.assert_array_equal(trained(given, seed=5).predict(given.features), fitted.predict(given.features))
    assert not np.allclose(trained(given, seed=6).predict(given.features), fitted.predict(given.features))


def test_saved_weights_give_the_same_predictions(fitted: engine.TorchSystem, tmp_path: Path):
    features = examples(9, seed=4).features
    fitted.save(tmp_path / "w.pt")
    other = train.build(small(), 3, Setup(99))
    assert not np.allclose(other.predict(features), fitted.predict(features))
    other.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(other.predict(features), fitted.predict(features))


def test_one_clip_alone_and_many_together_get_the_same_answer(fitted: engine.TorchSystem):
    features = examples(5, seed=3).features
    alone = [fitted.predict({name: values[i : i + 1] for name, values in features.items()}) for i in range(5)]
    together = fitted.predict(features)
    np.testing.assert_allclose(np.concatenate(alone), together, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("select", ["last", "val"])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path, select: str, monkeypatch: pytest.MonkeyPatch):
    given = examples(15)
    made = small(select=select, epochs=4)

    def fit(folder: Path) -> engine.TorchSystem:
        system = train.build(made, 3, Setup(3, Execution(checkpoint_s=0), state=folder))
        system.fit(given)
        return system

    whole = fit(tmp_path / "whole")

    step = train.Network.training_step

    def killed(self: train.Network, batch: engine.Batch) -> object:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(train.Network, "training_step", killed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(tmp_path / "killed")
    resumed = fit(tmp_path / "killed")
    assert resumed.losses() == whole.losses()
    np.testing.assert_array_equal(resumed.predict(given.features), whole.predict(given.features))


def test_heads_are_combined_as_the_recipe_says():
    logits = torch.tensor([[[8.0, 0, 5], [-2, 3, 1]]])
    by_share = train.Network(small(), 3).combined(logits)
    by_logit = train.Network(small(combine="logits"), 3).combined(logits)
    torch.testing.assert_close(by_share, F.softmax(logits, dim=2).mean(dim=1))
    torch.testing.assert_close(by_logit, F.softmax(torch.tensor([[6.0, 3, 6]]), dim=1))
    assert by_share.argmax() == 0


# ---------------------------------------------------------------- ablations


@pytest.mark.parametrize("name", list(MapMerRecipe.ablations))
def test_every_row_of_table_4_and_the_literal_one_train(name: str):
    made = recipe("map_mer", {**SMALL, "epochs": 1}, name)
    system = train.build(made, 3, Setup(0))
    system.fit(examples())
    network = system.network.net
    assert len(network.branches) == len(network.heads) == (1 if name.startswith("sb") else 2)
    complete = "all" in name or name == "literal"
    assert (network.awm is not None) == ("AWM" in name or complete)
    aligned = any(epoch["alignment"] != 0 for epoch in system.losses())
    assert aligned == ("AU" in name or complete)
    replacing = train.Network(made, 3).batches(examples()).recipe.region_replacing
    assert replacing == (0 if "w/o RR" in name else 0.5)
    assert system.predict(examples(4).features).shape == (4, 3)


def test_one_branch_sees_the_whole_face():
    made = net(small(branches=1, awm="none"))
    output = made(faces(2))
    assert [tuple(part.shape) for part in output] == [(2, 1, 3), (2, 1, D), (2, D)]
    x = faces(2).requires_grad_()
    made(x).logits.sum().backward()
    assert x.grad[:, :, :16].any()
    assert x.grad[:, :, 16:].any()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"branches": 1}, "awm: 'code' needs two branches"),
        ({"width": 32, "imagenet": "w.pth"}, "imagenet: the weights need"),
        ({"image_size": 225}, "multiple of 2"),
        ({"select": "oracle"}, "'last' or 'val'"),
    ],
)
def test_recipes_that_cannot_be_are_refused(keys: dict, message: str):
    with pytest.raises(pydantic.ValidationError, match=message):
        MapMerRecipe.model_validate(keys)


# ---------------------------------------------------------------- pictures


def test_embeddings_are_the_networks(fitted: engine.TorchSystem):
    features = examples(5).features
    found = fitted.embed(features)
    assert set(found) == {"fused"}
    images = backbones.normalised(torch.from_numpy(features["planes"]).float() / 255)
    with torch.no_grad():
        weighted = fitted.network.eval().net(images).regions.flatten(1)  # (5, 2 D)
    np.testing.assert_allclose(found["fused"], F.normalize(weighted, dim=1), atol=1e-5)


def test_pictures(fitted: engine.TorchSystem):
    features = examples(3).features
    found = fitted.explain(features)
    assert {name: (image.shape, image.dtype) for name, image in found.items()} == dict.fromkeys(
        ("planes", "au_cam", "grad_cam"), ((3, 32, 32, 3), np.dtype(np.uint8))
    )
    np.testing.assert_array_equal(found["planes"], features["planes"].transpose(0, 2, 3, 1))


def slow_au_cam(made: parts.MapMer, x: Tensor, region: int) -> np.ndarray:
    """Eq. 13 for one clip, with the head of the network redone by hand after the attention's output."""
    half = x.chunk(2, dim=2)[region]
    branch = made.branches[region]
    other = made.branches[1 - region](made.base(x.chunk(2, dim=2)[1 - region]))
    before = branch.layer3(made.base(half))
    block = branch.layer4[-1]
    maps = block.attention(block.bn2(block.conv2(F.relu(block.bn1(block.conv1(before)))))).detach().requires_grad_()
    feature = F.normalize(F.relu(maps + block.downsample(before)).mean(dim=(2, 3)), dim=1)
    both = (feature, other) if region == 0 else (other, feature)
    weighted = (torch.cat(both, dim=1) * made.awm(torch.cat(both, dim=1))).chunk(2, dim=1)[region]
    weighted.max().backward()
    alpha = maps.grad[0].mean(dim=(1, 2)).numpy()
    heat = np.maximum(np.einsum("k,khw->hw", alpha, maps[0].detach().numpy()), 0)
    return (heat - heat.min()) / max(heat.max() - heat.min(), 1e-30)


def test_au_cam_by_hand():
    made = net(small(image_size=128))
    x = faces(2, 128)
    found = cams.au_cam(made, x)
    assert found.shape == (2, 128, 128)
    assert found.min() >= 0
    assert found.max() <= 1
    for region, rows in ((0, slice(0, 64)), (1, slice(64, 128))):
        coarse = torch.from_numpy(slow_au_cam(made, x[:1], region)).float()[None, None]
        expected = F.interpolate(coarse, (64, 128), mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(found[0, rows], expected, atol=1e-4, rtol=1e-4)


def test_au_cam_of_the_eyes_depends_on_the_eyes():
    made = net(small(image_size=128))
    zero_last_affine(made)
    x, y = faces(1, 128), faces(1, 128)
    y[:, :, 64:] = torch.randn(1, 3, 64, 128)
    first, second = cams.au_cam(made, x), cams.au_cam(made, y)
    torch.testing.assert_close(first[:, :64], second[:, :64])
    assert not torch.allclose(first[:, 64:], second[:, 64:])


def test_grad_cam_follows_the_predicted_class():
    made = net(small(image_size=128))
    x = faces(2, 128)
    by_class = [cams.grad_cam(made, x, lambda logits, c=c: 0 * logits[:, 0] + torch.eye(3)[c]) for c in range(3)]
    found = cams.grad_cam(made, x, lambda logits: logits.sum(dim=1))
    for clip, predicted in enumerate(made(x).logits.sum(dim=1).argmax(dim=1).tolist()):
        torch.testing.assert_close(found[clip], by_class[predicted][clip])
    assert not torch.allclose(by_class[0], by_class[1])
    assert not torch.allclose(found, cams.au_cam(made, x))


def test_a_map_that_nothing_speaks_for_is_zero():
    made = net(small(image_size=128))
    for branch in made.branches:
        branch.attended.register_forward_hook(lambda _module, _input, found: found * 0)
    # With A = 0 the weighted sum is 0 everywhere, and stays so when scaled.
    assert not cams.au_cam(made, faces(1, 128)).any()


def test_one_clip_alone_has_the_same_maps():
    made = net(small(image_size=128))
    x = faces(3, 128)
    torch.testing.assert_close(cams.au_cam(made, x)[1:2], cams.au_cam(made, x[1:2]), atol=1e-4, rtol=1e-4)
