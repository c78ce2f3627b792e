"""Base class of all recipes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """Base of every recipe. Recipes are frozen, and unknown keys are errors.

    Defaults are the paper's values where it prints one; the description of a key says where a default is ours.

    Attributes
    ----------
    ablations
        Rows of the paper's ablation tables, and some of ours, by name. Each row lists the keys that differ from the
        default recipe. A configuration can name a row (``ablation: FR-fc``) instead of setting its keys.
    reads_keyframes
        Whether the system reads all frames that the feature file keeps around the apex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    reads_keyframes: ClassVar[bool] = False

    @property
    def pretraining(self) -> str | None:
        """The pre-training task whose result this recipe needs; None for a system that starts from scratch."""
        return None

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of the feature file that the system reads, beside the root; empty: not known before the training."""
        return ()

    @property
    def compares_frames(self) -> bool:
        """Whether it reads several face crops of a clip, so that still images, of one frame each, are refused."""
        return False

    @property
    def idle(self) -> frozenset[str]:
        """Keys that have no effect beside the values of the other keys."""
        return frozenset()

    @property
    def filled(self) -> Mapping[str, Any]:
        """Values that None means, by key."""
        return {}

    def reading(self, groups: Collection[str]) -> Self:
        """The recipe for feature files that all have these groups.

        Raises
        ------
        ValueError
            If the recipe reads a group that is not among them; names the group. If it compares frames and no apex was
            spotted (/spotting), because the files are of still images.
        """
        if missing := [name for name in self.groups if name not in groups]:
            there = ", ".join(f"/{name}" for name in sorted(groups)) or "nothing beside its root"
            raise ValueError(f"it reads {', '.join(f'/{name}' for name in missing)}, and there is {there}")
        if self.compares_frames and "spotting" not in groups:
            raise ValueError("it compares frames of a clip, and a database of still images has one frame for each")
        return self


def common_groups(files: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Groups that all feature files have, given the groups of each by its name.

    Raises
    ------
    ValueError
        If they have none in common: a system cannot read published flow maps and frames together.
    """
    shared = frozenset.intersection(*map(frozenset, files.values()))
    if not shared:
        there = "; ".join(f"{name} has {', '.join(f'/{group}' for group in sorted(files[name]))}" for name in files)
        raise ValueError(f"the feature files have no group in common: {there}")
    return shared


class FacesRecipe(Recipe):
    """Base of the recipes of systems and tasks that read several face crops of a clip."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of the crops."""
        return ("faces",)

    @property
    def compares_frames(self) -> bool:
        """True: still images are refused."""
        return True


class FlowRecipe(Recipe):
    """Base of the recipes of systems that read flow from onset to apex."""

    source: Literal["auto", "flow", "flow_maps"] = Field(
        "auto",
        description="Group of the feature file that flow is read from: `flow`, in pixels, or `flow_maps`, published "
        "8-bit maps of unknown scale; `auto`: the one that the feature files have.",
    )

    @property
    def groups(self) -> tuple[str, ...]:
        """The group that flow is read from."""
        return ("flow",) if self.source == "auto" else (self.source,)

    def reading(self, groups: Collection[str]) -> Self:
        """The recipe with its source settled."""
        if self.source == "auto" and "flow" not in groups and "flow_maps" in groups:
            return self.model_copy(update={"source": "flow_maps"})
        settled = self.model_copy(update={"source": "flow"}) if self.source == "auto" else self
        return super(FlowRecipe, settled).reading(groups)


class PlanesRecipe(FlowRecipe):
    """Keys of the systems that read flow as small planes, each scaled on its own."""

    resize: Literal["bilinear", "area"] = Field(
        "bilinear",
        description="How planes are resized to 28 x 28: bilinear samples, or area means, which are less noisy.",
    )
    scale: Literal["minmax", "symmetric", "bytes"] = Field(
        "minmax",
        description="Scaling of each plane. `minmax`: to [0, 1], like an 8-bit flow image; `bytes`: to whole numbers "
        "0 to 255, as such an image is stored; `symmetric`: divided by its largest magnitude, so that no motion "
        "stays 0 (not for `flow_maps`, whose zero is unknown).",
    )

    def reading(self, groups: Collection[str]) -> Self:
        """The recipe with its source settled."""
        settled = super().reading(groups)
        if settled.source == "flow_maps" and self.scale == "symmetric":
            raise ValueError("`scale: symmetric` needs to know zero flow, which published maps do not tell")
        return settled


#: Initial weights of convolutions and linear layers.
Initialisation = Literal["keras", "torch"]
INITIALISATION: Any = Field(
    "torch",
    description="Initial weights: `torch`, as PyTorch draws them; `keras`, as Keras 2.2.4 does (Glorot uniform, biases "
    "0).",
)
