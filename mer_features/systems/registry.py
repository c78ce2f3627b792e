"""Typed recipes of all systems and pre-training tasks; the defaults are the values of the papers.

A system is a folder ``systems/<name>`` with its recipe in ``recipe.py``, its training in ``train.py`` and one entry
here. The same holds for a pre-training task. This module does not import torch, so a configuration is checked
quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_features.systems.baselines.recipe import (
    CapsuleNetRecipe,
    DualInceptionRecipe,
    ImageNetFlowRecipe,
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
    "imagenet_flow": ImageNetFlowRecipe,
    "capsulenet": CapsuleNetRecipe,
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

#: Module of each system or task that is not in ``systems/<name>/train.py``.
_MODULES = {
    "dual_inception": "baselines.dual_inception",
    "off_apexnet": "baselines.off_apexnet",
    "ststnet": "baselines.ststnet",
    "imagenet_flow": "baselines.imagenet_flow",
    "capsulenet": "baselines.capsulenet",
    "svm": "baselines.svm",
    "linear": "baselines.linear",
    "autoencoder": "ma2mi.autoencoder",
    "ma2mi_recognition": "ma2mi.recognition",
}


def module_name(system: str) -> str:
    """Dotted name of the module of a system or of a pre-training task.

    The module of a system has the functions of :class:`mer_features.systems.common.contract.SystemModule`.

    Raises
    ------
    ValueError
        If the name is neither a system nor a task.
    """
    if system not in RECIPES | PRETRAINING:
        raise ValueError(f"unknown system or pre-training task {system!r}; known: {', '.join(RECIPES | PRETRAINING)}")
    return f"mer_features.systems.{_MODULES.get(system, f'{system}.train')}"


def recipe(system: str, overrides: Mapping[str, Any] | None = None, ablation: str | None = None) -> Recipe:
    """Build the recipe of a system: its defaults, then the keys of an ablation row, then the overrides.

    Raises
    ------
    ValueError
        If the system or the ablation is unknown. A wrong key raises pydantic's ``ValidationError``, a ``ValueError``.
    """
    recipe_class = _find(RECIPES, "system", system)
    if ablation is not None and ablation not in recipe_class.ablations:
        known = ", ".join(map(repr, recipe_class.ablations)) or "none"
        raise ValueError(f"system {system!r} has no ablation {ablation!r}; known: {known}")
    row = recipe_class.ablations[ablation] if ablation is not None else {}
    return recipe_class.model_validate({**row, **(overrides or {})})


def pretraining_recipe(task: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Build the recipe of a pre-training task with some keys changed; the errors are those of :func:`recipe`."""
    return _find(PRETRAINING, "pre-training task", task).model_validate(dict(overrides or {}))


def _find(known: Mapping[str, type[Recipe]], what: str, name: str) -> type[Recipe]:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known: {', '.join(known) or 'none'}")
    return known[name]
