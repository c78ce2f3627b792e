"""The feature cache: one documented netCDF-4 file per database, the product of the workflow.

``build`` writes it from stage files, ``open_features`` reads it, ``validate`` says what is wrong with a file and
``describe`` what is in it. The format is described in ``docs/cache-format.md``; no reader needs this package.
"""

from mer_features.features.description import describe
from mer_features.features.options import Provenance
from mer_features.features.reader import ClipRow, Features, Rejection, open_features
from mer_features.features.removal import drop
from mer_features.features.schema import CacheError
from mer_features.features.validation import validate
from mer_features.features.writer import Summary, build

__all__ = [
    "CacheError",
    "ClipRow",
    "Features",
    "Provenance",
    "Rejection",
    "Summary",
    "build",
    "describe",
    "drop",
    "open_features",
    "validate",
]
