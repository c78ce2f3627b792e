"""What a system says that it reads is what it reads, and published flow maps reach a network as they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from pydantic import ValidationError

from mer_features.systems.common import inputs
from mer_features.systems.common.recipe import FlowRecipe, PlanesRecipe, Recipe
from mer_features.systems.registry import PRETRAINING, RECIPES, recipe
from mer_features.training.options import System

FLOW_SYSTEMS = sorted(name for name, kind in RECIPES.items() if issubclass(kind, FlowRecipe))
PLANES = sorted(name for name, kind in RECIPES.items() if issubclass(kind, PlanesRecipe))
EVERYTHING = ("faces", "spotting", "magnified", "flow", "style", "descriptors", "flow_maps")


def _channels(chosen: Recipe) -> tuple[str, ...]:
    """Channels of a map in the order in which a recipe takes them."""
    return tuple(getattr(chosen, "order", "u_v").split("_"))


def _modules():
    pytest.importorskip("torch", reason="needs the extra `train`")
    pytest.importorskip("lightning", reason="needs the extra `train`")
    from mer_features import training

    return training


# ---------------------------------------------------------------- groups


def _choices(kind: type[Recipe]) -> Iterator[Recipe]:
    """The recipe with every combination of the values of its keys that have a few values."""
    values: dict[str, tuple[Any, ...]] = {}
    for name, field in kind.model_fields.items():
        if get_origin(field.annotation) is Literal:
            values[name] = get_args(field.annotation)
        elif field.annotation is bool:
            values[name] = (False, True)
    for chosen in product(*values.values()):
        try:
            yield kind(**dict(zip(values, chosen, strict=True)))
        except ValidationError:
            continue  # values that exclude each other


def _groups(variables: tuple[str, ...]) -> set[str]:
    """Groups of variables, without those of the root."""
    return {name.partition("/")[0] for name in variables if "/" in name}


@pytest.mark.parametrize("name", RECIPES)
def test_a_system_reads_the_groups_that_its_recipe_names(name: str):
    module = _modules().module_of(name)
    seen = set()
    for made in _choices(RECIPES[name]):
        assert _groups(module.variables(made)) == set(made.groups), made
        seen.add(made.groups)
    assert seen == {
        "sa_at": {("style",), ("faces",)},
        "eidnet": {("faces",)},
        "ma2mi": {("faces",)},
        "capsulenet": {("faces",)},
        "map_mer": {("magnified", "flow")},
        "svm": {("descriptors",)},
        "linear": {("flow",), ("flow_maps",), ("faces",)},
    }.get(name, {("flow",), ("flow_maps",)})


@pytest.mark.parametrize("name", PRETRAINING)
def test_a_pretraining_reads_the_groups_that_its_recipe_names(name: str):
    """A task without variables reads the frames of the faces stage, so its databases must have faces."""
    module = _modules().module_of(name)
    made = None
    for made in _choices(PRETRAINING[name]):
        variables = module.pretraining_variables(made) if hasattr(module, "pretraining_variables") else ("faces/",)
        assert _groups(variables) == set(made.groups), made
    assert made is not None


@pytest.mark.parametrize("name", RECIPES)
def test_a_group_that_is_not_there_is_named(name: str):
    made = recipe(name)
    for group in made.groups:
        there = [item for item in EVERYTHING if item != group and not (group == "flow" and item == "flow_maps")]
        with pytest.raises(ValueError, match=rf"^it reads /{group}, and there is /"):
            made.reading(there)
    with pytest.raises(ValueError, match=r"and there is nothing beside its root$"):
        made.reading([])
    assert made.reading(EVERYTHING).groups == made.groups


# ---------------------------------------------------------------- source of flow


@pytest.mark.parametrize("name", FLOW_SYSTEMS)
@pytest.mark.parametrize(
    ("groups", "source"),
    [(("faces", "flow"), "flow"), (("flow_maps",), "flow_maps"), (("flow_maps", "flow"), "flow")],
)
def test_auto_is_the_group_that_is_there(name: str, groups: tuple[str, ...], source: str):
    settled = recipe(name).reading(groups)
    assert (settled.source, settled.groups) == (source, (source,))
    assert settled.model_copy(update={"source": "auto"}) == recipe(name)  # nothing else changes
    system = System(system=name, protocols=("p",)).reading(groups)
    assert system.full_recipe == settled
    assert system.reading(groups) == system


@pytest.mark.parametrize("name", FLOW_SYSTEMS)
@pytest.mark.parametrize(
    ("source", "groups", "message"),
    [
        ("auto", ("faces", "style"), "it reads /flow, and there is /faces, /style"),
        ("flow", ("flow_maps",), "it reads /flow, and there is /flow_maps"),
        ("flow_maps", ("faces", "flow"), "it reads /flow_maps, and there is /faces, /flow"),
    ],
)
def test_a_source_that_is_not_there_is_not_replaced(name: str, source: str, groups: tuple[str, ...], message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        recipe(name, {"source": source}).reading(groups)


@pytest.mark.parametrize("source", ["auto", "flow_maps"])
@pytest.mark.parametrize("name", PLANES)
def test_symmetric_needs_to_know_zero(name: str, source: str):
    chosen = recipe(name, {"source": source, "scale": "symmetric"})
    with pytest.raises(ValueError, match="`scale: symmetric` needs to know zero flow"):
        chosen.reading(("flow_maps",))
    if source == "auto":
        assert chosen.reading(("flow",)).source == "flow"


@pytest.mark.parametrize("feature", ["pixel_difference", "onset_face"])
def test_a_linear_system_on_faces_has_no_source_to_settle(feature: str):
    made = recipe("linear", {"feature": feature})
    assert made.reading(("faces", "spotting")) == made
    with pytest.raises(ValueError, match="it reads /faces, and there is /flow_maps"):
        made.reading(("flow_maps",))


@pytest.mark.parametrize("name", RECIPES)
def test_what_reads_another_crop_than_the_apex_compares_frames(name: str):
    module = _modules().module_of(name)
    for made in _choices(RECIPES[name]):
        crops = {item for item in module.variables(made) if item.startswith("faces/")}
        assert made.compares_frames is bool(crops - {"faces/apex"} and len(crops) > 1), made
        if made.compares_frames:
            with pytest.raises(ValueError, match="it compares frames of a clip, and a database of still images"):
                made.reading(("faces", "style"))


# ---------------------------------------------------------------- published maps


def _maps(low: int, high: int, side: int = 28) -> dict[str, np.ndarray]:
    """Maps whose values go from low to high."""
    rng = np.random.default_rng(0)
    clip = {}
    for name in ("u", "v", "strain"):
        plane = rng.integers(low, high + 1, (side, side), dtype=np.uint8)
        plane[0, :2] = low, high
        clip[f"flow_maps/maps[{name}]"] = plane
    return clip


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("bounds", [(0, 255), (7, 201)])
@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_bytes_of_a_map_are_the_input(name: str, bounds: tuple[int, int], resize: str):
    """Not scaled again, whatever range a map fills: that is what the authors' code reads."""
    module = _modules().module_of(name)
    clip = _maps(*bounds)
    chosen = recipe(name, {"source": "flow_maps", "scale": "bytes", "resize": resize})
    channels = _channels(chosen)
    assert module.variables(chosen) == tuple(f"flow_maps/maps[{channel}]" for channel in channels)
    made = module.prepare(chosen, {key: clip[key] for key in module.variables(chosen)})["flow"]
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.stack([clip[f"flow_maps/maps[{channel}]"] for channel in channels]))


