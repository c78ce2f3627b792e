"""Schema of the feature file as data: all groups, variables, dimensions and attributes of format version 2.

The writer creates files from this schema, the validator checks files against it, and a test compares it with
``docs/cache-format.md``. A new group needs one :class:`Group` here and one part in ``parts.py``.

Version 1 had no coordinates in its groups and no list of groups, and always had `/faces`, `/spotting`, `/flow` and
`/rejected`. Files of version 1 are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mer_features.core import quality
from mer_features.core.action_units import FLAGS

NAME = "mer-features cache"
VERSION = 2

#: Required attributes of the root, of the groups of stages, and of variables.
ROOT_ATTRIBUTES = (
    "schema", "schema_version", "Conventions", "title", "source", "groups", "config", "versions", "fingerprints",
    "seed", "complete",
)  # fmt: skip
#: Attribute -> format version that introduced it, where that is not the first.
ATTRIBUTE_SINCE = {"groups": 2, "coordinates": 2}
STAGE_ATTRIBUTES = ("schema", "schema_version", "title", "method", "options", "fingerprint")
VARIABLE_ATTRIBUTES = ("long_name", "units", "source")

#: Dimensions that may have length 0, which netCDF allows only for unlimited dimensions.
UNLIMITED = ("au", "rejected")
#: Dimensions along which a chunk holds one entry, so that one pair of one clip can be read without decoding more.
ONE_PER_CHUNK = ("clip", "pair", "keyframe")
#: Groups of a file of recordings beside the root; see :mod:`mer_features.features.recording_schema`.
RECORDING_GROUPS = ("signals", "events")
#: Value of the root attribute ``rows`` of a file of recordings; a file of clips lacks the attribute.
RECORDING_ROWS = "recording"


class CacheError(ValueError):
    """A feature file cannot be built or read; the message names the file or the clip and the reason."""


@dataclass(frozen=True)
class Variable:
    """One variable: dimensions, type on disk, and the attributes that describe it to readers without this package."""

    name: str
    dims: tuple[str, ...]
    dtype: str  # numpy's name, or "str"
    long_name: str
    source: str
    units: str = "1"
    comment: str = ""
    scale: float | None = None  # of packed variables: value = scale x stored integer
    limit: float | None = None  # of packed variables: values outside ±limit are clipped and the clip gets an issue
    fill: float | None = None
    optional: bool = False  # whether a file may be without it
    since: int = 1  # format version that introduced it
    extra: tuple[tuple[str, Any], ...] = ()  # more attributes

    @property
    def compressed(self) -> bool:
        """Whether the variable is chunked and compressed: images, curves and signals are, the others are too small."""
        return self.dims[0] == "frame" or (len(self.dims) >= 3 and not {"landmark", "row"} & set(self.dims))

    def attributes(self) -> dict[str, Any]:
        """Attributes written with the variable."""
        optional: dict[str, Any] = {"comment": self.comment} if self.comment else {}
        if self.scale is not None:
            optional["scale_factor"] = np.float32(self.scale)
        flags = _FLAGS.get(self.name, {})
        return (
            {"long_name": self.long_name, "units": self.units, "source": self.source}
            | optional
            | flags
            | dict(self.extra)
        )


@dataclass(frozen=True)
class Group:
    """One group of the file; the root has the empty name."""

    name: str
    title: str
    variables: tuple[Variable, ...]
    attributes: tuple[str, ...] = STAGE_ATTRIBUTES
    unlimited: tuple[str, ...] = UNLIMITED  # dimensions that may have length 0 or grow while the file is written
    chunk: int = 64  # length of chunks along these
    own_coordinates: str = ""  # names of variables, of a group without a row per clip

    @property
    def coordinates(self) -> str:
        """Value of the attribute ``coordinates``; empty for a group without it."""
        return CLIP_ID.name if self.has_rows else self.own_coordinates

    @property
    def schema(self) -> str:
        """Name written into the group's ``schema`` attribute."""
        return f"{NAME} /{self.name}" if self.name else NAME

    @property
    def has_rows(self) -> bool:
        """Whether the group has a row per clip, identified by the coordinate ``clip_id``."""
        return any(item.dims[:1] == ("clip",) for item in self.variables)

    @property
    def stored(self) -> tuple[Variable, ...]:
        """All variables on disk: those of the group, and its copy of the coordinate."""
        return (CLIP_ID_COPY, *self.variables) if self.name and self.has_rows else self.variables

    def variable(self, name: str) -> Variable:
        """One variable by name."""
        return next(item for item in self.variables if item.name == name)


