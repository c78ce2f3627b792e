"""Section of the configuration for one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mer_features.core.section import Section
from mer_features.protocols import labels, presets


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