@pytest.mark.parametrize("name", PLANES)
def test_minmax_of_a_map_is_its_bytes_divided_by_255(name: str):
    module = _modules().module_of(name)
    clip = _maps(0, 255)
    chosen = recipe(name, {"source": "flow_maps", "scale": "minmax"})
    made = module.prepare(chosen, clip)["flow"]
    channels = _channels(chosen)
    expected = np.stack([clip[f"flow_maps/maps[{channel}]"] for channel in channels]) / 255
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_ststnet_reads_maps_as_its_published_code_does():
    """OpenCV gives blue, green, red, which are strain, v, u, and nothing scales them."""
    clip = _maps(0, 255)
    chosen = recipe("ststnet", {"order": "strain_v_u", "scale": "bytes"}).reading(("flow_maps",))
    made = _modules().module_of("ststnet").prepare(chosen, clip)["flow"]
    for plane, channel in zip(made, ("strain", "v", "u"), strict=True):
        np.testing.assert_array_equal(plane, clip[f"flow_maps/maps[{channel}]"])


def test_larger_maps_are_resized_to_whole_numbers():
    chosen = recipe("off_apexnet", {"source": "flow_maps", "scale": "bytes", "resize": "area"})
    clip = _maps(7, 201, side=56)
    made = inputs.flow_planes(chosen, clip, ("u", "v"))
    assert made.shape == (2, 28, 28)
    means = clip["flow_maps/maps[u]"].reshape(28, 2, 28, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(made[0], means, atol=0.5)
    np.testing.assert_array_equal(made, np.rint(made))
