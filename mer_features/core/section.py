"""Base of every section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
