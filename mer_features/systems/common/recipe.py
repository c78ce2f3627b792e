"""Base class of all recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Recipe(BaseModel):
    """Base of every recipe. Recipes are frozen, unknown keys are errors, and the defaults are the paper's values.

    Attributes
    ----------
    ablations
        Rows of the paper's ablation tables by name. Each row lists the keys that differ from the default recipe. A
        configuration can name a row (``ablation: FR-fc``) instead of setting its keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @property
    def pretraining(self) -> str | None:
        """The pre-training task whose result this recipe needs; None for a system that starts from scratch."""
        return None

    @property
    def styled(self) -> bool:
        """Whether the system reads style-aggregated faces, `/style` of the feature file."""
        return False
