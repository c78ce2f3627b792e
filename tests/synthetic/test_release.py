"""A change of what is rendered needs a new release number, or embedded databases would stay as they were."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mer_features.synthetic.planning import plan
from mer_features.synthetic.presets import preset
from mer_features.synthetic.render import render_clip
from mer_features.synthetic.renderer import RELEASE

STORED = Path(__file__).parents[1] / "data" / "rendered.npz"
PRESETS = ("tiny", "demo", "cde-smic")
#: Rounding of another machine's arithmetic: grey levels, pixels of motion.
LEVELS, MOTION_PX = 2, 0.01


def _sample(name: str) -> dict[str, np.ndarray]:
    """Onset and apex frame of the first clip, and its ground-truth flow, every fourth pixel."""
    settings = preset(name)
    clip = render_clip(plan(name, 0)[0], settings)
    frames = clip.frames[[0, plan(name, 0)[0].apex_index]]
    return {"frames": frames[:, ::4, ::4], "flow": clip.truth.flow[:, ::4, ::4].astype(np.float32)}


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_rendered_is_that_of_the_release(name: str):
    with np.load(STORED) as stored:
        assert int(stored["release"]) == RELEASE, f"run `python {Path(__file__).name}` to store the new release"
        sample = _sample(name)
        levels = np.abs(sample["frames"].astype(int) - stored[f"{name}/frames"]).max()
        motion = np.abs(sample["flow"] - stored[f"{name}/flow"]).max()
    hint = f"if the change is meant, raise RELEASE and run `python {Path(__file__).name}`"
    assert levels <= LEVELS, hint
    assert motion <= MOTION_PX, hint


if __name__ == "__main__":
    arrays = {f"{name}/{kind}": values for name in PRESETS for kind, values in _sample(name).items()}
    np.savez_compressed(STORED, release=RELEASE, **arrays)
    sys.stdout.write(f"wrote {STORED}\n")
