"""Typed configuration: the one source of every name, default and bound.

A YAML tree with the sections of :class:`Config`. Only ``databases`` has to be written; everything else has a
default. What cannot change a result (threads, device, memory) lives in :class:`Resources` alone, so that it never
reaches the parameters by which the workflow decides what to run again.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from mer_features.protocols import labels, presets
from mer_features.sections import Cache, Magnify, MagnifyMethod, Section  # noqa: F401  # taken from here by others
from mer_features.systems import recipes

Spotter = Literal["interframe_diff", "lbp_roi", "roi_diff", "midpoint"]
FlowMethod = Literal["tvl1", "skimage_tvl1", "farneback", "dis"]
FlowPair = Literal["onset_apex", "offset_apex", "onset_amplified", "offset_amplified"]
Stage = Literal["faces", "apex", "magnify", "flow"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Faces(Section):
    """Face detection, landmarks, alignment and cropping."""

    mode: Literal["aligned", "box", "precropped"] = Field(
        "aligned",
        description="`aligned`: similarity transform that brings eyes and nose to fixed places; `box`: the "
        "detector's square box, as the papers crop; `precropped`: the frames are faces already, only resized.",
    )
    size: int = Field(256, ge=32, le=1024, description="Side of the square crop in pixels.")
    detector: Literal["libfacedetection", "dlib_hog"] = Field(
        "libfacedetection", description="Face detector; the papers name libfacedetection."
    )
    detect_side: int = Field(
        320,
        ge=80,
        le=4096,
        description="Frames are reduced until their longer side is at most this many pixels "
        "before detection; the box is then refined by landmarks at full size. Larger finds smaller faces, slower.",
    )
    min_score: float = Field(0.6, ge=0, le=1, description="Detections below this score are ignored.")
    margin: float = Field(0.0, ge=0, le=1, description="`box` mode: fraction of the box side added on every side.")
    register_method: Literal["none", "lk", "ecc"] = Field(
        "lk",
        alias="register",
        description="Removal of rigid head motion against the onset frame: `lk` tracks points, `ecc` maximises "
        "correlation (slower, and a smile leaks into its head motion), `none` applies the onset frame's "
        "crop to all frames.",
    )
    per_frame: bool = Field(
        False,
        description="Detect and align every frame anew, for footage with large head motion. Adds about "
        "half a pixel of jitter, as much as a micro-expression moves: do not use it before flow.",
    )
    landmark_model: Path | None = Field(
        None,
        description="A dlib 68-point shape predictor to use instead of the packaged one, whose training "
        "data (300-W) excludes commercial use.",
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Apex(Section):
    """Apex spotting."""

    policy: Literal["annotated", "interframe_diff", "lbp_roi", "roi_diff", "midpoint"] = Field(
        "annotated",
        description="Where the apex comes from; `annotated` takes the sheet's and `fallback` where "
        "the sheet has none or one outside onset..offset.",
    )
    fallback: Spotter = Field(
        "roi_diff", description="Spotter used where no annotated apex is usable; FR uses `interframe_diff`."
    )
    spotters: tuple[Spotter, ...] = Field(
        ("interframe_diff", "lbp_roi", "roi_diff", "midpoint"),
        description="Spotters whose curves are computed and stored.",
    )
    lbp_points: Literal[8] = Field(8, description="LBP neighbours P.")
    lbp_radius_px: int = Field(1, ge=1, le=3, description="LBP radius R in pixels of the crop.")

    @model_validator(mode="after")
    def _chosen_is_computed(self) -> Apex:
        needed = {self.fallback} | ({self.policy} - {"annotated"})
        if missing := needed - set(self.spotters):
            raise ValueError(f"spotters must include {', '.join(sorted(missing))}, which policy or fallback uses")
        return self


class Flow(Section):
    """Optical flow and strain between key frames of the crop."""

    method: FlowMethod = Field("tvl1", description="Flow estimator.")
    light: Literal["matched", "as_recorded"] = Field(
        "matched",
        description="`matched`: a change of the lamp between the two frames (gain, fall-off, black level) is removed "
        "first, because flow methods take it for motion; `as_recorded`: the papers' literal reading.",
    )
    pairs: tuple[FlowPair, ...] = Field(
        ("onset_apex", "offset_apex"),
        description="Frame pairs, reference first; `amplified` is the apex as the section `magnify` makes it.",
        min_length=1,
    )

    @property
    def amplified(self) -> bool:
        """Whether a pair needs the amplified apex."""
        return any(pair.endswith("_amplified") for pair in self.pairs)


class Overrides(Section):
    """Keys of the stage sections that differ for one database."""

    faces: dict[str, Any] = Field(default_factory=dict, description="Keys of `faces`.")
    apex: dict[str, Any] = Field(default_factory=dict, description="Keys of `apex`.")
    magnify: dict[str, Any] = Field(default_factory=dict, description="Keys of `magnify`.")
    flow: dict[str, Any] = Field(default_factory=dict, description="Keys of `flow`.")


class _Database(Section):
    shards: int = Field(
        16,
        ge=1,
        le=4096,
        description="Number of groups of subjects, the unit of work of every stage: choose it "
        "so that a job runs half a minute or more. Changing it moves every subject.",
    )
    overrides: Overrides = Field(Overrides(), description="Stage keys that differ for this database.")


class SyntheticDatabase(_Database):
    """The embedded database with known truth, rendered into `root` when missing."""

    adapter: Literal["synthetic"]
    root: Path | None = Field(None, description="Folder to render into; default `results/data/<name>`.")
    preset: Literal["demo", "cde-smic", "cde-casme2", "cde-samm", "macro", "tiny"] = Field(
        "demo", description="Size, rate and nuisance of the rendered clips."
    )
    seed: int | None = Field(None, ge=0, description="Default: the global seed.")


class TableDatabase(_Database):
    """Own data: a TSV or CSV with one line a clip."""

    adapter: Literal["table"]
    root: Path = Field(description="Folder that the table's paths are relative to; nothing outside is opened.")
    table: Path = Field(description="The TSV or CSV, relative to `root` or absolute.")


OwnerAdapter = Literal[
    "casme", "casme2", "casmesq", "casme3", "samm", "smic", "mmew", "4dme",
    "ckplus", "bu3dfe", "dfew", "ferv39k", "afew",
]  # fmt: skip


class OwnerDatabase(_Database):
    """A database as its owner distributes it."""

    adapter: OwnerAdapter
    root: Path = Field(description="Folder the owner's archive was unpacked into; nothing outside is opened.")
    sheet: Path | None = Field(
        None, description="Annotation sheet, relative to `root` or absolute; by default found by looking."
    )
    variant: str | None = Field(
        None, description="Which of the owner's releases or parts to read; see the database's page in docs/databases."
    )
    errata: bool = Field(True, description="Apply the known corrections of the sheet; each use is reported.")
    unlisted: bool = Field(
        False,
        description="Add the clip that is on disk but in no public sheet (CASME II sub24/EP02_07); the protocols "
        "`casme2-5-benchmark`, `casme2-4` and `cdmer-7` to `cdmer-12` count it.",
    )


Database = Annotated[SyntheticDatabase | TableDatabase | OwnerDatabase, Field(discriminator="adapter")]


class Protocol(Section):
    """A classification task: which clips, which classes, which folds."""

    preset: str | None = Field(
        None,
        description="A published protocol by name (docs/protocols.md): it brings label maps, folds and the number of "
        "clips it must hold, and wants to know which database plays which part: `databases: {part: database}`.",
    )
    databases: tuple[str, ...] = Field(description="Databases taken together.", min_length=1)
    roles: tuple[str, ...] = Field(
        (), description="Parts that `databases` play in the preset, in their order; filled in from `{part: database}`."
    )
    labels: str | dict[str, tuple[str, ...]] = Field(
        "megc2019",
        description="A named label map, or class -> the owners' emotion words; clips with other words are left out.",
    )
    folds: Literal["loso", "transfer"] | Annotated[int, Field(ge=2)] = Field(
        "loso",
        description="`loso`: leave one subject out; a number: that many folds of whole subjects; `transfer`: train on "
        "whole databases and test on the whole of those in `test`.",
    )
    test: tuple[str, ...] = Field((), description="With `folds: transfer`, the databases that are tested.")
    accept_counts: bool = Field(False, description="Go on, with a warning, though a preset's counts are not met.")

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, tree: Any) -> Any:
        """Fill in what a preset fixes; a dumped protocol is filled in already and stays as it is."""
        if not isinstance(tree, Mapping):
            return tree
        if tree.get("preset") is None:
            if isinstance(tree.get("databases"), Mapping) or tree.get("roles"):
                raise ValueError("databases: parts go with `preset`; without one, give a list of databases")
            return tree
        preset = presets.find(tree["preset"])
        names = presets.by_role(tree["preset"], tree.get("databases"), tree.get("roles"))
        fixed = {"labels": tree["preset"], "folds": preset.folds, "test": [names[role] for role in preset.test]}
        for key, value in fixed.items():
            given = tree.get(key, value)
            if (list(given) if isinstance(given, tuple) else given) != value:
                raise ValueError(f"{key}: preset {tree['preset']!r} fixes it; leave it out, or leave out the preset")
        return {**tree, **fixed, "databases": [names[role] for role in preset.roles], "roles": preset.roles}

    @model_validator(mode="after")
    def _fits_together(self) -> Protocol:
        if len(set(self.databases)) < len(self.databases):
            raise ValueError(f"databases: listed twice in {', '.join(self.databases)}")
        if self.accept_counts and not self.preset:
            raise ValueError("accept_counts: goes with `preset`; a protocol of your own has no published counts")
        if (self.folds == "transfer") != bool(self.test):
            raise ValueError("test: names the databases to test with `folds: transfer`, and goes with nothing else")
        if self.test and not set(self.test) < set(self.databases):
            raise ValueError(
                f"test: found {', '.join(self.test)}; expected some of {', '.join(self.databases)}, not all"
            )
        if not self.preset:
            labels.configured(self.labels)
        return self


class System(Section):
    """A recognition system trained under one or more protocols."""

    system: str = Field(description="Name of the system, e.g. `fr`.")
    protocols: tuple[str, ...] = Field(description="Protocols to run it under.", min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), description="One complete run per seed.", min_length=1)
    folds_per_job: int = Field(70, ge=1, description="Folds trained in one job, one after the other.")
    embedding: bool = Field(
        True, description="Train one more model on half of the subjects, for pictures of its features (t-SNE)."
    )
    shuffle_labels: bool = Field(
        False, description="Control: train on labels shuffled within the training folds; must fall to chance."
    )
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="Keys of the system's recipe that differ from its paper's values."
    )

    @model_validator(mode="after")
    def _recipe_is_known(self) -> System:
        recipes.recipe(self.system, self.recipe)
        return self


class Resources(Section):
    """What cannot change a result: never part of a stage's parameters."""

    stage_threads: int = Field(1, ge=1, description="Processes a stage job uses for its clips.")
    train_threads: int = Field(1, ge=1, description="CPU threads of a training job.")
    stage_mem_mb: int = Field(1500, ge=150, description="Memory asked for by a stage job.")
    train_mem_mb: int = Field(2500, ge=150, description="Memory asked for by a training job.")
    device: Literal["cpu", "gpu", "auto"] = Field("cpu", description="Where training runs.")
    keep_weights: bool = Field(False, description="Keep every fold's trained weights (41 MB a fold for FR).")


