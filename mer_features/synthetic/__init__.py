"""The embedded database: clips rendered from one photograph, with complete ground truth.

Virtual subjects are made from scikit-image's public-domain portrait by smooth changes of shape, colour and lighting.
Expressions are FACS action units that move the skin by fractions of a pixel to a few pixels. Head drift, flicker,
noise, blinks and JPEG compression make the clips as difficult as recordings. :func:`render_database` writes frames, an
annotation sheet and the ground truth; :func:`read_truth` reads the ground truth.

The modules are imported when a name is first used, so that importing this package is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mer_features.synthetic.planning import ClipPlan, plan
    from mer_features.synthetic.presets import PRESETS, Preset
    from mer_features.synthetic.render import RenderedClip, Truth, render_clip
    from mer_features.synthetic.store import read_truth, render_database

_MODULES = {
    "PRESETS": "presets",
    "Preset": "presets",
    "ClipPlan": "planning",
    "plan": "planning",
    "RenderedClip": "render",
    "Truth": "render",
    "render_clip": "render",
    "read_truth": "store",
    "render_database": "store",
}

__all__ = [
    "PRESETS",
    "ClipPlan",
    "Preset",
    "RenderedClip",
    "Truth",
    "plan",
    "read_truth",
    "render_clip",
    "render_database",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
