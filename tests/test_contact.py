"""Colours are checked against the wheel's definition, pages by decoding the PNG that was written."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer_features import features as feature_file
from mer_features.report import contact

SAMPLE = Path(__file__).parent / "data" / "cache-v1.h5"  # 3 usable clips, crops of 32 px


def _uniform(u: float, v: float) -> np.ndarray:
    return np.stack([np.full((2, 3), u, np.float32), np.full((2, 3), v, np.float32)])


@pytest.mark.parametrize(
    ("u", "v", "colour"),
    [
        (0, 0, (255, 255, 255)),
        (2, 0, (255, 0, 0)),  # right: hue 0
        (0, 2, (128, 255, 0)),  # down: a quarter of the circle
        (-2, 0, (0, 255, 255)),  # left: half
        (0, -2, (128, 0, 255)),  # up: three quarters
        (1, 0, (255, 128, 128)),  # half the length: half the saturation
        (50, 0, (255, 0, 0)),  # beyond the scale
        (np.nan, 0, (0, 0, 0)),
        (0, np.inf, (0, 0, 0)),
    ],
)
def test_direction_is_hue_and_length_is_saturation(u: float, v: float, colour: tuple[int, ...]):
    rgb = contact.flow_to_rgb(_uniform(u, v), max_px=2)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (2, 3, 3)
    np.testing.assert_array_equal(rgb, np.broadcast_to(colour, rgb.shape))


def test_a_scale_must_be_positive():
    with pytest.raises(ValueError, match="max_px"):
        contact.flow_to_rgb(_uniform(1, 0), 0)
    with pytest.raises(ValueError, match="max_strain"):
        contact.strain_to_rgb(np.zeros((2, 2)), np.nan)


def test_the_wheel_shows_each_direction_where_it_points():
    wheel = contact.flow_wheel(101)
    places = {(50, 100): (1, 0), (100, 50): (0, 1), (50, 0): (-1, 0), (0, 50): (0, -1), (50, 50): (0, 0)}
    for (y, x), (u, v) in places.items():
        np.testing.assert_array_equal(wheel[y, x], contact.flow_to_rgb(_uniform(u, v), 1)[0, 0])
    np.testing.assert_array_equal(wheel[0, 0], 255)  # outside the circle


def test_strain_takes_the_map_from_end_to_end():
    rgb = contact.strain_to_rgb(np.array([[0, 0.5, 1, 7]]), 1.0)[0]
    expected = [np.array(mpl.colormaps["magma"](value, bytes=True)[:3]) for value in (0.0, 0.5, 1.0, 1.0)]
    np.testing.assert_array_equal(rgb, expected)


def test_difference_is_amplified_around_mid_grey_without_flicker():
    onset = np.tile(np.arange(40, 168, 2, np.uint8), (64, 1))[..., None]
    apex = onset.astype(np.float64) * 1.05 + 4  # a brighter lamp
    apex[20:24, 20:24] += 5
    rgb = contact.difference_to_rgb(onset, np.rint(apex).astype(np.uint8), gain=8)
    assert rgb.shape == (64, 64, 3)
    # Five levels in the light of the apex are 5 / 1.05 in that of the onset; rounding to grey levels is +-0.5.
    assert rgb[20:24, 20:24].mean() == pytest.approx(128 + 8 * 5 / 1.05, abs=4)
    assert np.abs(rgb[30:, 30:].astype(int) - 128).max() <= 5
    np.testing.assert_array_equal(contact.difference_to_rgb(onset, onset), 128)


def test_the_scale_is_a_high_percentile_rounded_up():
    def field(value: float) -> np.ndarray:
        return np.full((16, 16), value)

    assert contact.scale_of([field(0.331)]) == 0.34
    assert contact.scale_of([field(12.01)]) == 13
    assert contact.scale_of([field(0.5)] * 9 + [field(90.0)]) == 0.5  # one wild clip does not dim the others
    assert contact.scale_of([field(0)]) == contact.scale_of([]) == 1
    border = field(0.7)
    border[:2] = border[:, -2:] = 90.0  # an eighth of the side is left out all around
    assert contact.scale_of([border]) == 0.7


@given(st.integers(0, 300), st.integers(1, 60))
def test_spread_is_even_and_starts_at_the_first(count: int, wanted: int):
    places = contact.spread(count, wanted)
    assert len(places) == min(count, wanted)
    assert places[:1] == ([0] if count else [])
    gaps = np.diff([*places, count])
    assert not gaps.size or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)


def test_a_mosaic_puts_each_picture_in_its_place():
    images = [np.full((8, 8, 1), value, np.uint8) for value in (10, 20, 30)]
    out = contact.mosaic(images, side=4, columns=2, gap=2)
    assert out.shape == (10, 10, 3)
    assert [out[1, 1, 0], out[1, 7, 0], out[7, 1, 0], out[7, 7, 0], out[4, 1, 0]] == [10, 20, 30, 255, 255]
    with pytest.raises(ValueError, match="at least one"):
        contact.mosaic([], 4, 2)


def test_pages_hold_every_clip_with_its_pictures(tmp_path: Path):
    pages = contact.write_sheet(SAMPLE, tmp_path / "sheet.png", per_page=2)
    assert [path.name for path in pages] == ["sheet.png", "sheet-2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet-2.png", "sheet.png"]
    with feature_file.open_features(SAMPLE) as features:
        max_px, max_strain = contact.scales(features, range(3))
        last = contact.panels(contact.picture_of(features, 2), max_px, max_strain)
    page = cv2.imread(str(pages[1]))[..., ::-1]
    side, left, top = 150, 206, 64
    for number, panel in enumerate(last):
        x = left + number * (side + 6)
        np.testing.assert_array_equal(page[top : top + side, x : x + side], contact.thumbnail(panel, side))


def test_the_same_file_gives_the_same_page(tmp_path: Path):
    (first,) = contact.write_sheet(SAMPLE, tmp_path / "a.png")
    (second,) = contact.write_sheet(SAMPLE, tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()


def test_names_are_text_not_formulas_and_flow_may_be_absent():
    crop = np.zeros((16, 16, 1), np.uint8)
    picture = contact.ClipPicture("s$1/a_$^{", "happy $\\frac", crop, crop)
    page = contact.contact_sheet([picture], title="$x", max_px=1, max_strain=1)
    page.canvas.draw()
    assert len(contact.panels(picture, 1, 1)) == 3
