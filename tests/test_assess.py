"""Assessment against a truth made here: a bump on a photograph, seen through a known crop and a known head motion."""

import json
from dataclasses import asdict
from typing import get_args

import numpy as np
import pytest
from scipy import ndimage
from skimage import color, data

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.stages.options import FlowMethod
from mer_features.stages.store import ClipRecord, ShardWriter
from mer_features.synthetic import Truth
from mer_features.workflow.assess import stages as assess

SOURCE, SIZE, FRAMES, ONSET, APEX = 140, 112, 9, 20, 25
TRANSFORM = np.array([[0.9, -0.15, -5.0], [0.15, 0.9, -15.0]])  # source to crop: turned, smaller, shifted


def face():
    return color.rgb2gray(data.astronaut())[55:195, 155:295] * 255


def true_flow():
    y, x = np.mgrid[:SOURCE, :SOURCE].astype(float)
    bump = np.exp(-((x - 75) ** 2 + (y - 80) ** 2) / (2 * 12**2))
    return np.stack([0.9 * bump, -1.2 * bump])


def head_motion():
    drift = np.tile(np.eye(2, 3), (FRAMES, 1, 1))
    drift[:, 0, 2] = np.linspace(0, 2, FRAMES)
    drift[:, 1, 0] = np.linspace(0, 0.01, FRAMES)
    return drift


def truth():
    mask = np.zeros((SOURCE, SOURCE), bool)
    mask[30:130, 30:120] = True
    return Truth(
        onset=ONSET,
        apex=APEX,
        offset=ONSET + FRAMES - 1,
        flow=true_flow().astype(np.float32),
        head_motion=head_motion(),
        landmarks=np.zeros((68, 2), np.float32),
        face_mask=mask,
        au_names=("12",),
        au_intensity_px=np.ones(1, np.float32),
        au_sides_px=np.ones((1, 2), np.float32),
        profile=np.zeros(FRAMES),
        blink=np.zeros(FRAMES),
        emotion="happiness",
    )


def source_positions():
    """Source x, y that each crop pixel shows."""
    q = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE))).astype(float)
    inverse = np.linalg.inv(TRANSFORM[:, :2])
    return np.tensordot(inverse, q - TRANSFORM[:, 2, None, None], axes=1)


def crops():
    """Perfectly registered crops: all frames as the onset but the apex."""
    x, y = source_positions()
    u, v = (ndimage.map_coordinates(part, (y, x), order=3, mode="nearest") for part in true_flow())
    apex = ndimage.map_coordinates(face(), (y, x), order=3, mode="nearest")
    onset = ndimage.map_coordinates(face(), (y + v, x + u), order=3, mode="nearest")
    frames = np.repeat(onset[None], FRAMES + 2, axis=0)
    frames[2 + APEX - ONSET] = apex
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)[..., None]


def linear_flow(matrix, offset, x, y):
    return np.tensordot(matrix, np.stack([x, y]), axes=1) + np.reshape(offset, (2, 1, 1))


def test_true_flow_is_moved_and_turned_into_the_crop():
    # A linear field stays linear, and bilinear sampling of it is exact.
    matrix, offset = np.array([[0.01, 0.02], [-0.03, 0.015]]), [0.3, -0.2]
    y, x = np.mgrid[:SOURCE, :SOURCE].astype(float)
    found, valid = assess.truth_flow_in_crop(linear_flow(matrix, offset, x, y), TRANSFORM, SIZE)
    sx, sy = source_positions()
    expected = np.tensordot(TRANSFORM[:, :2], linear_flow(matrix, offset, sx, sy), axes=1)
    inside = (sx >= 0) & (sx <= SOURCE - 1) & (sy >= 0) & (sy <= SOURCE - 1)
    assert inside.any()
    assert not inside.all()
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=1e-5)
    assert not found[:, ~inside].any()


def test_true_flow_of_an_upright_crop_is_scaled():
    scale = np.array([[2.0, 0, 0], [0, 2.0, 0]])
    found, _ = assess.truth_flow_in_crop(np.ones((2, 8, 8)), scale, 8)
    np.testing.assert_array_equal(found, np.full((2, 8, 8), 2, np.float32))


def test_mask_is_moved_into_the_crop():
    mask = np.zeros((20, 30), bool)
    mask[5:9, 10:14] = True
    shifted = assess.mask_in_crop(mask, np.array([[1.0, 0, -8], [0, 1.0, -3]]), 16)
    expected = np.zeros((16, 16), bool)
    expected[2:6, 2:6] = True
    np.testing.assert_array_equal(shifted, expected)


def test_flow_errors_have_their_closed_form():
    true = np.zeros((2, 4, 4))
    true[0, :2] = 1.0
    found = np.zeros((2, 4, 4))
    found[1, 3] = 0.5
    found[:, :, 0] = 7  # outside the mask
    mask = np.ones((4, 4), bool)
    mask[:, 0] = False
    errors = assess.flow_errors(found, true, mask)
    assert errors["epe"] == pytest.approx((2 * 1 + 0 + 0.5) / 4)
    assert errors["epe_moving"] == pytest.approx(1)
    assert errors["angular_deg"] == pytest.approx(45)  # between (1, 0, 1) and (0, 0, 1)
    assert np.isnan(assess.flow_errors(found, np.zeros_like(true), mask)["epe_moving"])


