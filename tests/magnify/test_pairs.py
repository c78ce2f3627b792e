"""Training samples: the truth they carry is the truth of their pixels."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from mer_features.synthetic.resample import grid, sample
from mer_features.training.magnifier import pairs, textures
from mer_features.training.magnifier.pairs import Pair, Recipe

CLEAN = Recipe(noise=(0.0, 0.0), quantised=False, recoloured=0.0, grey=0.0)
BACKGROUND = replace(CLEAN, face=0.0, background_only=1.0, low_contrast=0.0, static=0.0, size=96)


def _registered(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Displacement (x, y) of a picture by windowed phase correlation."""
    window = np.outer(np.hanning(first.shape[1]), np.hanning(first.shape[2]))
    grey = [(image.mean(axis=0) - image.mean()) * window for image in (first, second)]
    shift, _, _ = phase_cross_correlation(*grey, upsample_factor=200, normalization=None)
    return -shift[::-1]


def test_a_sample_depends_on_seed_and_number_alone():
    recipe = Recipe(size=32)
    first = [pairs.make(recipe, index) for index in (5, 6)]
    again = [pairs.make(recipe, index) for index in (6, 5)][::-1]
    other = pairs.make(replace(recipe, seed=1), 5)
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(getattr(one, item.name), getattr(two, item.name)) for item in fields(Pair))
    assert not np.array_equal(first[0].first, other.first)
    assert not np.array_equal(first[0].first, first[1].first)


@pytest.mark.parametrize("index", range(8))
def test_registered_motion_is_the_stored_one(index: int):
    """Phase correlation finds nothing left once the stored motion is undone by another interpolation."""
    pair = pairs.make(BACKGROUND, index)
    truth = pair.motion[:, 0, 0]
    assert np.ptp(pair.motion, axis=(1, 2)).max() == 0
    for moved, times in ((pair.second_plain, 1.0), (pair.target, pair.factor)):
        back = ndimage.shift(moved, (0, *(-times * truth)[::-1]), order=5, mode="mirror")
        assert np.abs(_registered(pair.first, back)).max() < 0.02
        off = ndimage.shift(moved, (0, *(-times * truth)[::-1] + 0.1), order=5, mode="mirror")
        assert np.abs(_registered(pair.first, off)).max() > 0.05


@pytest.mark.parametrize("index", range(6))
def test_motion_of_a_face_is_the_stored_one(index: int):
    """The moved frame, taken back along the stored field, is the reference."""
    pair = pairs.make(replace(CLEAN, face=1.0, static=0.0), index)
    x, y = grid(*pair.first.shape[1:])
    for moved, times in ((pair.second_plain, 1.0), (pair.target, pair.factor)):
        back = sample(moved, x + np.float32(times) * pair.motion[0], y + np.float32(times) * pair.motion[1])
        inner = (slice(None), slice(10, -10), slice(10, -10))
        still = np.abs(moved[inner] - pair.first[inner]).mean()
        left = np.abs(back[inner] - pair.first[inner]).mean()
        assert left < max(0.35 * still, 0.6)


@pytest.mark.parametrize("face", [0.0, 1.0])
def test_a_series_shows_its_motion_magnified_by_every_share(face: float):
    recipe = replace(CLEAN, face=face, size=32, factor=(4.0, 4.0), static=0.0)
    shares = (0.0, 0.25, 0.5, 1.0)
    found = pairs.series(recipe, 3, shares)
    assert found.factor == pytest.approx(4.0)
    np.testing.assert_allclose(found.possible[0], found.first, atol=1e-3)
    np.testing.assert_allclose(found.possible[1], found.second, atol=1e-3)
    away = [np.abs(frame - found.first).mean() for frame in found.possible]
    assert away == sorted(away)
    assert away[1] > 0.05
    other = pairs.series(replace(recipe, seed=1), 3, shares)
    assert not np.array_equal(found.first, other.first)


def test_magnified_by_one_is_the_moved_frame():
    recipe = replace(CLEAN, factor=(1.0, 1.0), recoloured=1.0)
    for index in range(6):
        pair = pairs.make(recipe, index)
        np.testing.assert_allclose(pair.target, pair.second, atol=1e-3)
        np.testing.assert_allclose(pair.target, pair.still, atol=1e-3)


def test_motions_are_in_their_bounds():
    recipe = replace(CLEAN, size=32, face=0.0)
    made = [pairs.make(recipe, index) for index in range(60)]
    lengths = np.array([np.linalg.norm(pair.motion, axis=0).max() for pair in made])
    factors = np.array([pair.factor for pair in made])
    assert (factors >= 1).all()
    assert (factors <= 20).all()
    assert (lengths <= 3 + 1e-5).all()
    assert (lengths * factors <= recipe.reach_px + 1e-4).all()
    assert (lengths * factors > 4).sum() > 10  # objects move far enough to matter


@pytest.mark.parametrize("face", [0.0, 1.0])
def test_static_samples_do_not_move(face: float):
    pair = pairs.make(replace(CLEAN, face=face, static=1.0, size=32), 2)
    assert not pair.motion.any()
    np.testing.assert_array_equal(pair.first, pair.second_plain)
    np.testing.assert_allclose(pair.first, pair.target, atol=1e-4)


