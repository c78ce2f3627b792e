"""What all recipes have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Recipe(BaseModel):
    """Base of every recipe: frozen, unknown keys are errors, the paper's values are the defaults.

    Attributes
    ----------
    ablations
        Rows of the paper's ablation tables by name, each as the keys that make it out of the default recipe. A
        configuration names one (``ablation: FR-fc``) instead of spelling the keys.
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
