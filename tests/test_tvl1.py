"""The own TV-L1 against OpenCV's, against synthetic truth, and against itself under threads, forks and symmetries."""

import itertools
import multiprocessing
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import color, data

from mer_features.core import compiled
from mer_features.stages import flow
from mer_features.stages.flow import tvl1
from mer_features.stages.flow.tvl1 import kernel, median, warping
from mer_features.stages.flow.tvl1 import median as comparators
from mer_features.stages.flow.tvl1.warping import U, V, layout, put_flow, take_flow, zeros

HEIGHT, WIDTH = 112, 101  # no multiple of the eight pixels of a vector
Y, X = np.mgrid[:HEIGHT, :WIDTH].astype(float)


def face():
    grey = color.rgb2gray(data.astronaut())[55:195, 155:295] * 255
    return ndimage.zoom(grey, (HEIGHT / 140, WIDTH / 140), order=3)


def bumps(seed, peak=1.0):
    rng = np.random.default_rng(seed)
    field = np.zeros((2, HEIGHT, WIDTH))
    for _ in range(3):
        x, y = rng.uniform(0.25 * WIDTH, 0.75 * WIDTH), rng.uniform(0.25 * HEIGHT, 0.75 * HEIGHT)
        width, angle = rng.uniform(7, 12), rng.uniform(0, 2 * np.pi)
        bump = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * width**2))
        field += np.array([np.cos(angle), np.sin(angle)])[:, None, None] * bump
    return field * peak / np.hypot(*field).max()


