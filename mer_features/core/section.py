"""Base of every section of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: Seed of random choices: what NumPy, scikit-learn and PyTorch all accept.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Section(BaseModel):
    """Frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
