from typing import get_args

import h5py
import numpy as np
import pytest
from skimage import data

from mer_features.core.clips import Clip
from mer_features.stages import apex
from mer_features.stages.apex import spotters
from mer_features.stages.apex.lbp import Box, histograms
from mer_features.stages.options import Apex, Spotter
from mer_features.stages.store import ClipRecord, ShardReader, ShardWriter

SPOTTERS = get_args(Spotter)
MEASURED = ("interframe_diff", "lbp_roi", "roi_diff")
SIZE = 96


def still(count=9):
    """The same face, (T, H, W, 1)."""
    grey = data.astronaut()[50:194:1, 150:294, 0][:SIZE, :SIZE]
    return np.repeat(grey[None, :, :, None], count, axis=0).copy()


def landmarks():
    """68 points where a face fills the picture: brows, eyes and mouth on their places, the rest in the middle."""
    points = np.full((68, 2), SIZE / 2, np.float32)
    points[17:22] = np.linspace((18, 28), (40, 28), 5)
    points[22:27] = np.linspace((56, 28), (78, 28), 5)
    points[36:42] = np.linspace((20, 38), (38, 38), 6)
    points[42:48] = np.linspace((58, 38), (76, 38), 6)
    points[48:68] = np.linspace((34, 72), (62, 78), 20)
    return points


