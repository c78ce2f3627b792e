"""Flow against synthetic truth: smooth bumps of known displacement rendered on a face and on plain texture."""

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from scipy import ndimage
from skimage import color, data

from mer_features.core.clips import Clip
from mer_features.stages.flow import strain
from mer_features.stages.flow.methods import SMALLEST, NotAlignedError, estimate, process
from mer_features.stages.options import Flow, FlowMethod
from mer_features.stages.store import ClipRecord, ShardReader, ShardWriter

METHODS = get_args(FlowMethod)
SIZE = 128
Y, X = np.mgrid[:SIZE, :SIZE].astype(float)

#: Largest mean end-point error in px where the truth moves by more than 0.1 px, by peak of the truth in px.
#: The differences are the methods' own: polynomial expansion smooths a bump, TV-L1 shrinks it.
FACE_LIMITS = {
    "tvl1": {0.3: 0.09, 0.6: 0.11, 1.0: 0.12, 1.5: 0.13},
    "tvl1_fast": {0.3: 0.09, 0.6: 0.11, 1.0: 0.12, 1.5: 0.13},
    "tvl1_aligned": {0.3: 0.09, 0.6: 0.11, 1.0: 0.12, 1.5: 0.13},
    "opencv_tvl1": {0.3: 0.09, 0.6: 0.11, 1.0: 0.12, 1.5: 0.13},
    "skimage_tvl1": {0.3: 0.07, 0.6: 0.09, 1.0: 0.12, 1.5: 0.15},
    "farneback": {0.3: 0.08, 0.6: 0.13, 1.0: 0.19, 1.5: 0.25},
    "dis": {0.3: 0.045, 0.6: 0.065, 1.0: 0.085, 1.5: 0.10},
}
TEXTURE_LIMIT = 0.08


def face():
    grey = color.rgb2gray(data.astronaut())[55:195, 155:295] * 255
    return ndimage.zoom(grey, SIZE / 140, order=3)


def texture():
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).uniform(size=(SIZE, SIZE)), 1.5)
    return 255 * (smooth - smooth.min()) / np.ptp(smooth)


def bumps(peak, seed):
    """Four Gaussian displacements, (2, H, W), the longest vector ``peak`` pixels long."""
    rng = np.random.default_rng(seed)
    flow = np.zeros((2, SIZE, SIZE))
    for _ in range(4):
        x, y = rng.uniform(0.22 * SIZE, 0.78 * SIZE, 2)
        width, angle = rng.uniform(7, 14), rng.uniform(0, 2 * np.pi)
        bump = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * width**2))
        flow += np.array([np.cos(angle), np.sin(angle)])[:, None, None] * bump
    return flow * peak / np.hypot(*flow).max()


def render(image, flow, noise=1.0, seed=0):
    """8-bit pair with moved(x + flow(x)) = reference(x), white noise of ``noise`` grey levels on both."""
    rng = np.random.default_rng(seed)
    reference = ndimage.map_coordinates(image, [Y + flow[1], X + flow[0]], order=5, mode="nearest")
    noisy = (frame + rng.normal(0, noise, frame.shape) for frame in (reference, image))
    return tuple(np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in noisy)


def shift(dx, dy):
    return np.stack([np.full((SIZE, SIZE), dx), np.full((SIZE, SIZE), dy)])


def endpoint_error(found, truth):
    """Mean end-point error where the truth moves by more than 0.1 px, and that of predicting no motion."""
    moving = np.hypot(*truth) > 0.1
    return np.hypot(*(found - truth))[moving].mean(), np.hypot(*truth)[moving].mean()


@pytest.mark.parametrize("peak", [0.3, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("method", METHODS)
def test_a_known_warp_of_a_face_is_recovered(method, peak):
    errors = []
    for seed in range(2):
        truth = bumps(peak, seed)
        error, zero = endpoint_error(estimate(*render(face(), truth, seed=seed), method), truth)
        assert error < 0.55 * zero
        errors.append(error)
    assert np.mean(errors) < FACE_LIMITS[method][peak]


@pytest.mark.parametrize("method", METHODS)
def test_a_known_warp_of_texture_is_recovered(method):
    truth = bumps(1.0, 0)
    found = estimate(*render(texture(), truth), method)
    error, _ = endpoint_error(found, truth)
    assert error < TEXTURE_LIMIT
    moving = np.hypot(*truth) > 0.1
    cosine = (1 + (found * truth).sum(0)) / np.sqrt((1 + (found**2).sum(0)) * (1 + (truth**2).sum(0)))
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))[moving].mean() < 4  # Barron's angle, degrees


@pytest.mark.parametrize("displacement", [(1.0, 0.0), (0.0, 1.0), (-0.5, 0.0), (0.0, -0.5)])
@pytest.mark.parametrize("method", METHODS)
def test_u_is_right_and_v_is_down(method, displacement):
    if method == "tvl1_aligned":  # refuses more
        displacement = np.multiply(displacement, 0.5)
    reference, moved = render(texture(), shift(*displacement), noise=0.5)
    found = estimate(reference, moved, method)[:, 12:-12, 12:-12]
    np.testing.assert_allclose(np.median(found, axis=(1, 2)), displacement, atol=0.02)


def test_the_flow_lies_on_the_reference():
    # A patch moves 6 px to the right over a still ground: its flow lies where it was, not where it went.
    ground, patch = texture(), texture().T[:24, :24]
    reference, moved = ground.copy(), ground.copy()
    reference[50:74, 40:64] = patch
    moved[50:74, 46:70] = patch
    u = estimate(reference.astype(np.uint8), moved.astype(np.uint8), "dis")[0]
    assert (u * X).sum() / u.sum() == pytest.approx(51.5, abs=2)  # the patch's centre in the reference
    assert np.median(u[54:70, 44:60]) == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_equal_images_give_exactly_zero(method):
    image = render(face(), shift(0, 0))[0]
    found = estimate(image, image.copy(), method)
    assert found.dtype == np.float32
    assert found.shape == (2, SIZE, SIZE)
    assert not found.any()


