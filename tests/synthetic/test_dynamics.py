import numpy as np
import pytest

from mer_features.synthetic import dynamics
from mer_features.synthetic.resample import apply


def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize(("frames", "apex"), [(9, 2), (30, 14), (30, 27)])
def test_profile_rises_to_the_apex_and_falls(frames, apex):
    profile = dynamics.profile(frames, apex)
    assert profile[0] == profile[-1] == pytest.approx(0, abs=1e-15)
    assert profile[apex] == 1
    assert (np.diff(profile[: apex + 1]) > 0).all()
    assert (np.diff(profile[apex:]) < 0).all()
    # A raised cosine is halfway up halfway there.
    if apex % 2 == 0:
        assert profile[apex // 2] == pytest.approx(0.5)


def test_wander_starts_at_rest_with_rms_one_and_is_smooth():
    path = dynamics.wander(200, 100.0, 0.15, rng())
    assert path[0] == 0
    assert np.sqrt((path**2).mean()) == pytest.approx(1)
    assert np.abs(np.diff(path)).max() < 0.2


def test_head_motion_starts_at_identity_and_is_a_similarity():
    motion = dynamics.HeadMotion(drift_px=3.0, turn_deg=0.8, zoom=0.004, tremor_px=0.03)
    pivot = np.array([160.0, 300.0])
    path = dynamics.head_motion(motion, 40, 100.0, pivot, rng())
    np.testing.assert_allclose(path[0], [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    linear = path[:, :, :2]
    scale = np.sqrt(np.linalg.det(linear))
    np.testing.assert_allclose(linear @ linear.transpose(0, 2, 1), scale[:, None, None] ** 2 * np.eye(2), atol=1e-12)
    assert np.sqrt(((scale - 1) ** 2).mean()) == pytest.approx(0.004, rel=1e-6)
    drift = np.array([apply(step, pivot) - pivot for step in path])
    assert np.sqrt((drift**2).sum(axis=1).mean()) == pytest.approx(3.0, rel=0.03)


def test_blinks_close_the_lids_but_not_at_onset_and_apex():
    for seed in range(20):
        closure = dynamics.blink(60, 25, 200.0, 1.0, np.random.default_rng(seed))
        assert closure[0] == closure[25] == 0
        assert closure.max() == pytest.approx(1)
    assert not dynamics.blink(60, 25, 200.0, 0.0, rng()).any()


def test_no_blink_where_there_is_no_room():
    assert not dynamics.blink(9, 4, 200.0, 1.0, rng()).any()
