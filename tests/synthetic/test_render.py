"""Frames against their truth, measured with another interpolation (scipy's quintic spline) than they are made with."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from mer_features.synthetic import plan, render_clip
from mer_features.synthetic.action_units import Action
from mer_features.synthetic.presets import Nuisance, preset

STILL = (0.0, 0.0)
CALM = Nuisance(
    drift_px=STILL,
    turn_deg=STILL,
    zoom=STILL,
    tremor_px=0.0,
    flicker=STILL,
    gradient=STILL,
    uneven=STILL,
    offset_levels=STILL,
    read_noise=0.0,
    shot_noise=0.0,
    blink_rate=0.0,
)
SMALL = replace(preset("tiny"), nuisance=CALM)
ACTIONS = (Action(1, 0.9, 1.1), Action(12, 1.6, 0.0), Action(25, 0.5, 0.5))


def clip(preset_, actions=ACTIONS, **changes):
    return render_clip(replace(plan("tiny", 0)[0], actions=actions, **changes), preset_)


def grey(frame):
    return frame.astype(float).mean(axis=-1)


def undone(frame, motion, flow):
    """The frame sampled at where the onset's pixels have gone."""
    y, x = np.indices(frame.shape, dtype=float)
    places = np.stack([x + flow[0], y + flow[1], np.ones_like(x)])
    at_x, at_y = np.tensordot(motion, places, axes=1)
    return ndimage.map_coordinates(frame, [at_y, at_x], order=5, mode="nearest")


def left_over(onset, frame, mask, window=7):
    """Displacement (2, n) left between two pictures, by least squares in windows with detail in both directions."""
    down, across = np.gradient((onset + frame) / 2)
    rest = onset - frame
    mean = [
        ndimage.gaussian_filter(product, window)
        for product in (across * across, across * down, down * down, across * rest, down * rest)
    ]
    structure = np.stack([np.stack([mean[0], mean[1]], -1), np.stack([mean[1], mean[2]], -1)], -2)
    useful = mask & (np.linalg.eigvalsh(structure)[..., 0] > 10)
    right = np.stack(mean[3:], -1)
    return np.linalg.solve(structure[useful], right[useful][..., None])[..., 0].T


def error(rendered, t, strength=None):
    """Mean length of the displacement that the truth leaves unexplained in frame t, pixels, and the pixels used."""
    truth = rendered.truth
    strength = truth.profile[t] if strength is None else strength
    onset = grey(rendered.frames[0])
    frame = undone(grey(rendered.frames[t]), truth.head_motion[t], strength * truth.flow)
    moving = truth.face_mask & (np.linalg.norm(truth.flow, axis=0) > 0.15)
    rest = np.linalg.norm(left_over(onset, frame, moving), axis=0)
    return rest.mean(), len(rest)


def test_true_flow_agrees_with_the_frames():
    rendered = clip(SMALL)
    apex = rendered.truth.apex - rendered.truth.onset
    wrong, count = error(rendered, apex)
    signal, _ = error(rendered, apex, strength=0.0)
    assert count > 500
    assert signal > 0.3
    assert wrong < 0.02


def test_every_frame_moves_by_the_profile():
    rendered = clip(SMALL)
    for t in range(1, len(rendered.frames)):
        assert error(rendered, t)[0] < 0.02


def test_head_motion_and_expression_add_up():
    moving = replace(SMALL, nuisance=replace(CALM, drift_px=(2.5, 2.5), turn_deg=(1.0, 1.0), zoom=(0.005, 0.005)))
    rendered = clip(moving)
    apex = rendered.truth.apex - rendered.truth.onset
    assert np.abs(rendered.truth.head_motion[apex] - np.eye(3)[:2]).max() > 0.5
    assert error(rendered, apex)[0] < 0.02


def test_large_movements_are_true_too():
    actions = (Action(2, 6.0, 6.0), Action(12, 9.0, 7.0), Action(25, 8.0, 8.0))
    rendered = clip(SMALL, actions)
    apex = rendered.truth.apex - rendered.truth.onset
    assert np.linalg.norm(rendered.truth.flow, axis=0).max() > 5
    assert error(rendered, apex)[0] < 0.05


def test_the_apex_moves_furthest():
    rendered = clip(SMALL)
    apex = rendered.truth.apex - rendered.truth.onset
    change = [np.abs(grey(frame) - grey(rendered.frames[0])).mean() for frame in rendered.frames]
    assert int(np.argmax(change)) == apex
    assert rendered.truth.profile.argmax() == apex


def test_au_intensities_are_those_of_the_flow():
    for action in (Action(4, 1.4, 1.4), Action(12, 0.7, 0.0), Action(17, 0.5, 0.5)):
        truth = clip(SMALL, (action,)).truth
        pose = np.linalg.norm(truth.flow, axis=0).max() / truth.au_intensity_px[0]
        assert pose == pytest.approx(1, abs=0.08)  # the head's size in the clip, and overlap of the sides
        assert truth.au_names == (action.text,)
        np.testing.assert_allclose(truth.au_sides_px, [[action.left_px, action.right_px]])


def test_a_blink_shows_and_leaves_onset_and_apex_alone():
    preset_ = replace(SMALL, frames=(40, 40), fps=100.0)
    calm = clip(preset_, frames=40, apex_index=12)
    blinking = clip(replace(preset_, nuisance=replace(CALM, blink_rate=1.0)), frames=40, apex_index=12)
    change = np.abs(blinking.frames.astype(int) - calm.frames).max(axis=(1, 2, 3))
    assert (change > 40).any()
    np.testing.assert_array_equal(change > 0, blinking.truth.blink > 0)
    assert change[0] == change[12] == 0


def test_grey_and_colour_shapes():
    colour = clip(SMALL).frames
    single = clip(replace(SMALL, style=replace(SMALL.style, colour=False))).frames
    assert colour.shape == (*single.shape[:3], 3)
    assert single.shape[3] == 1
    assert colour.dtype == single.dtype == np.uint8
    luma = colour.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(luma - single[..., 0]).mean() < 3


def test_no_global_random_state_is_read_or_changed():
    np.random.seed(1)  # noqa: NPY002  # the state under test
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = render_clip(plan("tiny", 0)[4], preset("tiny"))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(one.frames, render_clip(plan("tiny", 0)[4], preset("tiny")).frames)
