"""Magnification measured against a truth made here, where the answers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mer_features.stages.magnify import magnify
from mer_features.stages.options import Magnify
from mer_features.workflow.assess import magnification

from .test_assess import stages  # noqa: F401  # two clips of a bump on a photograph, and a rejected one

OPTIONS = Magnify(factor=4)


@pytest.fixture(scope="module")
def few(request):
    """Only two factors, the configured one among them: fewer flows to estimate."""
    patch = pytest.MonkeyPatch()
    patch.setattr(magnification, "FACTORS", (2.0,))
    yield
    patch.undo()


def test_methods_are_ranked_by_the_truth(stages, few):  # noqa: F811
    root, faces, _, clips, _ = stages
    found = magnification.assess(root, faces, clips, OPTIONS, count=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["clips"], found["factors"], found["yardstick"]) == (["s1/a"], [2.0, 4.0], "dis")
    recovered = {name: item["4"]["recovered"] for name, item in found["methods"].items()}
    assert recovered["true_motion"] == pytest.approx(1, abs=0.12)
    assert recovered["phase"] == pytest.approx(recovered["true_motion"], abs=0.1)
    assert recovered["eulerian"] < 0.6
    errors = {name: item["4"]["epe_px"] for name, item in found["methods"].items()}
    assert errors["phase"] < 0.5 * errors["eulerian"]
    wanted = {name: item["4"]["wanted_px"] for name, item in found["methods"].items()}
    assert len(set(wanted.values())) == 1
    assert found["methods"]["phase"]["2"]["wanted_px"] == pytest.approx(wanted["phase"] / 2)
    # The frame after the onset equals it in these clips.
    assert found["static_psnr_db"]["phase"] == found["static_psnr_db"]["eulerian"] == 99.0


def test_errors_have_their_closed_form():
    onset = np.random.default_rng(0).integers(0, 255, (64, 64, 1), dtype=np.uint8)
    wanted = np.zeros((2, 64, 64), np.float32)
    wanted[0] = 2.0
    moving = np.zeros((64, 64), bool)
    moving[20:40, 20:40] = True
    assert magnification._errors(onset, onset, wanted, moving) == (0.0, 2.0, 2.0)


def test_the_truth_on_the_onset_becomes_that_on_the_apex(stages, monkeypatch):  # noqa: F811
    """A displacement of constant size is the same on both; a ramp is found where it has gone."""
    seen = []
    monkeypatch.setattr(magnification.Transport, "render", lambda *given: seen.append(given[2][0]))
    ramp = np.zeros((2, 40, 40), np.float32)
    ramp[0] = 1 + 0.1 * np.arange(40)
    magnification._true_motion(np.zeros((40, 40, 1), np.uint8), ramp, [3.0])
    z = np.arange(10, 35)
    # x + 1 + x / 10 = z, and the displacement there is 1 + x / 10.
    np.testing.assert_allclose(seen[0][0, 20, 10:35], 1 + (z - 1) / 11, atol=2e-3)


def test_a_still_pair_is_compared_with_itself():
    expected = np.full((8, 8, 1), 100, np.uint8)
    image = expected.copy()
    image[:4] = 110
    mask = np.ones((8, 8), bool)
    assert magnification._psnr(image, expected, mask) == pytest.approx(10 * np.log10(255**2 / 50))
    assert magnification._psnr(expected, expected, mask) == 99.0


def test_without_clips_nothing_is_measured(stages):  # noqa: F811
    root, faces, _, _, _ = stages
    found = magnification.assess(root, faces, [], OPTIONS)
    assert (found["clips"], found["methods"], found["static_psnr_db"]) == ([], {}, {})


def test_a_method_that_cannot_run_is_left_out(monkeypatch):
    def broken(weights):
        raise ImportError("no torch")

    monkeypatch.setattr("mer_features.stages.magnify.learned_model", broken)
    from mer_features.stages.magnify import available_methods

    assert available_methods() == ("phase", "eulerian")
    image = np.zeros((16, 16), np.uint8)
    with pytest.raises(ImportError, match="no torch"):
        magnify(image, image, 2, "learned")
