"""The base of all sections of the configuration, and sections that need nothing of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

MagnifyMethod = Literal["none", "phase", "eulerian", "learned"]


class Section(BaseModel):
    """Base of every section: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Magnify(Section):
    """Motion magnification of the apex against the onset."""

    method: MagnifyMethod = Field(
        "phase",
        description="`none`: no amplified frame is made; `phase`: motion from Riesz phases, no weights; `eulerian`: "
        "linear amplification of brightness changes, the baseline; `learned`: a trained network, needs the extra "
        "`train`. docs/magnification.md compares them.",
    )
    factor: float = Field(
        6.0,
        ge=0,
        le=100,
        description="Total motion m: a displacement becomes m times as large, 1 changes nothing. MAP-MER uses 6.",
    )
    phase_synthesis: Literal["transport", "rotation"] = Field(
        "transport",
        description="`phase`: how the magnified frame is drawn. `transport` moves the frame on along the displacement "
        "that its phases show; `rotation` turns the phase of every band, as the literature does, and falls short of "
        "movements beyond about a pixel.",
    )
    phase_smoothing_px: float = Field(
        6.0,
        gt=0,
        le=64,
        description="`phase` with `transport`: standard deviation of the window over which phases are compared, pixels "
        "of the crop. Larger bears more noise, smaller follows finer movement.",
    )
    eulerian_motion_px: float = Field(
        1.0,
        gt=0,
        description="`eulerian`: largest displacement expected, pixels; a band of wavelength λ is amplified by at most "
        "λ/8 of it.",
    )
    weights: Path | None = Field(
        None, description="`learned`: a file of weights of your own; by default those that the package ships."
    )


class Cache(Section):
    """The published feature file."""

    keyframes: int = Field(5, ge=1, le=31, description="Frames stored around the apex; odd.")
    gzip_level: int = Field(4, ge=1, le=9, description="Compression of the published file; higher is smaller.")

    @field_validator("keyframes")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("keyframes must be odd: the apex stands in the middle")
        return value
