"""Typed configuration: the one source of every name, default and bound.

A YAML tree with the sections of :class:`Config`. Only ``databases`` has to be written; everything else has a
default. What cannot change a result (threads, device, memory) lives in :class:`Resources` alone, so that it never
reaches the parameters by which the workflow decides what to run again.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from mer_features.core.section import Section
from mer_features.databases.options import (
    AnyRecordings,
    Database,
    FlowMapsDatabase,
    RecordingClips,
    SyntheticDatabase,
    SyntheticRecordings,
)
from mer_features.features.options import FeatureConfig, MapsConfig
from mer_features.protocols.options import Protocol
from mer_features.spotting.options import RegionSpotter, Spotter
from mer_features.stages.options import Overrides, SignalOptions
from mer_features.systems.common.recipe import Recipe, common_groups
from mer_features.training.options import MagnifierTraining, Pretraining, Resources, System, TrainStyle
from mer_features.workflow.tree import SHORT, ConfigError, completed, merge, read_tree

__all__ = [
    "CommandConfig",
    "Config",
    "ConfigError",
    "Spotting",
    "completed",
    "load",
    "load_for_command",
    "merge",
    "read_tree",
    "validate",
]

C = TypeVar("C", bound=FeatureConfig)

#: Names are also used for files and folders.
_LONGEST_NAME = 64


class CommandConfig(FeatureConfig):
    """What commands without a database read: features, and training of the generators and the magnifier."""

    train_style: TrainStyle = Field(TrainStyle(), description="Training for `style: {method: cyclegan}`.")
    train_magnifier: MagnifierTraining = Field(MagnifierTraining(), description="Training of the learned magnifier.")
    signals: SignalOptions = Field(SignalOptions(), description="Motion of face regions in recordings.")
    resources: Resources = Field(Resources(), description="Threads, memory, device.")


class Spotting(Section):
    """A spotter, and the recordings in which it searches."""

    recordings: tuple[str, ...] = Field(description="Names of sets of recordings.", min_length=1)
    spotter: Spotter = Field(RegionSpotter(), description="The method and its options.")


class Config(CommandConfig):
    """The whole tree: what a feature file is made with, and databases, recordings, protocols, systems, resources."""

    databases: dict[str, Database] = Field(default_factory=dict, description="Databases of clips by name.")
    recordings: dict[str, AnyRecordings] = Field(
        default_factory=dict, description="Sets of recordings, in which expressions are searched, by name."
    )
    spotting: dict[str, Spotting] = Field(
        default_factory=dict, description="Spotters, which find expressions in recordings, by name."
    )
    protocols: dict[str, Protocol] = Field(default_factory=dict, description="Protocols by name.")
    pretraining: dict[str, Pretraining] = Field(
        default_factory=dict, description="Pre-trainings on macro-expression databases by name."
    )
    systems: dict[str, System] = Field(default_factory=dict, description="Trained systems by name.")

    @field_validator("databases", "recordings", "spotting", "protocols", "pretraining", "systems")
    @classmethod
    def _plain_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if len(name) > _LONGEST_NAME or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(
                    f"{SHORT.repr(name)}: names may hold letters, digits, - and _ only, at most {_LONGEST_NAME}"
                )
        return value

    @model_validator(mode="after")
    def _has_data(self) -> Config:
        if not self.databases and not self.recordings:
            raise ValueError("databases: found none, and no recordings; expected at least one of either")
        if shared := self.databases.keys() & self.recordings.keys():
            raise ValueError(f"recordings.{min(shared)}: a database has this name; expected another one")
        return self

    @model_validator(mode="after")
    def _recordings_exist(self) -> Config:
        for name, item in self.spotting.items():
            _require(f"spotting.{name}.recordings", item.recordings, self.recordings)
        for name, database in self.databases.items():
            if not isinstance(database, RecordingClips):
                continue
            _require(f"databases.{name}.recordings", (database.recordings,), self.recordings)
            if database.spotter is not None:
                _require(f"databases.{name}.spotter", (database.spotter,), self.spotting)
                searched = self.spotting[database.spotter].recordings
                if database.recordings not in searched:
                    raise ValueError(
                        f"databases.{name}.spotter: {database.spotter!r} searches in {', '.join(searched)}, not in "
                        f"{database.recordings!r}"
                    )
        for name, protocol in self.protocols.items():
            self._require_spots(name, protocol)
            self._require_other_people(name, protocol)
        if "annotated" in self.spotting:
            raise ValueError("spotting.annotated: events that are annotated are called so; expected another name")
        return self

    def _require_other_people(self, name: str, protocol: Protocol) -> None:
        """Clips of the same recordings are of the same people, who would be called differently in two databases."""
        cut = [item for item in protocol.databases if isinstance(self.databases.get(item), RecordingClips)]
        for one in cut:
            for other in protocol.databases:
                if other in self.databases and other != one and self._recordings(one) == self._recordings(other):
                    raise ValueError(
                        f"protocols.{name}.databases: {one!r} and {other!r} are of the same recordings, so people held "
                        "out in one would be trained on in the other; expected one database, e.g. with "
                        "`kinds: [micro, macro]`"
                    )

    def _require_spots(self, name: str, protocol: Protocol) -> None:
        """Spots and the annotated clips that they are recognised with must be of the same recordings."""
        _require(f"protocols.{name}.spots", tuple(protocol.spots), self.databases)
        for spots, events in protocol.spots.items():
            found, annotated = self.databases[spots], self.databases.get(events)
            if not isinstance(found, RecordingClips) or found.spotter is None:
                raise ValueError(
                    f"protocols.{name}.spots: {spots!r} has no spots; expected `adapter: recordings` and a `spotter`"
                )
            events_of = (
                annotated.recordings if isinstance(annotated, RecordingClips) and not annotated.spotter else None
            )
            if events_of != found.recordings:
                raise ValueError(
                    f"protocols.{name}.spots: {events!r} is not of the annotated events of {found.recordings!r}; "
                    "expected `adapter: recordings` with the same `recordings` and no `spotter`"
                )

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for name, protocol in self.protocols.items():
            _require(f"protocols.{name}.databases", protocol.databases, self.databases)
        for name, system in self.systems.items():
            _require(f"systems.{name}.protocols", system.protocols, self.protocols)
            self._require_task(f"systems.{name}.pretrained", system.pretrained, system.full_recipe.pretraining)
            self._refuse_leak(name, system)
        for name, task in self.pretraining.items():
            _require(f"pretraining.{name}.databases", task.databases, self.databases)
            _require(f"pretraining.{name}.protocol", (task.protocol,) if task.protocol else (), self.protocols)
            self._require_task(f"pretraining.{name}.pretrained", task.pretrained, task.full_recipe.pretraining)
        _require("style.databases", self.style.databases, self.databases)
        return self

    @model_validator(mode="after")
    def _features_are_there(self) -> Config:
        """Every system and pre-training finds the groups that it reads in the feature files of its databases."""
        for name, system in self.systems.items():
            for protocol in system.protocols:
                databases = self.protocols[protocol].all_databases
                self._require_groups(f"systems.{name}", system.full_recipe, databases, self.groups_of)
                self._require_descriptor(f"systems.{name}", system.full_recipe, databases)
        for name, task in self.pretraining.items():
            labelled = self.protocols[task.protocol].databases if task.protocol else ()
            databases = (*labelled, *task.databases)
            # A style that is fitted in each fold does not exist before the folds.
            self._require_groups(f"pretraining.{name}", task.full_recipe, databases, self._stored_groups)
        for name in self.style.databases:
            if "faces" not in self.features_of(name).groups:
                raise ValueError(f"style.databases: {name} is of {self.databases[name].adapter}, which has no faces")
        return self

    def _require_groups(
        self,
        where: str,
        recipe: Recipe,
        databases: tuple[str, ...],
        groups_of: Callable[[tuple[str, ...]], frozenset[str]],
    ) -> None:
        try:
            recipe.reading(groups_of(databases))
        except ValueError as error:
            off = {
                "style": "style.method is `none`" * (self.style.method == "none"),
                "magnified": "magnify.method is `none`" * (self.magnify.method == "none"),
                "descriptors": "descriptors.methods is empty" * (not self.descriptors.methods),
            }
            hints = "".join(f"; {off[group]}" for group in recipe.groups if off.get(group))
            raise ValueError(f"{where}: {error} (databases {', '.join(databases)}){hints}") from None

    def groups_of(self, databases: Iterable[str]) -> frozenset[str]:
        """Groups that the feature files of all these databases will have, with a style that is fitted in each fold."""
        shared = self._stored_groups(databases)
        return shared | {"style"} if self.style.per_fold and "faces" in shared else shared

    def _stored_groups(self, databases: Iterable[str]) -> frozenset[str]:
        return common_groups({name: self.features_of(name).groups for name in databases})

    def _require_descriptor(self, where: str, recipe: Recipe, databases: tuple[str, ...]) -> None:
        wanted = getattr(recipe, "descriptor", None)
        for name in databases:
            methods = self.features_of(name).descriptors.methods
            if wanted is not None and wanted not in methods:
                raise ValueError(
                    f"{where}: it reads the descriptor {wanted}, and descriptors.methods of {name} has "
                    f"{', '.join(methods) or 'none'}"
                )

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Config:
        for name, database in self.databases.items():
            if isinstance(database, FlowMapsDatabase) and database.overrides != Overrides():
                raise ValueError(f"databases.{name}.overrides: no stage runs on published flow maps; leave the key out")
            try:
                features = self.features_of(name)
            except ValueError as error:
                raise ValueError(f"databases.{name}.overrides: {error}") from None
            features.require_inputs(f" of {name}")
        return self

    def _refuse_leak(self, name: str, system: System) -> None:
        """No pre-training may learn from a database whose subjects are held out."""
        tested = {database for item in system.protocols for database in self.protocols[item].all_databases}
        recordings = {self._recordings(database): database for database in tested}
        entry = system.pretrained
        for _ in self.pretraining:  # a chain is no longer than that
            if entry is None or entry not in self.pretraining:
                break
            task = self.pretraining[entry]
            labelled = self.protocols[task.protocol].databases if task.protocol in self.protocols else ()
            learned = {*task.databases, *labelled}
            if shared := tested & learned:
                raise ValueError(f"systems.{name}.pretrained: {entry!r} learns from {min(shared)!r}, which is tested")
            for database in sorted(learned):
                if (other := recordings.get(self._recordings(database))) is not None:
                    raise ValueError(
                        f"systems.{name}.pretrained: {entry!r} learns from {database!r}, which has the folder of "
                        f"{other!r}, which is tested"
                    )
            entry = task.pretrained

    def _recordings(self, database: str) -> tuple[str, Path]:
        """What two entries for the same people have in common, whatever their names."""
        item = self.databases[database]
        if isinstance(item, RecordingClips):
            films = self.recordings[item.recordings]
            return films.adapter, films.folder(item.recordings).absolute()
        return item.adapter, self.database_root(database).absolute()

    def _require_task(self, where: str, name: str | None, task: str | None) -> None:
        """A named pre-training must exist and be of the task that is needed."""
        if name is None:
            return
        _require(where, (name,), self.pretraining)
        if self.pretraining[name].task != task:
            raise ValueError(f"{where}: {name!r} is of task {self.pretraining[name].task!r}, expected {task!r}")

    @model_validator(mode="after")
    def _external_is_external(self) -> Config:
        learned_only = {task.protocol for task in self.pretraining.values()} - {
            protocol for system in self.systems.values() for protocol in system.protocols
        }
        tested = {
            database
            for name, item in self.protocols.items()
            if name not in learned_only
            for database in item.test or item.all_databases
        }
        people = {self._recordings(database) for database in tested}
        if shared := [name for name in self.style.databases if name in tested or self._recordings(name) in people]:
            raise ValueError(
                f"style.databases: {', '.join(sorted(shared))} would be fitted on and is tested by a protocol; "
                "external databases are not, or say `fit_on: all`"
            )
        return self

    def features_of(self, database: str) -> FeatureConfig:
        """Stages and feature file of one database, its overrides applied."""
        item = self.databases[database]
        if isinstance(item, FlowMapsDatabase):
            return MapsConfig.model_construct(**{name: getattr(self, name) for name in FeatureConfig.model_fields})
        return self.overridden(item.overrides)

    def database_root(self, name: str) -> Path:
        """Folder of one database."""
        return self.databases[name].folder(name)

    def synthetic_seed(self, name: str) -> int:
        """Seed of one embedded database, or of one set of embedded recordings."""
        seed = getattr(self.databases.get(name, self.recordings.get(name)), "seed", None)
        return self.seed if seed is None else seed

    def embedded(self, database: str) -> bool:
        """Whether a database is rendered, or cut from rendered recordings."""
        item = self.databases[database]
        if isinstance(item, RecordingClips):
            return isinstance(self.recordings[item.recordings], SyntheticRecordings)
        return isinstance(item, SyntheticDatabase)


def _require(where: str, names: tuple[str, ...], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not defined; defined: {', '.join(known) or 'none'}")


#: Keys of a workflow's configuration that commands without databases pass over.
WORKFLOW_ONLY = frozenset(Config.model_fields) - frozenset(CommandConfig.model_fields)


def validate(tree: Mapping[str, Any], origin: str = "configuration") -> Config:
    """Typed configuration from a plain tree.

    Raises
    ------
    ConfigError
        Listing every wrong key with its place, the value found and what is accepted.
    """
    return _validate(Config, tree, origin)


def load_for_command(path: Path | str | None) -> CommandConfig:
    """What a command without databases reads of a workflow's configuration; the defaults without a file.

    Databases, protocols, systems and pre-trainings are passed over. Raises :class:`ConfigError`.
    """
    tree = read_tree(path) if path else {}
    return _validate(CommandConfig, {key: value for key, value in tree.items() if key not in WORKFLOW_ONLY}, str(path))


def _validate(model: type[C], tree: Mapping[str, Any], origin: str) -> C:
    try:
        return model.model_validate(dict(tree))
    except ValidationError as error:
        lines = [f"  {_explain(item)}" for item in error.errors()]
        unknown = {item["loc"][:-1]: None for item in error.errors() if item["type"] == "extra_forbidden"}
        lines += [f"  {'.'.join(map(str, place)) or 'top level'} accepts: {_accepted(place)}" for place in unknown]
        raise ConfigError(f"{origin}:\n" + "\n".join(lines)) from None


def load(path: Path | str) -> Config:
    """Typed configuration from a YAML file; raises :class:`ConfigError`."""
    return validate(read_tree(path), str(path))


def _explain(item: Mapping[str, Any]) -> str:
    place = [str(part) for part in item["loc"]]
    key = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{key}: unknown key{hint}"
    message = item["msg"].removeprefix("Value error, ")
    found = "" if item["type"] in {"missing", "value_error"} else f"; found {SHORT.repr(item['input'])}"
    return f"{key or 'top level'}: {message}{found}"


def _accepted(place: Iterable[object]) -> str:
    return ", ".join(_keys_at(map(str, place)))


def _keys_at(place: Iterable[str]) -> list[str]:
    """Keys accepted at a place of the tree, which has names of map entries and tags of unions in it."""
    here: Any = Config
    for part in place:
        here = _inside(here, part)
    models = [here] if _is_model(here) else [item for item in _members(here) if _is_model(item)]
    fields = [[info.alias or name for name, info in model.model_fields.items()] for model in models]
    return [key for key in fields[0] if all(key in others for others in fields)] if fields else []


def _inside(here: Any, part: str) -> Any:
    """The type of an entry of a section, a map or a union."""
    if _is_model(here):
        return here.model_fields[part].annotation if part in here.model_fields else here
    if get_origin(here) is dict:
        return get_args(here)[1]
    for member in filter(_is_model, _members(here)):
        tags = [member.model_fields[name].annotation for name in ("adapter", "method") if name in member.model_fields]
        if any(part in get_args(tag) for tag in tags):
            return member
    return here


def _members(union: Any) -> tuple[Any, ...]:
    """Types of a union, which may be annotated."""
    return _members(get_args(union)[0]) if get_origin(union) is Annotated else get_args(union)


def _is_model(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, BaseModel)