_FLAGS: Mapping[str, dict[str, Any]] = {
    "action_units": {
        "flag_values": np.array(list(FLAGS.values()), np.int8),
        "flag_meanings": " ".join(FLAGS),
    },
    "quality": {
        "flag_masks": np.array([1 << bit for bit in range(len(quality.CODES))], np.int64),
        "flag_meanings": " ".join(quality.CODES),
    },
}

_SHEET = "annotation sheet"
_NUMBER = "A source frame number: last digit group of the file name, or zero-based index in a video."

_NOT_KNOWN = " -1: not known."

#: Identifies the rows; the root and every group with rows have it as a coordinate.
CLIP_ID = Variable("clip_id", ("clip",), "str", "clip identifier, <subject>/<name>", _SHEET)
#: The same in a group, so that a group can be read without the root.
CLIP_ID_COPY = replace(CLIP_ID, since=2)

ROOT = Group(
    "",
    "Micro-expression features, one row per clip",
    (
        CLIP_ID,
        Variable("subject", ("clip",), "str", "subject identifier", _SHEET),
        Variable("database", ("clip",), "str", "name of the database in the configuration", "configuration"),
        Variable("emotion", ("clip",), "str", "emotion word as the owner wrote it", _SHEET),
        Variable("onset", ("clip",), "int64", "onset frame used", "faces stage", comment=_NUMBER + _NOT_KNOWN),
        Variable(
            "apex", ("clip",), "int64", "apex frame used", "apex stage; see apex_source", comment=_NUMBER + _NOT_KNOWN
        ),
        Variable("offset", ("clip",), "int64", "offset frame used", "faces stage", comment=_NUMBER + _NOT_KNOWN),
        Variable(
            "first_frame", ("clip",), "int64", "first frame of the clip", "faces stage", comment=_NUMBER + _NOT_KNOWN
        ),
        Variable("n_frames", ("clip",), "int32", "frames of the clip", "faces stage", comment="0: not known."),
        Variable(
            "fps", ("clip",), "float64", "frame rate", "annotation sheet or video header", "Hz", "NaN: unknown.",
            fill=np.nan,
        ),
        Variable(
            "apex_source", ("clip",), "str", "`annotated`, `corrected`, `still image` or the name of the spotter",
            "apex stage", comment="Empty: not known. `still image`: the clip has one frame.",
        ),
        Variable("au", ("au",), "int16", "FACS number of the action unit", _SHEET),
        Variable(
            "action_units", ("clip", "au"), "int8", "action units seen, with their side", _SHEET,
            comment="`present`: side not stated or several sides.",
        ),
        Variable("action_units_text", ("clip",), "str", "action units as the owner wrote them", _SHEET),
        Variable(
            "action_units_unread", ("clip",), "str", "parts of action_units_text that action_units lacks", _SHEET,
            comment="Separated by ` | `.",
        ),
        Variable("quality", ("clip",), "int64", "problems found with the clip", "all stages"),
        Variable("quality_text", ("clip",), "str", "problems as a JSON list of {code, detail}", "all stages"),
        Variable("status", ("clip",), "str", "`ok` or `warned`", "all stages"),
        Variable("source_sha256", ("clip",), "str", "digest of the bytes of the source frames", "faces stage"),
    ),
    attributes=ROOT_ATTRIBUTES,
)  # fmt: skip

_IMAGE = ("clip", "y", "x", "channel")
_GREY = "One channel is grey, three are RGB; a grey clip among colour clips has three equal channels."