def moving(count=12, seed=0):
    """Noisy clip whose mouth moves most at frame 5."""
    rng = np.random.default_rng(seed)
    frames = still(count).astype(float)
    for position in range(count):
        strength = np.exp(-((position - 5) ** 2) / 8)
        frames[position, 66:86] += strength * 40 * rng.uniform(-1, 1, (20, SIZE, 1))
    return np.clip(frames + rng.normal(0, 0.5, frames.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("method", MEASURED)
def test_a_single_displaced_frame_is_found(method):
    frames = still()
    frames[6] = np.roll(frames[6], 2, axis=0)
    result = apex.spot(frames, method, landmarks())
    assert result.index == 6
    assert result.curve.dtype == np.float64
    np.testing.assert_array_equal(np.flatnonzero(result.curve), [6])


def test_a_sequence_that_darkens_is_found():
    frames = still()
    for position, drop in enumerate([0, 1, 3, 7, 12, 9, 5, 2, 1]):
        frames[position] -= np.minimum(frames[position], drop)
    assert apex.spot(frames).index == 4


def test_brightening_and_darkening_do_not_cancel():
    # Frame 3 brightens one half as much as it darkens the other, so its signed mean difference is 0; frame 5
    # brightens a little everywhere and would win without the absolute value.
    frames = np.full((8, 32, 32), 100, np.uint8)
    frames[3, :16] += 20
    frames[3, 16:] -= 20
    frames[5] += 3
    result = apex.spot(frames)
    assert result.index == 3
    np.testing.assert_allclose(result.curve, [0, 0, 0, 20, 0, 3, 0, 0])


def test_grey_levels_do_not_wrap_around():
    frames = np.full((3, 16, 16), 250, np.uint8)
    frames[1], frames[2] = 2, 240
    np.testing.assert_allclose(apex.spot(frames).curve, [0, 248, 10])


def test_lbp_curve_is_one_minus_the_cosine_of_the_histograms():
    frames = moving()
    boxes = apex.roi_boxes(landmarks(), (SIZE, SIZE))
    counts = np.array([histograms(frame[:, :, 0], boxes) for frame in frames], float)
    lengths = np.linalg.norm(counts, axis=1)
    expected = 1 - counts @ counts[0] / (lengths * lengths[0])
    np.testing.assert_allclose(apex.spot(frames, "lbp_roi", landmarks()).curve, expected, atol=1e-12)


def test_lbp_sees_movement_in_its_regions_only():
    frames = still()
    frames[4, :12, :10] = 255 - frames[4, :12, :10]  # a corner that belongs to no region
    frames[7, 70:80, 40:60] = frames[7, 70:80, 40:60][::-1]  # the mouth
    np.testing.assert_array_equal(np.flatnonzero(apex.spot(frames, "lbp_roi", landmarks()).curve), [7])


def test_lbp_ignores_a_change_of_brightness():
    frames = still() // 2
    frames[3] += 40
    frames[6, 70:80] = frames[6, 70:80][::-1]
    assert apex.spot(frames, "lbp_roi", landmarks()).curve[3] == 0
    assert apex.spot(frames, "lbp_roi", landmarks()).index == 6


@pytest.mark.parametrize("method", MEASURED)
def test_the_movement_is_found_under_noise(method):
    for seed in range(3):
        assert abs(apex.spot(moving(seed=seed), method, landmarks()).index - 5) <= 1


@pytest.mark.parametrize("method", MEASURED)
def test_the_first_of_two_equal_frames_wins(method):
    frames = still()
    frames[3] = frames[6] = np.roll(frames[0], 2, axis=0)
    assert apex.spot(frames, method, landmarks()).index == 3


@pytest.mark.parametrize("method", SPOTTERS)
def test_only_frames_from_onset_to_offset_count(method):
    frames = still(10)
    frames[0], frames[9] = 0, 255
    frames[4] = np.roll(frames[4], 1, axis=1)
    result = apex.spot(frames, method, landmarks(), onset=2, offset=7)
    np.testing.assert_array_equal(np.isnan(result.curve), [True] * 2 + [False] * 6 + [True] * 2)
    assert result.index == {"midpoint": 5}.get(method, 4)


@pytest.mark.parametrize(("onset", "offset", "middle"), [(0, 8, 4), (0, 7, 4), (3, 4, 4), (2, 2, 2), (1, 3, 2)])
def test_midpoint_is_half_way_and_tops_its_curve(onset, offset, middle):
    result = apex.spot(still(), "midpoint", onset=onset, offset=offset)
    assert result.index == middle == np.nanargmax(result.curve)
    assert result.curve[middle] == 1
    assert np.nanmin(result.curve) >= 0


@pytest.mark.parametrize("method", SPOTTERS)
def test_the_onset_is_never_the_apex_of_a_still_clip(method):
    assert apex.spot(still(2), method, landmarks()).index == 1


def test_one_pass_equals_separate_passes():
    together = apex.spot_all(moving(), SPOTTERS, landmarks(), onset=1, offset=10)
    for method in SPOTTERS:
        alone = apex.spot(moving(), method, landmarks(), onset=1, offset=10)
        np.testing.assert_array_equal(together[method].curve, alone.curve)
        assert together[method].index == alone.index


class Counting:
    """Frames that can only be had one by one, and are counted."""

    def __init__(self, frames):
        self.frames, self.reads = frames, []

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, position):
        self.reads.append(int(position))
        return self.frames[position]


def test_frames_are_read_once_and_one_at_a_time():
    frames = Counting(still())
    apex.spot_all(frames, SPOTTERS, landmarks(), onset=2, offset=6)
    assert frames.reads == [2, 2, 3, 4, 5, 6]  # the onset frame first as the reference, then in its turn


def test_a_dataset_on_disk_equals_an_array(tmp_path):
    frames = np.repeat(moving(), 3, axis=3)
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        stored = file.create_dataset("crops", data=frames, chunks=(1, SIZE, SIZE, 3))
        for method in MEASURED:
            np.testing.assert_array_equal(
                apex.spot(stored, method, landmarks()).curve, apex.spot(frames, method, landmarks()).curve
            )


def test_floating_point_frames_give_the_same_curve():
    frames = moving()
    for method in MEASURED:
        expected = apex.spot(frames, method, landmarks())
        found = apex.spot((frames / 255).astype(np.float64), method, landmarks())
        assert found.index == expected.index
    found = apex.spot(frames / 255).curve
    np.testing.assert_allclose(found, apex.spot(frames).curve, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"onset": 5, "offset": 3}, "onset 5, offset 3"),
        ({"offset": 9}, "offset < 9"),
        ({"onset": -1}, "onset -1"),
        ({"method": "optical"}, "optical"),
        ({"method": "lbp_roi", "landmarks": np.zeros((5, 2))}, r"\(5, 2\)"),
        ({"method": "lbp_roi", "landmarks": landmarks() + 500}, "outside the image"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        apex.spot(still(), **change)


def test_boxes_hold_their_landmarks_with_room():
    boxes = apex.roi_boxes(landmarks(), (SIZE, SIZE, 1))
    assert len(boxes) == 3
    for box, region in zip(boxes, spotters.REGIONS, strict=True):
        x, y = landmarks()[list(region)].T
        assert box.left < x.min() < x.max() < box.right - 1
        assert box.top < y.min() < y.max() < box.bottom - 1
    left, right, mouth = boxes
    assert left.right <= right.left  # image-left before image-right, apart
    assert mouth.top > max(left.bottom, right.bottom)


def test_boxes_are_cut_to_the_image():
    boxes = apex.roi_boxes(landmarks() + np.array([30, 10]), (SIZE, SIZE))
    assert all(box.right <= SIZE and box.bottom <= SIZE for box in boxes)
    assert boxes[1].right == SIZE


@pytest.mark.parametrize("missing", [None, np.full((68, 2), np.nan, np.float32)])
def test_without_landmarks_the_boxes_are_fixed(missing):
    left, right, mouth = apex.roi_boxes(missing, (100, 200, 3))
    assert (left, right) == (Box(12, 16, 48, 96), Box(12, 104, 48, 184))
    assert mouth == Box(62, 44, 95, 156)


def run(tmp_path, frames, options=None, points=None, **attrs):
    path = tmp_path / "faces.h5"
    attrs = {"onset": 0, "offset": len(frames) - 1, "annotated_apex": -1} | attrs
    arrays = {"crops": frames, "landmarks": landmarks() if points is None else points}
    with ShardWriter(path, "faces", {}) as writer:
        writer.add(ClipRecord("s/c", arrays, attrs))
    with ShardReader(path) as reader:
        clip = Clip("s/c", "db", "s", "")
        return apex.process(clip, {"faces": reader.view("s/c")}, options or Apex())


def test_stage_takes_the_annotated_apex_and_stores_every_curve(tmp_path):
    record = run(tmp_path, moving(), annotated_apex=7, onset=1, offset=10)
    assert record.attrs["apex"] == 7
    assert record.attrs["apex_source"] == "annotated"
    assert (record.attrs["onset"], record.attrs["offset"]) == (1, 10)
    assert record.attrs["spotted_interframe_diff"] in (4, 5, 6)
    assert record.attrs["spotted_midpoint"] == 6
    expected = apex.spot_all(moving(), SPOTTERS, landmarks(), onset=1, offset=10)
    assert set(record.arrays) == {f"curve_{name}" for name in SPOTTERS}
    for name in SPOTTERS:
        np.testing.assert_array_equal(record.arrays[f"curve_{name}"], expected[name].curve)
        assert record.attrs[f"spotted_{name}"] == expected[name].index
    assert record.issues == ()


def test_stage_falls_back_where_nothing_is_annotated(tmp_path):
    options = Apex(fallback="midpoint", spotters=("midpoint",))
    record = run(tmp_path, moving(), options)
    assert (record.attrs["apex"], record.attrs["apex_source"]) == (6, "midpoint")
    assert set(record.arrays) == {"curve_midpoint"}


def test_stage_spots_in_spite_of_an_annotation_when_told_to(tmp_path):
    record = run(tmp_path, moving(), Apex(policy="lbp_roi"), annotated_apex=9)
    assert record.attrs["apex_source"] == "lbp_roi"
    assert record.attrs["apex"] == record.attrs["spotted_lbp_roi"] != 9


def test_stage_uses_the_radius(tmp_path):
    curves = [run(tmp_path, moving(), Apex(lbp_radius_px=radius)).arrays["curve_lbp_roi"] for radius in (1, 2)]
    assert not np.array_equal(*curves)


@pytest.mark.parametrize(
    ("attrs", "codes"),
    [
        ({"annotated_apex": 0}, ["apex_equals_onset"]),
        ({"annotated_apex": 11}, ["apex_equals_offset"]),
        ({"annotated_apex": 4, "offset": 4}, ["apex_equals_offset"]),
        ({"annotated_apex": 4}, []),
    ],
)
def test_stage_reports_an_apex_at_the_ends(tmp_path, attrs, codes):
    assert [issue.code for issue in run(tmp_path, moving(), **attrs).issues] == codes


def test_stage_reports_a_clip_that_stands_still(tmp_path):
    record = run(tmp_path, still(6), points=np.full((68, 2), np.nan, np.float32))
    assert [issue.code for issue in record.issues] == ["static_clip"]
    assert record.attrs["apex"] == 1


def test_roi_diff_sees_neither_a_shifting_background_nor_a_flickering_lamp():
    frames = moving().astype(float)
    rng = np.random.default_rng(1)
    for position in range(1, len(frames)):
        frames[position, :, :14] = np.roll(frames[position, :, :14], 3 * position, axis=0) * rng.uniform(0.5, 1.5)
        frames[position] = frames[position] * (1 + 0.01 * position) + 0.5 * position  # brightest at the end
    frames = np.clip(frames, 0, 255).astype(np.uint8)
    assert abs(apex.spot(frames, "roi_diff", landmarks()).index - 5) <= 1
    assert apex.spot(frames, "interframe_diff", landmarks()).index > 8
