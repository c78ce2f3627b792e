"""Schema of the feature file of a set of recordings: one row per recording, analysed frame, and event or spot.

The frames of all recordings follow each other along one dimension, a contiguous ragged array of the CF conventions
(CF-1.11, section 9.3.3): the first ``row_size[0]`` frames belong to the first recording, and so on.
"""

from __future__ import annotations

import numpy as np

from mer_features.features.schema import RECORDING_GROUPS, ROOT_ATTRIBUTES, STAGE_ATTRIBUTES, Group, Variable
from mer_features.stages.signals.regions import LIDS, REGIONS

#: ``source`` of an annotated event; that of a spot is the name of its spotter.
ANNOTATED = "annotated"
#: Sentence on the rights of others, for the attribute ``license``.
LICENSE = (
    "Derived from video recordings of people. The licence of the recordings and the consent of these people decide who "
    "may use and share these values."
)
#: Labels of the coordinate variables of `/signals`.
LABELS = {
    "region": REGIONS,
    "axis": ("x", "y"),
    "lid": tuple(LIDS),
    "component": ("scale", "rotation", "x", "y"),
}

_TABLE, _STAGE = "table of recordings", "signals stage"
_INTERVALS = "table of events, or of spots"
_NUMBER = "Last digit group of the file name, or zero-based index in a video."
_EYES = "In distances between the centres of the eyes. "
_FLAG = (("flag_values", np.array([0, 1], np.int8)), ("flag_meanings", "no yes"), ("dtype", "bool"))  # xarray: bool

_RECORDING_ID = Variable("recording_id", ("recording",), "str", "recording identifier, <subject>/<name>", _TABLE)

RECORDINGS = Group(
    "",
    "Recordings: motion of face regions, annotated events and spots",
    (
        _RECORDING_ID,
        Variable("subject", ("recording",), "str", "subject identifier", _TABLE),
        Variable("database", ("recording",), "str", "name of the database or of the set of recordings", _TABLE),
        Variable("first", ("recording",), "int64", "first frame", _TABLE, comment=_NUMBER + " -1: not known."),
        Variable("last", ("recording",), "int64", "last frame", _TABLE, comment=_NUMBER + " -1: not known."),
        Variable("fps", ("recording",), "float64", "frame rate", _TABLE, "Hz", "NaN: not known.", fill=np.nan),
        Variable("minutes", ("recording",), "float64", "length", _TABLE, "min", "NaN: not known.", fill=np.nan),
        Variable("quality", ("recording",), "int64", "problems found with the recording", _STAGE),
        Variable("quality_text", ("recording",), "str", "problems as a JSON list of {code, detail}", _STAGE),
        Variable("status", ("recording",), "str", "`ok`, `warned` or `rejected`", _STAGE),
    ),
    attributes=(*ROOT_ATTRIBUTES, "rows", "license"),
    own_coordinates="recording_id",
)

