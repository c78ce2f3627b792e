"""The stage: every method's array, and what is said of a clip without movement."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from mer_features.core.clips import Clip
from mer_features.core.grey import levels
from mer_features.core.quality import Issue
from mer_features.features.options import FeatureConfig
from mer_features.features.schema import DESCRIPTORS
from mer_features.stages import descriptors, run
from mer_features.stages.descriptors import gradients_top, lbp_top, mdmo, tim
from mer_features.stages.options import FLOW_DESCRIPTORS, Descriptor, Descriptors

METHODS: tuple[Descriptor, ...] = get_args(Descriptor)
#: On a crop of 40 pixels; not a face, but each region has pixels.
LANDMARKS = np.random.default_rng(7).uniform(2, 38, (68, 2)).astype(np.float32)


class View(dict):
    """Arrays of a stage with their attributes."""

    def __init__(self, attrs: dict, **arrays: np.ndarray) -> None:
        super().__init__(arrays)
        self.attrs = attrs


def _inputs(flow: np.ndarray) -> dict[str, View]:
    crops = np.random.default_rng(0).integers(0, 255, (12, 40, 40, 3), np.uint8)
    pairs = np.stack([np.full_like(flow, np.nan), flow])
    return {
        "faces": View({"onset": 1, "offset": 11}, crops=crops, landmarks=LANDMARKS),
        "flow": View({"pairs": "other,onset_apex"}, flow=pairs, strain=np.abs(pairs).sum(axis=1)),
    }


@pytest.mark.parametrize(
    ("moves", "issues"), [(True, ()), (False, (Issue("empty_descriptor", "bi_woof"),))], ids=["moving", "still"]
)
def test_a_clip_in_which_nothing_moves_is_flagged(moves: bool, issues: tuple[Issue, ...]):
    flow = moves * np.random.default_rng(1).standard_normal((2, 40, 40)).astype(np.float32)
    options = Descriptors(methods=("lbp_top", "bi_woof"))
    record = descriptors.process(Clip("s/c", "d", "s", ""), _inputs(flow), options)
    assert {name: values.shape for name, values in record.arrays.items()} == {"lbp_top": (1125,), "bi_woof": (200,)}
    assert record.issues == issues
    assert record.arrays["bi_woof"].any() == moves
    assert record.arrays["lbp_top"].any()


def test_every_method_has_its_length_and_its_variable_in_the_feature_file():
    flow = np.random.default_rng(1).standard_normal((2, 40, 40)).astype(np.float32)
    record = descriptors.process(Clip("s/c", "d", "s", ""), _inputs(flow), Descriptors(methods=METHODS))
    lengths = {
        "lbp_top": 25 * 3 * 15, "lbp_top_r1p4": 25 * 3 * 15, "lbp_top_r1p8": 25 * 3 * 59, "lbp_top_r3p4": 25 * 3 * 15,
        "lbp_top_r3p8": 25 * 3 * 59, "hog_top_p4": 25 * 3 * 4, "hog_top_p8": 25 * 3 * 8, "higo_top_p4": 25 * 3 * 4,
        "higo_top_p8": 25 * 3 * 8, "bi_woof": 25 * 8, "mdmo": 36 * 2,
    }  # fmt: skip
    assert {name: values.shape for name, values in record.arrays.items()} == {
        name: (length,) for name, length in lengths.items()
    }
    assert record.issues == ()
    assert {variable.name for variable in DESCRIPTORS.variables} == set(METHODS)


def test_every_method_computes_what_its_name_says():
    inputs = _inputs(np.random.default_rng(1).standard_normal((2, 40, 40)).astype(np.float32))
    record = descriptors.process(Clip("s/c", "d", "s", ""), inputs, Descriptors(methods=METHODS))
    volume = tim.resample(np.stack([levels(crop) for crop in inputs["faces"]["crops"][1:12]]), 10)
    for radius in (1, 3):
        for points in (4, 8):
            expected = lbp_top.describe(volume, lbp_top.Parameters((radius,) * 3, points))
            np.testing.assert_array_equal(record.arrays[f"lbp_top_r{radius}p{points}"], expected)
    for bins in (4, 8):
        for name, weighted in (("hog", True), ("higo", False)):
            expected = gradients_top.describe(volume, bins, weighted=weighted)
            np.testing.assert_array_equal(record.arrays[f"{name}_top_p{bins}"], expected)
    np.testing.assert_array_equal(record.arrays["mdmo"], mdmo.describe(inputs["flow"]["flow"][1:], LANDMARKS))


def test_a_still_clip_or_a_face_without_landmarks_has_no_mdmo():
    flow = np.ones((2, 40, 40), np.float32)
    inputs = _inputs(flow)
    inputs["faces"]["landmarks"] = np.full((68, 2), np.nan)
    for given in (inputs, _inputs(0 * flow)):
        record = descriptors.process(Clip("s/c", "d", "s", ""), given, Descriptors(methods=("mdmo",)))
        assert record.issues == (Issue("empty_descriptor", "mdmo"),)


@pytest.mark.parametrize("method", METHODS)
def test_the_flow_is_read_by_the_descriptors_of_flow_alone(method: Descriptor):
    of_flow = method in ("bi_woof", "mdmo")
    assert (method in FLOW_DESCRIPTORS) == of_flow
    options = Descriptors(methods=(method,))
    assert run.inputs("descriptors", options) == (("faces", "flow") if of_flow else ("faces",))
    keys = {"descriptors": {"methods": [method]}, "flow": {"pairs": ["offset_apex"]}}
    if of_flow:
        with pytest.raises(ValueError, match=f"`{method}` needs onset_apex among flow.pairs, found offset_apex"):
            FeatureConfig.model_validate(keys)
    else:
        FeatureConfig.model_validate(keys)