FACES = Group(
    "faces",
    "Aligned face crops of the key frames",
    (
        Variable("onset", _IMAGE, "uint8", "face crop of the onset frame", "faces stage", comment=_GREY),
        Variable("apex", _IMAGE, "uint8", "face crop of the apex frame", "faces stage", comment=_GREY),
        Variable("offset", _IMAGE, "uint8", "face crop of the offset frame", "faces stage", comment=_GREY),
        Variable(
            "keyframes", ("clip", "keyframe", "y", "x", "channel"), "uint8", "face crops around the apex",
            "faces stage", comment="Centred on the apex; near an end the window is shifted into the clip. " + _GREY,
        ),
        Variable(
            "keyframe_number", ("clip", "keyframe"), "int64", "source frame of each keyframe", "faces stage",
            comment=_NUMBER + " A clip shorter than the window repeats its last frame.",
        ),
        Variable(
            "landmarks", ("clip", "landmark", "xy"), "float32", "68 landmarks on the onset crop, x then y",
            "faces stage", "pixel", "Origin is the centre of the upper left pixel. NaN: none found.", fill=np.nan,
        ),
        Variable(
            "transform", ("clip", "row", "column"), "float64", "affine map of the onset frame, source to crop",
            "faces stage", comment="(x, y) in the crop = transform @ (x, y, 1) in the source, both in pixels.",
        ),
    ),
)  # fmt: skip

# Not "apex": in netCDF, groups and variables share a namespace, and the root has a variable of that name.
SPOTTING = Group(
    "spotting",
    "Apex spotting",
    (
        Variable("spotter", ("spotter",), "str", "name of the spotter", "configuration"),
        Variable(
            "curve", ("clip", "spotter", "frame"), "float32", "movement against the onset, by frame of the clip",
            "apex stage", comment="NaN: outside onset..offset or after the clip's last frame.", fill=np.nan,
        ),
        Variable("spotted", ("clip", "spotter"), "int64", "apex each spotter finds", "apex stage", comment=_NUMBER),
        Variable(
            "frame_number", ("clip", "frame"), "int64", "source frame of each frame of the clip", "faces stage",
            comment=_NUMBER + " -1: after the clip's last frame.", fill=-1,
        ),
    ),
)  # fmt: skip

#: Step and range of packed flow: ±31 px in steps of 1/1024 px; the rounding error is at most 0.0005 px.
FLOW_SCALE, FLOW_LIMIT = 1 / 1024, 31.0
#: Step and range of packed strain. The strain of skin is below 1; single pixels at discontinuities of the flow reach 4.
#: The range 0..7.99 in steps of 1/4096 (rounding error at most 0.00013) covers both. The step is smaller than the error
#: of the strain that the flow's step of 1/1024 px causes.
STRAIN_SCALE, STRAIN_LIMIT = 1 / 4096, 7.99

_FIELD = ("clip", "pair", "y", "x")
_PACKED = "Value = scale_factor x stored integer; never scaled to the clip's range."

FLOW = Group(
    "flow",
    "Optical flow and strain between key frames, reference to moved frame, on the crop",
    (
        Variable("pair", ("pair",), "str", "frame pair, <reference>_<moved>", "configuration"),
        Variable(
            "u", _FIELD, "int16", "horizontal flow, right is positive", "flow stage", "pixel", _PACKED,
            FLOW_SCALE, FLOW_LIMIT,
        ),
        Variable(
            "v", _FIELD, "int16", "vertical flow, down is positive", "flow stage", "pixel", _PACKED,
            FLOW_SCALE, FLOW_LIMIT,
        ),
        Variable(
            "strain", _FIELD, "int16", "optical strain magnitude", "flow stage", "1", _PACKED,
            STRAIN_SCALE, STRAIN_LIMIT,
        ),
    ),
)  # fmt: skip

MAGNIFIED = Group(
    "magnified",
    "The apex with its movement since the onset made larger",
    (
        Variable("apex", _IMAGE, "uint8", "amplified apex crop", "magnify stage", comment=_GREY),
        Variable(
            "flow_ratio", ("clip",), "float32", "mean flow from onset to amplified apex over that to the apex",
            "flow stage", comment="Compare with the attribute factor. NaN: one of the two pairs is not in the file, or "
            "the apex does not move.", fill=np.nan,
        ),
    ),
    attributes=(*STAGE_ATTRIBUTES, "factor", "model_digest"),
)  # fmt: skip