SIGNALS = Group(
    "signals",
    "Motion of face regions, lids and head in every analysed frame; the recordings follow each other",
    (
        _RECORDING_ID,
        Variable(
            "row_size", ("recording",), "int64", "number of analysed frames", _STAGE, comment="0: rejected.",
            extra=(("sample_dimension", "frame"),),
        ),
        Variable(
            "fps", ("recording",), "float64", "analysed frames per second", _STAGE, "Hz", "NaN: rejected.", fill=np.nan
        ),
        Variable(
            "eye_px", ("recording",), "float64", "distance between the centres of the eyes in the recording", _STAGE,
            "pixel", "NaN: rejected.", fill=np.nan,
        ),
        Variable("region", ("region",), "str", "region of the face; right and left are the person's", _STAGE),
        Variable("axis", ("axis",), "str", "x: to the right of the picture, y: down", _STAGE),
        Variable("lid", ("lid",), "str", "lids of the person's right and left eye", _STAGE),
        Variable("component", ("component",), "str", "component of the motion of the head", _STAGE),
        Variable("recording_index", ("frame",), "int32", "row of the recording in the root", "this file"),
        Variable("number", ("frame",), "int64", "frame of the recording", _STAGE, comment=_NUMBER),
        Variable("time_s", ("frame",), "float64", "time since the first frame", _STAGE, "s"),
        Variable(
            "motion", ("frame", "region", "axis"), "float32", "displacement without the motion of the head", _STAGE,
            comment=_EYES + "Relative to a key frame: only changes within a segment have a meaning. NaN: not measured.",
            fill=np.nan,
        ),
        Variable(
            "lids", ("frame", "lid"), "float32", "change of the opening of the lids", _STAGE,
            comment=_EYES + "Negative while an eye is closed; relative to a key frame. NaN: not measured.", fill=np.nan,
        ),
        Variable(
            "head", ("frame", "component"), "float32", "motion of the head since the start of the segment", _STAGE,
            comment="scale: size - 1; rotation: degrees; x, y: distances between the eyes. NaN: not measured.",
            fill=np.nan,
        ),
        Variable(
            "residual", ("frame",), "float32", "error of the registration of the head", _STAGE,
            comment=_EYES + "NaN: no face.", fill=np.nan,
        ),
        Variable("reliable", ("frame",), "int8", "whether the head was registered well enough", _STAGE, extra=_FLAG),
        Variable(
            "segment", ("frame",), "int32", "number that changes where the face was lost and found again", _STAGE,
            comment="Signals of two segments, or of two recordings, are not comparable.",
        ),
        Variable(
            "brightness", ("frame",), "float32", "mean grey level of the face, 0..255", _STAGE, comment="NaN: no face.",
            fill=np.nan,
        ),
        Variable("repeated", ("frame",), "int8", "whether the frame is a copy of the one before", _STAGE, extra=_FLAG),
    ),
    attributes=STAGE_ATTRIBUTES,
    unlimited=("frame",),
    chunk=1024,
    own_coordinates="recording_id recording_index number time_s",
)  # fmt: skip

_SECONDS = "Since the first frame, as /signals/time_s. NaN: not known."

EVENTS = Group(
    "events",
    "Annotated events, then the spots of each spotter; in the order of the recordings",
    (
        Variable("recording_id", ("event",), "str", "recording identifier, <subject>/<name>", _INTERVALS),
        Variable("onset", ("event",), "int64", "first frame", _INTERVALS, comment=_NUMBER),
        Variable("apex", ("event",), "int64", "apex frame", _INTERVALS, comment=_NUMBER + " -1: not known."),
        Variable("offset", ("event",), "int64", "last frame, which belongs to it", _INTERVALS, comment=_NUMBER),
        Variable("start_s", ("event",), "float64", "time of the onset", _INTERVALS, "s", _SECONDS, fill=np.nan),
        Variable("apex_s", ("event",), "float64", "time of the apex", _INTERVALS, "s", _SECONDS, fill=np.nan),
        Variable("end_s", ("event",), "float64", "time of the offset", _INTERVALS, "s", _SECONDS, fill=np.nan),
        Variable("kind", ("event",), "str", "`micro` or `macro`", _INTERVALS),
        Variable("emotion", ("event",), "str", "emotion as annotated, or as recognised", _INTERVALS),
        Variable("action_units", ("event",), "str", "action units as the owner wrote them", _INTERVALS),
        Variable("source", ("event",), "str", f"`{ANNOTATED}`, or the name of the spotter", "configuration"),
        Variable(
            "score", ("event",), "float64", "certainty of a spot, higher is more certain", _INTERVALS,
            comment="Comparable within one spotter. NaN: annotated, or without a score.", fill=np.nan,
        ),
    ),
    attributes=("schema", "schema_version", "title", "spotters"),
    unlimited=("event",),
    own_coordinates="recording_id",
)  # fmt: skip

#: Groups of the feature file of a set of recordings, by name.
RECORDING_FILE: dict[str, Group] = {"": RECORDINGS, **dict(zip(RECORDING_GROUPS, (SIGNALS, EVENTS), strict=True))}
