"""HOG-TOP and HIGO-TOP against loops, against scikit-image, and against gradients of known orientation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.feature import hog

from mer_features.stages.descriptors import gradients_top


def slow(volume: np.ndarray, bins: int, *, weighted: bool) -> np.ndarray:
    """The definition, voxel by voxel."""
    frames, height, width = volume.shape
    out = np.zeros((5, 5, 3, bins))
    for t in range(1, frames - 1):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                along_x = float(volume[t, y, x + 1]) - float(volume[t, y, x - 1])
                along_y = float(volume[t, y + 1, x]) - float(volume[t, y - 1, x])
                along_t = float(volume[t + 1, y, x]) - float(volume[t - 1, y, x])
                pairs = ((along_x, along_y), (along_x, along_t), (along_y, along_t))
                for plane, (first, second) in enumerate(pairs):
                    if first or second:
                        bin_ = round(math.degrees(math.atan2(second, first)) / (360 / bins)) % bins
                        vote = math.hypot(first, second) if weighted else 1
                        out[y * 5 // height, x * 5 // width, plane, bin_] += vote
    return (out / out.sum(axis=-1, keepdims=True)).ravel()


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("bins", [4, 8])
def test_equals_the_definition(bins: int, weighted: bool):
    volume = np.random.default_rng(0).normal(size=(4, 17, 20))
    made = gradients_top.describe(volume, bins, weighted=weighted)
    assert made.shape == (gradients_top.length(bins),) == (75 * bins,)
    np.testing.assert_allclose(made, slow(volume, bins, weighted=weighted), atol=1e-12)


def test_blocks_of_a_frame_are_scikit_images_cells():
    """Its eight half-open bins of 22.5° over half a circle are pairs of quarters of ours over the full circle."""
    image = np.random.default_rng(1).integers(0, 256, (50, 50)).astype(float)
    cells = hog(image, 8, (10, 10), (1, 1), block_norm="L1", feature_vector=False).reshape(5, 5, 8)
    expected = cells + np.roll(cells, 1, axis=-1)  # 2b - 1 and 2b make up the bin centred on 45° b
    ours = gradients_top.describe(np.stack([image] * 3), 8, weighted=True).reshape(5, 5, 3, 8)[:, :, 0]
    folded = ours[..., :4] + ours[..., 4:]
    inside = np.s_[1:4, 1:4]  # the border of the image is not the same
    np.testing.assert_allclose(folded[inside], expected[inside][..., ::2], atol=1e-6)
    np.testing.assert_allclose(folded[inside].sum(axis=-1), 1)


@pytest.mark.parametrize("bins", [4, 8])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    ("slopes", "angles"),  # grey levels per voxel along t, y, x; degrees in XY, XT and YT
    [
        ((0, 0, 1), (0, 0, None)),
        ((0, 0, -1), (180, 180, None)),
        ((0, 1, 0), (90, None, 0)),
        ((1, 0, 0), (None, 90, 90)),
        ((-1, 1, 1), (45, -45, -45)),
        ((0, -1, 1), (-45, 0, 180)),
    ],
)
def test_a_ramp_has_one_orientation(slopes: tuple, angles: tuple, weighted: bool, bins: int):
    volume = np.tensordot(slopes, np.indices((5, 20, 20)), axes=1)
    made = gradients_top.describe(volume, bins, weighted=weighted).reshape(25, 3, bins)
    for plane, angle in enumerate(angles):
        if angle is not None and angle % (360 // bins):
            continue  # on the border of two bins
        expected = np.zeros(bins)
        if angle is not None:
            expected[round(angle * bins / 360) % bins] = 1
        np.testing.assert_array_equal(made[:, plane], np.broadcast_to(expected, (25, bins)))


def test_contrast_counts_in_hog_alone():
    """In each block, two columns of pixels have a strong gradient down and six a weak one to the right."""
    volume = np.zeros((3, 40, 40))
    y, x = np.indices((40, 40))
    volume[:] = x
    volume[:, :, x[0] % 8 < 4] += 100 * y[:, x[0] % 8 < 4]
    hog_top = gradients_top.describe(volume, 4, weighted=True).reshape(25, 3, 4)[12, 0]
    higo_top = gradients_top.describe(volume, 4, weighted=False).reshape(25, 3, 4)[12, 0]
    assert hog_top[1] != pytest.approx(higo_top[1], abs=0.05)
    for weighted, made in ((True, hog_top), (False, higo_top)):
        brighter = gradients_top.describe(3 * volume + 7, 4, weighted=weighted).reshape(25, 3, 4)[12, 0]
        np.testing.assert_allclose(brighter, made, atol=1e-12)


def test_rounding_errors_have_no_orientation_and_leave_a_still_pixel_alone():
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (20, 20)).astype(float)
    still = np.stack([image] * 6)
    noisy = still + rng.normal(0, 1e-12, still.shape)
    for weighted in (True, False):
        made = gradients_top.describe(still, 8, weighted=weighted)
        np.testing.assert_allclose(gradients_top.describe(noisy, 8, weighted=weighted), made, atol=1e-9)
    np.testing.assert_array_equal(gradients_top.describe(1e-12 * noisy, 8, weighted=False), 0)


@pytest.mark.parametrize("shape", [(2, 20, 20), (10, 14, 20), (20, 20)])
def test_too_small_volumes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="found a volume of shape"):
        gradients_top.describe(np.zeros(shape), 8, weighted=True)