def test_the_background_can_stay_where_objects_move():
    recipe = replace(CLEAN, face=0.0, static=0.0, static_background=1.0, background_only=0.0)
    pair = pairs.make(recipe, 1)
    speed = np.linalg.norm(pair.motion, axis=0)
    assert (speed == 0).any()
    assert (speed > 0).any()


def test_low_contrast_is_low():
    spreads = [
        np.mean(
            [pairs.make(replace(CLEAN, face=0.0, low_contrast=share, objects=(0, 0)), i).first.std() for i in range(6)]
        )
        for share in (1.0, 0.0)
    ]
    assert spreads[0] < 0.6 * spreads[1]


def test_recording_keeps_the_mean_of_a_fraction_of_a_level():
    """Dither: grey level 100.3 survives quantisation in the mean, and noise has the stated spread."""
    random = np.random.default_rng(0)
    flat = np.full((3, 128, 128), 100.3, np.float32)
    dithered = pairs._recorded(flat, 0.0, Recipe(), random)
    assert set(np.unique(dithered)) <= {100.0, 101.0}
    assert dithered.mean() == pytest.approx(100.3, abs=0.01)
    noisy = pairs._recorded(flat, 0.2, Recipe(), random)
    assert noisy.std() == pytest.approx(np.hypot(0.2 * np.sqrt(100.3), np.sqrt(1 / 6)), rel=0.02)


def test_recolouring_is_the_same_for_moved_and_magnified_frame():
    recipe = replace(CLEAN, recoloured=1.0, static=1.0, face=0.0)
    pair = pairs.make(recipe, 4)
    np.testing.assert_allclose(pair.second, pair.target, atol=1e-3)
    assert np.abs(pair.second - pair.second_plain).mean() > 1


def test_the_lamp_changes_the_moved_frame_by_a_quadratic():
    recipe = replace(CLEAN, recoloured=1.0, face=0.0, lamp=0.1, low_contrast=0.0)
    compared = 0
    for index in range(4):
        plain, lit = pairs.make(replace(recipe, lamp=0.0), index), pairs.make(recipe, index)
        np.testing.assert_array_equal(lit.first, plain.first)
        np.testing.assert_array_equal(lit.second_plain, plain.second_plain)
        inside = (lit.still > 0).all(axis=0) & (lit.still < 255).all(axis=0) & (plain.still > 1).all(axis=0)
        inside &= (plain.still < 255).all(axis=0)
        if inside.sum() < 500:
            continue
        compared += 1
        y, x = np.mgrid[-1:1:64j, -1:1:64j][:, inside]
        terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
        ratio = (lit.still / np.maximum(plain.still, 1))[1][inside]
        found, *_ = np.linalg.lstsq(terms, ratio)
        np.testing.assert_allclose(terms @ found, ratio, atol=1e-3)
        assert found[0] == pytest.approx(1, abs=1e-3)
        assert 0.01 < np.abs(found[1:]).max() <= 0.1 + 1e-3
    assert compared


def test_the_local_slope_of_a_ramp_is_its_slope():
    ramp = np.broadcast_to(3 * np.arange(40, dtype=np.float32), (3, 40, 40))
    np.testing.assert_allclose(pairs.local_slope(ramp)[15:-15, 15:-15], 3, rtol=1e-3)
    assert (pairs.local_slope(np.full((3, 16, 16), 80, np.float32)) == 0).all()


def test_held_out_photographs_are_not_drawn_from():
    assert not {"cat", "chelsea", "rocket", "astronaut"} & set(textures.PHOTOGRAPHS)


def test_a_folder_of_photographs(tmp_path: Path):
    with pytest.raises(ValueError, match="no image found"):
        textures.sources(tmp_path)
    (tmp_path / "deep").mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8)  # smaller than a sample
    cv2.imwrite(str(tmp_path / "deep" / "grey.png"), picture)
    assert textures.sources(tmp_path) == (str(tmp_path / "deep" / "grey.png"),)
    pair = pairs.make(Recipe(size=64, face=0.0, folder=tmp_path), 0)
    assert pair.first.shape == (3, 64, 64)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        textures.read(str(broken))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.02), (-2.7, 3.4)])
def test_a_moved_patch_is_the_exact_spline(shift: tuple[float, float]):
    """Second implementation: scipy's spline evaluation."""
    random = np.random.default_rng(1)
    patch = random.normal(size=(30, 30)).astype(np.float32)
    y, x = np.mgrid[8:22, 8:22].astype(float)
    expected = ndimage.map_coordinates(patch, [y - shift[1], x - shift[0]], order=3, prefilter=False)
    np.testing.assert_allclose(textures.moved(patch, np.array(shift), 8), expected, atol=1e-5)


def test_a_move_beyond_the_margin_is_refused():
    with pytest.raises(ValueError, match="margin"):
        textures.moved(np.zeros((20, 20), np.float32), np.array([4.0, 0.0]), 4)
