"""The PyTorch twin of the own TV-L1 against the numba kernels."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from mer_features import tvl1, tvl1_torch

SIZE = 64


def pairs():
    """Three pairs of a texture shifted by a smooth field: without noise, with it, and equal images."""
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 1.5)
    texture = 30 + 190 * (texture - texture.min()) / np.ptp(texture)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    bump = 1.2 * np.exp(-((x - 30) ** 2 + (y - 36) ** 2) / 200)
    moved = ndimage.map_coordinates(texture, [y + bump, x - 0.5 * bump], order=3, mode="nearest")
    noise = rng.normal(0, 2, (2, SIZE, SIZE))
    references, others = np.stack([texture, texture + noise[0], texture]), np.stack([moved, moved + noise[1], texture])
    return references.astype(np.float32), others.astype(np.float32)


@pytest.mark.parametrize("preset", tvl1.PRESETS)
def test_it_agrees_with_the_kernels(preset):
    # The pairs converge after different numbers of iterations, so each must stop by itself.
    references, moveds = pairs()
    parameters = tvl1.PRESETS[preset]
    expected, iterations = zip(
        *(tvl1.estimate(*pair, parameters) for pair in zip(references, moveds, strict=True)), strict=True
    )
    assert len({tuple(counts) for counts in iterations}) == 3
    found = tvl1_torch.estimate_batch(references, moveds, parameters)
    assert found.dtype == torch.float32
    distance = np.hypot(*(found.numpy() - np.stack(expected)).swapaxes(0, 1))
    assert distance.mean() < 5e-5
    assert distance.max() < 1e-3
    assert not found[2].any()


def test_a_batch_is_its_pairs():
    references, moveds = pairs()
    together = tvl1_torch.estimate_batch(torch.as_tensor(references), torch.as_tensor(moveds))
    alone = [tvl1_torch.estimate_batch(a[None], b[None])[0] for a, b in zip(references, moveds, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (1, 8, SIZE)])
def test_shapes_are_checked(shape):
    with pytest.raises(ValueError, match="sides >= 16"):
        tvl1_torch.estimate_batch(np.zeros(shape), np.zeros(shape))
