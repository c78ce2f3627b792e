"""The linear yardstick against scikit-learn's own pipeline and hand-made inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer_features.systems.baselines import linear
from mer_features.systems.baselines.recipe import LinearRecipe
from mer_features.systems.common.contract import Examples, Setup


def blobs(n: int, classes: int, seed: int = 0, width: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.random.default_rng(99).normal(size=(classes, width)) * 0.8
    return (centres[labels] + rng.normal(size=(n, width))).astype(np.float32), labels


def examples(features: np.ndarray, labels: np.ndarray) -> Examples:
    return Examples({"planes": features}, labels, np.arange(len(labels)))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_one_matrix_says_what_the_pipeline_says(classes: int):
    features, labels = blobs(50, classes)
    features = features.astype(np.float64)
    features[:, 7] = 3  # a pixel that never changes
    system = linear.build(LinearRecipe(), classes, Setup())
    system.fit(examples(features, labels))
    pipeline = system.pipeline(50).fit(features, labels)
    other = blobs(20, classes, seed=1)[0].astype(np.float64)
    np.testing.assert_allclose(system.predict({"planes": other}), pipeline.predict_proba(other), atol=1e-9)


def test_generalises_and_keeps_what_it_learned(tmp_path: Path):
    system = linear.build(LinearRecipe(components=16), 3, Setup())
    system.fit(examples(*blobs(60, 3)))
    features, labels = blobs(60, 3, seed=1)
    probabilities = system.predict({"planes": features})
    assert np.mean(probabilities.argmax(axis=1) == labels) > 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    system.save(tmp_path / "w")
    other = linear.build(LinearRecipe(), 3, Setup(seed=1))
    other.load(tmp_path / "w")
    np.testing.assert_array_equal(other.predict({"planes": features}), probabilities)


def test_fewer_clips_than_components():
    features, labels = blobs(8, 2)
    system = linear.build(LinearRecipe(components=1000), 2, Setup())
    system.fit(examples(features, labels))
    np.testing.assert_array_equal(system.predict({"planes": features}).argmax(axis=1), labels)


def test_separates_eight_clips_one_or_all_at_a_time_and_leaves_them_alone():
    planes = np.random.default_rng(5).normal(size=(8, 30)).astype(np.float32)  # nothing in it but their number
    clips = examples(planes.copy(), np.array([0, 1, 2, 0, 1, 2, 0, 1]))
    system = linear.build(LinearRecipe(C=100), 3, Setup())
    system.fit(clips)
    found = system.predict(clips.features)
    np.testing.assert_array_equal(found.argmax(axis=1), clips.labels)
    for number in range(8):
        np.testing.assert_allclose(system.predict({"planes": planes[number : number + 1]})[0], found[number], rtol=1e-5)
    np.testing.assert_array_equal(clips.features["planes"], planes)


@pytest.mark.parametrize("keys", [{"C": 1e-4}, {"components": 2}])
def test_keys_change_what_is_learned(keys: dict):
    clips = examples(*blobs(40, 3))
    found = []
    for recipe in (LinearRecipe(), LinearRecipe(**keys)):
        system = linear.build(recipe, 3, Setup())
        system.fit(clips)
        found.append(system.predict(clips.features))
    assert not np.allclose(*found, atol=1e-3)


def test_learns_no_features_to_show():
    assert linear.build(LinearRecipe(), 3, Setup()).embed({"planes": np.zeros((4, 9))}) == {}


def test_flow_planes_are_reduced_by_means():
    u = np.arange(64.0).reshape(8, 8)
    made = linear.prepare(LinearRecipe(size=4), {"flow/u[onset_apex]": u, "flow/v[onset_apex]": -u})["planes"]
    means = u.reshape(4, 2, 4, 2).mean(axis=(1, 3)).ravel()
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, np.concatenate([means, -means]), atol=1e-5)


def test_published_maps_lose_their_medians():
    """The zero of a map is unknown; the median estimates it. Adding a constant to a map changes nothing."""
    rng = np.random.default_rng(0)
    recipe = LinearRecipe(size=4, source="flow_maps")
    assert linear.variables(recipe) == ("flow_maps/maps[u]", "flow_maps/maps[v]")
    u, v = rng.integers(20, 200, (2, 8, 8), dtype=np.uint8)
    u[:5], u[7] = 60, 21  # 60 is more than half of the plane, so the median
    made = linear.prepare(recipe, {"flow_maps/maps[u]": u, "flow_maps/maps[v]": v})["planes"].reshape(2, 4, 4)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[0, :2], 0)
    expected = (u.astype(float) - 60).reshape(4, 2, 4, 2).mean(axis=(1, 3))  # below 0 where the map is below 60
    assert expected.min() < 0 < expected.max()
    np.testing.assert_allclose(made[0], expected, atol=1e-4)
    moved = linear.prepare(recipe, {"flow_maps/maps[u]": u + np.uint8(40), "flow_maps/maps[v]": v})["planes"]
    np.testing.assert_array_equal(moved.reshape(2, 4, 4), made)


def test_flow_in_pixels_keeps_its_zero():
    flow = {"flow/u[onset_apex]": np.full((8, 8), 3.0), "flow/v[onset_apex]": np.full((8, 8), -2.0)}
    made = linear.prepare(LinearRecipe(size=4, source="flow"), flow)["planes"]
    np.testing.assert_array_equal(made, [3.0] * 16 + [-2.0] * 16)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixel_difference_keeps_its_sign(channels: int):
    onset = np.full((16, 16, channels), 200, np.uint8)
    apex = onset.copy()
    apex[:8] = 150
    made = linear.prepare(LinearRecipe(feature="pixel_difference", size=4), {"faces/onset": onset, "faces/apex": apex})[
        "planes"
    ]
    np.testing.assert_allclose(made.reshape(4, 4), [[-50] * 4] * 2 + [[0] * 4] * 2, atol=1e-3)


def test_onset_face_sees_no_movement():
    recipe = LinearRecipe(feature="onset_face", size=4)
    assert linear.variables(recipe) == ("faces/onset",)
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[..., 1] = 100  # green: 58.7 of 100 in luma
    np.testing.assert_allclose(linear.prepare(recipe, {"faces/onset": colours})["planes"], np.full(16, 58.7), rtol=1e-5)


@pytest.mark.parametrize("feature", ["flow", "pixel_difference", "onset_face"])
def test_reads_what_it_declares(feature: str):
    recipe = LinearRecipe(feature=feature)
    rng = np.random.default_rng(0)
    shapes = {"flow": (32, 32), "faces": (32, 32, 3)}
    clip = {
        name: rng.integers(0, 255, shapes[name.split("/")[0]]).astype(np.uint8) for name in linear.variables(recipe)
    }
    assert linear.prepare(recipe, clip)["planes"].shape == ({"flow": 2}.get(feature, 1) * 28 * 28,)
