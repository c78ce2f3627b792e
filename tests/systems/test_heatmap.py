from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from mer_features.systems.common import inputs


def test_overlay_leaves_cold_places_and_reddens_hot_ones():
    image = np.full((8, 8, 1), 100, np.uint8)
    heat = np.zeros((2, 2), np.float32)
    np.testing.assert_array_equal(inputs.overlay(image, heat), np.repeat(image, 3, axis=2))
    heat[0, 0] = 1
    hot = inputs.overlay(image, heat)
    assert (hot[-1, -1] == 100).all()
    assert (hot[0, 0] != 100).any()