STYLE = Group(
    "style",
    "Face crops of the key frames in the aggregated style",
    (
        Variable("onset", _IMAGE, "uint8", "style-aggregated crop of the onset frame", "style stage", comment=_GREY),
        Variable("apex", _IMAGE, "uint8", "style-aggregated crop of the apex frame", "style stage", comment=_GREY),
    ),
    attributes=(*STAGE_ATTRIBUTES, "style_method", "fit_on", "fit_databases", "model_sha256", "refused"),
)


def _descriptor(name: str, long_name: str, comment: str) -> Variable:
    dims = ("clip", f"{name}_value")
    return Variable(name, dims, "float32", long_name, "descriptors stage", comment=comment, optional=True)


_OF_FRAMES = "of the frames from onset to offset"
_BLOCKS = "5 x 5 blocks row by row, planes XY, XT, YT"

DESCRIPTORS = Group(
    "descriptors",
    "Handcrafted descriptors of the clips",
    (
        _descriptor(
            "lbp_top", f"LBP-TOP {_OF_FRAMES}", f"{_BLOCKS}, 15 uniform patterns; each histogram sums to 1."
        ),
        *(
            _descriptor(
                f"lbp_top_r{radius}p{points}", f"LBP-TOP {_OF_FRAMES}, radius {radius}, {points} neighbours",
                f"{_BLOCKS}, {bins} uniform patterns; each histogram sums to 1.",
            )
            for radius in (1, 3) for points, bins in ((4, 15), (8, 59))
        ),
        *(
            _descriptor(
                f"{name}_top_p{bins}", f"{name.upper()}-TOP {_OF_FRAMES}, {bins} orientations",
                f"{_BLOCKS}, {bins} orientations from 0 degrees; each histogram sums to 1, or 0 without a gradient.",
            )
            for name in ("hog", "higo") for bins in (4, 8)
        ),
        _descriptor(
            "bi_woof", "Bi-WOOF of the flow from onset to apex",
            "5 x 5 blocks row by row, 8 orientations from -180 degrees; unit length, or zeros where nothing moves.",
        ),
        _descriptor(
            "mdmo", "MDMO of the flow from onset to apex",
            "Magnitudes of 36 regions, the largest 1, then their angles in radians; zeros where nothing moves.",
        ),
    ),
)  # fmt: skip

FLOW_MAPS = Group(
    "flow_maps",
    "Published 8-bit maps of flow and strain between onset and apex; their scale is unknown",
    (
        Variable("channel", ("channel",), "str", "u: flow to the right, v: flow down, strain", "publisher of the maps"),
        Variable(
            "maps", ("clip", "channel", "y", "x"), "uint8", "flow and strain as published", "publisher of the maps",
            comment="Every clip and channel was scaled to 0..255 by its own minimum and maximum, which were not "
            "published: values are neither pixels nor comparable between clips, and the value of zero flow is unknown.",
        ),
    ),
    attributes=("schema", "schema_version", "title", "scale"),
)  # fmt: skip

REJECTED = Group(
    "rejected",
    "Clips that could not be used, and why",
    (
        Variable("clip_id", ("rejected",), "str", "clip identifier, <subject>/<name>", _SHEET),
        Variable("subject", ("rejected",), "str", "subject identifier", _SHEET),
        Variable("code", ("rejected",), "str", "code of the problem that rejected the clip", "all stages"),
        Variable("detail", ("rejected",), "str", "what was found where", "all stages"),
        Variable("quality_text", ("rejected",), "str", "all problems as a JSON list of {code, detail}", "all stages"),
    ),
    attributes=("schema", "schema_version", "title"),
)

#: Groups of a feature file by name. A file has the root and some of the others. Readers ignore any more groups.
GROUPS: dict[str, Group] = {
    group.name: group for group in (ROOT, FACES, SPOTTING, MAGNIFIED, FLOW, STYLE, DESCRIPTORS, FLOW_MAPS, REJECTED)
}
#: Stage -> group that it fills.
STAGE_GROUPS = {
    "faces": "faces", "apex": "spotting", "magnify": "magnified", "flow": "flow", "style": "style",
    "descriptors": "descriptors",
}  # fmt: skip
#: Groups that a file of format version 1 always has.
REQUIRED_IN_1 = ("", "faces", "spotting", "flow", "rejected")
