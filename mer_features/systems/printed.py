"""Results published in the papers, and whether one may stand beside a run.

They were measured on licensed databases and are quoted, not computed here. :func:`beside` alone decides: a result is
comparable if recipe, pre-training, stages, style and protocol of a run are those of the printed row. Otherwise the
differences are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mer_features.features.options import FeatureConfig
from mer_features.stages.options import STAGES
from mer_features.systems import registry
from mer_features.systems.baselines.printed import RIVALS
from mer_features.systems.baselines.printed import STATED as STATED_OF_RIVALS
from mer_features.systems.common.printed import Printed
from mer_features.systems.common.recipe import Recipe
from mer_features.systems.eidnet import printed as eidnet
from mer_features.systems.fr import printed as fr
from mer_features.systems.ma2mi import printed as ma2mi
from mer_features.systems.map_mer import printed as map_mer
from mer_features.systems.sa_at import printed as sa_at

#: All printed rows of each system, the paper's main result first.
ROWS: Mapping[str, tuple[Printed, ...]] = {
    "fr": fr.ROWS,
    "sa_at": sa_at.ROWS,
    "eidnet": eidnet.ROWS,
    "map_mer": map_mer.ROWS,
    "ma2mi": ma2mi.ROWS,
    **RIVALS,
}

#: Keys whose values the paper of a system prints; other keys are our choices.
STATED: Mapping[str, frozenset[str]] = {
    "fr": fr.STATED,
    "sa_at": sa_at.STATED,
    "eidnet": eidnet.STATED,
    "map_mer": map_mer.STATED,
    "ma2mi": ma2mi.STATED,
    **dict.fromkeys(RIVALS, STATED_OF_RIVALS),
}

#: Replaces every path: files have other names on every computer.
FILE = "a file"


@dataclass(frozen=True)
class Difference:
    """One key in which a run differs from a printed row."""

    key: str  # `recipe.epochs`, `pretraining.task`, `apex.policy@smic`
    measured: Any
    printed: Any
    stated: bool  # whether the paper gives the value; otherwise it is our choice for the row

    def __str__(self) -> str:
        if self.key == "recipe.source" and self.measured == "flow_maps":
            return "flow from the published maps of the real clips, not computed as in the paper"
        name, _, part = self.key.removeprefix("recipe.").partition("@")
        where = f" on {part}" if part else ""
        source = "paper" if self.stated else "ours for this row"
        return f"{name} is {_text(self.measured)}{where} ({source}: {_text(self.printed)})"


@dataclass(frozen=True)
class Beside:
    """A published result to show next to a measured one."""

    printed: Printed
    foreign: bool  # published for other clips, classes or folds: shown for reference only
    differences: tuple[Difference, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether the run is the printed one in every key."""
        return not self.foreign and not self.differences


def beside(system: str, setting: Mapping[str, Any], preset: str | None) -> Beside | None:
    """The published result for a run under a preset.

    Parameters
    ----------
    system
        System of the run.
    setting
        What its results depend on; see :func:`mer_features.workflow.setting.setting`.
    preset
        The published protocol that the run followed, with the same clips as far as counts can tell; None if it
        followed none.

    Returns
    -------
    Beside or None
        The row for this protocol that differs least from the run. If the paper has none for it, the row of another
        protocol that differs least, with ``foreign`` set; None if nothing was published.
    """
    rows = ROWS.get(system, ())
    same = [row for row in rows if row.protocol == preset]
    found = [Beside(row, not same, differences(row, system, setting)) for row in same or rows]
    return min(found, key=lambda item: len(item.differences), default=None)


