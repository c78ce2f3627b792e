"""Sections of the databases, by adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mer_features.core.section import Section
from mer_features.stages.options import Overrides


class DatabaseSection(Section):
    """What all databases have in common."""

    shards: int = Field(
        16,
        ge=1,
        le=4096,
        description="Number of groups of subjects, the unit of work of every stage: choose it "
        "so that a job runs half a minute or more. Changing it moves every subject.",
    )
    overrides: Overrides = Field(Overrides(), description="Stage keys that differ for this database.")

    def folder(self, name: str) -> Path:
        """The database's folder, given the name it is configured under."""
        root: Path | None = getattr(self, "root", None)
        return root if root is not None else Path("results/data") / name


class RecordedSection(DatabaseSection):
    """What databases of real people have in common."""

    exclude_subjects: tuple[str, ...] = Field(
        (),
        exclude=True,  # their names are in no feature file and no report
        description="Subjects that are left out, as the clip tables name them (docs/privacy.md).",
    )


class Look(Section):
    """Style knobs of the embedded database; what is not written is as the preset has it."""

    colour: bool | None = Field(None, description="Colour or grey frames.")
    brightness: float | None = Field(None, gt=0, le=2, description="Gain.")
    contrast: float | None = Field(None, gt=0, le=2, description="Slope around mid-grey.")
    gamma: float | None = Field(None, gt=0, le=4, description="Exponent of the tone curve; above 1 darker mid-tones.")
    warmth: float | None = Field(None, ge=-1, le=1, description="Colour cast, -1 blue to 1 red.")
    blur_px: float | None = Field(None, ge=0, le=4, description="Standard deviation of the lens blur, frame pixels.")


class SyntheticDatabase(DatabaseSection):
    """The embedded database with known truth, rendered into `root` when missing."""

    adapter: Literal["synthetic"]
    root: Path | None = Field(None, description="Folder to render into; default `results/data/<name>`.")
    preset: Literal["demo", "cde-smic", "cde-casme2", "cde-samm", "macro", "small", "tiny"] = Field(
        "demo", description="Size, rate and nuisance of the rendered clips."
    )
    look: Look = Field(Look(), description="What this database's camera does differently from the preset's.")
    seed: int | None = Field(None, ge=0, description="Default: the global seed.")


class TableDatabase(RecordedSection):
    """Own data: a TSV or CSV with one line per clip."""

    adapter: Literal["table"]
    root: Path = Field(description="Folder that the table's paths are relative to; nothing outside is opened.")
    table: Path = Field(description="The TSV or CSV, relative to `root` or absolute.")


OwnerAdapter = Literal[
    "casme", "casme2", "casmesq", "casme3", "samm", "smic", "mmew", "4dme",
    "ckplus", "bu3dfe", "dfew", "ferv39k", "afew",
]  # fmt: skip


class OwnerDatabase(RecordedSection):
    """A database as its owner distributes it."""

    adapter: OwnerAdapter
    root: Path = Field(description="Folder the owner's archive was unpacked into; nothing outside is opened.")
    sheet: Path | None = Field(
        None, description="Annotation sheet, relative to `root` or absolute; by default found by looking."
    )
    variant: str | None = Field(
        None, description="Which of the owner's releases or parts to read; see the database's page in docs/databases."
    )
    fps: float | None = Field(
        None,
        gt=0,
        description="Frames per second, for databases whose owners do not say (4dme, image folders of ckplus, dfew, "
        "ferv39k, afew); refused where the rate is known.",
    )
    errata: bool = Field(True, description="Apply the known corrections of the sheet; each use is reported.")
    unlisted: bool = Field(
        False,
        description="Add the clip that is on disk but in no public sheet (CASME II sub24/EP02_07); the protocols "
        "`casme2-5-benchmark`, `casme2-4` and `cdmer-7` to `cdmer-12` count it.",
    )


Database = Annotated[SyntheticDatabase | TableDatabase | OwnerDatabase, Field(discriminator="adapter")]