class Config(Section):
    """The whole tree."""

    seed: int = Field(0, ge=0, description="Source of every random choice.")
    databases: dict[str, Database] = Field(description="Databases by name.", min_length=1)
    faces: Faces = Field(Faces(), description="Face stage.")
    apex: Apex = Field(Apex(), description="Apex stage.")
    magnify: Magnify = Field(Magnify(), description="Magnification stage.")
    flow: Flow = Field(Flow(), description="Flow stage.")
    cache: Cache = Field(Cache(), description="Published feature file.")
    protocols: dict[str, Protocol] = Field(default_factory=dict, description="Protocols by name.")
    systems: dict[str, System] = Field(default_factory=dict, description="Trained systems by name.")
    resources: Resources = Field(Resources(), description="Threads, memory, device.")

    @field_validator("databases", "protocols", "systems")
    @classmethod
    def _plain_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"{name!r}: names may hold letters, digits, - and _ only")
        return value

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for name, protocol in self.protocols.items():
            _require(f"protocols.{name}.databases", protocol.databases, self.databases)
        for name, system in self.systems.items():
            _require(f"systems.{name}.protocols", system.protocols, self.protocols)
        for name in self.databases:
            chosen = {stage: self.stage_options(stage, name) for stage in STAGES}
            if Flow.model_validate(chosen["flow"]).amplified and chosen["magnify"]["method"] == "none":
                pairs = ", ".join(chosen["flow"]["pairs"])
                raise ValueError(f"flow.pairs of {name}: found {pairs}; `amplified` needs a magnify.method, not `none`")
        return self

    def stages(self, database: str) -> tuple[Stage, ...]:
        """The stages that a database goes through, in the order of the flow."""
        off = {"magnify"} if self.stage_options("magnify", database)["method"] == "none" else set()
        return tuple(stage for stage in STAGES if stage not in off)

    def stage_options(self, stage: Stage, database: str) -> dict[str, Any]:
        """Options of one stage for one database, overrides applied, as plain JSON values."""
        section: Section = getattr(self, stage)
        override = getattr(self.databases[database].overrides, stage)
        merged = section.model_dump(mode="json", by_alias=True) | override
        return type(section).model_validate(merged).model_dump(mode="json", by_alias=True)

    def database_root(self, name: str) -> Path:
        """Folder of one database."""
        root = self.databases[name].root
        return root if root is not None else Path("results/data") / name

    def synthetic_seed(self, name: str) -> int:
        """Seed of one embedded database."""
        seed = getattr(self.databases[name], "seed", None)
        return self.seed if seed is None else seed


