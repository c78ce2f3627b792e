"""Configuration section of one protocol."""

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
        description="Name of a published protocol (docs/protocols.md). It sets the label maps, the folds and the "
        "number of clips; `databases: {part: database}` says which database has which part.",
    )
    databases: tuple[str, ...] = Field(description="Databases that are used together.", min_length=1)
    roles: tuple[str, ...] = Field(
        (), description="Parts of the `databases` in the preset, in the same order; set from `{part: database}`."
    )
    labels: str | dict[str, tuple[str, ...]] = Field(
        "megc2019",
        description="Name of a label map, or class -> the owners' emotion words; clips with other words are left out.",
    )
    folds: Literal["loso", "transfer"] | Annotated[int, Field(ge=2)] = Field(
        "loso",
        description="`loso`: leave one subject out; a number: that many folds of whole subjects; `transfer`: train on "
        "whole databases and test on all clips of the databases in `test`.",
    )
    test: tuple[str, ...] = Field((), description="With `folds: transfer`, the databases that are tested.")
    transfer_folds: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="With `folds: transfer`, cross-validation: source and target are each divided into this many parts "
        "of whole subjects, and each fold trains on the source without one part and tests one part of the target. "
        "None: one training on the whole source, tested on the whole target.",
    )
    spots: dict[str, str] = Field(
        {},
        description="With `folds: loso`, databases of spotted clips that are recognised as well: `{spots: events}`, "
        "where `events` is the database in `databases` that has the annotated clips of the same people. A spot is "
        "recognised by the model that was trained without its subject, and never used for training.",
    )
    accept_counts: bool = Field(False, description="Continue with a warning if the counts of a preset are not met.")

    @property
    def all_databases(self) -> tuple[str, ...]:
        """Databases with annotated clips, then those with spots."""
        return (*self.databases, *self.spots)

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, tree: Any) -> Any:
        """Set the keys that a preset fixes; a dumped protocol already has them and is unchanged."""
        if not isinstance(tree, Mapping):
            return tree
        if tree.get("preset") is None:
            if isinstance(tree.get("databases"), Mapping) or tree.get("roles"):
                raise ValueError(
                    "databases: parts are only used with `preset`; without a preset, give a list of databases"
                )
            return tree
        preset = presets.find(tree["preset"])
        names = presets.by_role(tree["preset"], tree.get("databases"), tree.get("roles"))
        fixed = {"labels": tree["preset"], "folds": preset.folds, "test": [names[role] for role in preset.test]}
        for key, value in fixed.items():
            configured = tree.get(key, value)
            if (list(configured) if isinstance(configured, tuple) else configured) != value:
                raise ValueError(f"{key}: preset {tree['preset']!r} fixes it; leave it out, or leave out the preset")
        return {**tree, **fixed, "databases": [names[role] for role in preset.roles], "roles": preset.roles}

    @model_validator(mode="after")
    def _fits_together(self) -> Protocol:
        if len(set(self.databases)) < len(self.databases):
            raise ValueError(f"databases: listed twice in {', '.join(self.databases)}")
        if self.accept_counts and not self.preset:
            raise ValueError("accept_counts: only used with `preset`; your own protocol has no published counts")
        if (self.folds == "transfer") != bool(self.test):
            raise ValueError("test: `folds: transfer` needs the databases to test; other folds do not use this key")
        if self.transfer_folds is not None and self.folds != "transfer":
            raise ValueError(f"transfer_folds: found {self.transfer_folds}; only `folds: transfer` uses this key")
        if self.test and not set(self.test) < set(self.databases):
            raise ValueError(
                f"test: found {', '.join(self.test)}; expected some of {', '.join(self.databases)}, not all"
            )
        if not self.preset:
            labels.configured(self.labels)
        return self

    @model_validator(mode="after")
    def _spots_fit(self) -> Protocol:
        if self.spots and self.folds != "loso":
            raise ValueError(f"spots: needs `folds: loso`, found {self.folds!r}")
        if len(self.spots) > 1:
            raise ValueError(f"spots: found {', '.join(self.spots)}; expected one database of spots per protocol")
        if unknown := [name for name in self.spots.values() if name not in self.databases]:
            raise ValueError(f"spots: {', '.join(unknown)} is not in `databases`; found {', '.join(self.databases)}")
        if shared := [name for name in self.spots if name in self.databases]:
            raise ValueError(f"spots: {', '.join(shared)} cannot be in `databases`, whose clips have a class")
        return self
