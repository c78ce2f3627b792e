"""Configuration of feature extraction: the stages, the feature file and the seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from mer_features.core import fingerprint
from mer_features.core.section import Section, Seed
from mer_features.features.schema import FLOW_MAPS, SPOTTING, STAGE_GROUPS
from mer_features.stages.options import (
    STAGES,
    Apex,
    Descriptors,
    Faces,
    Flow,
    Magnify,
    Overrides,
    Stage,
    Style,
)
from mer_features.stages.run import code_fingerprint, plain


class Provenance(TypedDict):
    """Origin of a feature file, written into its attributes."""

    config: str  # the configuration as JSON
    fingerprints: Mapping[str, str]  # fingerprint of the code of each stage
    versions: Mapping[str, str]  # versions of the libraries
    seed: int


#: Stages that compare frames of a clip; they do not run on still images.
MOVING: tuple[Stage, ...] = ("magnify", "flow", "descriptors")


class Cache(Section):
    """The published feature file."""

    keyframes: int = Field(5, ge=1, le=31, description="Number of frames stored around the apex; odd.")
    gzip_level: int = Field(
        4, ge=1, le=9, description="Compression level of the images; higher levels give smaller files."
    )

    @field_validator("keyframes")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("keyframes must be odd: the apex is in the middle")
        return value


def _explain(stage: str, error: ErrorDetails) -> str:
    """One wrong key of an override, in words."""
    place = ".".join(map(str, (stage, *error["loc"])))
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key"
    found = "" if error["type"] == "value_error" else f"; found {error['input']!r:.80}"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}{found}"


class FeatureConfig(Section):
    """All settings that determine a feature file; `mer-features extract` needs no others."""

    seed: Seed = Field(0, description="Seed of all random choices.")
    faces: Faces = Field(Faces(), description="Face stage.")
    apex: Apex = Field(Apex(), description="Apex stage.")
    magnify: Magnify = Field(Magnify(), description="Magnification stage.")
    flow: Flow = Field(Flow(), description="Flow stage.")
    style: Style = Field(Style(), description="Style stage.")
    descriptors: Descriptors = Field(Descriptors(), description="Descriptor stage.")
    cache: Cache = Field(Cache(), description="Published feature file.")

    @model_validator(mode="after")
    def _stages_fit_together(self) -> FeatureConfig:
        self.require_inputs()
        return self

    def require_inputs(self, where: str = "") -> None:
        """Check that each stage has its inputs; raises ``ValueError`` if a setting of another stage prevents it."""
        if self.faces.stills:
            return
        pairs = ", ".join(self.flow.pairs)
        if self.flow.amplified and self.magnify.method == "none":
            raise ValueError(f"flow.pairs{where}: found {pairs}; `amplified` needs a magnify.method, not `none`")
        if self.descriptors.of_flow and "onset_apex" not in self.flow.pairs:
            method = self.descriptors.of_flow[0]
            raise ValueError(f"descriptors.methods{where}: `{method}` needs onset_apex among flow.pairs, found {pairs}")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that run, in the order of the workflow."""
        off = {
            "magnify": self.magnify.method == "none",
            "style": not self.style.stored,
            "descriptors": not self.descriptors.methods,
        }
        if self.faces.stills:
            off |= dict.fromkeys(MOVING, True)
        return tuple(stage for stage in STAGES if not off.get(stage, False))

    @property
    def groups(self) -> frozenset[str]:
        """Groups that the feature file will have, beside the root and the rejected clips."""
        groups = frozenset(STAGE_GROUPS[stage] for stage in self.stages)
        return groups - {SPOTTING.name} if self.faces.stills else groups

    def options(self, stage: Stage) -> Section:
        """Options of one stage."""
        return cast(Section, getattr(self, stage))

    def overridden(self, overrides: Overrides) -> FeatureConfig:
        """The configuration of one database, with its own values of the stage keys in ``overrides``."""
        tree = {name: getattr(self, name) for name in FeatureConfig.model_fields}
        for stage in STAGES:
            if changed := getattr(overrides, stage, {}):
                section = self.options(stage)
                aliases = {name: field.alias or name for name, field in type(section).model_fields.items()}
                own = {aliases.get(key, key): value for key, value in changed.items()}
                try:
                    tree[stage] = type(section).model_validate(section.model_dump(mode="json", by_alias=True) | own)
                except ValidationError as error:
                    raise ValueError("; ".join(_explain(stage, item) for item in error.errors())) from None
        return FeatureConfig.model_construct(**tree)

    def with_style_fit(self, fit: Path | None) -> FeatureConfig:
        """The configuration with the file that holds the fit of the style stage; unchanged if the stage has no fit."""
        if fit is None or not self.style.fits:
            return self
        return self.model_copy(update={"style": self.style.model_copy(update={"model": fit})})

    def provenance(self) -> Provenance:
        """Origin of a feature file, for its attributes; contains only what its arrays depend on."""
        tree = {stage: plain(self.options(stage)) for stage in self.stages}
        return {
            "config": json.dumps(tree | {"cache": plain(self.cache)}, sort_keys=True),
            "fingerprints": {stage: code_fingerprint(stage, self.options(stage)) for stage in self.stages},
            "versions": fingerprint.versions(),
            "seed": self.seed,
        }


class MapsConfig(FeatureConfig):
    """Settings of a database of published flow maps: no stage runs, the maps are stored as they are."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """No stage."""
        return ()

    @property
    def groups(self) -> frozenset[str]:
        """The group of the maps."""
        return frozenset({FLOW_MAPS.name})

    def require_inputs(self, where: str = "") -> None:
        """Nothing is required, because no stage runs."""