def test_apex_errors_are_medians_of_absolute_errors():
    found = assess.apex_errors([10, 20, 30], {"a": [10, 18, 35], "b": [9, 21, 30]}, [20, 10, 50])
    assert found["a"] == {"median_frames": 2, "median_percent": 10, "n": 3}
    assert found["b"] == {"median_frames": 1, "median_percent": 5, "n": 3}
    assert assess.apex_errors([], {"a": []}, []) == {"a": {"median_frames": None, "median_percent": None, "n": 0}}


def test_registration_error_of_a_shift_and_of_a_turn():
    mask = np.zeros((101, 101), bool)
    mask[50, :] = True  # every 8th row is looked at, so none of these
    mask[48, ::8] = True
    still = np.eye(2, 3)
    shifted = still + np.array([[0, 0, 0.3], [0, 0, -0.4]])
    stretched = still + np.array([[0.01, 0, 0], [0, 0, 0]])
    found = assess.registration_errors(np.stack([still, shifted, stretched]), np.stack([still] * 3), mask)
    np.testing.assert_allclose(found, [0, 0.5, 0.01 * np.arange(0, 101, 8).mean()])


@pytest.fixture
def stages(tmp_path):
    """Truth and stage files of two clips and a rejected one; the second is registered 0.5 px off, 0.9 at the apex."""
    ids = ["s1/a", "s1/b", "s2/rejected"]
    for name in ids[:2]:
        path = tmp_path / "truth" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **asdict(truth()))
    numbers = np.arange(ONSET - 2, ONSET + FRAMES)  # the source starts before the onset
    motion = np.concatenate([np.tile(np.eye(2, 3), (2, 1, 1)), head_motion()])
    with ShardWriter(tmp_path / "faces.h5", "faces", {}) as writer:
        for name, miss in zip(ids[:2], (0, 0.5), strict=True):
            found = motion + np.array([[0, 0, miss], [0, 0, 0]])
            found[2 + APEX - ONSET, 0, 2] += 0.8 * miss
            arrays = {"crops": crops(), "numbers": numbers, "transform": TRANSFORM, "motion": found}
            writer.add(ClipRecord(name, arrays))
        writer.add(ClipRecord(ids[2], issues=(Issue("no_face"),)))
    with ShardWriter(tmp_path / "apex.h5", "apex", {}) as writer:
        for name, position in zip(ids[:2], (7, 4), strict=True):
            writer.add(ClipRecord(name, attrs={"spotted_interframe_diff": position, "spotted_midpoint": 6}))
        writer.add(ClipRecord(ids[2], attrs={"skipped": True}, issues=(Issue("no_face"),)))
    clips = [Clip(name, "db", name[:2], "") for name in ids]
    return tmp_path, [tmp_path / "faces.h5"], [tmp_path / "apex.h5"], clips, "dis"


def test_stage_files_are_compared_with_the_truth(stages):
    result = assess.assess(*stages, flow_clips=1)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["apex"]["interframe_diff"] == {"median_frames": 1.5, "median_percent": 100 * 1.5 / FRAMES, "n": 2}
    assert result["apex"]["midpoint"]["median_frames"] == 1

    assert result["flow_clips"] == ["s1/a"]
    assert result["flow_method"] == "dis"
    zero = result["flow"]["zero"]
    assert set(result["flow"]) == {*get_args(FlowMethod), "dis+light", "zero"}
    for method, errors in result["flow"].items():
        assert errors["n"] == 1
        assert errors["per_clip"]["epe"] == [errors["epe"]]
        if method != "zero":
            assert errors["epe_moving"] < 0.35 * zero["epe_moving"]
    assert result["flow"]["dis"]["epe_moving"] < 0.1

    registration = result["registration"]
    assert registration["n"] == 2
    worst = (8 * 0.5 + 0.9) / 9  # the first clip's error is 0
    assert registration["error_px"] == pytest.approx(worst / 2)
    assert registration["error_apex_px"] == pytest.approx(0.45)
    assert registration["worst_px"] == pytest.approx(worst)
    assert registration["motion_px"] > 1


def test_zero_motion_is_scored_by_the_truth_itself(stages):
    expected, _ = assess.truth_flow_in_crop(true_flow(), TRANSFORM, SIZE)
    mask = assess.mask_in_crop(truth().face_mask, TRANSFORM, SIZE)
    result = assess.assess(*stages, flow_clips=1)
    assert result["flow"]["zero"]["epe"] == pytest.approx(np.hypot(*expected)[mask].mean(), rel=1e-5)


def test_the_result_does_not_depend_on_the_number_of_workers(stages):
    assert assess.assess(*stages, threads=2, flow_clips=0) == assess.assess(*stages, threads=1, flow_clips=0)


def test_without_clips_nothing_is_measured(stages):
    root, faces, apex, _, options = stages
    result = assess.assess(root, faces, apex, [], options)
    assert result["apex"] == result["flow"] == {}
    assert result["registration"]["error_px"] is None
    assert result["registration"]["n"] == 0
