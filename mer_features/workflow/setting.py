"""What the results of a run depend on, in the form in which it is compared with a row of a paper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mer_features.databases.options import FlowMapsDatabase, OwnerDatabase
from mer_features.features.options import Cache
from mer_features.stages.options import FLOW_DESCRIPTORS, Stage
from mer_features.systems.common.recipe import Recipe
from mer_features.systems.printed import effective, plain
from mer_features.training.options import TrainStyle
from mer_features.workflow.config import Config

#: Stages behind a group of the feature file.
_STAGES: dict[str, tuple[Stage, ...]] = {
    "faces": ("faces", "apex"),
    "spotting": ("faces", "apex"),
    "magnified": ("faces", "apex", "magnify"),
    "flow": ("faces", "apex", "flow"),
    "style": ("faces", "apex", "style"),
}
#: Keys that decide what is stored beside the input of a system, not the input itself, or that follow from the database.
_STORED = {"faces": ("stills",), "apex": ("spotters",), "flow": ("pairs",), "style": ("databases", "model")}


def setting(config: Config, name: str, protocol: str) -> dict[str, Any]:
    """Recipe, pre-training, stages and further options of one run.

    Parameters
    ----------
    config
        The whole configuration.
    name, protocol
        Name of the system and of the protocol.

    Returns
    -------
    dict
        Plain values. ``recipe``: the keys that have an effect. ``pretraining``: None, or a dict with ``task``,
        ``recipe``, ``source`` (labelled clips or all frames), ``labels``, ``databases`` (adapters), ``stages`` and
        ``pretraining``, the one that it builds on. ``stages``: part of the preset (or name of the database) ->
        ``section.key`` -> value, for the database and the stages behind the groups that the system reads; empty for
        published maps. ``options``: other keys with an effect, each with its value and its default. A path counts as
        ``a file``, whatever its name.
    """
    item = config.protocols[protocol]
    system = config.systems[name].reading(config.groups_of(item.databases))
    recipe = system.full_recipe
    parts = dict(zip(item.databases, item.roles or item.databases, strict=True))
    return {
        "recipe": effective(recipe),
        "pretraining": _pretraining(config, system.pretrained),
        "stages": {part: _database(config, database, recipe) for database, part in parts.items()},
        "options": {"protocol.transfer_folds": [item.transfer_folds, None]} | _options(config, recipe),
    }


def _options(config: Config, recipe: Recipe) -> dict[str, list[Any]]:
    """Options outside the stages that decide the input of a system, each with its default."""
    options: dict[str, list[Any]] = {}
    if recipe.reads_keyframes:
        options["cache.keyframes"] = [config.cache.keyframes, Cache().keyframes]
    if "style" in recipe.groups and config.style.method == "cyclegan":
        options["style.model"] = ["a file" if config.style.model else None, None]
        if not config.style.model:
            defaults = plain(TrainStyle())
            options |= {
                f"train_style.{key}": [value, defaults[key]] for key, value in plain(config.train_style).items()
            }
            del options["train_style.checkpoint_steps"]
    return options


def _pretraining(config: Config, name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    task = config.pretraining[name]
    protocol = config.protocols[task.protocol] if task.protocol else None
    databases = protocol.databases if protocol else task.databases
    labels = protocol.labels if protocol else None
    return {
        "task": task.task,
        "recipe": effective(task.full_recipe),
        "source": "labelled clips" if protocol else "all frames",
        "labels": labels if labels is None or isinstance(labels, str) else sorted(labels),
        "databases": sorted({config.databases[database].adapter for database in databases}),
        "stages": {config.databases[item].adapter: _database(config, item, task.full_recipe) for item in databases},
        "pretraining": _pretraining(config, task.pretrained),
    }


def _database(config: Config, name: str, recipe: Recipe) -> dict[str, Any]:
    """Options of a database and of the stages behind what a recipe reads, by ``section.key``."""
    item = config.databases[name]
    if isinstance(item, FlowMapsDatabase):
        return {}
    features = config.features_of(name)
    found = {
        f"{stage}.{key}": value
        for stage in dict.fromkeys(_stages(recipe))
        for key, value in plain(features.options(stage)).items()
        if key not in _STORED.get(stage, ())
    }
    if "style" in recipe.groups:
        found["style.databases"] = sorted({config.databases[other].adapter for other in config.style.databases})
    if isinstance(item, OwnerDatabase):
        found |= {"database.errata": item.errata, "database.unlabelled": item.unlabelled}
        found["database.excluded_subjects"] = len(item.exclude_subjects)
    return found


def _stages(recipe: Recipe) -> Iterable[Stage]:
    """Stages behind what a recipe reads."""
    descriptor = getattr(recipe, "descriptor", None)
    if descriptor is not None:
        return _STAGES["flow"] if descriptor in FLOW_DESCRIPTORS else ("faces",)
    return [stage for group in recipe.groups for stage in _STAGES.get(group, ())]