def differences(row: Printed, system: str, setting: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Every key that differs between a run and a printed row; arguments as in :func:`beside`."""
    measured = _flat(setting)
    expected = _expected(row, system, setting)
    stated = {f"recipe.{key}" for key in _ablation(system, row.ablation)} | STATED.get(system, frozenset())
    # Only one of the two has the keys of a pre-training that the other does without: its task says enough.
    both = [key for key in {**measured, **expected} if key.endswith(".task") or (key in measured and key in expected)]
    keys = [key for key in both if measured.get(key) != expected.get(key)]
    found = [Difference(key, measured.get(key), expected.get(key), key.partition("@")[0] in stated) for key in keys]
    return tuple(_joined(found, list(setting["stages"])))


def plain(model: BaseModel) -> dict[str, Any]:
    """Keys of a section or recipe with plain values; a path becomes ``a file``."""
    values = {name: getattr(model, name) for name in type(model).model_fields}
    tree = model.model_dump(mode="json")
    names = {name: field.alias or name for name, field in type(model).model_fields.items()}
    return {names[name]: FILE if isinstance(value, Path) else tree[name] for name, value in values.items()}


def effective(recipe: Recipe) -> dict[str, Any]:
    """Keys of a recipe that have an effect, with the values that None means."""
    keys = {**plain(recipe), **recipe.filled}
    return {key: value for key, value in keys.items() if key not in recipe.idle}


def of_row(row: Printed, system: str, parts: Iterable[str] = ()) -> dict[str, Any]:
    """The setting of the run that a row describes, in the form of :func:`mer_features.workflow.setting.setting`.

    Parameters
    ----------
    row, system
        The row and its system.
    parts
        Parts of the preset; each gets the options of all stages.
    """
    recipe = effective(registry.recipe(system, _under("recipe.", row.setting), row.ablation))
    if recipe.get("source") == "auto":
        recipe["source"] = "flow"
    return {
        "recipe": recipe,
        "pretraining": _pretraining(_under("pretraining.", row.setting)),
        "stages": {part: _stages(row.setting, part) for part in parts},
        "options": {},
    }


def _expected(row: Printed, system: str, setting: Mapping[str, Any]) -> dict[str, Any]:
    """The setting of a printed row by key, for the parts, stages and options of a run's setting."""
    tree = of_row(row, system, setting["stages"])
    if system == "ststnet":  # its authors published the maps: they are its own input
        tree["recipe"]["source"] = setting["recipe"]["source"]
    for part, stages in setting["stages"].items():
        tree["stages"][part] = {key: value for key, value in tree["stages"][part].items() if key in stages}
    _fill_pretraining(tree["pretraining"], setting["pretraining"], _under("pretraining.", row.setting))
    options = setting["options"]
    tree["options"] = {key: [row.setting.get(key, default)] for key, (_, default) in options.items()}
    return _flat(tree)


def _pretraining(given: Mapping[str, Any]) -> dict[str, Any] | None:
    if "task" not in given:
        return None
    recipe = registry.pretraining_recipe(given["task"], _under("recipe.", given))
    return {
        "task": given["task"],
        "recipe": effective(recipe),
        "source": "all frames" if given["task"] in ("autoencoder", "ma2mi") else "labelled clips",
        "labels": given.get("labels"),
        "databases": list(given["databases"]),
        "stages": {adapter: _stages(given, adapter) for adapter in given["databases"]},
        "pretraining": _pretraining(_under("pretraining.", given)),
    }


def _fill_pretraining(
    tree: dict[str, Any] | None, measured: Mapping[str, Any] | None, given: Mapping[str, Any]
) -> None:
    """Compare the stages of a run's databases of pre-training, whichever they are, with those of the row."""
    if tree is None or measured is None:
        return
    for adapter, stages in measured["stages"].items():
        ours = _stages(given, adapter)
        tree["stages"][adapter] = {key: value for key, value in ours.items() if key in stages}
    _fill_pretraining(tree["pretraining"], measured["pretraining"], _under("pretraining.", given))


def _stages(given: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Options of database and stages of a printed row for one part: our defaults, and what the row sets."""
    defaults = {
        f"{stage}.{key}": value
        for stage in STAGES
        for key, value in plain(FeatureConfig.model_fields[stage].default).items()
    }
    defaults |= {"database.errata": True, "database.unlabelled": False, "database.excluded_subjects": 0}
    everywhere = {key: value for key, value in given.items() if "@" not in key}
    here = {key.partition("@")[0]: value for key, value in given.items() if key.endswith(f"@{part}")}
    return {**defaults, "style.databases": [], **everywhere, **here}


def _flat(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as one level of keys, without those that have no effect."""
    flat = {f"recipe.{key}": value for key, value in setting["recipe"].items()}
    prefix, task = "pretraining", setting["pretraining"]
    while task is not None:
        flat |= {f"{prefix}.{key}": task[key] for key in ("task", "source", "labels", "databases")}
        flat |= {f"{prefix}.recipe.{key}": value for key, value in task["recipe"].items()}
        flat |= _flat_stages(f"{prefix}.", task["stages"])
        prefix, task = f"{prefix}.pretraining", task["pretraining"]
    flat |= {key: value for key, (value, *_) in setting["options"].items()}
    return flat | _flat_stages("", setting["stages"])


def _flat_stages(prefix: str, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{prefix}{key}@{part}": value
        for part, stages in parts.items()
        for key, value in stages.items()
        if key not in _idle(stages)
    }


#: Keys of the search for a face.
_DETECTION = ("faces.detector", "faces.detect_side", "faces.min_score", "faces.landmark_model")


def _idle(stages: Mapping[str, Any]) -> set[str]:
    """Keys of stages that have no effect beside the others."""
    policy, method = stages.get("apex.policy"), stages.get("magnify.method")
    spotter = stages.get("apex.fallback") if policy == "annotated" else policy
    style = stages.get("style.method")
    without_effect = {
        "apex.fallback": policy != "annotated",
        "apex.lbp_points": spotter != "lbp_roi",
        "apex.lbp_radius_px": spotter != "lbp_roi",
        "faces.margin": stages.get("faces.mode") != "box",
        **dict.fromkeys(_DETECTION, stages.get("faces.mode") == "precropped"),
        "faces.register": stages.get("faces.per_frame", False),
        "magnify.factor": method == "none",
        "magnify.phase_synthesis": method != "phase",
        "magnify.phase_smoothing_px": method != "phase" or stages.get("magnify.phase_synthesis") != "transport",
        "magnify.eulerian_motion_px": method != "eulerian",
        "magnify.weights": method != "learned",
        "style.clusters": style not in ("statistical", "cyclegan"),
        "style.fit_on": style in ("none", "clahe"),
        "style.databases": style in ("none", "clahe"),
        "style.colour": style == "none",
    }
    return {key for key, idle in without_effect.items() if idle}


def _joined(found: list[Difference], parts: list[str]) -> list[Difference]:
    """Differences that are the same in every part of the preset, told once."""
    by_key: dict[str, list[Difference]] = {}
    for item in found:
        by_key.setdefault(item.key.partition("@")[0], []).append(item)
    joined = []
    for key, items in by_key.items():
        values = {(repr(item.measured), repr(item.printed)) for item in items}
        whole = "@" in items[0].key and len(items) == len(parts) and len(values) == 1
        joined += [Difference(key, items[0].measured, items[0].printed, items[0].stated)] if whole else items
    return joined


def _ablation(system: str, name: str | None) -> Mapping[str, Any]:
    return registry.RECIPES[system].ablations[name] if name is not None else {}


def _under(prefix: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return " and ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
