"""What the results of a run depend on, in the form in which it is compared with a row of a paper."""

from __future__ import annotations

from typing import Any

from mer_features.databases.options import FlowMapsDatabase
from mer_features.stages.options import Stage
from mer_features.systems.printed import plain
from mer_features.workflow.config import Config

#: Stages behind a group of the feature file.
_STAGES: dict[str, tuple[Stage, ...]] = {
    "faces": ("faces", "apex"),
    "spotting": ("faces", "apex"),
    "magnified": ("faces", "apex", "magnify"),
    "flow": ("faces", "apex", "flow"),
    "style": ("faces", "apex", "style"),
    "descriptors": ("faces", "apex", "flow"),
}
#: Keys that decide what is stored beside the input of a system, not the input itself.
_STORED = {"apex": ("spotters",), "flow": ("pairs",), "style": ("databases", "model")}


def setting(config: Config, name: str, protocol: str) -> dict[str, Any]:
    """Recipe, pre-training and stages of one run.

    Parameters
    ----------
    config
        The whole configuration.
    name, protocol
        Name of the system and of the protocol.

    Returns
    -------
    dict
        Plain values. ``recipe``: all keys. ``pretraining``: None, or a dict with ``task``, ``recipe``, ``databases``
        (adapters) and ``pretraining``, the one that it builds on. ``stages``: part of the preset (or name of the
        database) -> ``stage.key`` -> value, for the stages behind the groups that the system reads; empty for published
        maps. A path counts as ``a file``, whatever its name.
    """
    item = config.protocols[protocol]
    system = config.systems[name].reading(config.groups_of(item.databases))
    recipe = system.full_recipe
    parts = dict(zip(item.databases, item.roles or item.databases, strict=True))
    return {
        "recipe": plain(recipe),
        "pretraining": _pretraining(config, system.pretrained),
        "stages": {part: _stages(config, database, recipe.groups) for database, part in parts.items()},
    }


def _pretraining(config: Config, name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    task = config.pretraining[name]
    databases = config.protocols[task.protocol].databases if task.protocol else task.databases
    return {
        "task": task.task,
        "recipe": plain(task.full_recipe),
        "databases": sorted({config.databases[database].adapter for database in databases}),
        "pretraining": _pretraining(config, task.pretrained),
    }


def _stages(config: Config, database: str, groups: tuple[str, ...]) -> dict[str, Any]:
    """Options of the stages behind some groups of one database, by ``stage.key``."""
    if isinstance(config.databases[database], FlowMapsDatabase):
        return {}
    features = config.features_of(database)
    stages = dict.fromkeys(stage for group in groups for stage in _STAGES.get(group, ()))
    found = {
        f"{stage}.{key}": value
        for stage in stages
        for key, value in plain(features.options(stage)).items()
        if key not in _STORED.get(stage, ())
    }
    if "style" in groups:
        found["style.databases"] = sorted({config.databases[name].adapter for name in config.style.databases})
    return found
