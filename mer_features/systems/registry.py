"""Typed recipes of all systems, the papers' values as defaults; free of torch, so that a config is checked fast.

A system is a folder ``systems/<name>``, its recipe in ``recipe.py``, its training in ``train.py``, and one entry here;
so is a pre-training task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.systems.baselines.recipe import (
    DualInceptionRecipe,
    LinearRecipe,
    OffApexNetRecipe,
    StstNetRecipe,
    SvmRecipe,
)
from mer_features.systems.common.recipe import Recipe
from mer_features.systems.eidnet.recipe import EIDNetRecipe, MacroNetRecipe
from mer_features.systems.fr.recipe import FRRecipe
from mer_features.systems.ma2mi.recipe import AutoencoderRecipe, FutureFrameRecipe, MA2MIRecipe, MacroRecognitionRecipe
from mer_features.systems.map_mer.recipe import MapMerRecipe
from mer_features.systems.sa_at.recipe import SAATRecipe, SAATTeacherRecipe

__all__ = ["PRETRAINING", "RECIPES", "Recipe", "module_name", "pretraining_recipe", "recipe"]

#: System name -> its recipe.
RECIPES: dict[str, type[Recipe]] = {
    "fr": FRRecipe,
    "sa_at": SAATRecipe,
    "eidnet": EIDNetRecipe,
    "map_mer": MapMerRecipe,
    "ma2mi": MA2MIRecipe,
    "dual_inception": DualInceptionRecipe,
    "off_apexnet": OffApexNetRecipe,
    "ststnet": StstNetRecipe,
    "svm": SvmRecipe,
    "linear": LinearRecipe,
}

#: Pre-training task -> its recipe.
PRETRAINING: dict[str, type[Recipe]] = {
    "eidnet": MacroNetRecipe,
    "sa_at": SAATTeacherRecipe,
    "autoencoder": AutoencoderRecipe,
    "ma2mi": FutureFrameRecipe,
    "ma2mi_recognition": MacroRecognitionRecipe,
}

#: Where a system or task is, if not in ``systems/<name>/train.py``.
_MODULES = {
    "dual_inception": "baselines.dual_inception",
    "off_apexnet": "baselines.off_apexnet",
    "ststnet": "baselines.ststnet",
    "svm": "baselines.svm",
    "linear": "baselines.linear",
    "autoencoder": "ma2mi.autoencoder",
    "ma2mi_recognition": "ma2mi.recognition",
}


def module_name(system: str) -> str:
    """Dotted name of the module of a system (functions of :class:`SystemModule`) or of a pre-training task.

    Raises
    ------
    ValueError
        For a name that is neither.
    """
    if system not in RECIPES | PRETRAINING:
        raise ValueError(f"unknown system or pre-training task {system!r}; known: {', '.join(RECIPES | PRETRAINING)}")
    return f"mer_features.systems.{_MODULES.get(system, f'{system}.train')}"


def recipe(system: str, overrides: Mapping[str, Any] | None = None, ablation: str | None = None) -> Recipe:
    """The recipe of a system with a row of its ablation tables taken and some keys changed, in this order.

    Raises
    ------
    ValueError
        For an unknown system or ablation; pydantic's ``ValidationError`` (a ``ValueError``) for a wrong key.
    """
    kind = _find(RECIPES, "system", system)
    if ablation is not None and ablation not in kind.ablations:
        known = ", ".join(map(repr, kind.ablations)) or "none"
        raise ValueError(f"system {system!r} has no ablation {ablation!r}; known: {known}")
    row = kind.ablations[ablation] if ablation is not None else {}
    return kind.model_validate({**row, **(overrides or {})})


def pretraining_recipe(task: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a pre-training task with some keys changed; raises as :func:`recipe` does."""
    return _find(PRETRAINING, "pre-training task", task).model_validate(dict(overrides or {}))


def _find(known: Mapping[str, type[Recipe]], what: str, name: str) -> type[Recipe]:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known: {', '.join(known) or 'none'}")
    return known[name]