def pair(truth, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    reference = ndimage.map_coordinates(face(), [Y + truth[1], X + truth[0]], order=5, mode="nearest")
    noisy = (image + rng.normal(0, noise, image.shape) for image in (reference, face()))
    return tuple(np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in noisy)


def error(found, truth):
    return np.hypot(*(found - truth)).mean()


def uniform(dx, dy):
    return np.stack([np.full((HEIGHT, WIDTH), float(dx)), np.full((HEIGHT, WIDTH), float(dy))])


@pytest.mark.parametrize("preset", tvl1.PRESETS)
def test_it_is_closer_to_the_truth_than_opencv(preset):
    own, theirs = [], []
    for seed in range(3):
        truth = bumps(seed)
        images = pair(truth, seed)
        moving = np.hypot(*truth) > 0.1
        for errors, method in ((own, preset), (theirs, "opencv_tvl1")):
            errors.append(np.hypot(*(flow.estimate(*images, method) - truth))[moving].mean())
    assert np.mean(own) < 0.9 * np.mean(theirs)


def test_classical_parameters_agree_with_opencv():
    for seed in range(2):
        images = pair(bumps(seed), seed)
        found, expected = flow.estimate(*images, "tvl1"), flow.estimate(*images, "opencv_tvl1")
        inner = np.s_[:, 4:-4, 4:-4]  # OpenCV compares pixels beyond the border with black
        assert error(found[inner], expected[inner]) < 0.035
        assert np.corrcoef(found[inner].ravel(), expected[inner].ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("preset", "shift"), [("tvl1", (3, -2)), ("tvl1_fast", (5, -6)), ("tvl1_aligned", (0.4, -0.3))]
)
def test_a_shift_is_followed(preset, shift):
    found = flow.estimate(*pair(uniform(*shift)), preset)[:, 12:-12, 12:-12]
    np.testing.assert_allclose(np.median(found, axis=(1, 2)), shift, atol=0.02)


def test_equal_images_need_no_shortcut_to_give_exactly_zero():
    image, _ = pair(uniform(0, 0))
    found, iterations = tvl1.estimate(image, image)
    assert not found.any()
    assert iterations == [10] * 5  # two for each warp: the first pair is done before the first test


@pytest.mark.parametrize("method", ["tvl1", "tvl1_fast", "tvl1_aligned"])
def test_batches_and_threads_change_no_bit(method):
    pairs = [pair(bumps(seed), seed) for seed in range(5)]
    references, moveds = (np.stack(images) for images in zip(*pairs, strict=True))
    alone = np.stack([flow.estimate(*images, method) for images in pairs])
    for threads in (1, 3):
        np.testing.assert_array_equal(flow.estimate_batch(references, moveds, method, threads=threads), alone)
    np.testing.assert_array_equal(flow.estimate_batch(references[1:3], moveds[1:3], method), alone[1:3])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_child_processes_give_the_same_bits_after_threads_have_run(start):
    pairs = [pair(bumps(seed), seed) for seed in range(2)]
    found = flow.estimate_batch(*(np.stack(images) for images in zip(*pairs, strict=True)), threads=2)
    with multiprocessing.get_context(start).Pool(1) as pool:
        # The package's own function: a spawned child imports what it is sent, and tests are not on its path.
        in_child = pool.starmap_async(flow.estimate, [(*images, "tvl1_fast") for images in pairs]).get(timeout=120)
    np.testing.assert_array_equal(in_child, found)


@pytest.mark.parametrize("preset", tvl1.PRESETS)
def test_turned_images_give_the_turned_flow(preset):
    # Forward differences see a flipped picture a little differently; a transposed one only round differently.
    first, second = pair(bumps(0))
    found = flow.estimate(first, second, preset)
    transposed = flow.estimate(first.T, second.T, preset).swapaxes(1, 2)[::-1]
    assert error(transposed, found) < 1e-4
    for axis, component in ((1, 0), (0, 1)):
        flipped = np.flip(flow.estimate(np.flip(first, axis), np.flip(second, axis), preset), axis + 1).copy()
        flipped[component] *= -1
        assert error(flipped, found) < 0.015


def test_only_differences_of_grey_levels_count():
    first, second = (image.astype(np.float32) / 255 for image in pair(bumps(0)))
    found = flow.estimate(0.5 * first, 0.5 * second, "tvl1_fast")
    brighter = flow.estimate(0.5 * first + 0.25, 0.5 * second + 0.25, "tvl1_fast")
    assert error(brighter, found) < 1e-3


def test_aligned_refuses_what_it_cannot_follow():
    small = bumps(0, peak=1.5) + uniform(0.4, 0.3)
    assert tvl1.residual_motion(*pair(small)) == pytest.approx(0.5, abs=0.2)
    flow.estimate(*pair(small), "tvl1_aligned")
    for shift in ((1.5, 0), (0, -2), (4, 4)):
        with pytest.raises(flow.NotAlignedError, match=r"expected at most 1 px.*tvl1_fast"):
            flow.estimate(*pair(uniform(*shift)), "tvl1_aligned")


def test_a_batch_must_pair_up():
    image, _ = pair(uniform(0, 0))
    with pytest.raises(ValueError, match="found 2 references and 1 moved"):
        flow.estimate_batch([image, image], [image])
    with pytest.raises(ValueError, match="found 0 references"):
        flow.estimate_batch([], [])


def test_levels_are_opencvs():
    assert tvl1.Parameters().sizes((224, 200)) == [(224, 200), (179, 160), (143, 128), (114, 102), (91, 82)]
    assert tvl1.PRESETS["tvl1_fast"].sizes((100, 64)) == [(100, 64), (50, 32), (25, 16)]
    assert tvl1.Parameters().sizes((16, 64)) == [(16, 64)]
    assert tvl1.pixel_iterations(tvl1.PRESETS["tvl1_fast"], (40, 40), [3, 5]) == 40 * 40 * 3 + 20 * 20 * 5


@pytest.mark.parametrize(("step", "size"), [(0.8, (90, 81)), (0.5, (56, 50))])
def test_levels_are_resized_as_by_opencv(step, size):
    image = face().astype(np.float32)
    found = np.empty(size, np.float32)
    kernel.resize(image, found, (1 / step, 1 / step), np.float32(1))
    np.testing.assert_allclose(found, cv2.resize(image, None, fx=step, fy=step), atol=1e-3)


def test_the_median_is_that_of_scipy():
    rng = np.random.default_rng(0)
    for height, width in ((16, 16), (17, 23), (40, 33)):
        field = rng.normal(size=(2, height, width)).astype(np.float32)
        found = field.copy()
        state = zeros(height, width)
        put_flow(state, field)
        first, step, plane = layout(state, height)
        room = median.buffers(height, width)
        median.filter_plane(state, first + V * plane, step, height, width, room)
        take_flow(state, found)
        np.testing.assert_array_equal(found[V], ndimage.median_filter(field[V], 5, mode="nearest"))
        np.testing.assert_array_equal(found[U], field[U])


def test_the_median_network_is_right_for_all_zeros_and_ones():
    # A network of comparators that is right for these is right for all numbers (Knuth, section 5.3.4).
    ones = np.array(list(itertools.product(range(6), repeat=5)))  # in each of five sorted columns
    wires = [row >= 5 - ones[:, column] for row in range(5) for column in range(5)]
    for low, high in comparators.MEDIAN_OF_SORTED_COLUMNS:
        wires[low], wires[high] = wires[low] & wires[high], wires[low] | wires[high]
    np.testing.assert_array_equal(wires[comparators.MEDIAN_WIRE], ones.sum(axis=1) >= 13)
    wires = list(np.array(list(itertools.product((False, True), repeat=5))).T)
    for low, high in comparators.SORT_5:
        wires[low], wires[high] = wires[low] & wires[high], wires[low] | wires[high]
    np.testing.assert_array_equal(wires, np.sort(wires, axis=0))


@pytest.mark.parametrize("shift", [(0.1, 0.0), (-0.3, 0.45), (2.6, -3.5), (0.5, 0.5)])
def test_warping_renders_parabolas_exactly(shift):
    # Catmull-Rom reproduces polynomials of degree 2; OpenCV's kernel already fails at degree 1.
    image = (1 + 0.3 * X - 0.2 * Y + 0.01 * X**2 - 0.02 * X * Y + 0.015 * Y**2).astype(np.float32)
    state = zeros(HEIGHT, WIDTH)
    put_flow(state, uniform(*shift).astype(np.float32))
    images = warping.images_of(np.zeros_like(image), image)
    warping.warp(images, state, HEIGHT, WIDTH)
    first, step, plane = layout(state, HEIGHT)
    rows = (state[first - 8 :][: (HEIGHT - 1) * step + 10 * plane]).copy()
    rows.resize(HEIGHT * step)
    planes = rows.reshape(HEIGHT, 10, plane)[:, :, 8 : 8 + WIDTH]
    x, y = X + shift[0], Y + shift[1]
    slope_x, slope_y = 0.3 + 0.02 * x - 0.02 * y, -0.2 - 0.02 * x + 0.03 * y
    value = 1 + 0.3 * x - 0.2 * y + 0.01 * x**2 - 0.02 * x * y + 0.015 * y**2
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(planes[:, 6][inner], slope_x[inner], atol=2e-4)
    np.testing.assert_allclose(planes[:, 7][inner], slope_y[inner], atol=2e-4)
    residual = value - slope_x * shift[0] - slope_y * shift[1]
    np.testing.assert_allclose(planes[:, 9][inner], residual[inner], atol=2e-3)


def test_flow_is_imported_without_numba():
    code = "import sys, mer_features.stages.flow.methods; print({'numba', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_machine_code_goes_to_a_folder_of_its_own(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = compiled.folder(Path(kernel.__file__))
    assert folder.parent == tmp_path / "mer-features"
    assert folder.is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert compiled.folder(Path(kernel.__file__)) is None
    assert "set NUMBA_CACHE_DIR" in caplog.text
