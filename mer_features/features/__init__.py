"""The feature file: one documented netCDF-4 file per database or set of recordings, the result of the workflow.

:func:`build` writes that of a database from stage files or published flow maps, and :func:`open_features` reads it.
:mod:`mer_features.features.recordings` writes that of a set of recordings, and :func:`open_recordings` reads it. Of
either kind, :func:`validate` lists what is wrong, :func:`describe` lists the contents, and :func:`drop` removes rows.
The format is described in ``docs/cache-format.md``; the file can be read without this package.
"""

from mer_features.features.description import describe
from mer_features.features.options import Provenance
from mer_features.features.reader import ClipRow, Features, Rejection, open_features
from mer_features.features.recording_reader import EventRow, RecordingFeatures, RecordingRow, open_recordings
from mer_features.features.removal import drop
from mer_features.features.schema import CacheError
from mer_features.features.validation import validate
from mer_features.features.writer import Summary, build

__all__ = [
    "CacheError",
    "ClipRow",
    "EventRow",
    "Features",
    "Provenance",
    "RecordingFeatures",
    "RecordingRow",
    "Rejection",
    "Summary",
    "build",
    "describe",
    "drop",
    "open_features",
    "open_recordings",
    "validate",
]