@pytest.mark.parametrize("method", METHODS)
def test_uint8_float_and_colour_agree(method):
    reference, moved = render(texture(), bumps(1.0, 1))
    expected = estimate(reference, moved, method)
    assert expected.dtype == np.float32
    assert expected.flags.c_contiguous
    np.testing.assert_allclose(estimate(reference / 255, moved / 255, method), expected, atol=1e-3)
    np.testing.assert_allclose(estimate(reference / 255, moved, method), expected, atol=1e-3)
    grey_rgb = [np.repeat(image[:, :, None], 3, axis=2) for image in (reference, moved)]
    np.testing.assert_array_equal(estimate(*grey_rgb, method), expected)
    np.testing.assert_array_equal(estimate(reference[:, :, None], moved[:, :, None], method), expected)


@pytest.mark.parametrize("shape", [(SMALLEST, SMALLEST), (SMALLEST, 41), (64, 64)])
@pytest.mark.parametrize("method", METHODS)
def test_no_size_and_no_content_gives_nan(method, shape):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    black, white = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    for pair in (noise, (black, white)):
        try:
            found = estimate(*pair, method)
        except NotAlignedError:  # noise has no common content
            assert method == "tvl1_aligned"
            assert pair is noise
            continue
        assert found.shape == (2, *shape)
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("reference", "moved", "method", "message"),
    [
        (np.zeros((32, 32), np.uint8), np.zeros((32, 33), np.uint8), "tvl1", r"\(32, 32\) and \(32, 33\)"),
        (np.zeros((8, 32), np.uint8), np.zeros((8, 32), np.uint8), "tvl1", "sides >= 16"),
        (np.zeros((32, 32), np.int32), np.zeros((32, 32), np.int32), "tvl1", "reference: found dtype int32"),
        (np.zeros((32, 32), np.uint8), np.full((32, 32), np.nan), "dis", "moved: found NaN"),
        (np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8), "raft", "'raft', expected one of tvl1"),
    ],
)
def test_bad_input_is_named(reference, moved, method, message):
    with pytest.raises(ValueError, match=message):
        estimate(reference, moved, method)


def test_stage_pairs_have_the_reference_first(tmp_path):
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    faces, apex = tmp_path / "faces.h5", tmp_path / "apex.h5"
    with ShardWriter(faces, "faces", {}) as writer:
        writer.add(ClipRecord("s/c", {"crops": crops}))
    with ShardWriter(apex, "apex", {}) as writer:
        writer.add(ClipRecord("s/c", attrs={"onset": 1, "apex": 3, "offset": 5}))
    options = Flow(method="farneback", light="as_recorded", pairs=("offset_apex", "onset_apex"))
    with ShardReader(faces) as face_reader, ShardReader(apex) as apex_reader:
        inputs = {"faces": face_reader.view("s/c"), "apex": apex_reader.view("s/c")}
        record = process(Clip("s/c", "db", "s", ""), inputs, options)
    assert record.clip_id == "s/c"
    assert record.attrs == {"pairs": "offset_apex,onset_apex", "method": "farneback"}
    expected = [estimate(crops[reference], crops[3], "farneback") for reference in (5, 1)]
    np.testing.assert_array_equal(record.arrays["flow"], expected)
    np.testing.assert_array_equal(record.arrays["strain"], [strain.magnitude(u, v) for u, v in expected])


def test_matched_light_leaves_the_motion_and_as_recorded_leaves_the_light():
    rng = np.random.default_rng(5)
    texture = ndimage.gaussian_filter(rng.normal(size=(96, 96)), 2)
    texture = 40 + 160 * (texture - texture.min()) / np.ptp(texture)
    onset, apex = texture[8:-8, 8:-8], 1.06 * texture[8:-8, 7:-9] + 4  # one pixel to the right, the lamp brighter
    frames = np.clip(np.stack([onset, apex]), 0, 255).round().astype(np.uint8)[..., None]
    inputs = {"faces": {"crops": frames}, "apex": SimpleNamespace(attrs={"onset": 0, "apex": 1, "offset": 1})}
    clip = Clip("a/b", "d", "a", "")
    found = {
        light: process(clip, inputs, Flow(light=light, pairs=("onset_apex",))).arrays["flow"][0]
        for light in ("matched", "as_recorded")
    }
    inner = np.s_[:, 10:-10, 10:-10]
    truth = np.array([1, 0])[:, None, None]
    error = {light: np.hypot(*(field - truth)[inner]).mean() for light, field in found.items()}
    assert error["matched"] < 0.05
    assert error["as_recorded"] > 2 * error["matched"]


def test_a_face_that_is_not_aligned_gets_the_pyramid_and_a_warning():
    still, shifted = (np.stack(render(face(), shift(*by)))[..., None] for by in ((0.3, 0.2), (3.0, 0.0)))
    clip, options = Clip("a/b", "d", "a", ""), Flow(method="tvl1_aligned", pairs=("onset_apex",))
    for frames, codes in ((still, []), (shifted, ["head_motion"])):
        inputs = {"faces": {"crops": frames}, "apex": SimpleNamespace(attrs={"onset": 0, "apex": 1, "offset": 1})}
        record = process(clip, inputs, options)
        assert [issue.code for issue in record.issues] == codes
    np.testing.assert_allclose(np.median(record.arrays["flow"][0], axis=(1, 2)), (3, 0), atol=0.02)