def _require(where: str, names: tuple[str, ...], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not defined; defined: {', '.join(known) or 'none'}")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names file, key, what was found and what is accepted."""


def validate(tree: Mapping[str, Any], origin: str = "configuration") -> Config:
    """Typed configuration from a plain tree.

    Raises
    ------
    ConfigError
        Listing every wrong key with its place, the value found and what is accepted.
    """
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        lines = [f"  {_explain(item)}" for item in error.errors()]
        raise ConfigError(f"{origin}:\n" + "\n".join(lines)) from None


def load(path: Path | str) -> Config:
    """Typed configuration from a YAML file; raises :class:`ConfigError`."""
    return validate(read_tree(path), str(path))


def read_tree(path: Path | str) -> Mapping[str, Any]:
    """The plain tree of a YAML file; raises :class:`ConfigError` if it is not one."""
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{path}: expected a tree of sections, found {type(tree).__name__}")
    return tree


def _explain(item: Mapping[str, Any]) -> str:
    place = [str(part) for part in item["loc"]]
    key = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{key}: unknown key{hint} Accepted here: {', '.join(known)}"
    message = item["msg"].removeprefix("Value error, ")
    found = "" if item["type"] in {"missing", "value_error"} else f"; found {item['input']!r}"
    return f"{key or 'top level'}: {message}{found}"


def _keys_at(place: list[str]) -> list[str]:
    """Keys accepted at a place of the tree; map names and union tags are stepped over."""
    model: Any = Config
    tags = {"synthetic": SyntheticDatabase, "table": TableDatabase} | dict.fromkeys(
        get_args(OwnerAdapter), OwnerDatabase
    )
    maps = {"databases": _Database, "protocols": Protocol, "systems": System}
    for part in place:
        if part in tags:
            model = tags[part]
        elif part in maps and model is Config:
            model = maps[part]
        elif part in model.model_fields:
            model = model.model_fields[part].annotation
    return [info.alias or name for name, info in model.model_fields.items()]
