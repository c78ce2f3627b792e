"""Configuration sections of the databases, by adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mer_features.core.section import Section, Seed
from mer_features.stages.options import Overrides


class ShardSection(Section):
    """Keys of all databases and sets of recordings."""

    shards: int = Field(
        16,
        ge=1,
        le=4096,
        description="Number of groups of subjects. A group is the unit of work of every stage: choose the number "
        "so that a job runs for half a minute or more. If it changes, all subjects are assigned to groups again.",
    )

    def folder(self, name: str) -> Path:
        """Root folder of the database; ``name`` is its name in the configuration."""
        root: Path | None = getattr(self, "root", None)
        return root if root is not None else Path("results/data") / name


class DatabaseSection(ShardSection):
    """Keys of all databases."""

    overrides: Overrides = Field(Overrides(), description="Keys of stages that have other values for this database.")


class PeopleSection(ShardSection):
    """Keys of databases and sets of recordings of real people."""

    exclude_subjects: tuple[str, ...] = Field(
        (),
        exclude=True,  # their names are in no feature file and no report
        description="Subjects that are left out, as the clip tables name them (docs/privacy.md).",
    )


class RecordedSection(PeopleSection, DatabaseSection):
    """Keys of all databases of real people."""


class Look(Section):
    """Image style of the embedded database; keys that are not set have the values of the preset."""

    colour: bool | None = Field(None, description="Colour or grey frames.")
    brightness: float | None = Field(None, gt=0, le=2, description="Gain.")
    contrast: float | None = Field(None, gt=0, le=2, description="Slope around mid-grey.")
    gamma: float | None = Field(None, gt=0, le=4, description="Exponent of the tone curve; above 1 darker mid-tones.")
    warmth: float | None = Field(None, ge=-1, le=1, description="Colour cast, -1 blue to 1 red.")
    blur_px: float | None = Field(None, ge=0, le=4, description="Standard deviation of the lens blur, frame pixels.")


class SyntheticDatabase(DatabaseSection):
    """The embedded database with known ground truth, rendered into `root` if it is missing."""

    adapter: Literal["synthetic"]
    root: Path | None = Field(None, description="Folder to render into; default `results/data/<name>`.")
    preset: Literal["demo", "cde-smic", "cde-casme2", "cde-samm", "macro", "small", "tiny"] = Field(
        "demo", description="Size, rate and nuisance of the rendered clips."
    )
    look: Look = Field(Look(), description="Image style where it differs from the preset.")
    seed: Seed | None = Field(None, description="Default: the global seed.")


class TableDatabase(RecordedSection):
    """Own data: a TSV or CSV with one line per clip."""

    adapter: Literal["table"]
    root: Path = Field(description="Folder that the paths in the table are relative to; nothing outside it is opened.")
    table: Path = Field(description="The TSV or CSV, relative to `root` or absolute.")


OwnerAdapter = Literal[
    "casme", "casme2", "casmesq", "casme3", "samm", "smic", "mmew", "4dme",
    "ckplus", "bu3dfe", "dfew", "ferv39k", "afew",
]  # fmt: skip


#: Adapters of still images, and the variant that lists them; None: the adapter has no variants.
_STILLS: Mapping[str, str | None] = {"bu3dfe": None, "mmew": "macro"}


class OwnerDatabase(RecordedSection):
    """A database in the layout in which its owner distributes it."""

    adapter: OwnerAdapter
    root: Path = Field(description="Folder that the owner's archive was unpacked into; nothing outside it is opened.")
    sheet: Path | None = Field(
        None, description="Annotation sheet, relative to `root` or absolute; by default found by its name."
    )
    variant: str | None = Field(
        None, description="Which of the owner's releases or parts to read; see the database's page in docs/databases."
    )
    fps: float | None = Field(
        None,
        gt=0,
        description="Frames per second, for databases whose owners do not state it (4dme, and the image folders of "
        "ckplus, dfew, ferv39k and afew); refused if the rate is known.",
    )
    errata: bool = Field(True, description="Apply the known corrections of the sheet; each correction is reported.")
    unlisted: bool = Field(
        False,
        description="Add the clip that is on disk but in no public sheet (CASME II sub24/EP02_07); the protocols "
        "`casme2-5-benchmark`, `casme2-4` and `cdmer-7` to `cdmer-12` count it.",
    )
    unlabelled: bool = Field(
        False,
        description="List also the clips without a label, for pre-trainings on unlabelled video (dfew, afew). They "
        "have no emotion, so every protocol leaves them out.",
    )

    @model_validator(mode="before")
    @classmethod
    def _declare_stills(cls, tree: Any) -> Any:
        """For a database of still images, set the key `stills` of the faces stage, unless the user set it."""
        if not isinstance(tree, Mapping) or tree.get("adapter") not in _STILLS:
            return tree
        if tree.get("variant") != _STILLS[tree["adapter"]]:
            return tree
        overrides = tree.get("overrides", {})
        faces = overrides.get("faces", {}) if isinstance(overrides, Mapping) else None
        if not isinstance(faces, Mapping):  # the model says what is wrong
            return tree
        return {**tree, "overrides": {**overrides, "faces": {"stills": True, **faces}}}


class FlowMapsDatabase(RecordedSection):
    """Published flow maps of MEGC 2019 or of another database: one picture per clip (docs/databases/flow_maps.md)."""

    adapter: Literal["flow_maps"]
    root: Path = Field(description="Folder of the maps, in either published layout; nothing outside it is opened.")
    labels: Path | None = Field(
        None,
        description="Table with subject, clip and class of each map, relative to `root` or absolute; by default the "
        "folders `<held-out subject>/u_test/<class>` give the classes.",
    )
    part: Literal["casme2", "smic", "samm"] | None = Field(
        None, description="Database of the composite to read; by default every map, for maps of another database."
    )


class RecordingClips(DatabaseSection):
    """Clips cut from recordings: around each annotated event, or around each spot that a method found."""

    adapter: Literal["recordings"]
    recordings: str = Field(description="Name of the set of recordings in `recordings`.")
    spotter: str | None = Field(
        None, description="Name in `spotting` of the method whose spots are cut; by default, the annotated events are."
    )
    kinds: tuple[Literal["micro", "macro"], ...] = Field(
        ("micro",), min_length=1, description="Kinds of expressions that are cut."
    )
    margin_s: float = Field(
        0.2, ge=0, le=10, description="Seconds of film before the onset and after the offset that belong to a clip."
    )


Database = Annotated[
    SyntheticDatabase | TableDatabase | OwnerDatabase | FlowMapsDatabase | RecordingClips,
    Field(discriminator="adapter"),
]


class OwnerRecordings(PeopleSection):
    """Whole recordings of a database in the layout in which its owner distributes them."""

    root: Path = Field(description="Folder that the owner's archive was unpacked into; nothing outside it is opened.")
    sheet: Path | None = Field(
        None, description="Sheet of the events, relative to `root` or absolute; by default found by its name."
    )
    errata: bool = Field(True, description="Apply the known corrections of the sheet; each correction is reported.")


class CasmesqRecordings(OwnerRecordings):
    """CAS(ME)²: recordings with micro- and macro-expressions."""

    adapter: Literal["casmesq"]
    offset_zero: Literal["apex", "apex+20", "mirror", "drop"] = Field(
        "apex",
        description="Offset of the 44 macro-expressions without an annotated one: the apex (evaluation of MEGC 2020), "
        "20 frames later, as long after the apex as the onset is before it, or leave these events out.",
    )


class SammLongRecordings(OwnerRecordings):
    """SAMM Long Videos: recordings with micro- and macro-expressions."""

    adapter: Literal["samm_long"]
    onset_zero: Literal["first", "drop"] = Field(
        "first",
        description="Onset of the 10 macro-expressions that began before the film: the first frame, or leave these "
        "events out, as loaders do that find 333 macro-expressions.",
    )


class Casme3Recordings(OwnerRecordings):
    """CAS(ME)³, part A: recordings with micro- and macro-expressions."""

    adapter: Literal["casme3"]


class SmicRecordings(OwnerRecordings):
    """SMIC-E: short recordings around micro-expressions."""

    adapter: Literal["smic"]
    variant: Literal["hs-e", "vis-e", "nir-e"] = Field("hs-e", description="Camera.")
    overlaps: Literal["merge", "keep"] = Field(
        "merge",
        description="Recordings that share frames: one recording with all their events, or as distributed. As "
        "distributed, an event can lie in another recording that does not list it, and its spot counts as false.",
    )


class TableRecordings(PeopleSection):
    """Own recordings: a table of recordings and a table of events (docs/databases/own_recordings.md)."""

    adapter: Literal["table"]
    root: Path = Field(description="Folder that the paths in the tables are relative to; nothing outside it is opened.")
    recordings: Path = Field(
        Path("recordings.tsv"), description="Table of the recordings, relative to `root` or absolute."
    )
    events: Path = Field(
        Path("events.tsv"),
        description="Table of the events, relative to `root` or absolute. May be missing if the key is not set: then "
        "nothing is annotated.",
    )
    blinks: Path | None = Field(None, description="Table of the blinks, relative to `root` or absolute.")
    unit: Literal["frame", "s"] = Field(
        "frame",
        description="Unit of onset, apex and offset: frame numbers, or seconds from the first frame of the "
        "recording, which need `fps` in the table of recordings.",
    )


class SyntheticRecordings(ShardSection):
    """Rendered recordings with known events, rendered into `root` if they are missing."""

    adapter: Literal["synthetic"]
    preset: Literal["long", "tiny-long"] = Field(
        "long", description="12 recordings of 20 to 60 s (long), or 6 small ones of 20 s for trials (tiny-long)."
    )
    root: Path | None = Field(None, description="Folder to render into; default `results/data/<name>`.")
    seed: Seed | None = Field(None, description="Default: the global seed.")


#: Recordings in files of their owner, or own ones.
RecordingsDatabase = Annotated[
    CasmesqRecordings | SammLongRecordings | Casme3Recordings | SmicRecordings | TableRecordings,
    Field(discriminator="adapter"),
]
#: Any set of recordings.
AnyRecordings = Annotated[
    CasmesqRecordings | SammLongRecordings | Casme3Recordings | SmicRecordings | TableRecordings | SyntheticRecordings,
    Field(discriminator="adapter"),
]
