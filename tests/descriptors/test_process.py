"""The stage: every method's array, and what is said of a clip without movement."""

from __future__ import annotations

import numpy as np
import pytest

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.stages import descriptors
from mer_features.stages.options import Descriptors


class View(dict):
    """Arrays of a stage with their attributes."""

    def __init__(self, attrs: dict, **arrays: np.ndarray) -> None:
        super().__init__(arrays)
        self.attrs = attrs


def _inputs(flow: np.ndarray) -> dict[str, View]:
    crops = np.random.default_rng(0).integers(0, 255, (12, 40, 40, 3), np.uint8)
    pairs = np.stack([np.full_like(flow, np.nan), flow])
    return {
        "faces": View({"onset": 1, "offset": 11}, crops=crops),
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
