"""AlexNet, GoogLeNet and VGG-16 on flow: sizes, input, weights of a file, and that they learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")


from mer_features.systems.baselines import imagenet_flow
from mer_features.systems.common import backbones, engine, inputs
from mer_features.systems.common.contract import Examples, Setup
from mer_features.systems.registry import recipe

#: Parameters that torchvision documents for 1000 classes (without GoogLeNet's auxiliary classifiers), and the width of
#: the last layer.
PUBLISHED = {"alexnet": (61_100_840, 4096), "googlenet": (6_624_904, 1024), "vgg16": (138_357_544, 4096)}
FAST = {
    "alexnet": {"epochs": 6, "learning_rate": 2e-4},
    "googlenet": {"epochs": 6, "learning_rate": 3e-4},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_published_for_as_many_classes(name: str):
    whole, width = PUBLISHED[name]
    network = imagenet_flow.ImageNetFlow(recipe("imagenet_flow", {"network": name}), 3)
    assert engine.parameters(network) == whole - 1000 * (width + 1) + 3 * (width + 1)


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_computes_what_the_network_of_the_file_computes(name: str, tmp_path: Path):
    torch.manual_seed(0)
    whole = backbones.classifier(name)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    keys = {"network": name, "size": 64, "imagenet_weights": tmp_path / "weights.pth"}
    ours = imagenet_flow.ImageNetFlow(recipe("imagenet_flow", keys), 3).eval()
    last = whole.fc if name == "googlenet" else whole.classifier[6]
    given = []
    last.register_forward_hook(lambda _layer, inputs_of_layer, _found: given.append(inputs_of_layer[0]))
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        whole.eval()((pictures / 255 - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(ours.features(pictures), given[0], rtol=1e-4, atol=1e-5)
    other = "alexnet" if name == "googlenet" else "googlenet"
    with pytest.raises(ValueError, match=r"weights\.pth: found .*, expected the shape of"):
        imagenet_flow.ImageNetFlow(recipe("imagenet_flow", keys | {"network": other}), 3)


def test_googlenet_reads_images_as_torchvisions_pretrained_one():
    """Its weights come from a network whose images are in [-1, 1]; torchvision rescales normalised images for it."""
    network = backbones.classifier("googlenet")
    assert network.transform_input
    assert not network.aux_logits
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(network._transform_input(backbones.normalised(image)), 2 * image - 1)


@pytest.mark.parametrize("source", ["flow", "flow_maps"])
@pytest.mark.parametrize("side", [28, 256])
def test_input_is_a_picture_of_three_planes(source: str, side: int):
    chosen = recipe("imagenet_flow", {"source": source})
    channel = {"flow": "flow/{}[onset_apex]", "flow_maps": "flow_maps/maps[{}]"}[source]
    assert imagenet_flow.variables(chosen) == tuple(channel.format(name) for name in ("u", "v", "strain"))
    rng = np.random.default_rng(0)
    clip = {name: rng.integers(3, 200, (side, side)) for name in imagenet_flow.variables(chosen)}
    clip = {name: plane.astype(np.uint8 if source == "flow_maps" else np.float32) for name, plane in clip.items()}
    made = imagenet_flow.prepare(chosen, clip)["flow"]
    assert (made.shape, made.dtype) == ((3, 224, 224), np.uint8)
    np.testing.assert_array_equal(made.min(axis=(1, 2)), 0)
    np.testing.assert_array_equal(made.max(axis=(1, 2)), 255)
    for plane, name in zip(made, imagenet_flow.variables(chosen), strict=True):
        resized = inputs.resized(clip[name], 224)
        expected = 255 * (resized - resized.min()) / (resized.max() - resized.min())
        np.testing.assert_allclose(plane, expected, atol=0.51)


def moving_spots(n: int, seed: int = 0) -> Examples:
    """Pictures that are bright in one of three places, by class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    flow = rng.integers(90, 140, (n, 3, 64, 64)).astype(np.uint8)
    for item, label in zip(flow, labels, strict=True):
        item[:, 21 * label : 21 * label + 21, 16:48] += 100
    return Examples({"flow": flow}, labels, np.arange(n))


@pytest.mark.parametrize("name", FAST)
def test_learns_keeps_and_does_not_mind_company(name: str, tmp_path: Path):
    chosen = recipe("imagenet_flow", {"network": name, "size": 64, "batch_size": 8} | FAST[name])
    made, clips = imagenet_flow.build(chosen, 3, Setup(seed=1)), moving_spots(16)
    made.fit(clips)
    np.testing.assert_array_equal(clips.features["flow"], moving_spots(16).features["flow"])  # left alone
    test = moving_spots(12, seed=1)
    found = made.predict(test.features)
    assert (found.argmax(axis=1) == test.labels).mean() > 0.9
    one = made.predict({"flow": test.features["flow"][4:5]})
    np.testing.assert_allclose(one[0], found[4], atol=1e-4)
    made.save(tmp_path / "w.pt")
    other = imagenet_flow.build(chosen, 3, Setup(seed=2))
    other.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(other.predict(test.features), found)
    assert len(made.losses()) == chosen.epochs
    assert made.embed(test.features)["features"].shape == (12, PUBLISHED[name][1])


def test_published_maps_train_a_network():
    chosen = recipe("imagenet_flow", {"network": "googlenet", "size": 64, "batch_size": 4, "epochs": 1})
    settled = chosen.reading(("flow_maps",))
    rng = np.random.default_rng(0)
    maps = [
        {name: rng.integers(0, 256, (28, 28), np.uint8) for name in imagenet_flow.variables(settled)} for _ in range(4)
    ]
    flow = np.stack([imagenet_flow.prepare(settled, clip)["flow"] for clip in maps])
    made = imagenet_flow.build(settled, 3, Setup(seed=1))
    made.fit(Examples({"flow": flow}, np.array([0, 1, 2, 0]), np.arange(4)))
    np.testing.assert_allclose(made.predict({"flow": flow}).sum(axis=1), 1, rtol=1e-5)


def test_batch_norms_have_the_statistics_of_the_training_clips():
    """Of the first layer, whose input does not depend on other layers: means over all clips and places."""
    chosen = recipe("imagenet_flow", {"network": "googlenet", "size": 64, "batch_size": 4, "epochs": 1})
    made, clips = imagenet_flow.build(chosen, 3, Setup(seed=1)), moving_spots(8)
    made.fit(clips)
    first = made.network.features.net.conv1
    given = backbones.normalised(torch.from_numpy(clips.features["flow"]) / 255)
    with torch.inference_mode():
        maps = first.conv(made.network.features.net._transform_input(given))
    torch.testing.assert_close(first.bn.running_mean, maps.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    parts = torch.stack([part.var(dim=(0, 2, 3)) for part in maps.split(4)])
    torch.testing.assert_close(first.bn.running_var, parts.mean(dim=0), rtol=0.3, atol=1e-4)


def test_vgg16_takes_a_step():
    chosen = recipe("imagenet_flow", {"network": "vgg16", "size": 64, "batch_size": 2, "epochs": 1})
    made, clips = imagenet_flow.build(chosen, 3, Setup(seed=1)), moving_spots(2)
    before = made.network.head.weight.detach().clone()
    made.fit(clips)
    assert not made.network.head.weight.equal(before)
    assert made.predict(clips.features).shape == (2, 3)
